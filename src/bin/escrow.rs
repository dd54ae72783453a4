//! The members' program. Started under the name `escrowd` it is that one: `escrow demo` runs a
//! real server process, and `cargo run` builds only one program.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next();
    let name = name.as_deref().and_then(|name| Path::new(name).file_name());
    if name.is_some_and(|name| name == escrow_vault::daemon::PROGRAM) {
        escrow_vault::daemon::main()
    } else {
        escrow_vault::cli::main()
    }
}
