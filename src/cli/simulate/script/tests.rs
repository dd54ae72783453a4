use proptest::prelude::*;

use super::*;
use crate::domain::tests::terms::{terms, three_party};

fn parties() -> BTreeSet<OrganisationName> {
    terms(three_party()).organisations().cloned().collect()
}

fn read_lines(text: &str) -> Result<Vec<Line>, (usize, Fault)> {
    let amended = |file: &Path| match file.to_str() {
        Some("there.toml") => Ok(terms(three_party())),
        _ => Err(Fault::new("it is not there", "look for it")),
    };
    Reader { parties: parties(), terms: &amended }.script(text)
}

fn steps(text: &str) -> Vec<Step> {
    read_lines(text).unwrap().into_iter().map(|line| line.step).collect()
}

const MINJI: &str = "hanbit-parts/minji";

fn about(request: Option<usize>, act: Act) -> Step {
    Step::About { request, by: Some(MINJI.parse().unwrap()), act }
}

#[test]
fn a_step_is_read_as_it_is_meant() {
    let by = || MINJI.parse().unwrap();
    let say = Act::Say;
    let duty = |kind, by: &str| Some(Duty { kind, by: by.parse().unwrap() });
    let request =
        |deposit, duty| Step::Request { by: by(), rule: "joint".parse().unwrap(), deposit, duty };
    let amended = Box::new(terms(three_party()));
    for (text, step) in [
        ("deposit", Step::Deposit { by: None, label: None }),
        (
            "deposit hanbit-parts/minji --label 'recipe, revision 7' # the last",
            Step::Deposit { by: Some(by()), label: Some("recipe, revision 7".parse().unwrap()) },
        ),
        ("deposit --label=\"7\"", Step::Deposit { by: None, label: Some("7".parse().unwrap()) }),
        ("request hanbit-parts/minji --rule joint", request(None, None)),
        ("request hanbit-parts/minji 2 --rule joint", request(Some(2), None)),
        ("request --rule=joint hanbit-parts/minji", request(None, None)),
        // As the real commands are written.
        (
            "request hanbit-parts/minji --rule joint --purpose 'line 7' --evidence a.pdf --evidence b",
            request(None, None),
        ),
        ("object hanbit-parts/minji --reason 'no such event'", about(None, say(Saying::Objection))),
        (
            "settle hanbit-parts/minji --award --evidence award.pdf",
            about(None, say(Saying::Settlement(Basis::Award))),
        ),
        (
            "request hanbit-parts/minji --rule joint --return-by 2027-03-01",
            request(None, duty(DutyKind::Return, "2027-03-01T23:59:59.999Z")),
        ),
        (
            "request hanbit-parts/minji --rule joint --destroy-by 2027-03-01T12:00:00Z",
            request(None, duty(DutyKind::Destroy, "2027-03-01T12:00:00.000Z")),
        ),
        ("show hanbit-parts/minji", about(None, Act::Look)),
        ("\tshow\thanbit-parts/minji\t", about(None, Act::Look)),
        ("approve hanbit-parts/minji 3", about(Some(3), Act::Approve { notified: false })),
        ("approve --notified hanbit-parts/minji", about(None, Act::Approve { notified: true })),
        ("object hanbit-parts/minji", about(None, say(Saying::Objection))),
        (
            "attest hanbit-parts/minji --event flood",
            about(None, say(Saying::Attestation(Attested::Event("flood".parse().unwrap())))),
        ),
        (
            "attest hanbit-parts/minji --order",
            about(None, say(Saying::Attestation(Attested::Order))),
        ),
        ("settle hanbit-parts/minji --joint", about(None, say(Saying::Settlement(Basis::Joint)))),
        (
            "settle hanbit-parts/minji 1 --award",
            about(Some(1), say(Saying::Settlement(Basis::Award))),
        ),
        ("withdraw hanbit-parts/minji", about(None, say(Saying::Withdrawal(Withdrawn::Request)))),
        (
            "withdraw hanbit-parts/minji --objection",
            about(None, say(Saying::Withdrawal(Withdrawn::Objection))),
        ),
        ("retrieve", Step::About { request: None, by: None, act: say(Saying::Retrieval) }),
        ("retrieve 2", Step::About { request: Some(2), by: None, act: say(Saying::Retrieval) }),
        ("retrieve hanbit-parts/minji 2", about(Some(2), say(Saying::Retrieval))),
        (
            "acknowledge hanbit-parts/minji --reported",
            about(None, say(Saying::Acknowledgement(Acknowledged::Reported))),
        ),
        ("remind hanbit-parts/minji", Step::Remind { by: by(), organisation: None }),
        (
            "remind hanbit-parts/minji --org orient-display",
            Step::Remind { by: by(), organisation: Some("orient-display".parse().unwrap()) },
        ),
        ("revoke hanbit-parts/minji --left", Step::Revoke { member: by(), reason: Reason::Left }),
        (
            "revoke hanbit-parts/minji --compromised-since 2027-03-01",
            Step::Revoke {
                member: by(),
                reason: Reason::CompromisedSince("2027-03-01T00:00:00.000Z".parse().unwrap()),
            },
        ),
        ("amend hanbit-parts/minji there.toml", Step::Amend { by: by(), terms: amended }),
        ("countersign hanbit-parts/minji", Step::Countersign { by: by() }),
        ("terminate hanbit-parts/minji", Step::Terminate { by: by() }),
        ("wait", Step::Wait(None)),
        ("wait 10d", Step::Wait(Some(Span::days(10)))),
        ("until 2027-03-01", Step::Until("2027-03-01T00:00:00.000Z".parse().unwrap())),
    ] {
        assert_eq!(steps(text), [step], "{text}");
    }
}

#[test]
fn lines_without_a_step_are_none_and_numbers_are_those_of_the_text() {
    let lines =
        read_lines("# a walk\n\n  # of two steps\ndeposit # one\nrefused  deposit\n").unwrap();
    let read: Vec<_> =
        lines.iter().map(|line| (line.number, &*line.text, line.is_to_be_refused)).collect();
    assert_eq!(read, [(4, "deposit # one", false), (5, "refused  deposit", true)]);
}

#[test]
fn every_usage_begins_with_its_word_and_every_word_that_is_meant_has_one() {
    for (word, usage) in USAGES {
        assert!(usage.starts_with(word), "{usage}");
        let missing = read_lines(word).err();
        // Words that need nothing more, and those that say what they need.
        let is_whole = ["deposit", "retrieve", "wait"].contains(&word);
        let hint = format!("write: {usage}");
        assert_eq!(missing.map(|(_, fault)| fault.hint), (!is_whole).then_some(hint), "{word}");
    }
    for (tried, meant) in MEANT {
        let (_, fault) = read_lines(tried).unwrap_err();
        assert_eq!(fault.hint, format!("write: {}", usage(meant).unwrap()), "{tried}");
    }
}

#[test]
fn promise_11_what_cannot_be_read_is_told_with_what_to_write() {
    for (text, message, hint) in [
        ("dance", "\"dance\" is no step", "the steps are deposit, request,"),
        ("consent hanbit-parts/minji", "\"consent\" is no step", "write: approve ORG/MEMBER"),
        ("Deposit", "\"Deposit\" is no step", "the steps are"),
        ("refused", "nothing is to be refused", "refused approve ORG/MEMBER"),
        ("refused refused deposit", "\"refused\" is no step", "the steps are"),
        ("approve", "approve does not say who does it", "write: approve ORG/MEMBER"),
        ("approve minji", "\"minji\" is not", "write "),
        ("approve hanbit-parts/", "is not", "write "),
        ("approve acme/eve", "acme is no party", "the parties are hanbit-parts, orient-display"),
        ("approve hanbit-parts/minji 0", "\"0\" is no number", "counted from 1"),
        ("approve hanbit-parts/minji 99999999999999999999", "is no number", "counted from 1"),
        ("approve hanbit-parts/minji 1 2", "approve knows no 2", "write: approve"),
        ("approve hanbit-parts/minji --wait", "approve knows no --wait", "write: approve"),
        ("approve --yes hanbit-parts/minji", "approve knows no --yes", "write: approve"),
        ("show hanbit-parts/minji --reason no", "show knows no --reason", "write: show"),
        ("request hanbit-parts/minji", "does not say under which rule", "--rule NAME"),
        ("request hanbit-parts/minji --rule", "something has to follow --rule", "--rule NAME"),
        ("request hanbit-parts/minji --rule 'a b'", "\"a b\" is not", "write "),
        (
            "request hanbit-parts/minji --rule joint --return-by 2027-03-01 --destroy-by 2027-03-01",
            "says two things at once",
            "--return-by DATE | --destroy-by DATE",
        ),
        (
            "request hanbit-parts/minji --rule joint --return-by tomorrow",
            "\"tomorrow\" is no date",
            "a day such as",
        ),
        ("attest hanbit-parts/minji", "does not say what is attested", "--event KIND"),
        ("attest hanbit-parts/minji --event flood --order", "two things", "--event KIND"),
        ("settle hanbit-parts/minji", "on what basis", "--joint | --award | --order"),
        ("settle hanbit-parts/minji --joint --award", "two things", "--joint"),
        ("acknowledge hanbit-parts/minji", "what became of it", "--received"),
        ("revoke hanbit-parts/minji", "does not say why", "--left"),
        ("revoke hanbit-parts/minji --left --compromised-since 2027-03-01", "two things", "--left"),
        ("remind hanbit-parts/minji --org acme", "acme is no party", "the parties are"),
        ("amend hanbit-parts/minji", "the file of terms", "TERMS.toml"),
        ("amend hanbit-parts/minji gone.toml", "it is not there", "look for it"),
        ("wait 10", "\"10\" is not a length of time", "such as 10d"),
        ("wait -1d", "is not a length of time", "such as 10d"),
        ("wait 1d 2d", "wait knows no 2d", "write: wait"),
        ("until", "does not say the day", "until DATE"),
        ("until 2027-02-29", "is no date", "2027-03-01"),
        ("deposit --label 'one", "a quotation is not closed", "close it"),
        ("deposit --label ''", "is not a text to sign", "1 to 1000 bytes"),
        ("deposit --label \u{202e}gnp", "cannot be seen", "type it anew"),
        ("deposit \u{1b}[2J", "cannot be seen", "type it anew"),
        (&"x".repeat(LINE_BYTES_MAX + 1), "at most 2000 bytes", "shorten it"),
    ] {
        let (number, fault) = read_lines(&format!("deposit\n{text}")).unwrap_err();
        assert_eq!(number, 2, "{text}");
        assert!(fault.message.contains(message), "{text}: {fault:?}");
        assert!(fault.hint.contains(hint), "{text}: {fault:?}");
        assert!(fault.message.len() < 200, "{text}: {fault:?}");
    }
    let (number, fault) = read_lines(&"deposit\n".repeat(LINES_MAX + 1)).unwrap_err();
    assert_eq!((number, fault.message.as_str()), (2_001, "a script has at most 2000 lines"));
}

proptest! {
    #[test]
    fn promise_11_nothing_that_is_typed_makes_the_reader_panic(
        text in proptest::collection::vec(prop_oneof![
            4 => proptest::sample::select(USAGES.map(|(word, _)| word).to_vec()).prop_map(str::to_owned),
            4 => proptest::sample::select(vec![
                MINJI, "--rule", "--label", "--order", "--event", "'", "\"", "#", "=", "--", "-", "1",
                "0", "10d", "2027-03-01", "refused", "\n", "한", "--label=", "/",
            ]).prop_map(str::to_owned),
            1 => any::<String>(),
        ], 0..12),
        glue in proptest::sample::select(vec![" ", "", "\t"]),
    ) {
        let text = text.join(glue);
        match read_lines(&text) {
            Ok(lines) => prop_assert!(lines.len() <= text.lines().count()),
            Err((number, fault)) => {
                prop_assert!((1..=text.lines().count()).contains(&number));
                prop_assert!(!fault.hint.is_empty());
            }
        }
    }
}
