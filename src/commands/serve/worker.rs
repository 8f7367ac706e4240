//! A process split off to do what strangers have a say in, so that it can be shut in, die, and be replaced without
//! harm. It ends when it is told to, and when the one that would tell it is gone.

use crate::system;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// What the process that made it knows of it.
pub struct Worker {
    pid: Pid,
    /// Closed when it is to end.
    leash: Option<PipeWriter>,
    word: PipeReader,
}

/// What it has of the one that made it.
pub struct Leash {
    /// At its end it is time to end; something to read is that another does this work now.
    pub over: PipeReader,
    /// Whatever is to be known of it afterwards.
    pub word: PipeWriter,
}

/// As many octets are written to a pipe in one piece (pipe(7)).
const AT_ONCE: usize = 4096;

impl Worker {
    /// Splits it off; it ends when `work` does. To be called from a process without threads. `work` has to drop what
    /// must not stay open in two processes.
    ///
    /// # Errors
    /// No process or pipe can be had.
    pub fn start(work: impl FnOnce(Leash)) -> io::Result<Worker> {
        let ((over, leash), (report, word)) = (io::pipe()?, io::pipe()?);
        match system::fork_child()? {
            Some(pid) => Ok(Worker { pid, leash: Some(leash), word: report }),
            None => {
                drop((leash, report));
                // A signal to all of a service is for the first of its processes.
                system::ignore_endings();
                work(Leash { over, word });
                system::leave(0)
            }
        }
    }

    /// Tells it that another does its work from now on.
    pub fn replace(&mut self) {
        let _ = self.leash.as_mut().map(|leash| leash.write_all(b"r"));
    }

    /// Tells it to end.
    pub fn stop(&mut self) {
        self.leash = None;
    }

    pub fn kill(&self) {
        let _ = kill(self.pid, Signal::SIGKILL);
    }

    /// Whether it is its end that is told of.
    pub fn is(&self, status: WaitStatus) -> bool {
        status.pid() == Some(self.pid)
    }

    /// Waits for its end: how it was.
    pub fn bury(&self) -> Option<WaitStatus> {
        loop {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                ended => return ended.ok(),
            }
        }
    }

    /// What it has said in one go: waits for at least one octet, or its end; never for what does not come.
    pub fn speech(&mut self) -> Vec<u8> {
        let mut octets = vec![0; AT_ONCE];
        let count = self.word.read(&mut octets).unwrap_or(0);
        octets.truncate(count);
        octets
    }

    /// What it has said: waits for all of it, or its end.
    pub fn heard<const MOST: usize>(&mut self) -> Option<[u8; MOST]> {
        let mut word = [0; MOST];
        self.word.read_exact(&mut word).is_ok().then_some(word)
    }
}

impl AsFd for Worker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.word.as_fd()
    }
}

/// Buries the dead: as process 1 of a container also those whose parents are gone.
pub fn reap() -> Vec<WaitStatus> {
    let mut ended = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::EINTR) => {}
            Ok(WaitStatus::StillAlive) | Err(_) => return ended,
            Ok(status) => ended.push(status),
        }
    }
}

/// How a process ended, for people.
pub fn shown(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("with status {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("by {signal}"),
        other => format!("{other:?}"),
    }
}
