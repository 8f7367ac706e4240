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
    /// Whom it keeps waiting.
    pub foreground: Option<Foreground>,
}

/// A caller who waits, and is let go when that has taken long enough, while the work goes on (DESIGN section 2).
pub struct Foreground {
    moment: Instant,
    detach: Box<dyn FnMut() -> Parting + Send>,
    /// The end of a message is on its way, and the reply that decides is not here: whoever breaks off now may have
    /// sent it.
    in_doubt: bool,
}

/// What came of letting the caller go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Nobody waits any more; or there is nothing that could be left to be done without him.
    Done,
    /// The system has no process for the rest of the work. The message is safe.
    Impossible,
}

/// How soon a caller who could not be let go is tried to be let go again.
const AGAIN: Duration = Duration::from_secs(1);

impl Foreground {
    /// At `moment` `detach` is called: once, unless it says that it was impossible.
    pub fn new(moment: Instant, detach: Box<dyn FnMut() -> Parting + Send>) -> Foreground {
        Foreground { moment, detach, in_doubt: false }
    }
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

    /// Notes whether the end of a message is on its way and unanswered.
    pub(super) fn doubt(&mut self, in_doubt: bool) {
        if let Some(foreground) = &mut self.foreground {
            foreground.in_doubt = in_doubt;
        }
    }

    /// When the caller is to be let go; `None` when nobody waits.
    pub(super) fn moment(&self) -> Option<Instant> {
        self.foreground.as_ref().map(|foreground| foreground.moment)
    }

    /// Lets the caller go when the moment has come. Where the system has no process for the rest, the attempt ends at
    /// once, for the message is safe and a caller must not hang; only behind the end of the message it does not, lest
    /// it be sent twice.
    pub(super) fn part(&mut self, now: Instant) {
        let Some(mut foreground) = self.foreground.take_if(|foreground| now >= foreground.moment) else { return };
        match (foreground.detach)() {
            Parting::Done => {}
            Parting::Impossible if foreground.in_doubt => {
                self.foreground = Some(Foreground { moment: now + AGAIN, ..foreground });
            }
            Parting::Impossible => self.overall = Some(now),
        }
    }

    /// How long to sleep before looking again for something awaited until `end`; `None` when time is up. Lets the
    /// caller go when the moment has come.
    pub(super) fn nap(&mut self, end: Instant) -> Option<Duration> {
        let now = Instant::now();
        self.part(now);
        let end = self.overall.map_or(end, |overall| end.min(overall));
        let wake = self.foreground.as_ref().map_or(end, |foreground| end.min(foreground.moment));
        (now < end).then(|| wake.saturating_duration_since(now))
    }

    /// Waits for so long; `false` when time is up.
    pub fn pause(&mut self, span: Duration) -> bool {
        let _ = self.poll(&mut [], Instant::now() + span);
        !self.is_over()
    }

    /// Does something that may take no longer than that in all, and no longer for a step.
    pub fn bounded<T>(&mut self, whole: Duration, step: Duration, work: impl FnOnce(&mut Patience) -> T) -> T {
        let end = Instant::now() + whole;
        let end = Some(self.overall.map_or(end, |overall| overall.min(end)));
        let mut inner = Patience { step: self.step.min(step), overall: end, foreground: self.foreground.take() };
        let done = work(&mut inner);
        self.foreground = inner.foreground;
        if inner.overall != end {
            // The attempt has been ended for a caller who could not be let go.
            self.overall = inner.overall;
        }
        done
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
        let mut patience = patience(Duration::from_millis(30));
        patience.foreground = Some(foreground(&calls, Parting::Done));
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let end = patience.deadline();
        let ready = patience.poll(&mut [PollFd::new(ours.as_fd(), PollFlags::POLLIN)], end).unwrap();
        assert!(!ready);
        assert!(Instant::now() >= end);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_bound_ends_what_is_within_it_and_nothing_else() {
        let calls = Arc::new(AtomicUsize::new(0));
        let mut patience = patience(Duration::from_secs(600));
        patience.foreground = Some(foreground(&calls, Parting::Done));
        let brief = Duration::from_millis(20);
        assert!(!patience.bounded(brief, brief, |inner| inner.pause(Duration::from_secs(600))));
        assert!(patience.pause(Duration::from_millis(1)) && patience.step == Duration::from_secs(600));
        assert_eq!((calls.load(Ordering::Relaxed), patience.moment()), (1, None));
        patience.foreground = Some(foreground(&calls, Parting::Impossible));
        assert!(!patience.bounded(brief, brief, |inner| inner.pause(Duration::from_millis(1))));
        assert!(patience.is_over());
    }

    #[test]
    fn a_caller_who_cannot_be_let_go_is_not_kept_waiting_unless_the_message_may_be_there() {
        let calls = Arc::new(AtomicUsize::new(0));
        let mut patience = patience(Duration::from_secs(600));
        patience.foreground = Some(foreground(&calls, Parting::Impossible));
        patience.doubt(true);
        let end = patience.deadline();
        assert!(patience.nap(end).is_some_and(|nap| nap <= AGAIN));
        assert!(!patience.is_over());
        patience.doubt(false);
        patience.foreground.as_mut().unwrap().moment = Instant::now();
        assert_eq!(patience.nap(end), None);
        assert!(patience.is_over());
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    fn foreground(calls: &Arc<AtomicUsize>, parting: Parting) -> Foreground {
        let calls = Arc::clone(calls);
        let detach = move || {
            calls.fetch_add(1, Ordering::Relaxed);
            parting
        };
        Foreground::new(Instant::now(), Box::new(detach))
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
