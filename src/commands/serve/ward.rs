//! The sender that plain `serve` starts: the same program in another process, started again when it dies.

use super::worker;
use crate::cli::{Global, Verbosity};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// The least time between two starts.
const BREATH: Duration = Duration::from_secs(1);

/// Who sends, and when he was started.
pub struct Ward {
    arguments: Vec<std::ffi::OsString>,
    running: Option<(Pid, ChildStdin)>,
    started: Option<Instant>,
}

impl Ward {
    pub fn new(global: &Global) -> Ward {
        let mut arguments = Vec::new();
        if let Some(config) = &global.config {
            arguments.extend(["--config".into(), config.clone().into_os_string()]);
        }
        if global.verbose == Verbosity::Dialogue {
            arguments.push("-v".into());
        }
        arguments.extend(["serve".into(), "--send".into()]);
        Ward { arguments, running: None, started: None }
    }

    /// Starts it, unless it runs or ended a moment ago.
    pub fn tend(&mut self) -> io::Result<()> {
        if self.running.is_some() || self.started.is_some_and(|started| started.elapsed() < BREATH) {
            return Ok(());
        }
        self.started = Some(Instant::now());
        // The very program that runs, even when another lies in its place by now.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("mailchute").args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(variable);
        }
        let mut child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        self.running = child.stdin.take().map(|stdin| (pid, stdin));
        Ok(())
    }

    /// When it has to be looked at again.
    pub fn due(&self) -> Option<Duration> {
        match (&self.running, self.started) {
            (None, Some(started)) => Some(BREATH.saturating_sub(started.elapsed())),
            (None, None) => Some(Duration::ZERO),
            (Some(_), _) => None,
        }
    }

    /// Hears that a process has ended: what to say of it, if it was the sender.
    pub fn ended(&mut self, status: WaitStatus) -> Option<String> {
        if self.running.as_ref().is_none_or(|(pid, _)| status.pid() != Some(*pid)) {
            return None;
        }
        self.running = None;
        Some(format!("the sender has ended {}", worker::shown(status)))
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Passes a signal on.
    pub fn signal(&self, signal: Signal) {
        if let Some((pid, _)) = &self.running {
            let _ = kill(*pid, signal);
        }
    }
}
