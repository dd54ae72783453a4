//! `escrowd`: making, serving and checking a vault. Wiring of everything else.

mod backup;
mod check;
mod check_stamps;
mod config;
mod http;
mod init;
mod ledger_key;
mod metrics;
mod notice;
mod notify;
mod public;
mod recover;
mod retimestamp;
mod rotate;
mod scrub;
mod serve;
mod stamping;
mod witness;
mod witnesses;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::cli::failure::{Exit, Failure};
use crate::cli::manual;
use crate::cli::output::Output;
use crate::crypto::note::NoteKey;
use crate::daemon::serve::Until;
use crate::domain::time::Span;

/// The program's name in messages, and the name under which `escrow demo` starts it.
pub const PROGRAM: &str = "escrowd";
/// The manual's section for the administrator's programs.
const MANUAL_SECTION: &str = "8";

/// Run an escrow vault: keeps what it cannot read, and hands it out only by the rules.
#[derive(Debug, Parser)]
#[command(name = "escrowd", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a vault: CA, ledger key, configuration, and the operator's home (DIR/operator)
    Init {
        /// Where the vault lives; must not exist, or be empty
        #[arg(long)]
        data: PathBuf,
        /// A name or IP address by which clients reach it; repeat for more [default: localhost,
        /// 127.0.0.1 and ::1]
        #[arg(long)]
        host: Vec<String>,
        /// What invitations say [default: the first host, port 7443]
        #[arg(long, value_name = "HOST:PORT")]
        public_address: Option<String>,
        /// Seal the vault's and the operator's keys under the passphrase in this private file
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Serve a vault; logs on stderr. SIGHUP makes it read `hosts` and the CAs again
    Serve {
        /// Where the vault lives
        #[arg(long)]
        data: PathBuf,
        /// Where to listen [default: from the configuration, at first 127.0.0.1:7443]
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
        /// A private file with the passphrase that the vault's keys are sealed under
        #[arg(long, value_name = "FILE", env = "ESCROWD_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
        /// Stop once standard input is closed: with whoever started it
        #[arg(long, hide = true)]
        until_input_closes: bool,
    },
    /// Verify everything that is stored; exit 1 on damage. The vault must not be running
    Check {
        /// Where the vault lives
        #[arg(long)]
        data: PathBuf,
        /// A private file with the passphrase that the vault's keys are sealed under
        #[arg(long, value_name = "FILE", env = "ESCROWD_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Replace the vault's CA: begin, and when members have had time to learn of it, finish. The
    /// vault may be running, and takes either up by SIGHUP
    RotateCa {
        /// Where the vault lives
        #[arg(long)]
        data: PathBuf,
        /// Make the next CA the only one; certificates of the other are worth nothing any more
        #[arg(long)]
        finish: bool,
        /// A private file with the passphrase that the vault's keys are sealed under
        #[arg(long, value_name = "FILE", env = "ESCROWD_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Replace the key that signs the log: begin, and when witnesses and auditors know the new one,
    /// finish. The vault must not be running
    RotateLedgerKey {
        /// Where the vault lives
        #[arg(long)]
        data: PathBuf,
        /// Let the former key sign nothing any more, and remove it
        #[arg(long)]
        finish: bool,
        /// A private file with the passphrase that the vault's keys are sealed under
        #[arg(long, value_name = "FILE", env = "ESCROWD_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Make the vault's next time-stamping key. The vault may be running, and takes it up by SIGHUP
    RotateTsa {
        /// Where the vault lives
        #[arg(long)]
        data: PathBuf,
        /// A private file with the passphrase that the vault's keys are sealed under
        #[arg(long, value_name = "FILE", env = "ESCROWD_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Renew the time-stamps of the log that come near their end. The vault must not be running: one
    /// that runs does so by itself, once a day and on SIGHUP
    Retimestamp {
        /// Where the vault lives
        #[arg(long)]
        data: PathBuf,
        /// How near
        #[arg(long, value_name = "SPAN", default_value = "730d")]
        within: Span,
        /// A private file with the passphrase that the vault's keys are sealed under
        #[arg(long, value_name = "FILE", env = "ESCROWD_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Make the index anew from the journal. The vault must not be running
    Rebuild {
        /// Where the vault lives
        #[arg(long)]
        data: PathBuf,
    },
    /// Copy a vault, running or not, to where it can be restored from
    Backup {
        /// Where the vault lives
        #[arg(long)]
        data: PathBuf,
        /// Where the backup goes: a new directory, or an earlier backup to be brought up to date
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Make a vault from a backup
    Restore {
        /// The backup
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Where the vault is to live; must not exist, or be empty
        #[arg(long)]
        data: PathBuf,
        /// The vault was stopped when the backup was made, and has not run since: nothing is lost,
        /// and it can go on as it was
        #[arg(long)]
        complete: bool,
    },
    /// Witness logs of others: cosigns what only grows, over plain HTTP (C2SP tlog-witness). Prints
    /// the witness's key
    Witness {
        /// Where the witness keeps its key, made at the first start, and what it has seen
        #[arg(long)]
        data: PathBuf,
        /// Where to listen
        #[arg(long, value_name = "ADDR")]
        listen: String,
        /// The key of a log to be witnessed, as its operator gave it to you (C2SP vkey); repeat for
        /// more
        #[arg(long, required = true, value_name = "VKEY")]
        log: Vec<NoteKey>,
        /// What the witness is called in its key, for good: such as witness.orient-display.example
        /// [default: made of its key]
        #[arg(long)]
        name: Option<String>,
    },
    /// Go on from an earlier state of the vault, openly, in a new generation of its log
    Recover {
        /// Where the vault lives
        #[arg(long)]
        data: PathBuf,
        /// A private file with the passphrase that the vault's keys are sealed under
        #[arg(long, value_name = "FILE", env = "ESCROWD_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Print completions for a shell; bash looks in /etc/bash_completion.d
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual pages, one a command; man looks in /usr/local/share/man/man8
    Man {
        /// A directory; made if it is not there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Try whether the index opens; `serve` runs this in a process of its own
    #[command(hide = true)]
    Probe {
        /// The index
        index: PathBuf,
    },
}

/// Runs `escrowd` and says how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(fault) => {
            let exit = if fault.use_stderr() { Exit::Usage } else { Exit::Done };
            drop(fault.print());
            return exit.into();
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match (runtime, cli.command) {
        (Err(fault), _) => Err(Failure::failed("RUNTIME", fault, "try again")),
        (Ok(runtime), Command::Init { data, host, public_address, passphrase_file }) => {
            let file = passphrase_file.as_deref();
            runtime.block_on(init::run(&data, host, public_address, file))
        }
        (Ok(runtime), Command::Serve { data, listen, passphrase_file, until_input_closes }) => {
            let until = if until_input_closes { Until::InputCloses } else { Until::Signal };
            runtime.block_on(serve::run(&data, listen, passphrase_file.as_deref(), until))
        }
        (Ok(_), Command::Check { data, passphrase_file }) => {
            check::run(&data, passphrase_file.as_deref())
        }
        (Ok(_), Command::RotateCa { data, finish, passphrase_file }) => {
            rotate::run(&data, finish, passphrase_file.as_deref())
        }
        (Ok(runtime), Command::RotateLedgerKey { data, finish, passphrase_file }) => {
            runtime.block_on(ledger_key::run(&data, finish, passphrase_file.as_deref()))
        }
        (Ok(_), Command::RotateTsa { data, passphrase_file }) => {
            rotate::tsa(&data, passphrase_file.as_deref())
        }
        (Ok(runtime), Command::Retimestamp { data, within, passphrase_file }) => {
            runtime.block_on(retimestamp::run(&data, within, passphrase_file.as_deref()))
        }
        (Ok(_), Command::Rebuild { data }) => check::rebuild(&data),
        (Ok(_), Command::Backup { data, to }) => backup::backup(&data, &to),
        (Ok(_), Command::Restore { from, data, complete }) => {
            backup::restore(&from, &data, complete)
        }
        (Ok(runtime), Command::Recover { data, passphrase_file }) => {
            runtime.block_on(recover::run(&data, passphrase_file.as_deref()))
        }
        (Ok(runtime), Command::Witness { data, listen, log, name }) => {
            runtime.block_on(witness::run(&data, &listen, log, name.as_deref()))
        }
        (Ok(_), Command::Completions { shell }) => {
            let output = Output { json: false, yes: false };
            output.text(&manual::completions(Cli::command(), shell)).map(|()| Exit::Done)
        }
        (Ok(_), Command::Man { out }) => manual::write_pages(Cli::command(), MANUAL_SECTION, &out)
            .map(|count| {
                eprintln!("{count} pages were written to {}.", out.display());
                Exit::Done
            }),
        (Ok(_), Command::Probe { index }) => Ok(check::probe(&index)),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(PROGRAM, false).into(),
    }
}
