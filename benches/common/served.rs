//! Servers of others, started here.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to be there.
const START_MAX: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A program that is ended when this is dropped.
pub(crate) struct Served(Child);

impl Served {
    /// Starts a server that writes what it says into `log`. `None`, and a word about it, where the
    /// program is not installed.
    pub(crate) fn start(command: &mut Command, log: &Path, install: &str) -> Option<Self> {
        let log = File::create(log).unwrap();
        let begun = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        match begun {
            Ok(server) => Some(Self(server)),
            Err(fault) => {
                println!("left out: {}: {fault} ({install})", command.get_program().display());
                None
            }
        }
    }

    /// Which process it is.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks until what is asked for is there.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(began.elapsed() < START_MAX, "{what} within {START_MAX:?}");
        std::thread::sleep(ASK_AGAIN);
    }
}

/// Addresses on loopback where nobody listens.
pub(crate) fn addresses<const N: usize>() -> [String; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}
