//! The two locks that programs of this system respect on a mailbox, in the order that Debian's policy (section 11.6)
//! has: fcntl first, then the dot-lock.
#![allow(clippy::disallowed_methods, reason = "a mailbox is no spool")]

use super::fault::Fault;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long another program is waited for before the letter goes back to the queue.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);
/// A dot-lock that names no process of this host is left behind when it is older.
const STALE: Duration = Duration::from_secs(300);

/// Both locks; given back when it is dropped. The first one goes with the file.
pub struct Lock {
    dot: Option<PathBuf>,
}

impl Lock {
    /// Locks a mailbox that is open for writing.
    pub fn take(file: &File, path: &Path) -> Result<Lock, Fault> {
        let end = Instant::now() + PATIENCE;
        until(end, || lock_file(file))?;
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let dot = PathBuf::from(name);
        match until(end, || lock_dot(&dot)) {
            Ok(()) => Ok(Lock { dot: Some(dot) }),
            // In the system's mail folder that takes a set-group-id program, which we are not: the first lock is all
            // we can have there, and the one that its other users take as well.
            Err(Fault::System(error))
                if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                Ok(Lock { dot: None })
            }
            Err(fault) => Err(fault),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(dot) = &self.dot {
            let _ = fs::remove_file(dot);
        }
    }
}

/// Tries until it is done or the time is over.
fn until(end: Instant, attempt: impl Fn() -> Result<bool, Fault>) -> Result<(), Fault> {
    while !attempt()? {
        if Instant::now() >= end {
            return Err(Fault::Locked);
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Of the open file, not of the process: closing another one of it does not lose the lock.
fn lock_file(file: &File) -> Result<bool, Fault> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn lock_dot(dot: &Path) -> Result<bool, Fault> {
    match OpenOptions::new().write(true).create_new(true).mode(0o644).open(dot) {
        Ok(mut file) => {
            let _ = writeln!(file, "{}", std::process::id());
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if is_stale(dot) {
                // Who takes the locks in the same order is behind the first one, so this is still the old one.
                let _ = fs::remove_file(dot);
            }
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether who made it has gone without taking it away.
fn is_stale(dot: &Path) -> bool {
    let mut text = String::new();
    let open = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(dot);
    let Ok(file) = open else { return false };
    let old =
        file.metadata().and_then(|facts| facts.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE));
    let _ = file.take(64).read_to_string(&mut text);
    match text.trim().parse::<i32>() {
        Ok(pid) if pid > 0 => kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH),
        _ => old,
    }
}
