//! Passphrases: typed at a terminal, or read from a private file.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use zeroize::Zeroizing;

use crate::cli::failure::Failure;
use crate::client::error::ClientError;
use crate::client::home::Home;
use crate::crypto::keyfile;

/// Longest passphrase, in bytes.
const PASSPHRASE_BYTES_MAX: usize = 1024;
/// How often a person may mistype.
const TRIES: usize = 3;

/// Opens a sealed home. One that isn't sealed is left as it is.
pub(crate) fn unlock(home: &mut Home, file: Option<&Path>) -> Result<(), Failure> {
    if !home.is_locked() {
        return Ok(());
    }
    if let Some(file) = file {
        return Ok(home.unlock(&from_file(file)?)?);
    }
    let prompt = format!("Passphrase of {}: ", home.dir().display());
    for tries_left in (0..TRIES).rev() {
        match home.unlock(&typed(&prompt)?) {
            Err(error) if tries_left > 0 && error.code() == "WRONG_PASSPHRASE" => {
                eprintln!("That is not the passphrase.");
            }
            outcome => return Ok(outcome?),
        }
    }
    Ok(())
}

/// A new passphrase: from a file, or typed twice. `None` if it was left empty.
pub(crate) fn choose(file: Option<&Path>) -> Result<Option<SecretString>, Failure> {
    use age::secrecy::ExposeSecret as _;
    if let Some(file) = file {
        return from_file(file).map(Some);
    }
    let first = typed("New passphrase to seal your keys (empty for none): ")?;
    if first.expose_secret().is_empty() {
        return Ok(None);
    }
    let second = typed("The same again: ")?;
    if first.expose_secret() == second.expose_secret() {
        Ok(Some(first))
    } else {
        Err(Failure::failed("NOT_THE_SAME", "the two differ; nothing was changed", "try again"))
    }
}

/// The first line of a file that only its owner can read, or that systemd hands over.
pub(crate) fn from_file(file: &Path) -> Result<SecretString, Failure> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let is_handed_over = credentials.is_some_and(|dir| file.parent() == Some(&dir));
    let read = if is_handed_over { keyfile::read_handed_over } else { keyfile::read };
    let bytes = read(file, PASSPHRASE_BYTES_MAX).map_err(ClientError::from)?;
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        let message = format!("{} holds no passphrase", file.display());
        return Err(Failure::failed("NO_PASSPHRASE", message, "write it on the first line"));
    }
    Ok(SecretString::from(line.to_owned()))
}

fn typed(prompt: &str) -> Result<SecretString, Failure> {
    let failed = |fault: io::Error| {
        let hint = "run it at a terminal, or name a file with --passphrase-file";
        Failure::failed("SEALED", format!("the passphrase cannot be read: {fault}"), hint)
    };
    if !io::stdin().is_terminal() {
        return Err(failed(io::Error::other("nobody is at a terminal")));
    }
    rpassword::prompt_password(prompt).map(SecretString::from).map_err(failed)
}
