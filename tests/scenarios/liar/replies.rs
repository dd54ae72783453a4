//! Replies that have no end, or are meant for the terminal.

use std::process::{Command, Stdio};

use escrow_vault::domain::event::{Act, Look, Note};
use escrow_vault::domain::id::Bytes;
use escrow_vault::domain::statement::Saw;
use escrow_vault::domain::stream::Stream;
use escrow_vault::wire::v1::{Entry, ListAgreementsResponse, ReadResponse, WatchResponse};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::services::parts;
use super::{History, Liar, Lie, Told, three_shares};
use crate::scenarios::World;

pub(super) const AGENT: &str = "trade-secret-center";

/// An agreement with two deposits, one of which was released and can be retrieved; of the other
/// the depositor has given its share, and the agent has not.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) liar: Liar,
    pub(super) agreement: String,
    pub(super) other_agreement: String,
    pub(super) released: String,
    pub(super) other: String,
    pub(super) unfinished: String,
}

impl Stage {
    pub(super) fn set() -> Self {
        let (world, other_agreement) = World::with_agreement();
        let agreement = world.agree(&three_shares());
        let deposits =
            [world.deposit(&agreement, "recipe A"), world.deposit(&agreement, "recipe B")];
        let [released, other] = deposits.each_ref().map(|deposit| {
            let request = world.request(deposit, "joint");
            for home in [AGENT, "hanbit-parts", AGENT] {
                world.approve(home, &request);
            }
            request
        });
        let unfinished = world.request(&deposits[0], "joint");
        world.approve(AGENT, &unfinished);
        assert_eq!(world.approve("hanbit-parts", &unfinished), "satisfied");
        for home in ["orient-display", AGENT] {
            world.escrow(home, &["requests"]).records();
        }
        let liar = Liar::beside(&world);
        Self { world, liar, agreement, other_agreement, released, other, unfinished }
    }

    fn stream(&self) -> Stream {
        self.agreement.parse().unwrap()
    }

    /// Runs a command in a copy of a home while a lie is told: exit code, error, and the rest.
    pub(super) fn run(
        &self,
        home: &str,
        lie: Option<Lie>,
        words: &[&str],
    ) -> (i32, String, String) {
        let copy = self.liar.copy(&self.world, home, "copy");
        if words.first() == Some(&"request") {
            std::fs::remove_dir_all(copy.dir().join("shares")).unwrap();
            std::fs::create_dir(copy.dir().join("shares")).unwrap();
        }
        self.liar.tell(lie);
        let ended = self.world.escrow("copy", words);
        match ended.code {
            0 => (0, String::new(), String::new()),
            code => {
                let error = ended.error();
                let text = |name: &str| error[name].as_str().unwrap().to_owned();
                (code, text("code"), text("message"))
            }
        }
    }
}

pub(super) fn said(parts: Vec<Vec<u8>>) -> Told {
    Ok(Box::new(parts.into_iter()))
}

/// An error with a reason and a remedy, as a vault tells it.
fn status(reason: &str, words: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "escrow-vault", [("hint".to_owned(), words.to_owned())]);
    Status::with_error_details(Code::NotFound, words, details)
}

/// Entries that follow on each other for ever, each as good as the one before.
fn without_end(mut history: History, stream: Stream) -> impl Iterator<Item = Entry> {
    std::iter::from_fn(move || {
        let by = "orient-display/junho".parse().unwrap();
        let look = Act::Noted(Note::Access { by, look: Look::Stream });
        Some(history.append(&stream, look, std::time::SystemTime::now().into()).into())
    })
}

#[test]
fn promise_11_replies_without_end_come_to_one() {
    let stage = Stage::set();
    let (stream, history) = (stage.stream(), History::seen_by(&stage.world, AGENT));
    let read = |tell: Box<dyn Fn() -> Told + Send + Sync>| {
        Lie::new("Read", move |_| tell()).about(&stage.agreement)
    };
    let head = history.head(&stream);
    let told = |head: &escrow_vault::ledger::head::SignedHead, entries: Vec<Entry>| {
        ReadResponse { entries, head: Some(head.clone().into()) }.encode_to_vec()
    };
    let far = history.head_of(&stream, Saw { sequence: 1 << 40, commitment: Bytes::default() });
    let stands = history.stands(&stream);
    let next = Saw { sequence: stands.sequence + 1, ..stands };
    let next = history.head_of(&stream, next);
    let whole: Vec<Entry> = history.streams()[&stream].iter().cloned().map(Into::into).collect();
    let rows: Vec<(&str, Lie, &str, &str)> = vec![
        (
            "events without end",
            {
                let (history, stream, head) = (history.clone(), stream.clone(), head.clone());
                read(Box::new(move || {
                    let more = without_end(history.clone(), stream.clone());
                    let head = head.clone();
                    Ok(Box::new(more.map(move |entry| told(&head, vec![entry]))))
                }))
            },
            "UNTRUE",
            "more events than its signed head says",
        ),
        (
            "a head that promises too many",
            {
                let far = far.clone();
                read(Box::new(move || said(vec![told(&far, vec![])])))
            },
            "TOO_LONG",
            "follows at most",
        ),
        (
            "parts without events and without end",
            {
                let next = next.clone();
                read(Box::new(move || Ok(Box::new(std::iter::repeat(told(&next, vec![]))))))
            },
            "UNTRUE",
            "a part without events",
        ),
        (
            "parts behind the last",
            {
                let (whole, head) = (whole.clone(), head.clone());
                let whole = whole[whole.len() - 1..].to_vec();
                read(Box::new(move || {
                    let parts = parts(vec![], head.clone().into());
                    let parts = parts.iter().map(Message::encode_to_vec).collect::<Vec<_>>();
                    said([parts, vec![told(&head, whole.clone())]].concat())
                }))
            },
            "UNTRUE",
            "more events than its signed head says",
        ),
        ("no parts at all", read(Box::new(|| said(vec![]))), "UNTRUE", "the field head is missing"),
        (
            "an event that never comes",
            {
                let next = next.clone();
                read(Box::new(move || said(vec![told(&next, vec![])])))
            },
            "UNTRUE",
            "as its last, but",
        ),
        (
            "a message over the limit",
            {
                let head = head.clone();
                read(Box::new(move || {
                    let payload = vec![b' '; 9 << 20].into();
                    said(vec![told(&head, vec![Entry { payload, ..Entry::default() }])])
                }))
            },
            "OUTOFRANGE",
            "message length too large",
        ),
        (
            "an event over the limit",
            {
                let (next, last) = (next.clone(), whole.last().unwrap().clone());
                read(Box::new(move || {
                    let payload = vec![b' '; 2 << 20].into();
                    said(vec![told(&next, vec![Entry { payload, ..last.clone() }])])
                }))
            },
            "UNTRUE",
            "the field payload",
        ),
        (
            "the same agreements again and again",
            Lie::new("ListAgreements", {
                let agreements = vec![stage.agreement.clone()];
                move |_| {
                    let agreements = agreements.clone();
                    said(vec![ListAgreementsResponse { agreements }.encode_to_vec()])
                }
            }),
            "UNTRUE",
            "agreements out of order",
        ),
        (
            "agreements without end",
            Lie::new("ListAgreements", {
                let count = std::sync::atomic::AtomicU64::new(0);
                move |_| {
                    let from = count.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed);
                    let digit = |digit: char| char::from(b'a' + digit.to_digit(16).unwrap() as u8);
                    let rising = |number: u64| -> String {
                        format!("{number:026x}").chars().map(digit).collect()
                    };
                    let ids = (from..from + 1_000).map(|number| format!("agr_{}", rising(number)));
                    said(vec![ListAgreementsResponse { agreements: ids.collect() }.encode_to_vec()])
                }
            }),
            "TOO_MANY",
            "more than 65536 agreements",
        ),
        (
            "the answer that there is no such agreement",
            Lie::new("Read", |_| Err(status("NOT_FOUND", "not known here"))),
            "UNTRUE",
            "is not shown any more",
        ),
    ];
    for (what, lie, code, reason) in rows {
        let words = ["approve", &stage.unfinished, "--yes"];
        let (exit, error, message) = stage.run(AGENT, Some(lie), &words);
        assert_eq!((exit, error.as_str()), (1, code), "{what}: {message}");
        assert!(message.contains(reason), "{what}: {message}");
        assert_eq!(stage.liar.heard(), [""; 0], "{what}");
    }
    // Nothing at all, which is no lie that could be seen through: the vault may have been away.
    let lie = Lie::new("ListAgreements", |_| said(vec![]));
    let (exit, error, _) = stage.run(AGENT, Some(lie), &["agreement", "list"]);
    assert_eq!((exit, error.as_str()), (4, "UNREACHABLE"));
}

#[test]
fn promise_13_hints_are_not_believed() {
    let stage = Stage::set();
    let watch = ["watch", &stage.released, "--until", "released"];
    let hint = WatchResponse { stream: "agr_none".to_owned() }.encode_to_vec();
    let endless = Lie::new("Watch", move |_| Ok(Box::new(std::iter::repeat(hint.clone()))));
    for (what, lie) in [
        ("none", Lie::new("Watch", |_| said(vec![]))),
        ("about what is not there, and without end", endless),
    ] {
        assert_eq!(stage.run(AGENT, Some(lie), &watch).0, 0, "{what}");
    }
}

#[test]
fn promise_11_errors_cannot_speak_to_the_terminal() {
    let stage = Stage::set();
    let evil = "gone \u{1b}[2J\u{1b}]0;title\u{7} \u{9b}31m \u{202e}txt.exe\u{200b}\r\u{8}";
    for has_details in [true, false] {
        let lie = Lie::new("ListAgreements", move |_| match has_details {
            true => Err(status(evil, evil)),
            false => Err(Status::not_found(evil)),
        });
        stage.liar.copy(&stage.world, AGENT, "copy");
        stage.liar.tell(Some(lie));
        for flags in [&[][..], &["--json"]] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_escrow"));
            command.args(flags).arg("--home").arg(stage.world.home("copy"));
            let ended = command.args(["agreement", "list"]).stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8(ended.stderr).unwrap();
            assert_eq!((ended.status.code(), ended.stdout.len()), (Some(1), 0), "{said:?}");
            assert!(said.contains("gone"), "{said:?}");
            let harmful = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}".contains(c);
            assert!(!said.contains(harmful), "{flags:?}: {said:?}");
        }
    }
}
