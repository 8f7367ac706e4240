//! Going on without the caller: a child that holds nothing of the caller's, shares our open files and their locks.

use crate::system::{self, Side};
use nix::sys::wait::wait;
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use std::fs::OpenOptions;
use std::io;

/// Splits the process: the child, in its own session, with /dev/null on descriptors 0 to 2 (PHP and cron wait until
/// the last holder of their pipes is gone). No other thread goes along, see [`system::fork`].
pub fn split() -> io::Result<Side> {
    let side = system::fork()?;
    if side == Side::Child {
        let _ = setsid();
        let _ = chdir("/");
        system::ignore_endings();
        if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
            let _ = dup2_stdin(&null);
            let _ = dup2_stdout(&null);
            let _ = dup2_stderr(&null);
        }
    }
    Ok(side)
}

/// Like [`split`], for a parent that lives on: it has no child to wait for afterwards. It must have no other.
pub fn split_off() -> io::Result<Side> {
    match system::fork()? {
        Side::Parent => {
            let _ = wait();
            Ok(Side::Parent)
        }
        Side::Child => match split() {
            Ok(Side::Child) => Ok(Side::Child),
            Ok(Side::Parent) | Err(_) => system::leave(0),
        },
    }
}
