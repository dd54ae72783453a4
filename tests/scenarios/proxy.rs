//! A proxy between clients and the vault, which counts what passes, slows it down, and cuts it off.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::World;

/// Passed on at once.
const PIECE_BYTES: usize = 64 << 10;
/// How long that takes on a slow line.
const PIECE_TAKES: Duration = Duration::from_millis(4);

/// What passes between everybody and the vault.
#[derive(Clone)]
pub(super) struct Proxy(Arc<Shared>);

struct Shared {
    server: String,
    /// Bytes that went to the vault.
    sent: AtomicU64,
    /// Bytes that came from it.
    received: AtomicU64,
    /// Whether everything takes its time.
    is_slow: AtomicBool,
    /// How many may still go before all connections are cut off; none do by themselves at first.
    cut_after: Mutex<Option<u64>>,
    cut: Condvar,
    /// Whether nobody is let in, and whether that is to be so behind the next cut.
    is_shut: AtomicBool,
    shuts: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl World {
    /// Puts a proxy where the vault was.
    pub(super) fn behind_proxy(&mut self) -> Proxy {
        self.stop();
        let server = self.address.replace(":7443", ":7444");
        self.behind = Some(server.clone());
        self.serve();
        let listener = TcpListener::bind(&self.address).unwrap();
        let shared = Shared {
            server,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            is_slow: AtomicBool::new(false),
            cut_after: Mutex::new(None),
            cut: Condvar::new(),
            is_shut: AtomicBool::new(false),
            shuts: AtomicBool::new(false),
            open: Mutex::default(),
        };
        let proxy = Proxy(Arc::new(shared));
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                accepting.connect(client);
            }
        });
        proxy
    }
}

impl Proxy {
    fn connect(&self, client: TcpStream) {
        if self.0.is_shut.load(Ordering::SeqCst) {
            return;
        }
        // Where the vault is not there, the client is told as it would be without a proxy.
        let Ok(server) = TcpStream::connect(&self.0.server) else { return };
        let both = || [client.try_clone().unwrap(), server.try_clone().unwrap()];
        self.0.open.lock().unwrap().extend(both());
        let [from_client, to_server] = both();
        let up = self.clone();
        std::thread::spawn(move || up.pass(from_client, to_server, true));
        let down = self.clone();
        std::thread::spawn(move || down.pass(server, client, false));
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_up: bool) {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let passed = if is_up { &self.0.sent } else { &self.0.received };
            passed.fetch_add(count as u64, Ordering::SeqCst);
            if self.0.is_slow.load(Ordering::SeqCst) {
                std::thread::sleep(PIECE_TAKES.mul_f64(count as f64 / PIECE_BYTES as f64));
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
            if is_up {
                self.count(count as u64);
            }
        }
        drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
    }

    fn count(&self, sent: u64) {
        let mut cut_after = self.0.cut_after.lock().unwrap();
        let Some(left) = *cut_after else { return };
        *cut_after = left.checked_sub(sent).filter(|left| *left > 0);
        if cut_after.is_none() {
            self.0.is_shut.fetch_or(self.0.shuts.load(Ordering::SeqCst), Ordering::SeqCst);
            self.cut();
            self.0.cut.notify_all();
        }
    }

    /// Cuts off every connection there is.
    fn cut(&self) {
        for one in self.0.open.lock().unwrap().drain(..) {
            drop(one.shutdown(Shutdown::Both));
        }
    }

    /// Cuts off every connection once so many more bytes have gone to the vault.
    pub(super) fn cut_after(&self, bytes: u64) {
        *self.0.cut_after.lock().unwrap() = Some(bytes);
    }

    /// The same, and lets nobody in behind that.
    pub(super) fn shut_after(&self, bytes: u64) {
        self.0.shuts.store(true, Ordering::SeqCst);
        self.cut_after(bytes);
    }

    /// Lets everybody in again.
    pub(super) fn let_in(&self) {
        self.0.is_shut.store(false, Ordering::SeqCst);
        self.0.shuts.store(false, Ordering::SeqCst);
    }

    /// Waits until there was a cut.
    #[track_caller]
    pub(super) fn wait_for_cut(&self) {
        let waits = |cut_after: &mut Option<u64>| cut_after.is_some();
        let cut_after = self.0.cut_after.lock().unwrap();
        let waited = self.0.cut.wait_timeout_while(cut_after, super::PATIENCE, waits);
        assert!(waited.unwrap().0.is_none(), "so much was never sent");
    }

    /// Has everything take its time from now on, or no longer.
    pub(super) fn slow_down(&self, slow: bool) {
        self.0.is_slow.store(slow, Ordering::SeqCst);
    }

    /// Bytes that came from the vault so far.
    pub(super) fn received(&self) -> u64 {
        self.0.received.load(Ordering::SeqCst)
    }

    /// Bytes that went to the vault so far.
    pub(super) fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::SeqCst)
    }
}
