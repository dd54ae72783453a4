//! Programs, and what they took.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// What a process took.
#[derive(Clone, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) resident_mib: u64,
}

/// Runs a command that puts out a record.
pub(crate) fn json(command: &mut Command) -> Value {
    let ended = command.stdin(Stdio::null()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// Runs a program, passes on what it puts out and its exit code, and adds a line: seconds, seconds
/// of processor time, and KiB that were resident at most. `rustix` waits without asking for these,
/// and forbidding `unsafe`, we let Python ask. As a process begins as a copy of the one that starts
/// it, the last figure is never less than what Python itself has resident, some 10 MiB.
const METER: &str = "import os, sys, time\n\
    began = time.monotonic()\n\
    child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)\n\
    _, status, used = os.wait4(child, 0)\n\
    cpu = used.ru_utime + used.ru_stime\n\
    print([time.monotonic() - began, cpu, used.ru_maxrss])\n\
    sys.exit(os.waitstatus_to_exitcode(status))\n";

pub(crate) fn metered(command: &Command) -> Command {
    let mut meter = Command::new("python3");
    meter.args(["-I", "-S", "-c", METER]).arg(command.get_program()).args(command.get_args());
    meter.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    meter
}

/// What a metered command put out and took.
pub(crate) fn taken(meter: &mut Command) -> (String, Cost) {
    let ended = meter.output().unwrap();
    assert!(ended.status.success(), "{meter:?}");
    let text = String::from_utf8(ended.stdout).unwrap();
    let (out, told) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    let (wall, cpu, resident_kib): (f64, f64, u64) = serde_json::from_str(told).unwrap();
    let [wall, cpu] = [wall, cpu].map(Duration::from_secs_f64);
    (out.to_owned(), Cost { wall, cpu, resident_mib: resident_kib >> 10 })
}

/// Runs a command that puts out a record; what that is, and what it took.
pub(crate) fn measured(command: &Command) -> (Value, Cost) {
    let (out, cost) = taken(&mut metered(command));
    (serde_json::from_str(&out).unwrap(), cost)
}

/// Runs a command whose words are of no interest; what it took.
pub(crate) fn run(command: &Command) -> Cost {
    taken(metered(command).stderr(Stdio::null())).1
}

/// The most memory a process ever had resident, in MiB.
pub(crate) fn resident_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

/// The processor time a running process has taken so far, all its threads together.
pub(crate) fn cpu(process: u32) -> Duration {
    /// What the kernel counts in, for every program, on every machine (`USER_HZ`).
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Counted from behind the name, which may hold anything: fields 14 and 15 of proc(5).
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}
