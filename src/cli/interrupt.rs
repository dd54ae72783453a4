//! Ctrl-C: a command that is stopped leaves nothing half done on this computer, and says what to
//! do about the rest.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::PROGRAM;
use crate::cli::args::{AgreementCommand, Command, MemberCommand};
use crate::cli::failure::Failure;
use crate::cli::line;
use crate::cli::output::TERMINAL;
use crate::client::unfinished;

static STOPPING: AtomicBool = AtomicBool::new(false);
/// Somebody is being asked whether to sign.
static ASKING: AtomicBool = AtomicBool::new(false);

/// What is to be done when this command was stopped. Some are made to be ended that way.
fn hint(command: &Command) -> Option<&'static str> {
    match command {
        Command::Demo { .. }
        | Command::Agreement(AgreementCommand::Simulate { .. })
        | Command::Member(MemberCommand::Watch { .. } | MemberCommand::Attend) => None,
        Command::Join { .. } | Command::Member(MemberCommand::Retrieve { .. }) => {
            Some("run it again: it goes on where it stopped")
        }
        Command::Member(MemberCommand::Deposit { what, .. }) if is_sealed(&what.paths) => Some(
            "run it again: it goes on where it stopped, and says so if it was deposited already",
        ),
        Command::Member(MemberCommand::Deposit { .. }) => Some(
            "`escrow deposits AGREEMENT` lists it if it was deposited; if not, deposit it again",
        ),
        Command::Member(MemberCommand::Register { .. }) => {
            Some("`escrow registrations` lists what was registered; register the rest again")
        }
        Command::Member(MemberCommand::Seal { .. })
        | Command::Agreement(AgreementCommand::Template { .. } | AgreementCommand::Check { .. })
        | Command::Verify { .. }
        | Command::Guide { .. }
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Passphrase { .. }
        | Command::Whoami
        | Command::Trust { .. } => Some("run it again: it left nothing half done"),
        Command::Member(_) | Command::Agreement(_) => {
            Some("see with `escrow status` whether it took effect; if not, run it again")
        }
    }
}

/// Whether it is a file that was sealed before: its bytes stay the same, so that the vault can go on
/// with them.
fn is_sealed(paths: &[PathBuf]) -> bool {
    let is_age = |path: &Path| path.extension().is_some_and(|extension| extension == "age");
    matches!(paths, [only] if is_age(only) && only.is_file())
}

/// From here on Ctrl-C is answered. Called within the runtime.
pub(super) fn answer(command: &Command, json: bool) -> Result<(), Failure> {
    let Some(hint) = hint(command) else { return Ok(()) };
    let failed = |fault| Failure::failed("RUNTIME", fault, "try again");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    // A passphrase is typed unseen. Whoever stops there wants to see what comes after.
    let terminal = File::open(TERMINAL).ok();
    let shown = terminal.and_then(|terminal| Some((tcgetattr(&terminal).ok()?, terminal)));
    tokio::spawn(async move {
        interrupt.recv().await;
        STOPPING.store(true, Ordering::SeqCst);
        unfinished::remove_all();
        if let Some((settings, terminal)) = shown {
            let _ = tcsetattr(&terminal, OptionalActions::Now, &settings);
        }
        line::leave_for_good();
        let (message, hint) = match ASKING.load(Ordering::SeqCst) {
            true => ("stopped before this was signed", "run it again, and answer y to sign"),
            false => ("stopped before it was done", hint),
        };
        let stopped = Failure::failed("INTERRUPTED", message, hint);
        std::process::exit(stopped.tell(PROGRAM, json) as i32);
    });
    Ok(())
}

/// Asks somebody whether to sign; what is stopped meanwhile is told as that.
pub(super) fn asking<T>(ask: impl FnOnce() -> T) -> T {
    ASKING.store(true, Ordering::SeqCst);
    let answer = ask();
    ASKING.store(false, Ordering::SeqCst);
    answer
}

/// Does not return if the program is being stopped: what failed by that is not told of.
pub(super) fn give_way() {
    while STOPPING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}
