//! Requests that the vault and a requester date back together, so that notice seems to have run.
//!
//! The agreement is an old one: every statement in it was signed three weeks ago by whom it names.
//! The vault dates events as it pleases. What it cannot date is when somebody else saw the request.

use std::collections::BTreeMap;
use std::time::SystemTime;

use escrow_vault::client::home::{Home, Keys};
use escrow_vault::crypto::payload;
use escrow_vault::crypto::request_point::{Purpose, RequestSecret};
use escrow_vault::crypto::seal::{Origin, Seal, Sealed};
use escrow_vault::crypto::share::{self, Place};
use escrow_vault::crypto::signature::SigningKey;
use escrow_vault::crypto::{release_key, signature, statement};
use escrow_vault::domain::event::{Act, SignedText};
use escrow_vault::domain::id::{AgreementId, Bytes, DepositId, Digest, MemberPath, RequestId};
use escrow_vault::domain::statement::{
    Acceptance, Consent, Content, Deposit, Ground, Kind, Made, Proposal, ReleaseKey, Request,
    RequestRef, SealedShare, Sealing, Seen, Statement,
};
use escrow_vault::domain::stream::Stream;
use escrow_vault::domain::terms::Terms;
use escrow_vault::domain::time::{Span, Timestamp};
use rand_core::OsRng;

use super::{History, Liar};
use crate::scenarios::World;

const AGENT: &str = "trade-secret-center";
const CONSENT: &str = "escrow-vault/consent/v1";
const CONTRIBUTION: &str = "escrow-vault/contribution/v1";

/// An agreement as it was signed long ago, and a request under its rule with ten days' notice.
struct Past<'w> {
    world: &'w World,
    history: History,
    agreement: AgreementId,
    request: RequestRef,
    /// The agent's share, sealed.
    share: Vec<u8>,
}

fn days_ago(days: u64) -> Timestamp {
    let now = Timestamp::from(SystemTime::now());
    let span = i64::try_from(Span::days(days).as_duration().as_millis()).unwrap();
    Timestamp::from_millis(now.as_millis() - span)
}

fn keys(world: &World, home: &str) -> (MemberPath, Keys) {
    let home = Home::open(&world.home(home)).unwrap();
    (home.owner().unwrap().path, home.keys().unwrap())
}

impl<'w> Past<'w> {
    /// Everything up to the request, which is dated `asked_at`.
    fn with(world: &'w World, agreement: &str, asked_at: Timestamp) -> Self {
        let mut history = History::seen_by(world, AGENT);
        date_back(world, &mut history);
        let terms = terms(&history, &agreement.parse().unwrap());
        let mut past = {
            let (by, keys) = keys(world, "hanbit-parts");
            let proposal =
                Proposal { made: made(&history, &by, days_ago(21)), terms: terms.clone() };
            let signed = statement::sign(&keys.statement, &proposal.into()).unwrap();
            let agreement = AgreementId::of(&digest(&signed));
            history.append(
                &Stream::Agreement(agreement.clone()),
                Act::Stated(signed),
                days_ago(21),
            );
            let request =
                RequestRef { id: RequestId::of(&Bytes::default()), sha256: Bytes::default() };
            Self { world, history, agreement, request, share: Vec::new() }
        };
        let terms_sha256 = past.last();
        let holders = terms.holder_organisations();
        let dealt = release_key::deal(&holders, terms.quorum, &mut OsRng).unwrap();
        let mut shares = Vec::new();
        for (holder, secret) in &dealt.shares {
            let (member, keys) = keys(world, holder.as_str());
            let place =
                Place { agreement: past.agreement.clone(), epoch: 1, holder: holder.clone() };
            let recipient = keys.age.to_public().to_string();
            let sealed = share::seal(secret, &place, &recipient).unwrap();
            shares.push(SealedShare { member, sha256: signature::sha256(&sealed) });
            if holder.as_str() == AGENT {
                past.share = sealed;
            }
        }
        let numbered = release_key::number(&holders);
        let key =
            release_key::ReleaseKey::check(&dealt.commitment, terms.quorum, &numbered).unwrap();
        let agreement = past.agreement.clone();
        past.state("hanbit-parts", days_ago(21), |made, _| ReleaseKey {
            made,
            agreement,
            terms_sha256,
            epoch: 1,
            commitment: dealt.commitment,
            holders: numbered,
            shares,
        });
        let release_key_sha256 = past.last();
        for home in ["orient-display", AGENT] {
            past.state(home, days_ago(20), |made, ground| Acceptance {
                made,
                ground,
                terms_sha256,
                release_key_sha256,
            });
        }
        let depositor = terms.depositor().unwrap().clone();
        let origin = Origin { agreement: past.agreement.clone(), depositor };
        let seal = Seal::new(&key, &origin, &mut OsRng).unwrap();
        let sealer = seal.begin(Vec::new(), payload::threads()).unwrap();
        let (sealed, _) = sealer.finish().unwrap();
        let Sealed { header, size, sha256, plaintext_size, plaintext_sha256, proof } = sealed;
        past.state("hanbit-parts", days_ago(20), |made, ground| Deposit {
            made,
            ground,
            release_key_sha256,
            label: "recipe".parse().unwrap(),
            kind: Kind::Full,
            content: Content::Opaque,
            sealing: Sealing::Escrow { proof, plaintext_sha256, plaintext_size },
            size,
            sha256,
            header_size: header.size.try_into().unwrap(),
            header_sha256: header.sha256,
            ephemeral: header.ephemeral,
        });
        let deposit_sha256 = past.last();
        let (secret, agreement) = (RequestSecret::generate(&mut OsRng), past.agreement.clone());
        past.state("orient-display", asked_at, |made, ground| {
            let deposit = DepositId::of(&deposit_sha256);
            let requester = made.by.clone();
            let purpose =
                Purpose { agreement: &agreement, deposit: &deposit, requester: &requester };
            Request {
                made,
                ground,
                terms_sha256,
                release_key_sha256,
                epoch: 1,
                proof: secret.prove(&purpose, &mut OsRng),
                deposit,
                deposit_sha256,
                bundle_sha256: sha256,
                header_sha256: header.sha256,
                rule: "bankruptcy".parse().unwrap(),
                purpose: "an audit".parse().unwrap(),
                duty: None,
                evidence: Vec::new(),
                point: secret.point(),
            }
        });
        let sha256 = past.last();
        past.request = RequestRef { id: RequestId::of(&sha256), sha256 };
        past
    }

    fn stream(&self) -> Stream {
        Stream::Agreement(self.agreement.clone())
    }

    /// Digest of the last statement.
    fn last(&self) -> Digest {
        let last = self.history.streams()[&self.stream()].last().unwrap();
        match statement::event(&last.payload).unwrap().act {
            Act::Stated(signed) => digest(&signed),
            Act::Noted(note) => panic!("{note:?}"),
        }
    }

    /// Somebody states something at some time, and the vault has it so.
    fn state<S: Into<Statement>>(
        &mut self,
        home: &str,
        at: Timestamp,
        statement: impl FnOnce(Made, Ground) -> S,
    ) {
        self.state_dated(home, at, at, statement);
    }

    /// The same, where the vault says that it was at another time.
    fn state_dated<S: Into<Statement>>(
        &mut self,
        home: &str,
        at: Timestamp,
        dated: Timestamp,
        statement: impl FnOnce(Made, Ground) -> S,
    ) {
        let (by, keys) = keys(self.world, home);
        let (agreement, saw) = (self.agreement.clone(), self.history.stands(&self.stream()));
        let ground = Ground { agreement, saw, valid_until: at.after(Span::days(1)) };
        let stated = statement(made(&self.history, &by, at), ground).into();
        let signed = statement::sign(&keys.statement, &stated).unwrap();
        self.history.append(&self.stream(), Act::Stated(signed), dated);
    }

    /// Whoever may object has seen the request.
    fn seen(&mut self, at: Timestamp, dated: Timestamp) {
        let request = self.request.clone();
        self.state_dated("hanbit-parts", at, dated, |made, ground| Seen { made, ground, request });
    }

    /// A second member of the beneficiary consents, now.
    fn consented(&mut self) {
        let request = self.request.clone();
        let now = days_ago(0);
        self.state("haerin", now, |made, ground| Consent { made, ground, request });
    }
}

/// The organisations, too, are old: whoever has joined did so a month ago.
fn date_back(world: &World, history: &mut History) {
    let homes = ["operator", "hanbit-parts", "orient-display", AGENT, "haerin"];
    let signers: Vec<SigningKey> = homes
        .iter()
        .flat_map(|home| {
            let home = Home::open(&world.home(home)).unwrap();
            let founders = home.organisation_key().unwrap();
            [Some(home.keys().unwrap().statement), founders].into_iter().flatten()
        })
        .collect();
    let organisations =
        history.streams().keys().filter(|stream| matches!(stream, Stream::Organisation(_)));
    for stream in organisations.cloned().collect::<Vec<_>>() {
        let entries = std::mem::take(history.entries(&stream));
        let mut joins = BTreeMap::new();
        for entry in entries {
            let Act::Stated(signed) = statement::event(&entry.payload).unwrap().act else {
                panic!("an organisation's stream has statements only")
            };
            let mut said = statement::parse(&signed).unwrap().statement;
            let then = days_ago(30);
            let made = if let Statement::Invitation(s) = &mut said {
                s.expires_at = days_ago(29);
                &mut s.made
            } else if let Statement::Organisation(s) = &mut said {
                &mut s.made
            } else if let Statement::Join(s) = &mut said {
                &mut s.made
            } else if let Statement::Confirmation(s) = &mut said {
                s.join_sha256 = joins[&s.join_sha256];
                &mut s.made
            } else {
                panic!("nobody here is revoked or renewed")
            };
            made.at = then;
            let key = signers.iter().find(|key| key.public() == signed.key).unwrap();
            let again = statement::sign(key, &said).unwrap();
            joins.insert(digest(&signed), digest(&again));
            history.append(&stream, Act::Stated(again), then);
        }
    }
}

fn digest(signed: &SignedText) -> Digest {
    signature::sha256(signed.statement.as_bytes())
}

fn made(history: &History, by: &MemberPath, at: Timestamp) -> Made {
    let nonce = Bytes(std::array::from_fn(|_| rand_core::RngCore::next_u32(&mut OsRng) as u8));
    Made { by: by.clone(), at, nonce, log: history.log().clone() }
}

/// The terms of an agreement that is there.
fn terms(history: &History, agreement: &Stream) -> Terms {
    let first = history.streams()[agreement].first().unwrap();
    let Act::Stated(signed) = statement::event(&first.payload).unwrap().act else { panic!() };
    let statement = statement::parse(&signed).unwrap().statement;
    let Statement::Proposal(Proposal { terms, .. }) = statement else { panic!("{statement:?}") };
    terms
}

/// What the agent is shown, and what the agent has seen.
struct Row {
    what: &'static str,
    /// When the requester says to have asked, in days before now.
    asked: u64,
    /// When somebody who may object says to have seen it, and when the vault says so.
    seen: (u64, u64),
    /// When the agent's own home saw it first, if before now.
    own_sight: Option<u64>,
    /// Exit code, error and what was signed.
    ends: (i32, &'static str, &'static [&'static str]),
}

const ROWS: &[Row] = &[
    Row {
        what: "notice has run by the vault's clock and the requester's; nobody else saw it before",
        asked: 11,
        seen: (0, 0),
        own_sight: None,
        ends: (3, "NOT_YET", &[CONSENT]),
    },
    Row {
        what: "the agent saw it yesterday",
        asked: 11,
        seen: (0, 0),
        own_sight: Some(1),
        ends: (3, "NOT_YET", &[CONSENT]),
    },
    Row {
        what: "the vault dates back when the depositor saw it",
        asked: 11,
        seen: (0, 11),
        own_sight: None,
        ends: (1, "UNTRUE", &[]),
    },
    Row {
        what: "notice has run by the agent's own clock",
        asked: 11,
        seen: (0, 0),
        own_sight: Some(11),
        ends: (0, "", &[CONSENT, CONTRIBUTION]),
    },
    Row {
        what: "notice has run since the depositor has signed that it saw it",
        asked: 11,
        seen: (11, 11),
        own_sight: None,
        ends: (0, "", &[CONSENT, CONTRIBUTION]),
    },
    Row {
        what: "the agent has known it for longer than the vault says that it was there",
        asked: 2,
        seen: (2, 2),
        own_sight: Some(11),
        ends: (0, "", &[CONSENT]),
    },
];

#[test]
fn promise_13_notice_rests_on_nothing_that_the_vault_can_date() {
    let (world, agreement) = World::with_agreement();
    world.join_colleague("orient-display", "haerin");
    world.escrow(AGENT, &["requests"]).records();
    let liar = Liar::beside(&world);
    for Row { what, asked, seen: (seen, dated), own_sight, ends: (code, error, signed) } in ROWS {
        let mut past = Past::with(&world, &agreement, days_ago(*asked));
        past.seen(days_ago(*seen), days_ago(*dated));
        past.consented();
        let home = liar.copy(&world, AGENT, "copy");
        home.keep_share(&past.agreement, &past.share).unwrap();
        // It remembers the organisations as they really are.
        std::fs::remove_dir_all(home.dir().join("streams")).unwrap();
        std::fs::create_dir(home.dir().join("streams")).unwrap();
        if let Some(days) = own_sight {
            home.first_sight(&past.request.id, days_ago(*days)).unwrap();
        }
        liar.show(Some(past.history.clone()));
        let ended = world.escrow("copy", &["approve", past.request.id.as_str(), "--yes"]);
        let said = if ended.code == 0 {
            ""
        } else {
            ended.error()["code"].as_str().unwrap().to_owned().leak()
        };
        assert_eq!(
            (ended.code, said, &liar.heard()[..]),
            (*code, *error, *signed),
            "{what}: {}",
            ended.err
        );
    }
}
