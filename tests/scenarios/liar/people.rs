//! Organisations and members that a vault invents. It has its operator's key and any number of new
//! ones; what it has not is anybody else's.

use std::fs;
use std::time::SystemTime;

use escrow_vault::crypto::signature::{self, SigningKey};
use escrow_vault::crypto::statement;
use escrow_vault::domain::event::SignedText;
use escrow_vault::domain::id::{Bytes, MemberPath, RequestId};
use escrow_vault::domain::statement::{
    Confirmation, Consent, Ground, Invitation, Join, Made, Organisation, RequestRef, Statement,
};
use escrow_vault::domain::stream::Stream;
use escrow_vault::domain::time::Span;
use rand_core::OsRng;

use super::History;
use super::histories::{AGENT, Row, Stage, organisation, path};
use super::history::statements;

/// What the vault can do alone: it has the operator's key and any number of new ones.
type Invention = fn(&Stage, &mut History, &SigningKey, &SigningKey);

#[test]
fn promise_13_invented_people_count_for_nothing() {
    let stage = Stage::set("joint");
    let rows: &[Row<Invention>] = &[
        (
            "the operator invites minji2 into an organisation that stands",
            |_, h, operator, _| {
                let invited = invitation(h, operator, "hanbit-parts/minji2");
                h.state(&organisation("hanbit-parts"), invited);
            },
            "has an organisation key already",
        ),
        (
            "minji2 joins without being invited",
            |_, h, _, new| {
                let joined = join(h, new, "hanbit-parts/minji2");
                h.state(&organisation("hanbit-parts"), joined);
            },
            "is unknown, used or expired",
        ),
        (
            "the organisation gets another key",
            |_, h, _, new| {
                let made = made(h, "hanbit-parts/minji");
                let introduced = sign(new, Organisation { made, key: new.public() });
                h.state(&organisation("hanbit-parts"), introduced);
            },
            "is unknown, used or expired",
        ),
        (
            "the operator confirms jun, who is waiting to be",
            |_, h, operator, _| {
                let joined = joined(h, "jun");
                let by = "hanbit-parts/minji";
                let confirmed = confirmation(h, operator, by, "hanbit-parts/jun", &joined);
                h.state(&organisation("hanbit-parts"), confirmed);
            },
            "is not signed by the key of hanbit-parts/minji",
        ),
        (
            "an invented administrator confirms jun",
            |_, h, _, new| {
                let joined = joined(h, "jun");
                let by = "hanbit-parts/minji2";
                let confirmed = confirmation(h, new, by, "hanbit-parts/jun", &joined);
                h.state(&organisation("hanbit-parts"), confirmed);
            },
            "is not signed by the key of hanbit-parts/minji2",
        ),
        (
            "jun consents before anybody has confirmed the key",
            |stage, h, _, _| {
                let consented = consent(h, stage, &stage.key("jun"), "hanbit-parts/jun");
                h.state(&stage.agreement, consented);
            },
            "not been confirmed by a colleague",
        ),
        (
            "minji2 consents",
            |stage, h, _, new| {
                let consented = consent(h, stage, new, "hanbit-parts/minji2");
                h.state(&stage.agreement, consented);
            },
            "is not signed by the key of hanbit-parts/minji2",
        ),
        (
            "sora consents, with a key of the vault's",
            |stage, h, _, new| {
                let consented = consent(h, stage, new, "trade-secret-center/sora");
                h.state(&stage.agreement, consented);
            },
            "is not signed by the key of trade-secret-center/sora",
        ),
    ];
    let (operator, new) = (stage.key("operator"), SigningKey::generate(&mut OsRng));
    for (what, invent, reason) in rows {
        let mut history = stage.truth();
        invent(&stage, &mut history, &operator, &new);
        let why = stage.unbelieved(what, history);
        assert!(why.contains(reason), "{what}: {why}");
    }
    // What cannot be seen in an agreement can be seen in an audit of it, if anywhere.
    let accesses: Stream = format!("{}/accesses", stage.agreement).parse().unwrap();
    let mut history = stage.truth();
    let consented = consent(&history, &stage, &new, "hanbit-parts/minji");
    history.state(&accesses, consented);
    let audit = ["audit", &stage.agreement.to_string()];
    let why = stage.unbelieved_by(AGENT, "a consent among accesses", history, &audit);
    assert!(why.contains("a statement of another stream"), "{why}");
    assert_eq!(stage.world.state(AGENT, &stage.request), "open");
}

#[test]
fn promise_13_an_organisation_with_another_key_is_refused_at_first_contact() {
    let stage = Stage::set("joint");
    let (operator, new) = (stage.key("operator"), SigningKey::generate(&mut OsRng));
    let orient = organisation("orient-display");
    let mut history = stage.truth();
    history.entries(&orient).clear();
    let junho = "orient-display/junho";
    let joins = join(&history, &SigningKey::generate(&mut OsRng), junho);
    let founded = Organisation { made: made(&history, junho), key: new.public() };
    for signed in [
        invitation(&history, &operator, junho),
        sign(&new, founded),
        joins.clone(),
        confirmation(&history, &new, junho, junho, &joins),
    ] {
        history.state(&orient, signed);
    }
    // The home knows the fingerprint, and has never seen the organisation.
    let newcomer = stage.newcomer();
    let asked = ["members", "orient-display"];
    let why = stage.unbelieved_by("newcomer", "with a pin", history.clone(), &asked);
    assert!(why.contains("is trusted here with fingerprint"), "{why}");
    // Without one, the terms that everybody signed know it.
    fs::remove_file(newcomer.dir().join("trusted-organisations.json")).unwrap();
    let asked = ["approve", &stage.request, "--yes"];
    let why = stage.unbelieved_by("newcomer", "without a pin", history, &asked);
    assert!(why.contains("breaks the rules"), "{why}");
}

/// The statement by which a member of hanbit-parts joined.
pub(super) fn joined(history: &History, name: &str) -> SignedText {
    let is_its = |signed: &SignedText| {
        let statement = statement::parse(signed).unwrap().statement;
        let is_join = matches!(statement, Statement::Join(_));
        is_join && statement.made().by.name.as_str() == name
    };
    statements(&history.streams()[&organisation("hanbit-parts")]).find(is_its).unwrap()
}

pub(super) fn made(history: &History, by: &str) -> Made {
    let nonce = Bytes(std::array::from_fn(|_| rand_core::RngCore::next_u32(&mut OsRng) as u8));
    Made { by: path(by), at: SystemTime::now().into(), nonce, log: history.log().clone() }
}

pub(super) fn sign(key: &SigningKey, statement: impl Into<Statement>) -> SignedText {
    statement::sign(key, &statement.into()).unwrap()
}

/// The operator opens the door for somebody; the secret is all zero.
fn invitation(history: &History, operator: &SigningKey, member: &str) -> SignedText {
    let made = Made { by: MemberPath::operator(), ..made(history, member) };
    let expires_at = made.at.after(Span::days(1));
    let secret_sha256 = signature::sha256(b"an invented secret");
    sign(operator, Invitation { made, member: path(member), secret_sha256, expires_at })
}

fn join(history: &History, key: &SigningKey, member: &str) -> SignedText {
    let age_recipient = age::x25519::Identity::generate().to_public().to_string().parse().unwrap();
    let join = Join {
        made: made(history, member),
        secret_sha256: signature::sha256(b"an invented secret"),
        key: key.public(),
        age_recipient,
        certificate_request_sha256: Bytes::default(),
    };
    sign(key, join)
}

fn confirmation(
    history: &History,
    key: &SigningKey,
    by: &str,
    member: &str,
    join: &SignedText,
) -> SignedText {
    let join_sha256 = signature::sha256(join.statement.as_bytes());
    let made = made(history, by);
    sign(key, Confirmation { made, member: path(member), join_sha256, administrator: true })
}

pub(super) fn consent(history: &History, stage: &Stage, key: &SigningKey, by: &str) -> SignedText {
    let made = made(history, by);
    let Stream::Agreement(agreement) = stage.agreement.clone() else { unreachable!() };
    let saw = history.stands(&stage.agreement);
    let ground = Ground { agreement, saw, valid_until: made.at.after(Span::days(1)) };
    let id: RequestId = stage.request.parse().unwrap();
    let digests = statements(&history.streams()[&stage.agreement])
        .map(|signed| signature::sha256(signed.statement.as_bytes()));
    let sha256 = digests.into_iter().find(|digest| RequestId::of(digest) == id).unwrap();
    sign(key, Consent { made, ground, request: RequestRef { id, sha256 } })
}
