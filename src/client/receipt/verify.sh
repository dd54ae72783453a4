#!/usr/bin/env bash
# Verifies this receipt with bash, coreutils and openssl 3 alone; see README.txt for what that proves.
# Usage: ./verify.sh [--file DOCUMENT] [--tsa-ca FILE] [--witness VKEY]...
set -euo pipefail
export LC_ALL=C
document= tsa_ca= witnesses=()
usage() { echo "usage: ./verify.sh [--file DOCUMENT] [--tsa-ca FILE] [--witness VKEY]..." >&2; exit 2; }
while [ $# -gt 0 ]; do
    case $#,$1 in
    1,* | *,'') usage ;;
    *,--file) document=$(realpath -- "$2") ;;
    *,--tsa-ca) tsa_ca=$(realpath -- "$2") ;;
    *,--witness) witnesses+=("$2") ;;
    *) usage ;;
    esac
    shift 2
done
cd -- "$(dirname -- "$0")"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

fail() { echo "NOT VERIFIED: $*" >&2; exit 1; }
bytes() { printf %s "${1^^}" | basenc --base16 -d; }
hash() { local out; out=$(sha256sum); printf %s "${out%% *}"; }
hex_of_base64() { local out; out=$(printf %s "$1" | base64 -d | basenc --base16 -w0) || fail "not Base64: $1"; printf %s "${out,,}"; }
number() { [[ $1 =~ ^(0|[1-9][0-9]{0,17})$ ]] || fail "not a number: $1"; }

# KEY SIGNATURE FILE, the first two in hexadecimal.
signed() {
    bytes "302a300506032b6570032100$1" > "$work/key"
    bytes "$2" > "$work/signature"
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key" -rawin -in "$3" \
        -sigfile "$work/signature" > /dev/null 2>&1
}

# The value of a text field of a JSON object that is written as the vault writes them.
field() {
    local rest=${1#*"\"$2\":\""}
    [ "$rest" != "$1" ] || fail "no $2 in: $1"
    printf %s "${rest%%\"*}"
}

# Who signs the log.
vkey=$(< log.vkey)
log=${vkey%%+*} rest=${vkey#*+}
key=$(hex_of_base64 "${rest#*+}")
[ ${#key} = 66 ] && [ "${key:0:2}" = 01 ] || fail "log.vkey is not an Ed25519 key"
log_id=$({ printf '%s\n' "$log"; bytes "$key"; } | hash)
[ "${log_id:0:8}" = "${rest%%+*}" ] || fail "log.vkey is not as C2SP writes it"

# VKEY FILE LINE...: that a witness has cosigned the checkpoint in a file (C2SP tlog-cosignature).
cosigned() {
    local name=${1%%+*} rest=${1#*+} file=$2 witness id line cosignature at
    witness=$(hex_of_base64 "${rest#*+}")
    [ ${#witness} = 66 ] && [ "${witness:0:2}" = 04 ] || fail "not the Ed25519 key of a witness: $1"
    id=$({ printf '%s\n' "$name"; bytes "$witness"; } | hash)
    [ "${id:0:8}" = "${rest%%+*}" ] || fail "not as C2SP writes a witness's key: $1"
    shift 2
    for line in "$@"; do
        [ "${line#"— $name "}" != "$line" ] || continue
        cosignature=$(hex_of_base64 "${line##* }")
        [ "${cosignature:0:8}" = "${id:0:8}" ] || continue
        [ ${#cosignature} = 152 ] && [[ ${cosignature:8:1} < 8 ]] || fail "not a cosignature: $line"
        at=$((16#${cosignature:8:16}))
        { printf 'cosignature/v1\ntime %s\n' "$at"; cat "$file"; } > "$work/cosigned"
        signed "${witness:2}" "${cosignature:24}" "$work/cosigned" || fail "the cosignature of $name is wrong"
        return
    done
    fail "$name has not cosigned a checkpoint in it"
}

# PROOF LEAF: that a leaf is in the log. Sets position and size.
logged() {
    local -a lines
    mapfile -t lines < "$1"
    [ "${lines[0]-}" = "c2sp.org/tlog-proof@v1" ] || fail "$1 is not a proof"
    position=${lines[1]#index }
    number "$position"
    local at=2 hash=$2 i last
    local -a path=()
    while [ -n "${lines[at]-}" ]; do path+=("$(hex_of_base64 "${lines[at]}")"); at=$((at + 1)); done
    [ "${lines[at + 1]-}" = "$log" ] || fail "$1 has a checkpoint of another log"
    size=${lines[at + 2]-}
    number "$size"
    printf '%s\n' "$log" "$size" "${lines[at + 3]-}" > "$work/checkpoint"
    [ -z "${lines[at + 4]-x}" ] || fail "$1 has a checkpoint with more lines"
    local line ok= signature
    for line in "${lines[@]:at + 5}"; do
        [ "${line#"— $log "}" != "$line" ] || continue
        signature=$(hex_of_base64 "${line##* }")
        [ "${signature:0:8}" = "${log_id:0:8}" ] || continue
        signed "${key:2}" "${signature:8}" "$work/checkpoint" || fail "$1: the checkpoint's signature is wrong"
        ok=1
    done
    [ -n "$ok" ] || fail "$1: the log has not signed the checkpoint"
    local witness
    for witness in ${witnesses[@]+"${witnesses[@]}"}; do
        cosigned "$witness" "$work/checkpoint" "${lines[@]:at + 5}"
    done
    # RFC 9162, 2.1.3.2
    [ "$position" -lt "$size" ] || fail "$1: position $position is not in a log of $size"
    i=$position last=$((size - 1))
    local beside
    for beside in ${path[@]+"${path[@]}"}; do
        [ "$last" -gt 0 ] || fail "$1: the proof is too long"
        if [ $((i & 1)) = 1 ] || [ "$i" = "$last" ]; then
            hash=$({ printf '\1'; bytes "$beside$hash"; } | hash)
            while [ $((i & 1)) = 0 ] && [ "$i" != 0 ]; do i=$((i >> 1)) last=$((last >> 1)); done
        else
            hash=$({ printf '\1'; bytes "$hash$beside"; } | hash)
        fi
        i=$((i >> 1)) last=$((last >> 1))
    done
    [ "$last" = 0 ] || fail "$1: the proof is too short"
    [ "$hash" = "$(hex_of_base64 "${lines[at + 3]}")" ] || fail "$1: the proof leads to another root"
}

declare -A joined=() confirmed_by=() confirmed_who=() administrator=() organisation=()

# MEMBER KEY AS-ADMINISTRATOR STEPS: whether an organisation's key vouches for a member's.
vouched() {
    local join=${joined["$1 $2"]-} root=${organisation["${1%%/*}"]-} by
    [ -n "$join" ] && [ -n "$root" ] && [ "$4" -lt 64 ] || return 1
    for by in ${confirmed_by["$1 $join"]-}; do
        [ "$3" = no ] || [ "${administrator["$1 $join $by"]-}" = true ] || continue
        [ "$by" != "$root" ] || return 0
        ! vouched "${confirmed_who["$1 $join $by"]}" "$by" yes $(($4 + 1)) || return 0
    done
    return 1
}

# DIR SHA256: a time-stamp of what was registered, by certificates that were valid at its own time.
stamped() {
    local said at ca=${tsa_ca:-$1/tsa-ca.pem}
    # What stands around the token is not signed.
    openssl ts -reply -in "$1/document.tsr" -token_out -out "$work/token" > /dev/null 2>&1 &&
        said=$(openssl ts -reply -in "$work/token" -token_in -text 2> /dev/null) ||
        fail "$1: its time-stamp cannot be read"
    # Nor what openssl passes over.
    openssl ts -reply -in "$1/document.tsr" -out "$work/reply" > /dev/null 2>&1
    [ "$(hash < "$work/reply")" = "$(hash < "$1/document.tsr")" ] ||
        fail "$1: its time-stamp has more in it"
    at=${said#*$'\nTime stamp: '} at=${at%%$'\n'*}
    case $said in
    *$'\nHash Algorithm: sha256\n'*) set -- "$1" -digest "$2" ;;
    *) [ -n "$document" ] || {
        echo "  its time-stamp is of a longer digest, which --file DOCUMENT alone can be compared with"
        return 0
    }
        set -- "$1" -data "$document" ;;
    esac
    openssl ts -verify "${@:2}" -in "$work/token" -token_in -CAfile "$ca" \
        -untrusted "$1/tsa-ca.pem" -attime "$(date -u -d "$at" +%s)" > /dev/null 2>&1 ||
        fail "$1: its time-stamp does not count"
    echo "  time-stamped at $(date -u -d "$at" +%Y-%m-%dT%H:%M:%SZ) under ${tsa_ca:-a CA that came along: compare it}"
}

found= events=0
for event in [0-9][0-9][0-9][0-9]/event.json; do
    dir=${event%/*}
    [ "$((10#$dir))" = $((events + 1)) ] || fail "events are missing before $dir"
    events=$((events + 1))
    [ ! -e "$dir/document.tsr" ] || [ -e "$dir/tsa-ca.pem" ] || fail "$dir: a time-stamp without its CA"
    [ ! -e "$dir/tsa-ca.pem" ] || [ -e "$dir/document.tsr" ] || fail "$dir: a CA without a time-stamp"
    salt=$(< "$dir/salt") label=$(< "$dir/label")
    [[ $salt =~ ^[0-9a-f]{64}$ && $label =~ ^[0-9a-f]{32}$ ]] || fail "$dir: salt or label"
    commitment=$({ printf 'escrow-vault/commitment/v1\0'; bytes "$salt"; cat "$event"; } | hash)
    logged "$dir/event.tlog-proof" "$({ printf '\0'; bytes "$label$commitment"; } | hash)"
    json=$(< "$event")
    at=$(field "${json%%'"act":'*}" at)
    origin=$(field "$json" origin)
    [ "${log%/*}" = "$origin" ] || fail "$dir: it is of another log"
    act=${json#*'"act":'}
    if [ "${act#'{"stated":{"statement":"'}" = "$act" ]; then
        [ ! -e "$dir/document.tsr" ] || fail "$dir: it has a time-stamp, and registers nothing"
        echo "entry $position: noted by the vault at $at"
        continue
    fi
    # The statement is a text in the event; its quotation marks and backslashes are escaped.
    text=${act#'{"stated":{"statement":"'}
    rest=${text##*'","key":"'}
    text=${text%'","key":"'*}
    text=${text//\\\\/$'\1'}
    text=${text//\\\"/\"}
    [ "${text#*\\}" = "$text" ] || fail "$dir: a statement with other escapes"
    text=${text//$'\1'/\\}
    by_key=${rest%%\"*} signature=$(field "$rest" signature)
    [[ $by_key =~ ^[0-9a-f]{64}$ && $signature =~ ^[0-9a-f]{128}$ ]] || fail "$dir: key or signature"
    type=$(field "$text" type) by=$(field "$text" by)
    {
        printf 'escrow-vault/signature/v1\0'
        bytes "$(printf %016x ${#type})"
        printf %s%s "$type" "$text"
    } > "$work/message"
    signed "$by_key" "$signature" "$work/message" || fail "$dir: the statement's signature is wrong"
    digest=$(printf %s "$text" | hash)
    [ ! -e "$dir/document.tsr" ] || [ "$type" = escrow-vault/registration/v1 ] ||
        fail "$dir: it has a time-stamp, and registers nothing"
    case $type in
    escrow-vault/organisation/v1)
        own=$(field "$text" key)
        [ "$own" != "$by_key" ] || [ -n "${organisation["${by%%/*}"]-}" ] || organisation["${by%%/*}"]=$own ;;
    escrow-vault/join/v1)
        [ "$(field "$text" key)" != "$by_key" ] || joined["$by $by_key"]=$digest ;;
    escrow-vault/confirmation/v1)
        member=$(field "$text" member) join=$(field "$text" join_sha256)
        if [ "${member%%/*}" = "${by%%/*}" ]; then
            confirmed_by["$member $join"]+=" $by_key"
            confirmed_who["$member $join $by_key"]=$by
            [ "${text%'"administrator":true}'}" = "$text" ] || administrator["$member $join $by_key"]=true
        fi ;;
    *)
        vouched "$by" "$by_key" no 0 || fail "$dir: nothing shows that the key which signed is $by's"
        echo "entry $position: $type by $by at $at (the vault's time), statement $digest"
        if [ "$type" = escrow-vault/registration/v1 ] && [ -e "$dir/document.tsr" ]; then
            stamped "$dir" "$(field "$text" sha256)"
        fi
        case $type in escrow-vault/registration/v1 | escrow-vault/deposit/v1)
            if [ -n "$document" ] && [ "$(hash < "$document")" = "$(field "$text" sha256)" ]; then
                echo "  it names this very file"
                found=1
            fi ;;
        esac ;;
    esac
done
[ "$events" -gt 0 ] || fail "it holds no event"
[ -z "$document" ] || [ -n "$found" ] || fail "no statement in it names this file"
for name in "${!organisation[@]}"; do
    print=$({ printf 'escrow-vault/fingerprint/v1\0'; bytes "${organisation[$name]}"; } | hash)
    print=$(bytes "${print:0:40}" | base32)
    print=${print,,}
    echo "fingerprint of $name: $(for i in 0 4 8 12 16 20 24 28; do printf %s "${print:i:4}-"; done | head -c 39)"
done
for witness in ${witnesses[@]+"${witnesses[@]}"}; do echo "cosigned by ${witness%%+*}"; done
[ "${#witnesses[@]}" != 0 ] || echo "cosignatures of witnesses, if there are any, were not checked: see --witness"
echo "VERIFIED: $events entries of the log $log"
