//! The command line: arguments, output, hints, progress.

pub mod args;
mod commands;
mod demo;
mod due;
pub mod failure;
pub mod guide;
mod interrupt;
mod line;
pub(crate) mod manual;
pub mod output;
pub(crate) mod passphrase;
pub mod progress;
pub mod simulate;
pub mod view;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::args::{AgreementCommand, Cli, Command, MemberCommand};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::Output;
use crate::client::home::Home;
use crate::client::session::Session;

/// The program's name in messages.
const PROGRAM: &str = "escrow";
/// The manual's section for everybody's programs.
const MANUAL_SECTION: &str = "1";

/// Runs `escrow` and says how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(fault) => {
            if fault.use_stderr() && asks_for_json(std::env::args_os()) {
                return Failure::from(fault).tell(PROGRAM, true).into();
            }
            let exit = if fault.use_stderr() { Exit::Usage } else { Exit::Done };
            drop(fault.print());
            return exit.into();
        }
    };
    let json = cli.json;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(fault) => Err(Failure::failed("RUNTIME", fault, "try again")),
    };
    interrupt::give_way();
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(PROGRAM, json).into(),
    }
}

/// Whether `--json` is among arguments that could not be read.
fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// Where the home is: `--home`, `$ESCROW_HOME`, else the XDG config directory.
fn home_dir(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = || variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let home = named.or_else(|| variable("ESCROW_HOME"));
    home.or_else(|| Some(config()?.join("escrow-vault"))).ok_or_else(|| {
        Failure::usage("it is not known where your home is", "name it with --home DIR")
    })
}

/// The demo has homes of its own, tells its story in words, and signs for its people.
fn refuse_idle(output: &Output, names_home: bool) -> Result<(), Failure> {
    let idle = [("--json", output.json), ("--yes", output.yes), ("--home", names_home)];
    match idle.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Failure::usage(format!("the demo knows no {flag}"), "leave it out")),
        None => Ok(()),
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    interrupt::answer(&cli.command, cli.json)?;
    let output = Output { json: cli.json, yes: cli.yes };
    let (dir, passphrase_file) = (cli.home, cli.passphrase_file);
    let home = || {
        let mut home = Home::open(&home_dir(dir.clone())?)?;
        passphrase::unlock(&mut home, passphrase_file.as_deref())?;
        Ok::<_, Failure>(home)
    };
    match cli.command {
        Command::Demo { path } => {
            refuse_idle(&output, dir.is_some())?;
            demo::run(path.as_deref()).await
        }
        Command::Agreement(AgreementCommand::Template { name }) => {
            commands::agreement::template(&output, name.as_deref())
        }
        Command::Agreement(AgreementCommand::Check { terms, known }) => {
            commands::agreement::check(&output, &terms, known)
        }
        Command::Agreement(AgreementCommand::Simulate { terms, script, from }) => {
            simulate::simulate(&output, &terms, script.as_deref(), from.map(|from| from.0))
        }
        Command::Guide { topic } => guide::guide(&output, topic.as_deref()),
        Command::Verify { receipts, file, log, compare } => commands::receipt::verify_all(
            &output,
            &receipts,
            file.as_deref(),
            log.as_ref(),
            &compare,
        ),
        Command::Completions { shell } => {
            output.text(&manual::completions(Cli::command(), shell))?;
            Ok(Exit::Done)
        }
        Command::Man { out } => {
            let count = manual::write_pages(Cli::command(), MANUAL_SECTION, &out)?;
            output.say(&format!("{count} pages were written to {}.", out.display()));
            Ok(Exit::Done)
        }
        Command::Join { file } => {
            let sealed_by = passphrase_file.as_deref();
            commands::identity::join(&output, &home_dir(dir)?, file.as_deref(), sealed_by).await
        }
        Command::Passphrase { new_file, remove } => {
            commands::identity::passphrase(&output, home()?, new_file.as_deref(), remove)
        }
        Command::Whoami => commands::identity::whoami(&output, &home()?).await,
        Command::Trust { org, fingerprint, replace } => {
            commands::identity::trust(&output, &home()?, &org, fingerprint, replace)
        }
        Command::Member(command) => {
            let mut session = Session::open(home()?).await?;
            if !matches!(command, MemberCommand::Resume) {
                session.is_of_this_generation()?;
            }
            commands::run(&output, &mut session, command).await
        }
        Command::Agreement(AgreementCommand::Member(command)) => {
            let mut session = Session::open(home()?).await?;
            session.is_of_this_generation()?;
            commands::agreement::run(&output, &mut session, command).await
        }
    }
}
