//! Which CAs the vault has, learned from whoever proves that it has the ledger key.
//!
//! A home knows its vault by the ledger key; CAs only say by which connection it is reached. Every
//! session begins with this proof, so that a stolen CA key alone makes nobody the vault, and a
//! home that has slept through a change of CA finds the new one by itself.

use rand_core::{OsRng, RngCore as _};
use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

use crate::client::channel::Channel;
use crate::client::connect::connect;
use crate::client::error::ClientError;
use crate::client::home::VaultInfo;
use crate::client::silence::answered;
use crate::client::trust::Trust;
use crate::crypto::{handover, signature, strict_json};
use crate::domain::handover::{HANDOVERS_MAX, SignedHandover};
use crate::domain::id::{Bytes, Digest, PublicKey};
use crate::ledger::authorities::{self, Authorities, Challenge, SignedAuthorities};
use crate::wire::convert::{BadField, fixed, present};
use crate::wire::v1::identity_service_client::IdentityServiceClient;
use crate::wire::v1::{DescribeRequest, DescribeResponse};

/// Largest handover of a ledger key, in bytes of JSON.
const HANDOVER_BYTES_MAX: usize = 4 * 1024;

/// What the vault at `address` says of itself, once whoever answers on this channel has proved
/// that it has this ledger key. The operator's key is no part of the proof: it is to be believed
/// only from a vault whose certificate was verified.
pub async fn ask(
    channel: Channel,
    address: &str,
    ledger_key: &PublicKey,
) -> Result<VaultInfo, ClientError> {
    let mut challenge = [0; 32];
    OsRng.fill_bytes(&mut challenge);
    let request = DescribeRequest { challenge: challenge.to_vec().into() };
    let mut service = IdentityServiceClient::new(channel);
    let answer = answered(service.describe(request)).await?.into_inner();
    believe(answer, address, ledger_key, &Bytes(challenge))
}

/// Asks whoever answers at this address, whatever its certificate.
pub async fn ask_anybody(address: &str, ledger_key: &PublicKey) -> Result<VaultInfo, ClientError> {
    let connected = connect(address, Trust::Nobody, None).await?;
    ask(connected.channel, address, ledger_key).await
}

/// Compares what the vault told now with what is known of it. Whether its CAs or its ledger key have
/// changed since.
pub fn is_news(known: &VaultInfo, told: &VaultInfo) -> Result<bool, ClientError> {
    // A later generation is told of when it matters; see `escrow resume`.
    if told.log.origin != known.log.origin || told.log.generation < known.log.generation {
        return Err(untrue("another log than it was joined with"));
    }
    let same = told.ca_certificate == known.ca_certificate
        && told.next_ca_certificate == known.next_ca_certificate;
    if told.ca_edition < known.ca_edition || (told.ca_edition == known.ca_edition && !same) {
        return Err(ClientError::Untrue(format!(
            "edition {} of its CAs where edition {} was seen, as if its keys had been restored \
             from an old backup",
            told.ca_edition, known.ca_edition
        )));
    }
    if told.handovers.get(..known.handovers.len()) != Some(known.handovers.as_slice()) {
        return Err(untrue("other handovers of its ledger key than it showed before"));
    }
    let has_another_key = told.handovers.len() > known.handovers.len();
    Ok(told.ca_edition > known.ca_edition || has_another_key)
}

/// How the server's certificate of this vault is verified.
pub fn trust(vault: &VaultInfo) -> Result<Trust, ClientError> {
    Ok(Trust::Cas(vault.cas()?.into_iter().map(CertificateDer::from).collect()))
}

/// Whether this certificate is of the CA that certifies members now: of the next one, if there is.
pub fn is_of_issuing_ca(vault: &VaultInfo, certificate: &[u8]) -> Result<bool, ClientError> {
    let issuing = vault.cas()?.pop().unwrap_or_default();
    let unreadable = |_| untrue("a certificate that cannot be read");
    let (_, certificate) = parse_x509_certificate(certificate).map_err(unreadable)?;
    let (_, issuing) = parse_x509_certificate(&issuing).map_err(unreadable)?;
    Ok(certificate.verify_signature(Some(issuing.public_key())).is_ok())
}

fn believe(
    answer: DescribeResponse,
    address: &str,
    known: &PublicKey,
    challenge: &Challenge,
) -> Result<VaultInfo, ClientError> {
    let described = present(answer.vault, "vault").map_err(bad_field)?;
    let signed = present(answer.authorities, "authorities").and_then(SignedAuthorities::try_from);
    let SignedAuthorities { authorities, signature } = signed.map_err(bad_field)?;
    let handovers = answer.handovers.iter().take(HANDOVERS_MAX + 1).map(|bytes| {
        strict_json::parse(bytes, HANDOVER_BYTES_MAX)
            .map_err(|_| untrue("a handover of its ledger key that cannot be read"))
    });
    let handovers: Vec<SignedHandover> = handovers.collect::<Result<_, _>>()?;
    // Whoever was away while the key changed knows an earlier one.
    let origin = handovers.first().map(|signed| signed.handover.origin.clone());
    let keys = origin.as_ref().map(|origin| handover::successors(known, origin, &handovers));
    let keys = keys.transpose().map_err(|fault| ClientError::Untrue(fault.to_string()))?;
    let ledger_key = keys.and_then(|keys| keys.last().copied()).unwrap_or(*known);
    signature::verify(&ledger_key, authorities::TAG, &authorities, &signature)
        .map_err(|_| untrue("CAs that its ledger key did not sign"))?;
    let told: Authorities = strict_json::parse(&authorities, SignedAuthorities::BYTES_MAX)
        .map_err(|_| untrue("a list of CAs that cannot be read"))?;
    if origin.is_some_and(|origin| origin != told.log.origin) {
        return Err(untrue("a handover of another log's key"));
    }
    let next = described.next_ca_certificate;
    let is_signed = |der: &[u8], sha256: &Digest| signature::sha256(der) == *sha256;
    let next_is_signed = match &told.next_ca_sha256 {
        Some(sha256) => is_signed(&next, sha256),
        None => next.is_empty(),
    };
    if told.challenge != *challenge
        || !is_signed(&described.ca_certificate, &told.ca_sha256)
        || !next_is_signed
    {
        return Err(untrue("CAs that its ledger key did not sign now"));
    }
    Ok(VaultInfo {
        address: address.to_owned(),
        log: told.log,
        ledger_key,
        handovers,
        operator_key: fixed(&described.operator_key, "operator_key").map_err(bad_field)?,
        ca_certificate: hex::encode(&described.ca_certificate),
        next_ca_certificate: told.next_ca_sha256.map(|_| hex::encode(&next)),
        ca_edition: told.edition,
    })
}

fn untrue(what: &str) -> ClientError {
    ClientError::Untrue(what.to_owned())
}

fn bad_field(field: BadField) -> ClientError {
    ClientError::Untrue(field.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::signature::SigningKey;
    use crate::domain::statement::Log;
    use crate::domain::time::Timestamp;
    use crate::ledger::authorities::AuthoritiesType;
    use crate::wire::v1::VaultDescription;

    const CHALLENGE: Challenge = Bytes([7; 32]);

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn log() -> Log {
        Log { origin: "vault.example/escrow-vault/abc".parse().unwrap(), generation: 1 }
    }

    /// An answer that is in order, while "two" is taking over from "one".
    fn told() -> Authorities {
        Authorities {
            kind: AuthoritiesType::V1,
            log: log(),
            edition: 2,
            ca_sha256: signature::sha256(b"one"),
            next_ca_sha256: Some(signature::sha256(b"two")),
            challenge: CHALLENGE,
            at: Timestamp::EPOCH,
        }
    }

    fn description(ca: &'static [u8], next: &'static [u8]) -> VaultDescription {
        VaultDescription {
            operator_key: vec![9; 32].into(),
            ca_certificate: ca.into(),
            next_ca_certificate: next.into(),
            ..VaultDescription::default()
        }
    }

    fn signed(key: &SigningKey, tag: &str, told: &Authorities) -> SignedAuthorities {
        let authorities = serde_json::to_vec(told).unwrap();
        let signature = key.sign(tag, &authorities);
        SignedAuthorities { authorities, signature }
    }

    fn believed(
        vault: VaultDescription,
        signed: SignedAuthorities,
    ) -> Result<VaultInfo, ClientError> {
        let authorities = Some(signed.into());
        let answer = DescribeResponse { vault: Some(vault), authorities, handovers: Vec::new() };
        believe(answer, "vault.example:7443", &key().public(), &CHALLENGE)
    }

    #[test]
    fn only_what_the_ledger_key_signed_for_this_asker_is_believed() {
        let (tag, right) = (authorities::TAG, told());
        let vault = believed(description(b"one", b"two"), signed(&key(), tag, &right)).unwrap();
        assert_eq!(vault.cas().unwrap(), [b"one".to_vec(), b"two".to_vec()]);
        assert_eq!((vault.ca_edition, vault.log), (2, log()));
        let stranger = SigningKey::from_bytes(&[2; 32]);
        let old = Authorities { challenge: Bytes([8; 32]), ..told() };
        let alone = Authorities { next_ca_sha256: None, ..told() };
        let mut altered = signed(&key(), tag, &right);
        altered.authorities.extend(b" ");
        for (what, vault, signed) in [
            ("by another key", description(b"one", b"two"), signed(&stranger, tag, &right)),
            (
                "as a head",
                description(b"one", b"two"),
                signed(&key(), crate::ledger::head::TAG, &right),
            ),
            ("in answer to another", description(b"one", b"two"), signed(&key(), tag, &old)),
            ("altered", description(b"one", b"two"), altered),
            ("another CA", description(b"two", b"two"), signed(&key(), tag, &right)),
            ("another next CA", description(b"one", b"one"), signed(&key(), tag, &right)),
            ("no next CA", description(b"one", b""), signed(&key(), tag, &right)),
            ("one CA too many", description(b"one", b"two"), signed(&key(), tag, &alone)),
        ] {
            assert!(matches!(believed(vault, signed), Err(ClientError::Untrue(_))), "{what}");
        }
    }

    #[test]
    fn whoever_knows_an_earlier_ledger_key_follows_its_handovers_and_no_others() {
        let [second, third, stranger] = [2, 3, 4].map(|n| SigningKey::from_bytes(&[n; 32]));
        let handed = |number, from: &SigningKey, to: &SigningKey, origin: &str| {
            let which = (origin.parse().unwrap(), number, Timestamp::EPOCH);
            serde_json::to_vec(&handover::sign(which, from, to)).unwrap()
        };
        let own = log().origin;
        let all =
            [handed(2, &key(), &second, own.as_str()), handed(3, &second, &third, own.as_str())];
        let ask = |known: &SigningKey, by: &SigningKey, handovers: &[Vec<u8>]| {
            let answer = DescribeResponse {
                vault: Some(description(b"one", b"two")),
                authorities: Some(signed(by, authorities::TAG, &told()).into()),
                handovers: handovers.iter().map(|bytes| bytes.clone().into()).collect(),
            };
            believe(answer, "vault.example:7443", &known.public(), &CHALLENGE)
        };
        for known in [&key(), &second, &third] {
            let vault = ask(known, &third, &all).unwrap();
            assert_eq!((vault.ledger_key, vault.handovers.len()), (third.public(), 2));
            let keys: Vec<_> = vault.ledger_keys().collect();
            assert_eq!(keys, [third.public(), second.public(), key().public()]);
        }
        let foreign = [handed(2, &key(), &third, "other.example/escrow-vault/abc")];
        let forged = [all[0].clone(), handed(3, &stranger, &third, own.as_str())];
        let reordered = [all[1].clone(), all[0].clone()];
        for (what, known, by, handovers) in [
            ("by the key of before", &key(), &key(), &all[..]),
            ("by a key that nobody handed over to", &key(), &stranger, &all),
            ("without the handovers", &key(), &third, &[]),
            ("not to the end", &key(), &third, &all[..1]),
            ("from a stranger", &key(), &third, &forged),
            ("to somebody who knows another key", &stranger, &third, &all),
            ("of another log", &key(), &third, &foreign),
            ("in another order", &key(), &third, &reordered),
            ("unreadable", &key(), &third, &[b"{}".to_vec()]),
        ] {
            let answered = ask(known, by, handovers);
            assert!(matches!(answered, Err(ClientError::Untrue(_))), "{what}");
        }
        // What was shown once is shown for ever.
        let known = ask(&key(), &third, &all).unwrap();
        assert!(is_news(&ask(&key(), &second, &all[..1]).unwrap(), &known).unwrap());
        assert!(is_news(&known, &ask(&second, &second, &all[..1]).unwrap()).is_err());
    }

    #[test]
    fn editions_never_go_back_and_never_differ() {
        let known =
            believed(description(b"one", b"two"), signed(&key(), authorities::TAG, &told()));
        let known = known.unwrap();
        let edition = |ca_edition| VaultInfo { ca_edition, ..known.clone() };
        assert!(!is_news(&known, &known).unwrap());
        assert!(is_news(&known, &edition(3)).unwrap());
        let later = Log { generation: 2, ..log() };
        let recovered = VaultInfo { log: later.clone(), ..known.clone() };
        assert!(!is_news(&known, &recovered).unwrap(), "told of where it matters");
        let other_log = Log { origin: "other.example/escrow-vault/abc".parse().unwrap(), ..later };
        for (what, told) in [
            ("an older one", edition(1)),
            ("another of the same number", VaultInfo { ca_certificate: "00".into(), ..edition(2) }),
            ("without the next", VaultInfo { next_ca_certificate: None, ..edition(2) }),
            ("another log's", VaultInfo { log: other_log, ..edition(3) }),
        ] {
            assert!(matches!(is_news(&known, &told), Err(ClientError::Untrue(_))), "{what}");
        }
        let back = is_news(&recovered, &known);
        assert!(matches!(back, Err(ClientError::Untrue(_))), "an earlier generation");
    }
}
