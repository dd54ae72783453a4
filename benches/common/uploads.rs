//! Clients that upload large bundles all the time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::vault::{Vault, escrow};

/// How often a client is looked after.
const LOOK: Duration = Duration::from_millis(50);

/// Uploads under way; cut off when this is dropped.
pub(crate) struct Uploads {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Uploads {
    /// So many at a time by the members with these homes, each beginning anew when it is done. They run
    /// where nobody else wants a processor (`SCHED_IDLE`), as if on computers of their own, as far as
    /// that goes on one.
    pub(crate) fn begin(vault: &Vault, homes: &[PathBuf], count: usize, source: &Path) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = homes.iter().cycle().take(count).map(|home| {
            let is_over = Arc::clone(&is_over);
            let deposit = escrow(home);
            let mut command = Command::new("chrt");
            command.args(["--idle", "0"]).arg(deposit.get_program()).args(deposit.get_args());
            command.args(["--yes", "deposit", &vault.agreement]).arg(source);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    upload(&mut command, &is_over);
                }
            })
        });
        Self { clients: clients.collect(), is_over }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| client.join().unwrap());
    }
}

fn upload(command: &mut Command, is_over: &AtomicBool) {
    let mut client = command.spawn().unwrap();
    while client.try_wait().unwrap().is_none() {
        if is_over.load(Ordering::Relaxed) {
            client.kill().unwrap();
            client.wait().unwrap();
            return;
        }
        std::thread::sleep(LOOK);
    }
}
