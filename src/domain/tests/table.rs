//! Who may do what: every command by everybody, and strangers are told nothing.

use super::amendments::{amendable, amended};
use super::disputes::disputed;
use super::scenario::{
    DANA, EVE, JUN, KENJI, MINJI, SORA, YUKI, asked, consented, deposited, parties, retrieved,
};
use super::stamped::stampable;
use super::terms::{terms, three_party};
use super::triggers::{TRIGGER, asked_given, insolvency, silent};
use super::world::{Case, World, bytes, key_of, path};
use crate::domain::event::Note;
use crate::domain::id::{AgreementId, DepositId, RequestId};
use crate::domain::refusal::Refusal;
use crate::domain::rules;
use crate::domain::statement::{
    Acknowledged, Basis, Reason, RequestRef, Stated, Statement, Withdrawn,
};
use crate::domain::states::States;
use crate::domain::stream::Stream;
use crate::domain::time::Span;

const PAT: &str = "orient-display/pat";
const NIL: &str = "nowhere/nil";
const OPERATOR: &str = "operator/operator";
const ACTORS: [&str; 9] = [MINJI, JUN, YUKI, KENJI, SORA, DANA, PAT, EVE, NIL];

/// Outcomes by actor, in the order of [`ACTORS`]. Yuki has made the request in question; jun,
/// kenji and dana have their organisations' shares.
const TABLE: &str = "
                    minji jun   yuki  kenji sora  dana  pat   eve   nil
    release key     ok    ok    dep   dep   dep   dep   pend  none  key
    accept          done  done  ok    ok    ok    ok    pend  none  key
    decline         ok    ok    ok    ok    ok    ok    pend  none  key
    terminate       ok    ok    ok    ok    ok    ok    pend  none  key
    tell of it      ok    ok    none  none  none  none  pend  none  key
    amend           ok    ok    NOT_AMENDABLE NOT_AMENDABLE ok ok pend none key
    countersign     done  done  NOT_AMENDABLE NOT_AMENDABLE ok ok pend none key
    reseal          none  ok    none  ok    none  ok    pend  none  key
    deposit         ok    ok    dep   dep   dep   dep   pend  none  key
    request joint   may   may   ok    ok    may   may   pend  none  key
    consent joint   ok    ok    own   may   ok    ok    pend  none  key
    consent bankr.  may   may   own   ok    ok    ok    pend  none  key
    see joint       may   may   may   may   may   may   pend  none  key
    see bankruptcy  ok    ok    may   may   may   may   pend  none  key
    notify joint    may   may   may   may   may   may   pend  none  key
    notify bankr.   may   may   may   may   ok    ok    pend  none  key
    object joint    may   may   may   may   may   may   pend  none  key
    object bankr.   ok    ok    may   may   may   may   pend  none  key
    contribute j.   ok    ok    may   may   ok    ok    pend  none  key
    contribute b.   may   may   may   may   ok    ok    pend  none  key
    attest          may   may   may   may   ok    ok    pend  none  key
    remind          MISMATCH MISMATCH ok ok ok    ok    pend  none  key
    award           may   may   may   may   ok    ok    pend  none  key
    joint instr.    ok    ok    ok    ok    may   may   pend  none  key
    take back       may   may   ok    ok    may   may   pend  none  key
    settle          ok    ok    none  none  none  none  pend  none  key
    retrieve        may   may   ok    may   may   may   pend  none  key
    received        may   may   ok    ok    may   may   pend  none  key
    returned        ok    ok    ok    ok    may   may   pend  none  key
    destroyed       may   may   ok    ok    may   may   pend  none  key
    time-stamp      ok    ok    ok    ok    ok    ok    pend  none  key
    stamp again     done  done  done  done  done  done  pend  none  key
";

fn word(outcome: Result<(), Refusal>) -> &'static str {
    match outcome.as_ref().map_err(Refusal::code) {
        Ok(()) => "ok",
        Err("NOT_ENTITLED") => "may",
        Err("NOT_DEPOSITOR") => "dep",
        Err("OWN_REQUEST") => "own",
        Err("NOT_FOUND") => "none",
        Err("WRONG_KEY") => "key",
        Err("ALREADY") => "done",
        Err("PENDING") => "pend",
        Err(other) => other,
    }
}

/// A world in which a command is due, and the command as anybody would say it.
type Due = (World, Box<dyn Fn(&mut World, &str) -> Statement>);

fn command(name: &str) -> Due {
    fn about<S: Into<Statement>>(
        (world, case): (World, Case),
        say: impl Fn(&mut World, &str, &Case) -> S + 'static,
    ) -> Due {
        (world, Box::new(move |world, by| say(world, by, &case).into()))
    }
    fn within<S: Into<Statement>>(
        world: World,
        agreement: AgreementId,
        say: impl Fn(&mut World, &str, &AgreementId) -> S + 'static,
    ) -> Due {
        (world, Box::new(move |world, by| say(world, by, &agreement).into()))
    }
    let notice_run = |(mut world, case): (World, Case)| {
        world.pass(Span::days(10));
        (world, case)
    };
    match name {
        "release key" => {
            let mut world = parties();
            let proposal = world.proposal(MINJI, &terms(three_party()));
            let id = AgreementId::of(&world.accept(proposal));
            within(world, id, World::release_key)
        }
        "accept" => {
            let mut world = parties();
            let (id, _) = world.propose(&terms(three_party()));
            within(world, id, World::acceptance)
        }
        "decline" => {
            let mut world = parties();
            let (id, _) = world.propose(&terms(three_party()));
            within(world, id, World::declination)
        }
        "terminate" => {
            let (world, id, _) = deposited();
            within(world, id, World::termination)
        }
        "tell of it" => {
            let (mut world, id, _) = deposited();
            let leaver = "hanbit-parts/pat";
            let revocation = world.revocation(MINJI, leaver, Reason::Left);
            let sha256 = world.accept(revocation);
            within(world, id, move |world, by, id| world.revocation_notice(by, id, leaver, sha256))
        }
        "reseal" => {
            let (world, id, _) = deposited();
            within(world, id, |world, by, id| {
                let to = format!("{}/{}", path(by).organisation, colleague(by));
                world.reseal(by, id, &to)
            })
        }
        "deposit" => {
            let (world, id, _) = deposited();
            within(world, id, World::deposit)
        }
        "deposit again" | "deposit anew" => {
            let (mut world, id, deposit) = deposited();
            if name == "deposit anew" {
                world.note(&Note::Quarantined { deposit: deposit.clone() });
            }
            let sha256 = world.states.deposit(&deposit).unwrap().statement.sha256;
            within(world, id, move |world, by, id| {
                let mut again = world.deposit(by, id);
                again.sha256 = sha256;
                again
            })
        }
        "register" => (parties(), Box::new(|world, by| world.registration(by).into())),
        "request joint" => {
            let (world, _, deposit) = deposited();
            (world, Box::new(move |world, by| world.request(by, &deposit, "joint").into()))
        }
        "consent joint" => about(asked("joint"), World::consent),
        "consent bankr." => about(asked("bankruptcy"), World::consent),
        "see joint" => about(asked("joint"), World::sight),
        "see bankruptcy" => about(asked("bankruptcy"), World::sight),
        "notify joint" => about(asked("joint"), World::notification),
        "notify bankr." => about(asked("bankruptcy"), World::notification),
        "object joint" => about(consented("joint"), World::objection),
        "object bankr." => about(consented("bankruptcy"), World::objection),
        "contribute j." => about(consented("joint"), World::contribution),
        "contribute b." => about(notice_run(consented("bankruptcy")), World::contribution),
        "take back" => about(consented("joint"), |world, by, case| {
            world.withdrawal(by, case, Withdrawn::Request)
        }),
        "settle" => {
            let (mut world, case) = consented("bankruptcy");
            let objection = world.objection(JUN, &case);
            world.accept(objection);
            about((world, case), |world, by, case| world.withdrawal(by, case, Withdrawn::Objection))
        }
        "amend" => {
            let (world, id) = amendable();
            within(world, id, |world, by, id| world.amendment(by, id, &amended()))
        }
        "countersign" => {
            let (mut world, id) = amendable();
            let amendment = world.amendment(MINJI, &id, &amended());
            let sha256 = world.accept(amendment);
            within(world, id, move |world, by, id| world.countersignature(by, id, sha256))
        }
        "attest" => {
            let (world, _, case) = asked_given(TRIGGER);
            about((world, case), |world, by, case| world.attestation(by, case, &insolvency()))
        }
        "remind" => {
            let (world, id) = silent();
            within(world, id, |world, by, id| world.reminder(by, id, "hanbit-parts"))
        }
        "award" => about(disputed(), |world, by, case| world.settlement(by, case, Basis::Award)),
        "joint instr." => {
            about(disputed(), |world, by, case| world.settlement(by, case, Basis::Joint))
        }
        "retrieve" => {
            let (mut world, case) = consented("joint");
            let contribution = world.contribution(SORA, &case);
            world.accept(contribution);
            about((world, case), World::retrieval)
        }
        "received" => about(retrieved(), |world, by, case| {
            world.acknowledgement(by, case, Acknowledged::Received)
        }),
        "returned" => about(retrieved(), |world, by, case| {
            world.acknowledgement(by, case, Acknowledged::Returned)
        }),
        "destroyed" => about(retrieved(), |world, by, case| {
            world.acknowledgement(by, case, Acknowledged::Destroyed)
        }),
        "time-stamp" => about(stampable("joint"), World::time_stamp),
        "stamp again" => {
            let (mut world, case) = stampable("joint");
            let stamp = world.time_stamp(SORA, &case);
            world.accept(stamp);
            about((world, case), World::time_stamp)
        }
        other => panic!("no command {other}"),
    }
}

fn colleague(by: &str) -> &'static str {
    match by {
        MINJI => "jun",
        JUN => "minji",
        YUKI => "kenji",
        KENJI => "yuki",
        SORA => "dana",
        _ => "sora",
    }
}

fn rows() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    TABLE.lines().skip(2).filter(|line| !line.trim().is_empty()).map(|line| {
        let (name, outcomes) = line.split_at(20);
        (name.trim(), outcomes.split_whitespace().collect())
    })
}

#[test]
fn everybody_may_exactly_what_their_role_may() {
    let mut tried = 0;
    for (name, expected) in rows() {
        let (world, say) = command(name);
        let outcomes: Vec<_> = ACTORS
            .into_iter()
            .map(|by| {
                let mut world = world.clone();
                let statement = say(&mut world, by);
                let before = world.records();
                let outcome = world.try_say(statement);
                assert_eq!(outcome.is_err(), world.records() == before, "{name} by {by}");
                word(outcome)
            })
            .collect();
        assert_eq!(outcomes, expected, "{name}");
        tried += outcomes.len();
    }
    assert_eq!(tried, 32 * ACTORS.len());
}

/// The same statement about things that aren't there.
fn about_nothing(mut statement: Statement) -> Statement {
    let agreement = AgreementId::of(&bytes("nothing"));
    let request = RequestRef { id: RequestId::of(&bytes("nothing")), sha256: bytes("nothing") };
    match &mut statement {
        Statement::ReleaseKey(s) => s.agreement = agreement,
        Statement::Acceptance(s) => s.ground.agreement = agreement,
        Statement::Declination(s) => s.ground.agreement = agreement,
        Statement::Termination(s) => s.ground.agreement = agreement,
        Statement::Resumption(s) => s.ground.agreement = agreement,
        Statement::RevocationNotice(s) => s.ground.agreement = agreement,
        Statement::Reseal(s) => s.ground.agreement = agreement,
        Statement::Deposit(s) => s.ground.agreement = agreement,
        Statement::Request(s) => {
            s.ground.agreement = agreement;
            s.deposit = DepositId::of(&bytes("nothing"));
        }
        Statement::Consent(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Contribution(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Seen(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Notification(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Objection(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Amendment(s) => s.ground.agreement = agreement,
        Statement::Countersignature(s) => s.ground.agreement = agreement,
        Statement::Reminder(s) => s.ground.agreement = agreement,
        Statement::Attestation(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Settlement(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Withdrawal(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Retrieval(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Acknowledgement(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::TimeStamp(s) => (s.ground.agreement, s.request) = (agreement, request),
        Statement::Invitation(_)
        | Statement::Organisation(_)
        | Statement::Join(_)
        | Statement::Confirmation(_)
        | Statement::Revocation(_)
        | Statement::Renewal(_)
        | Statement::Registration(_)
        | Statement::Proposal(_) => panic!("not within an agreement"),
    }
    statement
}

fn stream_of(statement: &Statement) -> Stream {
    rules::stream(&Stated { statement: statement.clone(), digest: bytes("any"), key: bytes("any") })
}

#[test]
fn promise_10_who_is_no_party_cannot_tell_what_is_there() {
    let nothing = AgreementId::of(&bytes("nothing")).to_string();
    for (name, _) in rows() {
        let (world, say) = command(name);
        // By themselves, and in the name of a party, of nobody there and of nobody at all.
        for (by, key) in
            [(EVE, EVE), (NIL, NIL), (MINJI, EVE), ("hanbit-parts/nil", EVE), (PAT, EVE)]
        {
            let mut world = world.clone();
            let real = say(&mut world, by);
            let thing = stream_of(&real).to_string();
            let of_real = world.try_say_as(real.clone(), key_of(key)).unwrap_err();
            let of_nothing = world.try_say_as(about_nothing(real), key_of(key)).unwrap_err();
            assert_eq!(of_real.code(), of_nothing.code(), "{name} by {by}");
            assert_eq!(of_real.hint(), of_nothing.hint(), "{name} by {by}");
            assert_eq!(
                of_real.to_string(),
                of_nothing.to_string().replace(&nothing, &thing),
                "{name} by {by}"
            );
            let expected =
                if by == EVE { Refusal::NotFound(thing) } else { Refusal::WrongKey(path(by)) };
            assert_eq!(of_real, expected, "{name} by {by}");
        }
    }
}

#[test]
fn promise_10_streams_are_read_by_who_belongs_there() {
    let (world, id, _) = deposited();
    let nothing = AgreementId::of(&bytes("nothing"));
    let hanbit = path(MINJI).organisation;
    let organisation = |shared, named| (Stream::Organisation(hanbit.clone()), shared, named);
    let nobody = |name: &str| (Stream::Organisation(name.parse().unwrap()), false, false);
    let accessed = |name: &str| Stream::OrganisationAccesses(name.parse().unwrap());
    let agreement = |id: &AgreementId| (Stream::Agreement(id.clone()), false, false);
    let accesses = |id: &AgreementId| (Stream::AgreementAccesses(id.clone()), true, true);
    for (why, (stream, shared, named), readers) in [
        ("the vault's own", (Stream::Vault, true, true), vec![]),
        ("an organisation", organisation(false, false), vec![MINJI, OPERATOR]),
        ("a partner", organisation(true, false), vec![MINJI, YUKI, EVE, OPERATOR]),
        (
            "one that gave its fingerprint",
            organisation(false, true),
            vec![MINJI, YUKI, EVE, OPERATOR],
        ),
        ("an organisation that isn't there", nobody("nowhere"), vec![]),
        ("the operator's, which is none", nobody("operator"), vec![]),
        ("who looked at that", (accessed("operator"), true, true), vec![]),
        ("who looked at an organisation", (accessed("hanbit-parts"), true, true), vec![MINJI]),
        (
            "what an organisation has registered, whatever else is shared or known",
            (Stream::OrganisationRegistrations(hanbit.clone()), true, true),
            vec![MINJI],
        ),
        ("an agreement", agreement(&id), vec![MINJI, YUKI]),
        ("who looked at an agreement", accesses(&id), vec![MINJI, YUKI]),
        ("an agreement that isn't there", agreement(&nothing), vec![]),
        ("who looked at nothing", accesses(&nothing), vec![]),
    ] {
        for reader in [MINJI, YUKI, EVE, OPERATOR] {
            let allowed = rules::may_read(&world.states, &stream, &path(reader), shared, named);
            let hidden = Err(Refusal::NotFound(stream.to_string()));
            let expected = if readers.contains(&reader) { Ok(()) } else { hidden };
            assert_eq!(allowed, expected, "{why}, {stream} by {reader}");
        }
    }
}

#[test]
fn what_is_judged_is_what_is_read() {
    // Deciding on the records that `reads` names, and no others, comes to the same.
    for name in rows().map(|(name, _)| name).chain(["deposit again", "deposit anew", "register"]) {
        let (world, say) = command(name);
        for by in ACTORS {
            let mut world = world.clone();
            let statement = say(&mut world, by);
            let stated = world.stated(statement);
            let mut keys = rules::reads(&stated);
            keys.extend(rules::reads_further(&world.states, &stated));
            let mut few = States::default();
            for (key, record) in world.states.iter().filter(|(key, _)| keys.contains(key)) {
                few.load(key.clone(), record.clone());
            }
            let circumstances = world.circumstances(&stated);
            let of_all = rules::decide(&world.states, &stated, &circumstances);
            let of_few = rules::decide(&few, &stated, &circumstances);
            assert_eq!(of_all, of_few, "{name} by {by}");
        }
    }
}
