//! How the acceptor, which must not talk to the sender otherwise, tells it that there is something to do: one octet to a
//! datagram socket in the spool, where nobody else can reach it.

use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ring {
    /// A message has come, or an ordinary user asks.
    Due,
    /// Root asks: everything, also for accounts that are held.
    All,
}

/// The sender's end. One who hangs his bell takes the place of who hung his before.
pub struct Bell(pub UnixDatagram);

impl Bell {
    /// Hangs it, if it is still wanted: one by one, so that a sender who is late and whose spooler is gone does not take
    /// the place of one who came after him.
    pub fn hang(spool: &Path, is_wanted: impl FnOnce() -> bool) -> io::Result<Option<Bell>> {
        let _turn = Flock::lock(File::open(spool)?, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
        if !is_wanted() {
            return Ok(None);
        }
        let path = place(spool);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        Ok(Some(Bell(socket)))
    }

    /// What has been rung since the last time, the most urgent of it.
    pub fn heard(&self) -> Option<Ring> {
        let mut octet = [0];
        let rings = std::iter::from_fn(|| self.0.recv(&mut octet).ok().map(|_| octet[0]));
        rings.map(|octet| if octet == ALL { Ring::All } else { Ring::Due }).max()
    }
}

/// Rings, if anybody is there to hear it; a bell that is full of rings has been heard enough.
pub fn ring(spool: &Path, ring: Ring) {
    let octet = match ring {
        Ring::Due => b'd',
        Ring::All => ALL,
    };
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to(&[octet], place(spool));
    }
}

const ALL: u8 = b'a';

fn place(spool: &Path) -> PathBuf {
    spool.join("bell")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_ring_is_heard_once() {
        let folder = tempfile::tempdir().unwrap();
        ring(folder.path(), Ring::All);
        let _old = Bell::hang(folder.path(), || true).unwrap();
        let bell = Bell::hang(folder.path(), || true).unwrap().unwrap();
        assert!(Bell::hang(folder.path(), || false).unwrap().is_none(), "who comes late");
        assert_eq!(bell.heard(), None);
        for sound in [Ring::Due, Ring::All, Ring::Due] {
            ring(folder.path(), sound);
        }
        assert_eq!((bell.heard(), bell.heard()), (Some(Ring::All), None));
        for _ in 0..1000 {
            ring(folder.path(), Ring::Due);
        }
        assert_eq!(bell.heard(), Some(Ring::Due));
    }
}
