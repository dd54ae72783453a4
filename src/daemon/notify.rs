//! Tells whoever manages services how this one stands: sd_notify(3), a few words in a datagram.
//!
//! Own lines instead of a crate: the protocol is one `send`. Speaking never fails the service; a
//! manager that cannot be told sees a start that does not end, and the log says why.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::domain::chain::chain;

/// How much longer the manager is to wait while work goes on that it should not take for a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// The service manager that started this process, if one wants to be told.
#[derive(Debug)]
pub(super) struct Manager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    pub(super) fn of_this_process() -> Self {
        let address = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let socket = address.and_then(|address| {
            let failed = |fault: &io::Error| {
                let error = chain(fault);
                tracing::warn!(error, ?address, "the service manager cannot be told");
            };
            connect(&address).inspect_err(failed).ok()
        });
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_ours && *usec > 0);
        Self { socket, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// Ready to serve; ends a start or a reload.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Reading its configuration anew; [`Manager::ready`] says when that is done.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
    }

    /// Letting open calls end, for so long at most.
    pub(super) fn stopping(&self, at_most: Duration) {
        let usec = (at_most + PATIENCE).as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={usec}"));
    }

    /// Still at work, and how far it is.
    pub(super) fn busy(&self, status: &str) {
        let usec = PATIENCE.as_micros();
        self.tell(&format!("EXTEND_TIMEOUT_USEC={usec}\nSTATUS={status}"));
    }

    /// Alive.
    fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Says that the service is alive, twice as often as asked; for ever where nobody asks. Runs
    /// as a part of the serving task: when that hangs, the manager hears nothing.
    pub(super) async fn keep_telling(&self) -> Infallible {
        let Some(within) = self.watchdog else { return std::future::pending().await };
        let mut due = tokio::time::interval(within / 2);
        loop {
            due.tick().await;
            self.alive();
        }
    }

    fn tell(&self, words: &str) {
        if let Some(socket) = &self.socket
            && let Err(fault) = socket.send(words.as_bytes())
        {
            let error = chain(&fault);
            tracing::warn!(error, words, "the service manager was not told");
        }
    }
}

/// A path, or `@` and an abstract name.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
