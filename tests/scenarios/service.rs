//! `escrowd` as a service: what it tells whoever manages it.

use std::fs;
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::World;

/// A manager that started `escrowd serve` and listens to what it is told.
struct Manager {
    socket: UnixDatagram,
    service: Child,
}

impl Manager {
    fn start(world: &World, address: &str, variables: &[(&str, &str)]) -> Self {
        let at = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).unwrap(),
            None => SocketAddr::from_pathname(address).unwrap(),
        };
        let socket = UnixDatagram::bind_addr(&at).unwrap();
        // Only so that a service that says nothing fails the test instead of hanging it.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_escrowd"));
        command.arg("serve").arg("--data").arg(world.data()).args(["--listen", &world.address]);
        command.env("NOTIFY_SOCKET", address).envs(variables.iter().copied());
        let service = command.stderr(Stdio::null()).spawn().unwrap();
        Self { socket, service }
    }

    /// The next thing the service says.
    #[track_caller]
    fn told(&self) -> String {
        let mut words = [0; 1024];
        let count = self.socket.recv(&mut words).unwrap();
        String::from_utf8(words[..count].to_vec()).unwrap()
    }

    fn stop(&self) {
        let pid = rustix::process::Pid::from_raw(self.service.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(self.service.kill());
        drop(self.service.wait());
    }
}

#[test]
fn the_service_manager_hears_when_the_vault_listens_and_when_it_stops() {
    let mut world = World::new();
    world.stop();
    let path = world.path("notify").display().to_string();
    let abstract_name = format!("@escrow-vault-test-{}", std::process::id());
    for address in [path, abstract_name] {
        let mut manager = Manager::start(&world, &address, &[("WATCHDOG_USEC", "0")]);
        assert_eq!(manager.told(), "READY=1", "{address}");
        TcpStream::connect(&world.address).unwrap();
        manager.stop();
        let told = manager.told();
        assert!(told.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC="), "{told}");
        assert!(manager.service.wait().unwrap().success(), "{address}");
    }
}

#[test]
fn the_watchdog_is_fed_where_it_is_meant_for_this_process() {
    let mut world = World::new();
    world.stop();
    let path = world.path("notify").display().to_string();
    let manager = Manager::start(&world, &path, &[("WATCHDOG_USEC", "200000")]);
    assert_eq!(manager.told(), "READY=1");
    assert_eq!([manager.told(), manager.told()], ["WATCHDOG=1", "WATCHDOG=1"]);
    drop(manager);
    fs::remove_file(&path).unwrap();
    let others = [("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", "1")];
    let manager = Manager::start(&world, &path, &others);
    assert_eq!(manager.told(), "READY=1");
    manager.stop();
    assert!(manager.told().starts_with("STOPPING=1"), "not asked, not said");
}

#[test]
fn a_start_that_takes_long_for_the_index_asks_for_patience() {
    let mut world = World::new();
    world.stop();
    fs::remove_dir_all(world.data().join("sled")).unwrap();
    let path = world.path("notify").display().to_string();
    let manager = Manager::start(&world, &path, &[]);
    let told = manager.told();
    assert!(told.starts_with("EXTEND_TIMEOUT_USEC=") && told.contains("\nSTATUS="), "{told}");
    assert_eq!(manager.told(), "READY=1");
}
