//! How a command ends: its exit code, and two lines on stderr when it fails.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::line;
use crate::client::error::ClientError;
use crate::domain::text::is_deceptive;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Refused or failed.
    Failed = 1,
    /// Called wrongly.
    Usage = 2,
    /// Not yet: it takes more time, or other people.
    NotYet = 3,
    /// The vault cannot be reached.
    Unreachable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was to do.
#[derive(Debug)]
pub struct Failure {
    code: String,
    message: String,
    hint: String,
    subject: Option<String>,
    exit: Exit,
    may_pass: bool,
}

impl Failure {
    /// Called wrongly.
    pub fn usage(message: impl ToString, hint: impl ToString) -> Self {
        Self {
            code: "USAGE".to_owned(),
            message: message.to_string(),
            hint: hint.to_string(),
            subject: None,
            exit: Exit::Usage,
            may_pass: false,
        }
    }

    /// Refused or failed.
    pub fn failed(code: &str, message: impl ToString, hint: impl ToString) -> Self {
        Self { code: code.to_owned(), exit: Exit::Failed, ..Self::usage(message, hint) }
    }

    /// Says which thing it is about.
    pub fn about(mut self, subject: impl ToString) -> Self {
        self.subject = Some(subject.to_string());
        self
    }

    /// Whether the vault was not there, and may be back later.
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// Its name for programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What went wrong, on one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Tells it on stderr, and how to end.
    pub fn tell(&self, program: &str, json: bool) -> Exit {
        let Self { code, message, hint, subject, exit, may_pass: _ } = self;
        if json {
            // JSON escapes neither the newer control characters nor those that change direction.
            let error = json!({
                "code": visible(code),
                "message": visible(message),
                "hint": visible(hint),
                "subject": subject.as_deref().map(visible),
            });
            line::say(&json!({ "error": error }).to_string());
        } else {
            line::say(&format!("{program}: error: {}", visible(message)));
            if !hint.is_empty() {
                line::say(&format!("{program}: hint: {}", visible(hint)));
            }
        }
        *exit
    }
}

impl From<clap::Error> for Failure {
    /// What was wrong with the arguments: clap's first paragraph, and where the rest is told.
    fn from(fault: clap::Error) -> Self {
        let told = fault.to_string();
        let first = told.split("\n\n").next().unwrap_or_default();
        let message = first.split_whitespace().collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        let tip = told.split("\n\n").find_map(|part| part.trim().strip_prefix("tip: "));
        Self::usage(message, tip.unwrap_or("see `escrow help`, or the command with --help"))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Connect(fault) if fault.is_about_time() => Exit::Failed,
            ClientError::Connect(_) | ClientError::Answered { unreachable: true, .. } => {
                Exit::Unreachable
            }
            ClientError::NotYet { .. } => Exit::NotYet,
            ClientError::Answered { .. }
            | ClientError::Refused(_)
            | ClientError::Untrue(_)
            | ClientError::NewGeneration { .. }
            | ClientError::KeyFile(_)
            | ClientError::Keyring(_)
            | ClientError::Home { .. }
            | ClientError::Input { .. } => Exit::Failed,
        };
        let (code, hint, may_pass) = (error.code().to_owned(), error.hint(), error.may_pass());
        Self { code, hint, exit, may_pass, ..Self::usage(error, "") }
    }
}

/// A text with what could move the cursor or deceive the eye made harmless; lines stay lines.
pub fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => c,
        c if is_deceptive(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}
