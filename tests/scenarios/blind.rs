//! What the vault has on disk and says in its log betrays nothing that opens or reveals.

use age_core::primitives::{aead_decrypt, hkdf};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use curve25519_dalek::{MontgomeryPoint, Scalar};
use serde_json::Value;

use super::{PEOPLE, World, files_below};

#[test]
fn promise_1_neither_plaintext_nor_file_key_nor_share_is_on_the_vault() {
    let (mut world, agreement) = World::with_agreement();
    let marker = "PLANTED-PLAINTEXT-7f3a";
    let deposit = world.deposit(&agreement, marker.repeat(10_000));
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    world.approve("hanbit-parts", &request);
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    world.stop();

    let mut secrets: Vec<(String, Vec<u8>)> =
        vec![("the plaintext".to_owned(), marker.as_bytes().to_vec())];
    let shares: Vec<Scalar> = PEOPLE.iter().map(|(home, _)| share(&world, home)).collect();
    for ((home, _), share) in PEOPLE.iter().zip(&shares) {
        secrets.push((format!("the share of {home}"), share.to_bytes().to_vec()));
    }
    let bundle = std::fs::read(world.data().join(format!("bundles/{deposit}.age"))).unwrap();
    secrets.push(("the file key".to_owned(), file_key(&bundle, &shares)));

    let mut places: Vec<(String, Vec<u8>)> = files_below(&world.data())
        .into_iter()
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect();
    places.push(("the log".to_owned(), world.said().into_bytes()));
    assert!(places.len() > 8, "{places:?}");
    let stored = places.iter().any(|(_, bytes)| find(bytes, &bundle[..64]));
    assert!(stored, "the search finds what is there");
    for (what, secret) in &secrets {
        let forms = [
            secret.clone(),
            hex::encode(secret).into_bytes(),
            BASE64_STANDARD.encode(secret).trim_end_matches('=').as_bytes().to_vec(),
        ];
        for (place, bytes) in &places {
            for form in &forms {
                assert!(!find(bytes, form), "{what} is in {place}");
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    let first = wanted[0];
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[at..];
        if rest.starts_with(wanted) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// A member's own share, opened with the keys in its home.
fn share(world: &World, home: &str) -> Scalar {
    let home = world.home(home);
    let key = std::fs::read_to_string(home.join("age.key")).unwrap();
    let key: age::x25519::Identity = key.trim().parse().unwrap();
    let sealed = files_below(&home.join("shares"));
    // The depositor dealt the key and had no need to fetch its share before it contributed.
    let opened = age::decrypt(&key, &std::fs::read(&sealed[0]).unwrap()).unwrap();
    let letter: Value = serde_json::from_slice(&opened).unwrap();
    let bytes = hex::decode(letter["share"].as_str().unwrap()).unwrap();
    Scalar::from_canonical_bytes(bytes.try_into().unwrap()).unwrap()
}

/// The bundle's file key, by way of the secret that no program ever puts together.
fn file_key(bundle: &[u8], shares: &[Scalar]) -> Vec<u8> {
    // Lagrange at zero for the places 1 and 2: 2·s₁ − s₂. Holders are numbered by role.
    let by_role = [shares[2], shares[1], shares[0]];
    let secret = by_role[0] + by_role[0] - by_role[1];
    let text = String::from_utf8_lossy(bundle);
    let mut lines = text.lines().skip_while(|line| !line.starts_with("-> X25519 "));
    let ephemeral = lines.next().unwrap().strip_prefix("-> X25519 ").unwrap().to_owned();
    let body = BASE64_STANDARD_NO_PAD.decode(lines.next().unwrap()).unwrap();
    let ephemeral: [u8; 32] = BASE64_STANDARD_NO_PAD.decode(ephemeral).unwrap().try_into().unwrap();
    let release = curve25519_dalek::EdwardsPoint::mul_base(&secret).to_montgomery();
    let lifted = MontgomeryPoint(ephemeral).to_edwards(0).unwrap();
    let shared = (secret * lifted).to_montgomery();
    let salt = [ephemeral, release.to_bytes()].concat();
    let key = hkdf(&salt, b"age-encryption.org/v1/X25519", shared.as_bytes());
    aead_decrypt(&key, 16, &body).expect("two shares and the ciphertext open it, as README says")
}
