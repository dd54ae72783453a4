//! What changes an agreement: the terms of an amendment, word by word, and whose signature is to which.

use serde_json::json;

use super::beginnings::{alone, deadlock, rule, twice, unknown, unsound};
use super::{Swap, check, free, grounded, mismatch, no, with_second};
use crate::domain::id::Fingerprint;
use crate::domain::refusal::Refusal;
use crate::domain::soundness::{Place, Unsound};
use crate::domain::statement::Basis;
use crate::domain::terms::Terms;
use crate::domain::tests::amendments::{amendable, amended};
use crate::domain::tests::scenario::{MINJI, SORA};
use crate::domain::tests::terms::{second_format, stamped_terms, terms};
use crate::domain::tests::triggers::TRIGGER;
use crate::domain::tests::world::{bytes, key_of};
use crate::domain::time::Span;

/// Every word of format 2.
fn new_terms() -> Terms {
    let mut written = second_format();
    written["title"] = json!("as amended");
    written["time_stamps"] = stamped_terms()["time_stamps"].clone();
    written["rules"][1]["trigger"] = serde_json::from_str(TRIGGER).unwrap();
    terms(written)
}

fn kept(pointer: &'static str, value: impl serde::Serialize, what: &'static str) -> Swap {
    no(pointer, value, Refusal::NeverAmended(what))
}

fn settlement(pointer: &'static str, value: &str, basis: Basis, what: &'static str) -> Swap {
    unsound(pointer, value, Unsound::Settlement { rule: rule("joint"), basis, what })
}

fn window(pointer: &'static str, what: &'static str) -> Swap {
    unsound(pointer, "59m", Unsound::Window { rule: rule("joint"), what })
}

/// A number of the first rule.
fn number(
    pointer: &'static str,
    count: usize,
    what: &'static str,
    least: usize,
    most: usize,
) -> Swap {
    let rule = "joint".parse().unwrap();
    unsound(pointer, count, Unsound::Number { rule, what, count, least, most })
}

/// What the release key was dealt for stays as it is; of the rest a word is refused where it would
/// break a promise, and free where it does not, for then it is another amendment that nobody has
/// countersigned yet.
#[test]
fn promise_5_an_amendment_is_of_sound_terms_that_the_release_key_was_dealt_for() {
    let (mut world, id) = amendable();
    with_second(&mut world);
    let new = new_terms();
    let amendment = world.amendment(MINJI, &id, &new);
    let print = |whose: &str| Fingerprint::of(&key_of(whose)).to_string();
    let (joint, bankruptcy) = (|| rule("joint"), || rule("bankruptcy"));
    let by_own = "is signed by a role that may request under it";
    let [words, _] = new.rules.as_slice() else { panic!("two rules") };
    let longest = words.notice.longest(new.calendar.as_ref()).unwrap();
    let amend =
        |pointer, value: &str, what| unsound(pointer, value, Unsound::Amend { what, cause: None });
    let mut swaps = grounded(&world, &amendment.clone().into());
    swaps.extend([
        mismatch("/amends_sha256", "the digest of the terms to be amended"),
        kept("/terms/format", 1, "the format"),
        kept("/terms/parties/depositor/0", "acme", "the parties"),
        kept("/terms/parties/beneficiary/0", "acme", "the parties"),
        kept("/terms/parties/agent/0", "acme", "the parties"),
        kept("/terms/fingerprints/hanbit-parts", print("another"), "the fingerprints"),
        kept("/terms/fingerprints/orient-display", print("another"), "the fingerprints"),
        kept("/terms/fingerprints/trade-secret-center", print("another"), "the fingerprints"),
        kept("/terms/holders", ["depositor", "agent"], "the holders"),
        kept("/terms/quorum", 3, "the quorum"),
        free("/terms/title", "another"),
        free("/terms/contract_sha256", bytes::<32>("another")),
        free("/terms/stock_age", true),
        free("/terms/amend/all/0", "1@beneficiary"),
        unknown("/terms/amend/all/0", "1@buyer", Place::Amend),
        amend(
            "/terms/amend/all/1",
            "2@agent",
            "asks for more organisations of a role than there are",
        ),
        amend("/terms/amend", "1@agent", "lets one organisation change what all have signed"),
        free("/terms/term", world.now),
        free("/terms/calendar/utc_offset", "+00:00"),
        free("/terms/calendar/weekend", ["friday"]),
        free("/terms/calendar/holidays/0", "2026-03-09"),
        unsound("/terms/calendar", json!(null), Unsound::NoCalendar(joint())),
        free("/terms/time_stamps/authority", "http://other.example/tsr"),
        free("/terms/time_stamps/ca", "3003020102"),
    ]);
    swaps.extend([
        free("/terms/rules/0/name", "both"),
        twice("/terms/rules/0/name", "bankruptcy", Place::Rules),
        unknown("/terms/rules/0/requesters/0", "buyer", Place::Requesters(joint())),
        settlement("/terms/rules/0/requesters/0", "agent", Basis::Award, by_own),
        free("/terms/rules/0/needs/at_least", 3),
        unknown("/terms/rules/0/needs/of/0", "1@buyer", Place::Needs(joint())),
        free("/terms/rules/0/needs/of/1", "2@beneficiary"),
        free("/terms/rules/0/needs/of/2", "2@agent"),
        free("/terms/rules/0/distinct_organisations", 3),
        number("/terms/rules/0/distinct_organisations", 1, "distinct_organisations", 2, 16),
        unsound(
            "/terms/rules/0/distinct_organisations",
            4,
            Unsound::TooFewOrganisations { rule: joint(), wanted: 4, able: 3 },
        ),
        unknown("/terms/rules/0/reviewers/0", "buyer", Place::Reviewers(joint())),
        free("/terms/rules/0/reviewers/0", "depositor"),
        free("/terms/rules/0/notice", "1d"),
        deadlock("/terms/rules/0/notice", "90d", "90d", "joint"),
        free("/terms/rules/0/vote", "1h"),
        window("/terms/rules/0/vote", "a consent would be good for less than an hour (vote)"),
        unknown("/terms/rules/0/objection/0", "buyer", Place::Objection(joint())),
        free("/terms/rules/0/objection/0", "agent"),
        settlement(
            "/terms/rules/0/settled_by/joint/all/0",
            "1@beneficiary",
            Basis::Joint,
            "can be signed by one organisation alone",
        ),
        free("/terms/rules/0/settled_by/joint/all/1", "1@agent"),
        settlement("/terms/rules/0/settled_by/award", "1@beneficiary", Basis::Award, by_own),
        unknown("/terms/rules/0/settled_by/award", "1@buyer", Place::SettledBy(joint())),
        settlement("/terms/rules/0/settled_by/order", "1@beneficiary", Basis::Order, by_own),
        free("/terms/rules/0/settled_by/order", "1@depositor"),
        unsound(
            "/terms/rules/0/expires",
            longest,
            Unsound::Clocks { rule: joint(), notice: words.notice, longest, expires: longest },
        ),
        free("/terms/rules/0/expires", longest.times(2)),
        free("/terms/rules/0/grants", json!({ "label": "line 7" })),
        free("/terms/rules/0/duty/kind", "destroy"),
        window(
            "/terms/rules/0/duty/within",
            "whoever asks would have less than an hour to do its duty (duty.within)",
        ),
        window(
            "/terms/rules/0/access/within",
            "a bundle could be fetched for less than an hour (access.within)",
        ),
        number("/terms/rules/0/access/times", 0, "access.times", 1, 100),
        free("/terms/rules/0/access/times", 100),
    ]);
    swaps.extend([
        twice("/terms/rules/1/name", "joint", Place::Rules),
        unknown("/terms/rules/1/requesters/0", "buyer", Place::Requesters(bankruptcy())),
        free("/terms/rules/1/trigger/event/kind", "merger"),
        unsound(
            "/terms/rules/1/trigger/event/attested",
            "1@beneficiary",
            Unsound::Trigger {
                rule: bankruptcy(),
                what: "is attested by a role that may request under it",
                remedy: "let another role attest: nobody does for an own request",
            },
        ),
        unknown("/terms/rules/1/trigger/event/attested", "1@buyer", Place::Trigger(bankruptcy())),
        free("/terms/rules/1/trigger/event/attested", "2@depositor"),
        free("/terms/rules/1/needs/all/0", "1@depositor"),
        alone("/terms/rules/1/needs/all/1", "1@beneficiary", "bankruptcy", "orient-display"),
        deadlock("/terms/rules/1/notice", "60d", "60d", "bankruptcy"),
        free("/terms/rules/1/notice", "0s"),
        unknown("/terms/rules/1/objection/0", "buyer", Place::Objection(bankruptcy())),
        free("/terms/rules/1/objection/0", "agent"),
        deadlock("/terms/rules/1/expires", "10d", "10d", "bankruptcy"),
    ]);
    check(&world, amendment, swaps);
}

#[test]
fn promise_4_a_countersignature_is_of_one_amendment() {
    let (mut world, id) = amendable();
    with_second(&mut world);
    let amendment = world.amendment(MINJI, &id, &amended());
    let sha256 = world.accept(amendment);
    // Others that are there: of the same agreement, and of one of the same parties.
    let sibling = world.amendment(MINJI, &id, &new_terms());
    let sibling = world.accept(sibling);
    let other = world.agree(&terms(second_format()));
    let elsewhere = world.amendment(MINJI, &other, &amended());
    let elsewhere = world.accept(elsewhere);
    world.pass(Span::seconds(1));
    let countersignature = world.countersignature(SORA, &id, sha256);
    let mut swaps = grounded(&world, &countersignature.clone().into());
    let missing = |sha256| Refusal::NotFound(format!("an amendment of digest {sha256}"));
    let unknown = bytes::<32>("another");
    swaps.extend([
        no("/amendment_sha256", unknown, missing(unknown)),
        no("/amendment_sha256", elsewhere, missing(elsewhere)),
        free("/amendment_sha256", sibling),
    ]);
    check(&world, countersignature, swaps);
}
