//! What one run of a command costs: wall, CPU of it and its children, peak memory.

use nix::sys::resource::{UsageWho, getrusage};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The cost of one run, or the median of many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub wall: Duration,
    pub cpu: Duration,
    /// KiB.
    pub peak: i64,
    pub failed: bool,
}

/// Runs a command with `input` on its standard input.
///
/// Peak memory is taken from a `/usr/bin/time`-like wrapper's view: the largest child so far would hide a smaller one,
/// so the bench runs each command under its own short-lived copy of itself (`--measured`), which prints its children's
/// usage.
pub fn run(command: &mut Command, input: &[u8]) -> Cost {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let status = child.wait().unwrap();
    let wall = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let cpu = [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()) as u64))
        .sum();
    Cost { wall, cpu, peak: usage.max_rss(), failed: !status.success() }
}

/// The median by wall, of each figure for itself.
pub fn median(costs: &[Cost]) -> Cost {
    let middle = |mut values: Vec<u128>| {
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Cost {
        wall: Duration::from_nanos(middle(costs.iter().map(|cost| cost.wall.as_nanos()).collect()) as u64),
        cpu: Duration::from_nanos(middle(costs.iter().map(|cost| cost.cpu.as_nanos()).collect()) as u64),
        peak: middle(costs.iter().map(|cost| cost.peak as u128).collect()) as i64,
        failed: costs.iter().any(|cost| cost.failed),
    }
}
