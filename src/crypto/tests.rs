//! The key scheme as a whole: what opens, what doesn't, and the attacks that were run on it.

use std::io::{Read as _, Write as _};

use curve25519_dalek::{EdwardsPoint, Scalar};
use rand_core::OsRng;

use crate::crypto::contribution::{
    self, Contribution, ContributionFault, Target, combine, contribute,
};
use crate::crypto::header::Header;
use crate::crypto::open::{self, SharedSecret};
use crate::crypto::payload::{self, Digests};
use crate::crypto::point;
use crate::crypto::release_key::tests::organisations;
use crate::crypto::release_key::{DealerFault, ReleaseKey, Share, deal, number};
use crate::crypto::request_point::{Purpose, RequestSecret, is_possessed};
use crate::crypto::seal::{Origin, Seal, Sealed, is_origin_proved};
use crate::crypto::share::{self, Place};
use crate::crypto::strict_json::tests::second_spellings_are_refused;
use crate::domain::id::{AgreementId, Bytes, DepositId, Digest, OrganisationName};

struct Vault {
    key: ReleaseKey,
    shares: Vec<(OrganisationName, Share)>,
    origin: Origin,
}

impl Vault {
    fn new(holders: usize, quorum: u16) -> Self {
        let names = organisations(holders);
        let dealt = deal(&names, quorum, &mut OsRng).unwrap();
        let key = ReleaseKey::check(&dealt.commitment, quorum, &number(&names)).unwrap();
        let agreement = AgreementId::of(&Bytes([3; 32]));
        let origin = Origin { agreement, depositor: names[0].clone() };
        Self { key, shares: dealt.shares, origin }
    }

    fn seal(&self, plaintext: &[u8]) -> (Sealed, Vec<u8>) {
        let seal = Seal::new(&self.key, &self.origin, &mut OsRng).unwrap();
        let mut sealer = seal.begin(Vec::new(), payload::threads()).unwrap();
        sealer.write_all(plaintext).unwrap();
        sealer.finish().unwrap()
    }

    fn contribute(&self, holder: usize, target: &Target) -> Contribution {
        let (name, share) = &self.shares[holder];
        contribute(&self.key, name, share, target, &mut OsRng).unwrap()
    }

    fn read(&self, secret: &SharedSecret, file: &[u8]) -> Option<Vec<u8>> {
        let mut plaintext = Vec::new();
        let header = Header::parse(file).ok()??;
        let threads = payload::threads();
        let opened = open::open(secret, &self.key, &header, Digests::ALL, threads, file);
        opened.ok()?.read_to_end(&mut plaintext).ok()?;
        Some(plaintext)
    }
}

fn target(header: &Header, secret: &RequestSecret, request: u8) -> Target {
    Target {
        request_sha256: Bytes([request; 32]),
        release_key_sha256: Bytes([2; 32]),
        epoch: 1,
        ephemeral: header.ephemeral,
        request_point: secret.point(),
    }
}

#[test]
fn any_quorum_opens_and_fewer_do_not() {
    for holders in 2..=7usize {
        for quorum in 2..=holders as u16 {
            let vault = Vault::new(holders, quorum);
            let (sealed, file) = vault.seal(b"recipe");
            let secret = RequestSecret::generate(&mut OsRng);
            let target = target(&sealed.header, &secret, 1);
            let all: Vec<_> = (0..holders).map(|i| vault.contribute(i, &target)).collect();
            all.iter().for_each(|c| contribution::verify(&vault.key, c, &target).unwrap());
            for chosen in 1u32..1 << holders {
                let picked: Vec<_> = (0..holders).filter(|i| chosen >> i & 1 == 1).collect();
                let some: Vec<_> = picked.iter().map(|i| all[*i].clone()).collect();
                let own = picked.first().map(|i| &vault.shares[*i]);
                for (contributions, own) in
                    [(&some[..], None), (&some[1..], own.map(|(name, share)| (name, share)))]
                {
                    let combined = combine(&vault.key, contributions, own, &secret, &target);
                    if picked.len() < usize::from(quorum) {
                        let too_few = ContributionFault::TooFew { have: picked.len(), quorum };
                        assert_eq!(combined.unwrap_err(), too_few);
                    } else {
                        let opened = vault.read(&combined.unwrap(), &file);
                        assert_eq!(opened.as_deref(), Some(&b"recipe"[..]));
                    }
                }
            }
            let twice = vec![all[0].clone(); quorum.into()];
            let fault = combine(&vault.key, &twice, None, &secret, &target).unwrap_err();
            assert_eq!(fault, ContributionFault::TooFew { have: 1, quorum });
        }
    }
}

#[test]
fn promise_4_contributions_are_for_one_request_and_one_file_only() {
    let vault = Vault::new(3, 2);
    let (sealed, _) = vault.seal(b"recipe");
    let (other_file, _) = vault.seal(b"recipe");
    let (secret, other_secret) =
        (RequestSecret::generate(&mut OsRng), RequestSecret::generate(&mut OsRng));
    let target = target(&sealed.header, &secret, 1);
    let good = vault.contribute(1, &target);
    assert!(second_spellings_are_refused(&good) > 7);
    let by = |name: &OrganisationName| ContributionFault::Proof(name.clone());
    let name = vault.shares[1].0.clone();
    for (what, target) in [
        ("request", Target { request_sha256: Bytes([9; 32]), ..target.clone() }),
        ("release key", Target { release_key_sha256: Bytes([9; 32]), ..target.clone() }),
        ("epoch", Target { epoch: 2, ..target.clone() }),
        ("file", Target { ephemeral: other_file.header.ephemeral, ..target.clone() }),
        ("requester", Target { request_point: other_secret.point(), ..target.clone() }),
    ] {
        let fault = contribution::verify(&vault.key, &good, &target).unwrap_err();
        assert_eq!(fault, by(&name), "replayed to another {what}");
    }
    let (c1, c2, challenge) = (good.c1, good.c2, good.challenge);
    for (what, forged) in [
        ("holder", Contribution { holder: vault.shares[0].0.clone(), ..good.clone() }),
        ("c1", Contribution { c1: c2, ..good.clone() }),
        ("c2", Contribution { c2: c1, ..good.clone() }),
        ("challenge", Contribution { challenge: good.share_response, ..good.clone() }),
        ("share", Contribution { share_response: challenge, ..good.clone() }),
        ("blinding", Contribution { blinding_response: challenge, ..good.clone() }),
    ] {
        let fault = contribution::verify(&vault.key, &forged, &target).unwrap_err();
        assert_eq!(fault, by(&forged.holder), "forged {what}");
    }
    let stranger: OrganisationName = "stranger".parse().unwrap();
    let fault = contribution::verify(
        &vault.key,
        &Contribution { holder: stranger.clone(), ..good.clone() },
        &target,
    );
    assert_eq!(fault, Err(ContributionFault::Key(DealerFault::NotHolder(stranger))));
    let bad = Contribution { c1: Bytes([0; 32]), ..good.clone() };
    let fault = contribution::verify(&vault.key, &bad, &target).unwrap_err();
    assert!(matches!(fault, ContributionFault::Value { .. }));
    // Whoever lacks r combines to something else.
    let other = vault.contribute(2, &target);
    let wrong = combine(&vault.key, &[good, other], None, &other_secret, &target).unwrap();
    assert_eq!(vault.read(&wrong, &vault.seal(b"recipe").1), None);
}

#[test]
fn promise_4_a_header_made_from_another_cannot_be_deposited() {
    // The attack: E' = ρE + σB. Whoever gets sE' gets sE = ρ⁻¹(sE' − σP).
    let vault = Vault::new(3, 2);
    let (original, file) = vault.seal(b"recipe");
    let (rho, sigma) = (Scalar::random(&mut OsRng), Scalar::random(&mut OsRng));
    let e = point::lift(&original.header.ephemeral).unwrap();
    let forged = Header {
        ephemeral: point::u_coordinate(&(rho * e + EdwardsPoint::mul_base(&sigma))),
        ..original.header.clone()
    };
    // Were the copy released, the original would open: contributions to E' by an honest quorum.
    let secret = RequestSecret::generate(&mut OsRng);
    let target = target(&forged, &secret, 1);
    let parts: Vec<_> = [0, 1].map(|i| vault.contribute(i, &target)).into();
    let lifted = point::lift(&forged.ephemeral).unwrap();
    let unblind = |c: &Contribution| {
        let (c1, c2) = (point::decode(&c.c1).unwrap(), point::decode(&c.c2).unwrap());
        c2 - secret.scalar() * c1
    };
    let places = [1, 2];
    let s_lifted: EdwardsPoint = parts
        .iter()
        .zip(places)
        .map(|(c, place)| crate::crypto::release_key::lagrange(place, &places) * unblind(c))
        .sum();
    let sign = lifted == rho * e + EdwardsPoint::mul_base(&sigma);
    let s_forged = if sign { s_lifted } else { -s_lifted };
    let s_e = rho.invert() * (s_forged - sigma * vault.key.point());
    let stolen = SharedSecret::new(zeroize::Zeroizing::new(point::u_coordinate(&s_e).0));
    assert_eq!(vault.read(&stolen, &file).as_deref(), Some(&b"recipe"[..]), "the attack is real");
    // It ends at the door: nobody can prove the origin of E'.
    let origin = &vault.origin;
    let proved =
        |proof, header: &Header| is_origin_proved(proof, &header.ephemeral, &header.sha256, origin);
    assert!(proved(&original.proof, &original.header));
    assert!(!proved(&original.proof, &forged));
}

#[test]
fn proofs_of_origin_are_bound_to_agreement_depositor_and_header() {
    let vault = Vault::new(2, 2);
    let (sealed, _) = vault.seal(b"");
    let header = &sealed.header;
    let check = |origin: &Origin, sha256: &Digest| {
        is_origin_proved(&sealed.proof, &header.ephemeral, sha256, origin)
    };
    assert!(check(&vault.origin, &header.sha256));
    assert!(!check(&vault.origin, &Bytes([0; 32])), "another header");
    let agreement = AgreementId::of(&Bytes([4; 32]));
    assert!(!check(&Origin { agreement, ..vault.origin.clone() }, &header.sha256));
    let depositor = vault.shares[1].0.clone();
    assert!(!check(&Origin { depositor, ..vault.origin.clone() }, &header.sha256));
}

#[test]
fn proofs_of_possession_are_bound_to_their_purpose() {
    let secret = RequestSecret::generate(&mut OsRng);
    let (agreement, deposit) = (AgreementId::of(&Bytes([1; 32])), DepositId::of(&Bytes([2; 32])));
    let (requester, other) = ("a/b".parse().unwrap(), "a/c".parse().unwrap());
    let purpose = Purpose { agreement: &agreement, deposit: &deposit, requester: &requester };
    let proof = secret.prove(&purpose, &mut OsRng);
    assert!(is_possessed(&secret.point(), &proof, &purpose));
    let twisted = Purpose { requester: &other, ..purpose.clone() };
    assert!(!is_possessed(&secret.point(), &proof, &twisted));
    let stranger = RequestSecret::generate(&mut OsRng);
    assert!(!is_possessed(&stranger.point(), &proof, &purpose));
}

#[test]
fn sealed_files_are_what_they_say() {
    let vault = Vault::new(2, 2);
    for size in [0, 1, 65_535, 65_536, 65_537, 200_000] {
        let plaintext = vec![7; size];
        let (sealed, file) = vault.seal(&plaintext);
        assert_eq!(sealed.size, file.len() as u64);
        assert_eq!(sealed.sha256, crate::crypto::signature::sha256(&file));
        assert_eq!(sealed.plaintext_sha256, crate::crypto::signature::sha256(&plaintext));
        assert_eq!(sealed.plaintext_size, size as u64);
        assert_eq!(Header::parse(&file), Ok(Some(sealed.header.clone())));
        let header_size = sealed.header.size as u64;
        let plain = crate::crypto::header::plaintext_size(sealed.size, header_size);
        assert_eq!(plain, Some(size as u64));
    }
}

#[test]
fn shares_travel_to_one_member_and_one_place() {
    let identity = age::x25519::Identity::generate();
    let stranger = age::x25519::Identity::generate();
    let vault = Vault::new(2, 2);
    let (holder, own) = &vault.shares[0];
    let place =
        Place { agreement: vault.origin.agreement.clone(), epoch: 1, holder: holder.clone() };
    let sealed = share::seal(own, &place, &identity.to_public().to_string()).unwrap();
    assert!(sealed.len() < share::SEALED_SHARE_BYTES_MAX);
    let opened = share::open(&sealed, &place, &identity).unwrap();
    assert_eq!(vault.key.check_share(holder, &opened), Ok(()));
    assert!(share::open(&sealed, &place, &stranger).is_err());
    assert!(share::open(&sealed, &Place { epoch: 2, ..place.clone() }, &identity).is_err());
    let other = Place { holder: vault.shares[1].0.clone(), ..place };
    assert!(share::open(&sealed, &other, &identity).is_err());
}
