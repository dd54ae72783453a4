//! Stock age, both ways.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use curve25519_dalek::{EdwardsPoint, Scalar};
use escrow_vault::crypto::contribution::{Target, combine, contribute};
use escrow_vault::crypto::header::Header;
use escrow_vault::crypto::open;
use escrow_vault::crypto::payload::{self, Digests};
use escrow_vault::crypto::release_key::{ReleaseKey, deal, number};
use escrow_vault::crypto::request_point::RequestSecret;
use escrow_vault::crypto::seal::{Origin, Seal};
use escrow_vault::domain::id::{AgreementId, Digest};
use rand_core::OsRng;

use super::{World, have, id};

/// Where chunks, and the batches of them that are sealed together, end and begin.
const SIZES: [usize; 11] = [
    0,
    1,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    200_000,
    4 * CHUNK_BYTES - 1,
    4 * CHUNK_BYTES,
    4 * CHUNK_BYTES + 1,
    8 * CHUNK_BYTES,
    17 * CHUNK_BYTES + 5,
];
const CHUNK_BYTES: usize = 64 * 1024;

/// Seals with the stock program.
fn stock(recipient: &str, plaintext: &[u8]) -> Vec<u8> {
    let mut age = Command::new("age")
        .args(["-r", recipient])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = age.stdin.take().unwrap();
    let plaintext = plaintext.to_owned();
    let writer = std::thread::spawn(move || input.write_all(&plaintext).unwrap());
    let sealed = age.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(sealed.status.success());
    sealed.stdout
}

#[test]
fn what_stock_age_seals_is_deposited_and_opened() {
    if !have("age") {
        return;
    }
    let (world, agreement) = World::with_agreement();
    world.file("recipe/step.txt", "etch for 90 s");
    let tar =
        Command::new("tar").args(["-c", "-C"]).arg(world.path("")).arg("recipe").output().unwrap();
    let shown = world.escrow("hanbit-parts", &["show", &agreement]).record();
    let sealed = stock(shown["recipient"].as_str().unwrap(), &tar.stdout);
    let arguments = ["deposit", &agreement, "-", "--tar", "--label", "by stock age", "--yes"];
    let made = world.escrow_with("hanbit-parts", &arguments, &sealed).record();
    assert_eq!((&made["sealed_by"], &made["content"]), (&"elsewhere".into(), &"tar".into()));
    // The same once more, as a file and as one opaque file.
    let again = world.escrow_with("hanbit-parts", &arguments, &sealed);
    assert_eq!(again.refusal(), "DEPOSITED_BEFORE");
    let path = world.file("other.age", stock(shown["recipient"].as_str().unwrap(), b"one file"));
    let opaque = world.escrow("hanbit-parts", &["deposit", &agreement, &path, "--yes"]).record();
    assert_eq!(opaque["content"], "opaque");
    for (made, out, inner, content) in
        [(made, "out", "recipe/step.txt", "etch for 90 s"), (opaque, "single", "", "one file")]
    {
        let request = world.request(&id(&made), "joint");
        world.approve("trade-secret-center", &request);
        world.approve("hanbit-parts", &request);
        let out = world.path(out);
        let retrieve = ["retrieve", &request, "--out", out.to_str().unwrap(), "--yes"];
        let got = world.escrow("orient-display", &retrieve).record();
        assert_eq!(got["plaintext_checked"], false, "nobody stated what is inside");
        let path = if inner.is_empty() { out } else { out.join(inner) };
        assert_eq!(fs::read_to_string(path).unwrap(), content);
    }
}

/// The vault cannot know: it never opens what it keeps. Who deposited it has signed that digest.
#[test]
fn what_was_damaged_before_it_was_deposited_is_laid_to_its_depositor() {
    if !have("age") {
        return;
    }
    let (world, agreement) = World::with_agreement();
    let shown = world.escrow("hanbit-parts", &["show", &agreement]).record();
    let plaintext = vec![7; 3 * CHUNK_BYTES];
    let mut sealed = stock(shown["recipient"].as_str().unwrap(), &plaintext);
    let middle = sealed.len() / 2;
    sealed[middle] ^= 1;
    let file = world.file("damaged.age", sealed);
    let deposit =
        id(&world.escrow("hanbit-parts", &["deposit", &agreement, &file, "--yes"]).record());
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let out = world.path("out");
    let retrieve = ["retrieve", &request, "--out", out.to_str().unwrap(), "--yes"];
    for _ in 0..2 {
        let got = world.escrow("orient-display", &retrieve);
        assert_eq!(got.refusal(), "RUBBISH", "{}", got.err);
        let hint = got.error()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("the depositor's signed statement is the evidence"), "{hint}");
        assert!(!out.exists(), "nothing half is left");
        let partial = fs::read_dir(world.home("orient-display").join("partial")).unwrap();
        let mut kept = partial.map(|item| item.unwrap().path());
        assert!(kept.all(|path| path.extension().is_none_or(|it| it != "age")));
    }
}

#[test]
fn files_with_other_ways_in_are_refused_by_name() {
    if !have("age") {
        return;
    }
    let (world, agreement) = World::with_agreement();
    let shown = world.escrow("hanbit-parts", &["show", &agreement]).record();
    let recipient = shown["recipient"].as_str().unwrap();
    let own = age::x25519::Identity::generate().to_public().to_string();
    let seal = |arguments: &[&str]| {
        let mut command = Command::new("age");
        command.args(arguments).stdin(Stdio::null());
        command.output().unwrap().stdout
    };
    for (sealed, says) in [
        (seal(&["-r", recipient, "-r", &own]), "2 X25519 recipients"),
        (seal(&["-a", "-r", recipient]), "armored"),
        (b"no age file at all".to_vec(), "does not begin with"),
        (seal(&["-r", recipient])[..150].to_vec(), "ends within its header"),
        (seal(&["-r", recipient])[..199].to_vec(), "cut short or has something"),
    ] {
        let made =
            world.escrow_with("hanbit-parts", &["deposit", &agreement, "-", "--yes"], &sealed);
        assert_eq!(made.refusal(), "BAD_BUNDLE");
        assert!(made.error()["message"].as_str().unwrap().contains(says), "{}", made.err);
    }
}

#[test]
fn stock_age_is_refused_where_the_terms_do_not_admit_it() {
    if !have("age") {
        return;
    }
    let (world, _) = World::with_agreement();
    let strict = super::TERMS.replace("stock_age = true", "stock_age = false");
    let agreement = world.agree(&strict);
    let shown = world.escrow("hanbit-parts", &["show", &agreement]).record();
    let path = world.file("x.age", stock(shown["recipient"].as_str().unwrap(), b"x"));
    let made = world.escrow("hanbit-parts", &["deposit", &agreement, &path, "--yes"]);
    assert_eq!(made.refusal(), "ORIGIN_UNPROVEN");
    // Sealed by ourselves for later, it carries its proof.
    let file = world.file("plans.txt", "plans");
    let sealed = world.path("plans.age").display().to_string();
    let seal = ["seal", &agreement, &file, "--out", &sealed];
    world.escrow("hanbit-parts", &seal).record();
    assert_eq!(world.escrow("hanbit-parts", &seal).refusal(), "EXISTS");
    let made = world.escrow("hanbit-parts", &["deposit", &agreement, &sealed, "--yes"]).record();
    assert_eq!((&made["sealed_by"], &made["content"]), (&"escrow".into(), &"tar".into()));
}

#[test]
fn stock_age_opens_what_we_seal() {
    if !have("age") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let names = ["a", "b"].map(|name| name.parse().unwrap());
    // Stock identities are multiples of eight between 2^254 and 2^255 (RFC 7748's clamping): deal
    // until the secret, which only this test puts together, has such a representative.
    let (key, identity) = loop {
        let dealt = deal(&names, 2, &mut OsRng).unwrap();
        let key = ReleaseKey::check(&dealt.commitment, 2, &number(&names)).unwrap();
        let share = |i: usize| {
            let bytes = *dealt.shares[i].1.to_bytes();
            Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes)).unwrap()
        };
        let secret = share(0) + share(0) - share(1);
        if let Some(clamped) = clamped(&secret) {
            break (key, clamped);
        }
    };
    let bech = bech32::encode_upper::<bech32::Bech32>(
        bech32::Hrp::parse("AGE-SECRET-KEY-").unwrap(),
        &identity,
    );
    let path = dir.path().join("identity");
    fs::write(&path, bech.unwrap()).unwrap();
    for size in SIZES {
        let plaintext = vec![7; size];
        let agreement = AgreementId::of(&Digest::default());
        let origin = Origin { agreement, depositor: names[0].clone() };
        let seal = Seal::new(&key, &origin, &mut OsRng).unwrap();
        let mut sealer = seal.begin(Vec::new(), payload::threads()).unwrap();
        sealer.write_all(&plaintext).unwrap();
        let (_, sealed) = sealer.finish().unwrap();
        let file = dir.path().join("sealed.age");
        fs::write(&file, sealed).unwrap();
        let opened =
            Command::new("age").arg("-d").arg("-i").arg(&path).arg(&file).output().unwrap();
        assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
        assert_eq!(opened.stdout, plaintext, "{size} bytes");
    }
}

#[test]
fn we_open_what_stock_age_seals() {
    if !have("age") {
        return;
    }
    let names = ["a", "b"].map(|name| name.parse().unwrap());
    let dealt = deal(&names, 2, &mut OsRng).unwrap();
    let key = ReleaseKey::check(&dealt.commitment, 2, &number(&names)).unwrap();
    let request = RequestSecret::generate(&mut OsRng);
    for size in SIZES {
        let plaintext = (0..size).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect::<Vec<_>>();
        let file = stock(&key.recipient(), &plaintext);
        let header = Header::parse(&file).unwrap().unwrap();
        let target = Target {
            request_sha256: Digest::default(),
            release_key_sha256: Digest::default(),
            epoch: 1,
            ephemeral: header.ephemeral,
            request_point: request.point(),
        };
        let contributions = dealt
            .shares
            .iter()
            .map(|(name, share)| contribute(&key, name, share, &target, &mut OsRng).unwrap());
        let contributions: Vec<_> = contributions.collect();
        let secret = combine(&key, &contributions, None, &request, &target).unwrap();
        let threads = payload::threads();
        let open = |file| open::open(&secret, &key, &header, Digests::ALL, threads, file);
        let mut opened = Vec::new();
        open(file.as_slice()).unwrap().read_to_end(&mut opened).unwrap();
        assert!(opened == plaintext, "{size} bytes");
        let cut = open(&file[..file.len() - 1]);
        assert!(cut.unwrap().read_to_end(&mut Vec::new()).is_err(), "{size} bytes, cut");
    }
}

/// A clamped integer that acts on the prime-order subgroup as this scalar does, if there is one.
fn clamped(secret: &Scalar) -> Option<[u8; 32]> {
    // ℓ = 2^252 + 27742317777372353535851937790883648493.
    let order = {
        let mut bytes = (Scalar::ZERO - Scalar::ONE).to_bytes();
        bytes[0] += 1;
        bytes
    };
    let mut sum = secret.to_bytes();
    for _ in 0..8 {
        let in_range = sum[31] & 0xc0 == 0x40;
        if in_range && sum[0] & 7 == 0 {
            let point = EdwardsPoint::mul_base_clamped(sum).to_montgomery();
            assert_eq!(point, EdwardsPoint::mul_base(secret).to_montgomery());
            return Some(sum);
        }
        let mut carry = 0u16;
        for (byte, add) in sum.iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry > 0 || sum[31] & 0x80 != 0 {
            return None;
        }
    }
    None
}
