//! A process that serves ends with the one that started it, when that one holds the other end of a pipe on its standard
//! input: a killed acceptor leaves no sender behind, and the sender still finishes the message it is sending.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use std::io::{self, Read, Stdin};
use std::os::fd::AsFd;

/// Standard input, if it is a pipe.
pub struct Tether(pub Option<Stdin>);

impl Tether {
    pub fn find() -> Tether {
        let stdin = io::stdin();
        let is_pipe = |mode: u32| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFIFO;
        let held = fstat(stdin.as_fd()).is_ok_and(|found| is_pipe(found.st_mode));
        Tether(held.then_some(stdin))
    }

    /// Whether the other end is gone by now; does not wait.
    pub fn is_cut_already(&mut self) -> bool {
        let is_ready = self.0.as_ref().is_some_and(|stdin| {
            let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        });
        is_ready && self.is_cut()
    }

    /// The same; waits until there is something to read, so it is asked when there is.
    pub fn is_cut(&mut self) -> bool {
        let Some(stdin) = &mut self.0 else { return false };
        !matches!(stdin.lock().read(&mut [0; 64]), Ok(1..))
    }
}
