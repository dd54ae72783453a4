//! Completions and manual pages, made from the very definitions that `--help` shows.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::failure::Failure;

/// The completions of a program for a shell, as a script.
pub(crate) fn completions(mut program: Command, shell: Shell) -> String {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a program's manual pages, one a command; those that are there are made anew. How many.
pub(crate) fn write_pages(program: Command, section: &str, dir: &Path) -> Result<usize, Failure> {
    fs::create_dir_all(dir).map_err(|fault| unwritten(dir, &fault))?;
    let mut program = program.disable_help_subcommand(true);
    program.build();
    write_page(&program, section, dir)
}

fn write_page(command: &Command, section: &str, dir: &Path) -> Result<usize, Failure> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = dir.join(format!("{name}.{section}"));
    let mut page = Vec::new();
    Man::new(command.clone())
        .section(section)
        .render(&mut page)
        .and_then(|()| fs::write(&path, page))
        .map_err(|fault| unwritten(&path, &fault))?;
    let mut count = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        count += write_page(below, section, dir)?;
    }
    Ok(count)
}

fn unwritten(path: &Path, fault: &std::io::Error) -> Failure {
    let message = format!("{}: {fault}", path.display());
    Failure::failed("OUTPUT", message, "name a directory that you may write to with --out")
}
