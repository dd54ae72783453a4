//! The institution's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    escrow_vault::daemon::main()
}
