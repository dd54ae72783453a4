//! The units in `deploy/systemd`: sound, closed off, and not too closed for the programs to work.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::MutexGuard;

use super::power_cut::mounts_alone;
use super::{World, have};

/// Most exposure that `systemd-analyze security` may find, in tenths: 2.0 of 10.
const EXPOSURE_TENTHS_MAX: &str = "20";

/// A manager of its own on a `/run` of its own: starts the unit, backs up and restarts on a line,
/// stops at the end, and says each time how things stand. Three protections are left out, as they lean on
/// nodes that only the system's own manager can make; users, too, only that one can change.
const MANAGER: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/xdg /run/own/systemd/user /run/own/escrow-vault/data
mkdir -p /run/own/backups/escrow-vault
chmod 700 /run/xdg /run/own/escrow-vault /run/own/backups/escrow-vault
mount --bind "$DATA" /run/own/escrow-vault/data
export XDG_RUNTIME_DIR=/run/xdg XDG_CONFIG_HOME=/run/own XDG_STATE_HOME=/run/own
for unit in escrowd escrowd-backup; do
    sed -e "s#/usr/local/bin/escrowd#$ESCROWD#" -e "s#/var/lib/#/run/own/#" \
        -e "s#/var/backups/#/run/own/backups/#" -e '/^User=/d; /^Group=/d' \
        -e '/^ProtectHome=/d; /^ProtectKernelLogs=/d; /^ProtectKernelTunables=/d' \
        "$UNITS/$unit.service" > "/run/own/systemd/user/$unit.service"
done
/lib/systemd/systemd --user > /run/own/said 2>&1 &
manager=$!
trap 'kill "$manager"' EXIT
until systemctl --user show-environment > /dev/null 2>&1; do kill -0 "$manager"; done
show() { systemctl --user show --property "$1" --value "${2:-escrowd}"; }
systemctl --user start escrowd || true
echo "$(show ActiveState) $(grep -c '^Seccomp:.*2$' "/proc/$(show MainPID)/status" || true)"
read -r line
systemctl --user start escrowd-backup || true
echo "$(show Result escrowd-backup) $(ls /run/own/backups/escrow-vault | tr '\n' ' ')"
systemctl --user restart escrowd || true
show ActiveState
read -r line || true
systemctl --user stop escrowd
show Result
"#;

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd")
}

/// Whether tests that take root may run.
fn is_root_test() -> bool {
    let may = std::env::var_os("ESCROW_TEST_ROOT").is_some();
    if !may {
        eprintln!("PASSED OVER: ESCROW_TEST_ROOT is not set, and a manager of its own takes root");
    }
    may
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_little_exposed() {
    if !have("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut copied = Vec::new();
    for item in fs::read_dir(units()).unwrap() {
        let path = item.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".service") && !name.ends_with(".timer") {
            continue;
        }
        // Programs are looked for where the unit says: here they are where Cargo put them.
        let programs = [
            ("/usr/local/bin/escrowd ", env!("CARGO_BIN_EXE_escrowd")),
            ("/usr/local/bin/escrow ", env!("CARGO_BIN_EXE_escrow")),
        ];
        let text = fs::read_to_string(&path).unwrap();
        let text = programs
            .iter()
            .fold(text, |text, (installed, built)| text.replace(installed, &format!("{built} ")));
        assert!(!text.contains("/usr/local/bin"), "{name}");
        fs::write(dir.path().join(&name), text).unwrap();
        copied.push(name);
    }
    assert_eq!(copied.len(), 5, "{copied:?}");
    let analyze = |arguments: &[&str], unit: &str| {
        let mut command = Command::new("systemd-analyze");
        let done = command.args(arguments).arg(dir.path().join(unit)).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(said).unwrap())
    };
    let threshold = format!("--threshold={EXPOSURE_TENTHS_MAX}");
    for unit in &copied {
        let verify = ["verify", "--man=no", "--recursive-errors=no"];
        assert_eq!(analyze(&verify, unit), (true, String::new()), "{unit}");
        if unit.ends_with(".service") {
            let (done, said) = analyze(&["security", "--offline=true", &threshold], unit);
            assert!(done && said.contains("Overall exposure level"), "{unit}: {said}");
        }
    }
}

/// The manager under which the unit runs.
struct Manager {
    process: Child,
    said: BufReader<ChildStdout>,
    /// Its mount namespace has what others have mounted.
    #[expect(dead_code, reason = "held")]
    alone: MutexGuard<'static, ()>,
}

impl Manager {
    fn start(world: &World) -> Self {
        let alone = mounts_alone();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", MANAGER]);
        command.env("DATA", world.data()).env("UNITS", units());
        command.env("ESCROWD", env!("CARGO_BIN_EXE_escrowd"));
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        Self { process, said, alone }
    }

    fn told(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn go_on(&mut self) {
        writeln!(self.process.stdin.as_mut().unwrap()).unwrap();
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // The script ends with its input, and takes everything with it.
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

#[test]
fn the_vault_does_all_it_does_under_the_sandbox_of_its_unit() {
    if !is_root_test() || !have("/lib/systemd/systemd") || !have("unshare") {
        return;
    }
    let (mut world, agreement) = World::with_agreement();
    world.stop();
    let config = world.data().join("escrowd.toml");
    let text = fs::read_to_string(&config).unwrap();
    let listen = format!("listen = \"{}\"", world.address);
    fs::write(&config, text.replace("listen = \"127.0.0.1:7443\"", &listen)).unwrap();
    // So that it makes an index, too, and at the second start tries it in a child process.
    fs::remove_dir_all(world.data().join("sled")).unwrap();

    let mut manager = Manager::start(&world);
    assert_eq!(manager.told(), "active 1", "ready, with a filter on its system calls");
    let deposit = world.deposit(&agreement, vec![7; 300_000]);
    let request = world.request(&deposit, "joint");
    world.approve("trade-secret-center", &request);
    manager.go_on();
    let backup = manager.told();
    for part in ["success ", " journal ", " bundles ", " keys "] {
        assert!(format!("{backup} ").contains(part), "{part}: {backup}");
    }
    assert_eq!(manager.told(), "active");
    assert_eq!(world.approve("hanbit-parts", &request), "released");
    let out = world.path("out").display().to_string();
    world.escrow("orient-display", &["retrieve", &request, "--out", &out, "--yes"]).record();
    manager.go_on();
    assert_eq!(manager.told(), "success");
    drop(manager);
    assert_eq!(world.escrowd(&["check"]).code, 0);
}
