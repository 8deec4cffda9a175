//! Clocks and counters of processes, as Linux tells them, and where processes run.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Kernel clock ticks in a second, as `/proc` counts (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Files that driver and broker want to open.
pub const FILES: u64 = 65_536;

/// Seconds that a process has spent computing, all threads, in user and kernel.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // The name in parentheses may hold anything; what follows is numbers.
    let after = stat.rsplit_once(')').context("an unreadable /proc/PID/stat")?.1;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
    let (user, system) = (ticks(11), ticks(12));
    user.zip(system).map(|(user, system)| (user + system) / TICKS).context("an unreadable /proc/PID/stat")
}

/// Resident memory in MiB.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib = line.split_ascii_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    Ok(kib.context("an unreadable VmRSS")? / 1_024.0)
}

/// Lets this process run on these cores only; to be called before there are threads.
pub fn pin_this_process(cores: &str) -> Result<()> {
    let pid = std::process::id().to_string();
    quietly(Command::new("taskset").args(["-c", "-p", cores, &pid]))
}

/// Lets this process open as many files as the machine allows it, up to [`FILES`].
pub fn raise_limit_of_files() -> Result<()> {
    let limit = files_limit()?;
    let pid = std::process::id().to_string();
    quietly(Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={limit}:{limit}")]))
}

/// How many files a process of the bench may open.
pub fn files_limit() -> Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit of files")?;
    let hard = line.split_ascii_whitespace().nth(4).context("no hard limit of files")?;
    Ok(hard.parse().unwrap_or(FILES).min(FILES))
}

/// A command that runs a program on these cores with many files, in a session of its own, as a service would run.
/// Without its own session, broker and driver would be one group to the scheduler, and the driver's work on the other
/// core would change the broker's share of its core. The program ends with the thread that starts it, the main one,
/// because no interrupt of the terminal reaches it. Each of these commands replaces itself by the next, so that the
/// process is the program's.
pub fn on_cores(cores: &str, program: &std::path::Path) -> Result<Command> {
    let limit = files_limit()?;
    let mut command = Command::new("setsid");
    command.args(["setpriv", "--pdeathsig", "KILL", "prlimit"]).arg(format!("--nofile={limit}:{limit}"));
    command.args(["taskset", "-c", cores]).arg(program);
    Ok(command)
}

/// Runs a command, and reports its output if it fails.
pub fn quietly(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{name} cannot be run (Debian: util-linux)"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
