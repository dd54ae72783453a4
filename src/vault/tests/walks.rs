//! A walk, the vault and a replay of its journal always agree: on what is refused and why, on how
//! everything stands, and on what is missing, who can supply it and what happens next.

mod twin;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::cli::simulate::possible;
use crate::cli::simulate::script::{Fault, Reader};
use crate::cli::simulate::tests::{FROM, script_of};
use crate::client::terms_text::{self, TEMPLATES};
use crate::domain::id::{MemberPath, OrganisationName, RequestId};
use crate::domain::needs::{All, Any, AtLeast, Needs};
use crate::domain::outlook;
use crate::domain::request::State;
use crate::domain::rules;
use crate::domain::statement::{Acknowledged, Attested, Basis, Reason, Withdrawn};
use crate::domain::states::{Key, States};
use crate::domain::terms::{Grants, Rule, Terms};
use crate::domain::tests::promises::{BEGINS, sound_terms};
use crate::domain::time::{Span, Timestamp};
use crate::domain::trigger::Trigger;
use crate::domain::walk::{Act, Saying, Step, Walk};
use crate::vault::records;
use crate::vault::tests::walks::twin::Twin;

/// Walks in the normal tests; `ESCROW_TEST_WALKS` sets another number.
const WALKS: u32 = 48;
/// Steps of the longest.
const STEPS: usize = 48;

/// Under which terms somebody walks, and from when on.
#[derive(Debug, Clone)]
struct Ground {
    name: String,
    terms: Terms,
    from: &'static str,
}

impl Ground {
    fn of_template(name: &str, text: &str) -> Self {
        let terms = terms_text::read_unpinned(text, Path::new(name)).unwrap().terms;
        Self { name: name.to_owned(), terms, from: "2027-01-04T09:00:00.000Z" }
    }
}

/// A template as often as not, and otherwise random terms, from before the date that some name.
fn grounds() -> impl Strategy<Value = Ground> {
    let template = select(&TEMPLATES[..]).prop_map(|(name, text)| Ground::of_template(name, text));
    let random =
        sound_terms().prop_map(|terms| Ground { name: "random".to_owned(), terms, from: BEGINS });
    prop_oneof![template, random]
}

/// What was met with in all walks together.
#[derive(Default)]
struct Met {
    words: BTreeSet<&'static str>,
    states: BTreeSet<&'static str>,
    refusals: BTreeMap<&'static str, usize>,
    accepted: BTreeMap<&'static str, usize>,
    amended: usize,
}

#[test]
fn a_walk_the_vault_and_a_replay_always_agree() {
    let cases = std::env::var("ESCROW_TEST_WALKS").ok().and_then(|it| it.parse().ok());
    // Each walk has a vault of its own: the shortest that fails is worth only so much.
    let config = Config {
        cases: cases.unwrap_or(WALKS),
        max_shrink_iters: 32,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let runtime = Runtime::new().unwrap();
    let met = RefCell::new(Met::default());
    let steps = vec(any::<[u8; 4]>(), STEPS / 2..=STEPS);
    let walks = (grounds(), steps);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let walked = runner.run(&walks, |(ground, steps)| {
        runtime.block_on(walked(&ground, &steps, &mut met.borrow_mut()));
        Ok(())
    });
    walked.unwrap_or_else(|fault| panic!("{fault}"));
    let Met { words, states, refusals, accepted, amended } = met.into_inner();
    let all = State::ALL.map(|state| state.word());
    assert_eq!(states, BTreeSet::from(all), "every state of a request");
    assert_eq!(
        words,
        BTreeSet::from(WORDS),
        "every word that no template has, in a rule that was consented to"
    );
    for kind in [
        "deposit",
        "request",
        "consent",
        "contribution",
        "seen",
        "notification",
        "objection",
        "attestation",
        "settlement",
        "withdrawal",
        "retrieval",
        "acknowledgement",
        "reminder",
        "amendment",
        "countersignature",
        "revocation",
        "revocation-notice",
    ] {
        assert!(accepted.contains_key(kind), "no {kind} was accepted: {accepted:?}");
    }
    for code in [
        "NOT_FOUND",
        "NOT_ENTITLED",
        "OWN_REQUEST",
        "REQUEST_STATE",
        "REVOKED",
        "NOT_DEPOSITOR",
        "NOT_TRIGGERED",
        "NOT_AMENDABLE",
        "NEVER_AMENDED",
    ] {
        assert!(refusals.contains_key(code), "nothing was refused with {code}: {refusals:?}");
    }
    assert!(refusals.values().sum::<usize>() > 150, "{refusals:?}");
    assert!(amended > 0, "no amendment came into force");
}

async fn walked(ground: &Ground, steps: &[[u8; 4]], met: &mut Met) {
    let Ground { name, terms, from } = ground;
    let mut pair = Pair::of(terms, from.parse().unwrap(), met).await;
    for choice in steps {
        let step = chosen(&pair.walk, terms, *choice);
        pair.take(&step, met).await;
    }
    pair.ends(name, met).await;
}

/// A walk, and the vault that hears of it.
struct Pair {
    walk: Walk,
    twin: Twin,
    /// How much of what was said the vault has heard.
    heard: usize,
    directory: TempDir,
}

impl Pair {
    async fn of(terms: &Terms, from: Timestamp, met: &mut Met) -> Self {
        let walk = Walk::of(terms, from).unwrap();
        // Nothing here is about what survives: in memory, where there is such a place, a sync takes
        // no time.
        let memory = Some(Path::new("/dev/shm")).filter(|place| place.is_dir());
        let directory = tempfile::tempdir_in(memory.unwrap_or(&std::env::temp_dir())).unwrap();
        let operator = walk.said()[0].stated.key;
        let twin = Twin::founded(directory.path(), terms, operator).await;
        let mut pair = Self { walk, twin, heard: 0, directory };
        hears(&pair.walk, &mut pair.twin, &mut pair.heard, met).await;
        pair
    }

    /// Takes a step. What it comes to is what was said and answered.
    async fn take(&mut self, step: &Step, met: &mut Met) {
        drop(self.walk.take(step));
        hears(&self.walk, &mut self.twin, &mut self.heard, met).await;
        agree(&self.walk, &self.twin, met);
    }

    async fn ends(self, name: &str, met: &mut Met) {
        let Self { walk, twin, heard: _, directory } = self;
        // What was followed step by step is the same when it is replayed anew.
        let anew = twin.replayed();
        let anew = anew.iter().map(|(key, it)| (key.clone(), it.clone()));
        let states = twin.replay.states().iter().map(|(key, it)| (key.clone(), it.clone()));
        assert!(anew.eq(states), "{name}");
        met.amended += usize::from(walk.agreement().unwrap().version > 1);
        twin.place.vault.close().await;
        drop(directory);
    }
}

/// The scripts lead each rule of every template to a release, and to where none comes: after notice, an
/// order, silence.
#[test]
fn the_vault_agrees_with_what_the_scripts_of_the_templates_come_to() {
    let runtime = Runtime::new().unwrap();
    for (name, _) in TEMPLATES {
        for kind in ["released", "blocked"] {
            let (terms, lines) = script_of(name, &format!("{name}-{kind}"));
            let mut met = Met::default();
            let walked = async {
                let mut pair = Pair::of(&terms, FROM.parse().unwrap(), &mut met).await;
                for line in lines {
                    pair.take(&line.step, &mut met).await;
                }
                let released = (1..=pair.walk.requests()).filter_map(|it| pair.walk.request(it));
                let released = released.filter(|it| it.released_at().is_some());
                let released: BTreeSet<_> = released.map(|it| it.statement.rule).collect();
                pair.ends(name, &mut met).await;
                released
            };
            let released = runtime.block_on(walked);
            let rules = terms.rules.iter().filter(|_| kind == "released");
            assert_eq!(released, rules.map(|rule| rule.name.clone()).collect(), "{name}-{kind}");
        }
    }
}

/// Words of terms that no template has.
const WORDS: [&str; 5] = ["any", "at_least", "date", "distinct_organisations", "label"];

/// Which of these words a rule has.
fn words(rule: &Rule) -> impl Iterator<Item = &'static str> {
    let needs = parts(&rule.needs);
    let has = [
        needs.iter().any(|part| matches!(part, Needs::Any(_))),
        needs.iter().any(|part| matches!(part, Needs::AtLeast(_))),
        rule.trigger.date().is_some(),
        rule.distinct_organisations.is_some(),
        matches!(rule.grants, Grants::Label(_)),
    ];
    WORDS.into_iter().zip(has).filter(|(_, has)| *has).map(|(word, _)| word)
}

/// Needs, and all that they are made of.
fn parts(needs: &Needs) -> Vec<&Needs> {
    let inner: &[Needs] = match needs {
        Needs::Seats(_) => &[],
        Needs::All(All { all: inner })
        | Needs::Any(Any { any: inner })
        | Needs::AtLeast(AtLeast { at_least: _, of: inner }) => inner,
    };
    [needs].into_iter().chain(inner.iter().flat_map(parts)).collect()
}

/// The vault hears what was said since, and answers alike.
async fn hears(walk: &Walk, twin: &mut Twin, heard: &mut usize, met: &mut Met) {
    for said in &walk.said()[*heard..] {
        let statement = &said.stated.statement;
        let Some(answer) = twin.hears(said).await else { continue };
        match (&said.refused, answer) {
            (None, Ok(())) => {
                let kind = statement.tag().split('/').nth(1).unwrap();
                *met.accepted.entry(kind).or_default() += 1;
            }
            (Some(refusal), Err(answered)) => {
                assert_eq!(refusal.code(), answered.code(), "{statement:?}");
                *met.refusals.entry(refusal.code()).or_default() += 1;
                // A stranger is told the name that it has asked for, however it has.
                if refusal.code() != "NOT_FOUND" {
                    let told = twin.dictionary.sentence(&refusal.to_string());
                    assert_eq!(told, answered.to_string(), "{statement:?}");
                    assert_eq!(refusal.hint(), answered.hint(), "{statement:?}");
                }
            }
            (refused, answer) => panic!("{refused:?}, but {answer:?}: {statement:?}"),
        }
    }
    *heard = walk.said().len();
}

/// All three have the same of everything, and the same to come.
fn agree(walk: &Walk, twin: &Twin, met: &mut Met) {
    let (states, now) = (twin.replay.states(), walk.now());
    let agreement = walk.agreement().unwrap();
    let replayed = states.agreement(&twin.dictionary.real(&agreement.id)).unwrap();
    assert_eq!(twin.dictionary.translated(json!(agreement)), json!(replayed));
    assert_eq!(outlook::openings(agreement, now), outlook::openings(replayed, now));
    assert_eq!(outlook::ahead(agreement, now), outlook::ahead(replayed, now));
    let mut keys = vec![Key::Agreement(replayed.id.clone())];
    for number in 1..=walk.requests() {
        let request = walk.request(number).unwrap();
        let id: RequestId = twin.dictionary.real(&request.id);
        let replayed = rules::judged(states, states.request(&id).unwrap());
        assert_eq!(twin.dictionary.translated(json!(request)), json!(replayed));
        let state = request.state(now);
        assert_eq!(state, replayed.state(now));
        assert_eq!(outlook::missing(&request, now), outlook::missing(&replayed, now));
        assert_eq!(outlook::upcoming(&request, now), outlook::upcoming(&replayed, now));
        for member in members(walk) {
            let wanted = |of| outlook::wanted(of, &member, now);
            assert_eq!(wanted(&request), wanted(&replayed), "{member}");
        }
        met.states.insert(state.word());
        if request.is_consented(now) || request.released_at().is_some() {
            met.words.extend(request.rule().into_iter().flat_map(words));
        }
        keys.push(Key::Request(id));
    }
    // What the vault itself judges by is what comes of its journal.
    let mut stored = States::default();
    let store = twin.place.vault.store.as_ref();
    records::load(&mut stored, keys.clone(), &records::of(store)).unwrap();
    for key in keys {
        assert_eq!(stored.shared(&key), states.shared(&key), "{key}");
    }
}

/// Everybody who was named, and a stranger.
fn members(walk: &Walk) -> Vec<MemberPath> {
    let names = ["one", "two"];
    let parties = walk.agreement().unwrap().terms.organisations().cloned();
    let stranger = "acme".parse::<OrganisationName>().unwrap();
    let paths = parties.chain([stranger]).flat_map(|organisation| {
        names.map(|name| MemberPath {
            organisation: organisation.clone(),
            name: name.parse().unwrap(),
        })
    });
    paths.collect()
}

/// A step: as often as not one that leads on, otherwise any.
fn chosen(walk: &Walk, terms: &Terms, [kind, who, what, which]: [u8; 4]) -> Step {
    fn one_of<T: Clone>(all: &[T], choice: u8) -> T {
        all[usize::from(choice) % all.len()].clone()
    }
    // As a rule wants it labelled, where one does, as often as not.
    let mut labels = terms.rules.iter().filter_map(|rule| match &rule.grants {
        Grants::Label(label) => Some(label.clone()),
        Grants::All | Grants::Latest => None,
    });
    let label = labels.next_back().filter(|_| which % 2 == 0);
    if walk.deposits() == 0 && kind < 200 {
        return Step::Deposit { by: None, label };
    }
    // Nobody waits for the end of a term, after which little is left to be done.
    let is_far = walk.next_at().is_some_and(|at| at > walk.now().after(Span::days(400)));
    let mut offered = possible::steps(walk);
    offered.retain(|step| !is_far || !step.starts_with("wait"));
    // One is enough to go on with; of more, some are made below.
    offered.retain(|step| walk.deposits() == 0 || step != "deposit");
    if kind < 150 && !offered.is_empty() {
        let none = |_: &Path| Err(Fault { message: String::new(), hint: String::new() });
        let parties = terms.organisations().cloned().collect();
        let line = Reader { parties, terms: &none }.line(1, &one_of(&offered, what));
        return line.unwrap().unwrap().step;
    }
    let by = one_of(&members(walk), who);
    let number = 1 + usize::from(which) % walk.requests().max(1);
    let request = Some(number);
    let about = |saying| Step::About { request, by: Some(by.clone()), act: Act::Say(saying) };
    let requester = |saying| Step::About { request, by: None, act: Act::Say(saying) };
    let event = walk.request(number).and_then(|it| {
        let Trigger::Event { kind, .. } = &it.rule()?.trigger else { return None };
        Some(Attested::Event(kind.clone()))
    });
    let rule = one_of(&terms.rules, what);
    let who_may = terms.in_role(&rule.requesters[0])[0].clone();
    let entitled = MemberPath { organisation: who_may, name: by.name.clone() };
    let rule = rule.name;
    let depositor = terms.depositor().unwrap().clone();
    let depositor = MemberPath { organisation: depositor, name: by.name.clone() };
    if walk.requests() == 0 && (150..245).contains(&kind) {
        return Step::Request { by: entitled, rule, deposit: None, duty: None };
    }
    let deposit = Some(1 + usize::from(which) % walk.deposits().max(1));
    match kind % 24 {
        0 => Step::Deposit { by: Some(by), label },
        1 => Step::Deposit { by: None, label },
        2 => Step::Request { by, rule, deposit, duty: None },
        3 | 4 => Step::Request { by: entitled, rule, deposit, duty: None },
        5 => about(Saying::Consent),
        6 => requester(Saying::Consent),
        7 => about(Saying::Contribution),
        8 => about(Saying::Seen),
        9 => {
            // Of the many who may not, some are chosen for everything else.
            let told = walk.request(number);
            let may = |who: &MemberPath| told.as_ref().is_some_and(|it| it.may_consent(who));
            let approvers: Vec<_> = members(walk).into_iter().filter(may).collect();
            let by = if approvers.is_empty() { by } else { one_of(&approvers, who) };
            Step::About { request, by: Some(by), act: Act::Say(Saying::Notified) }
        }
        10 => about(Saying::Objection),
        11 => about(Saying::Attestation(event.unwrap_or(Attested::Order))),
        12 => about(Saying::Settlement(one_of(&Basis::ALL, what))),
        13 => about(Saying::Withdrawal(one_of(&[Withdrawn::Request, Withdrawn::Objection], what))),
        14 if what < 64 => requester(Saying::Withdrawal(Withdrawn::Request)),
        14 | 15 => requester(Saying::Retrieval),
        16 => requester(Saying::Acknowledgement(one_of(
            &[
                Acknowledged::Received,
                Acknowledged::Returned,
                Acknowledged::Destroyed,
                Acknowledged::Reported,
            ],
            what,
        ))),
        17 if what < 64 => Step::Remind { by, organisation: Some(entitled.organisation) },
        17 => Step::Remind { by, organisation: None },
        18 => {
            let reason = match what % 2 {
                0 => Reason::Left,
                _ => Reason::CompromisedSince(walk.now()),
            };
            Step::Revoke { member: by, reason }
        }
        19 => {
            let mut terms = Box::new(Terms::clone(&walk.agreement().unwrap().terms));
            match what % 2 {
                0 => terms.quorum += 1,
                _ => terms.rules[0].vote = Some(Span::days(1 + u64::from(what) % 20)),
            }
            Step::Amend { by: depositor, terms }
        }
        20 if what < 128 => Step::Countersign { by },
        20 => Step::Amend { by, terms: Box::new(terms.clone()) },
        21 if what < 16 => Step::Terminate { by },
        21 => about(Saying::Acknowledgement(Acknowledged::Returned)),
        22 if !is_far => Step::Wait(None),
        _ => {
            Step::Wait(Some(one_of(&["1h", "1d", "5d", "31d"].map(|it| it.parse().unwrap()), what)))
        }
    }
}
