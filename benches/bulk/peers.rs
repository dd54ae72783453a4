//! Other programs that keep bytes encrypted somewhere else, and give them back.

use std::cell::Cell;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::process::{Cost, cpu, run};
use crate::common::served::{Served, addresses, until};

/// One of them, ready.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;
    /// How it keeps and gives back, as the table says it.
    fn ways(&self) -> [&'static str; 2];
    fn keep(&self, file: &Path) -> Cost;
    /// What was kept last, as a file.
    fn get_back(&self, file: &Path) -> Cost;
    /// Nothing of the round is left.
    fn clear(&self, file: &Path);
}

/// Whether a program can be started; a word about it where not.
fn is_there(program: &str, argument: &str, install: &str) -> bool {
    let mut command = Command::new(program);
    let begun = command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if let Err(fault) = &begun {
        println!("left out: {program}: {fault} ({install})");
    }
    begun.is_ok()
}

fn answers(address: &str) -> Option<()> {
    TcpStream::connect(address).ok().map(drop)
}

/// restic, and an rclone that serves it.
pub(crate) struct Restic {
    place: PathBuf,
    certificate: PathBuf,
    address: String,
    /// rclone remembers what it has listed: each round has a place of its own.
    round: Cell<u32>,
    server: Served,
}

impl Restic {
    pub(crate) fn begin(place: &Path) -> Option<Self> {
        if !is_there("restic", "version", "apt install restic") {
            return None;
        }
        let place = place.join("restic");
        fs::create_dir(&place).unwrap();
        let [address] = addresses();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (place.join("tls.crt"), place.join("tls.key"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::write(place.join("password"), "measured").unwrap();
        let mut rclone = Command::new("rclone");
        rclone.args(["--config", "/dev/null", "serve", "restic", "--addr", &address]);
        rclone.arg("--cert").arg(&certificate).arg("--key").arg(&key).arg(place.join("served"));
        let server = Served::start(&mut rclone, &place.join("log"), "apt install rclone")?;
        until("rclone serves", || answers(&address));
        Some(Self { place, certificate, address, round: Cell::new(0), server })
    }

    fn restic(&self) -> Command {
        let url = format!("rest:https://{}/{}/", self.address, self.round.get());
        let mut restic = Command::new("restic");
        restic.args(["--no-cache", "--repo", &url, "--cacert"]).arg(&self.certificate);
        restic.arg("--password-file").arg(self.place.join("password"));
        restic
    }

    fn both_ends(&self, command: &Command) -> Cost {
        let before = cpu(self.server.id());
        let cost = run(command);
        Cost { cpu: cost.cpu + cpu(self.server.id()) - before, ..cost }
    }
}

impl Peer for Restic {
    fn name(&self) -> &'static str {
        "restic"
    }

    fn ways(&self) -> [&'static str; 2] {
        ["restic backup", "restic restore"]
    }

    fn keep(&self, file: &Path) -> Cost {
        self.round.set(self.round.get() + 1);
        run(self.restic().arg("init"));
        self.both_ends(self.restic().arg("backup").arg(file))
    }

    fn get_back(&self, file: &Path) -> Cost {
        let out = self.place.join("out");
        let cost = self.both_ends(self.restic().args(["restore", "latest", "--target"]).arg(&out));
        let mut path = out.clone();
        // It restores the whole path: the one file at its end.
        while path.is_dir() {
            path = fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
        }
        fs::rename(path, file).unwrap();
        fs::remove_dir_all(out).unwrap();
        cost
    }

    fn clear(&self, file: &Path) {
        fs::remove_dir_all(self.place.join("served")).unwrap();
        fs::remove_file(file).unwrap();
    }
}

/// age into ssh, and an sshd for nobody else.
pub(crate) struct Ssh {
    place: PathBuf,
    port: String,
    recipient: String,
    _server: Served,
}

impl Ssh {
    pub(crate) fn begin(place: &Path) -> Option<Self> {
        let install = "apt install age openssh-client openssh-server";
        if !is_there("age", "--version", install) || !is_there("ssh", "-V", install) {
            return None;
        }
        if rustix::process::geteuid().is_root() && !Path::new("/run/sshd").is_dir() {
            println!("left out: sshd: as root it wants its directory (mkdir /run/sshd)");
            return None;
        }
        let place = place.join("ssh");
        fs::create_dir(&place).unwrap();
        for key in ["host", "user"] {
            let mut made = Command::new("ssh-keygen");
            run(made.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(place.join(key)));
        }
        let [address] = addresses();
        let (host, port) = address.split_once(':').unwrap();
        let config = format!(
            "ListenAddress {host}\nPort {port}\nHostKey {0}/host\nPidFile none\nUsePAM no\n\
             AuthorizedKeysFile {0}/user.pub\nStrictModes no\nPermitRootLogin prohibit-password\n",
            place.display()
        );
        fs::write(place.join("sshd"), config).unwrap();
        // It starts itself again for each connection, and wants its whole path for that.
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f"]).arg(place.join("sshd"));
        let server = Served::start(&mut sshd, &place.join("log"), install)?;
        until("sshd serves", || answers(&address));
        let key = place.join("age.key");
        run(Command::new("age-keygen").arg("-o").arg(&key));
        let recipient = fs::read_to_string(&key).unwrap();
        let recipient = recipient.lines().find_map(|line| line.strip_prefix("# public key: "));
        let recipient = recipient.unwrap().to_owned();
        let port = port.to_owned();
        Some(Self { place, port, recipient, _server: server })
    }

    /// Runs this by the shell, with `SSH` to reach the other side by and `PLACE` for what it keeps.
    fn shell(&self, line: &str) -> Cost {
        let place = self.place.display().to_string();
        let ssh = format!(
            "ssh -F none -p {} -i {place}/user -o BatchMode=yes -o LogLevel=ERROR \
             -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null 127.0.0.1",
            self.port
        );
        let line = line.replace("SSH", &ssh).replace("PLACE", &place);
        let cost = run(Command::new("sh").args(["-c", &format!("set -e; {line}")]));
        // What sshd took is not known, so nothing is said of processors.
        Cost { cpu: std::time::Duration::ZERO, ..cost }
    }
}

impl Peer for Ssh {
    fn name(&self) -> &'static str {
        "age and ssh"
    }

    fn ways(&self) -> [&'static str; 2] {
        ["age | ssh, synced", "ssh | age -d, synced"]
    }

    fn keep(&self, file: &Path) -> Cost {
        let (recipient, file) = (&self.recipient, file.display());
        self.shell(&format!("age -r {recipient} {file} | SSH 'cat >PLACE/kept && sync PLACE/kept'"))
    }

    fn get_back(&self, file: &Path) -> Cost {
        let file = file.display();
        self.shell(&format!(
            "SSH 'cat PLACE/kept' | age -d -i PLACE/age.key -o {file} && sync {file}"
        ))
    }

    fn clear(&self, file: &Path) {
        fs::remove_file(file).unwrap();
    }
}
