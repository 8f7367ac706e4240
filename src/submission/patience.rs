//! How long to wait: the one clock of the room. Every wait for a peer goes through here.

use nix::errno::Errno;
use nix::poll::{PollFd, PollTimeout, poll};
use std::time::{Duration, Instant};

/// How long to wait, and what to do when the caller has waited long enough.
pub struct Patience {
    /// Cap for each single step (address to connect to, reply to read, 64 KiB to write), below RFC 5321 section
    /// 4.5.3.2's.
    pub step: Duration,
    /// The end of everything, whatever the server drips.
    pub overall: Option<Instant>,
    /// At this moment, once, `detach` is called and the work goes on (DESIGN section 2: a foreground attempt over 30 s).
    pub foreground: Option<(Instant, Box<dyn FnMut() + Send>)>,
}

impl Patience {
    /// When a step that starts now must have ended.
    pub(super) fn deadline(&self) -> Instant {
        self.within(self.step)
    }

    /// When something that starts now and may take `limit`, but no longer than a step, must have ended.
    pub(super) fn within(&self, limit: Duration) -> Instant {
        let end = Instant::now() + limit.min(self.step);
        self.overall.map_or(end, |overall| end.min(overall))
    }

    /// Whether nothing more may be begun.
    pub(super) fn is_over(&self) -> bool {
        self.overall.is_some_and(|overall| Instant::now() >= overall)
    }

    /// How long to sleep before looking again for something awaited until `end`; `None` when time is up. Calls
    /// `detach` when its moment has come.
    pub(super) fn nap(&mut self, end: Instant) -> Option<Duration> {
        let now = Instant::now();
        if let Some((_, mut detach)) = self.foreground.take_if(|(moment, _)| now >= *moment) {
            detach();
        }
        let end = self.overall.map_or(end, |overall| end.min(overall));
        let wake = self.foreground.as_ref().map_or(end, |(moment, _)| end.min(*moment));
        (now < end).then(|| wake.saturating_duration_since(now))
    }

    /// Waits for so long, or until time is up.
    pub fn pause(&mut self, span: Duration) {
        let end = self.overall.map_or(Instant::now() + span, |overall| overall.min(Instant::now() + span));
        let _ = self.poll(&mut [], end);
    }

    /// Waits until one of `sockets` is ready. `false` when `end` came first.
    pub(super) fn poll(&mut self, sockets: &mut [PollFd<'_>], end: Instant) -> Result<bool, Errno> {
        while let Some(nap) = self.nap(end) {
            // Rounded up to the whole milliseconds poll knows, else the last wait would spin.
            let millis = i32::try_from(nap.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
            match poll(sockets, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(errno),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::PollFlags;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn patience(step: Duration) -> Patience {
        Patience { step, overall: None, foreground: None }
    }

    #[test]
    fn detach_is_called_once_and_the_wait_goes_on() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let mut patience = patience(Duration::from_millis(30));
        patience.foreground = Some((
            Instant::now(),
            Box::new(move || {
                counter.fetch_add(1, Ordering::Relaxed);
            }),
        ));
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let end = patience.deadline();
        let ready = patience.poll(&mut [PollFd::new(ours.as_fd(), PollFlags::POLLIN)], end).unwrap();
        assert!(!ready);
        assert!(Instant::now() >= end);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn data_that_drips_does_not_outlive_the_end() {
        let mut patience = patience(Duration::from_secs(60));
        patience.overall = Some(Instant::now());
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut theirs, b"x").unwrap();
        let end = patience.deadline();
        assert!(!patience.poll(&mut [PollFd::new(ours.as_fd(), PollFlags::POLLIN)], end).unwrap());
        assert!(patience.is_over());
    }
}
