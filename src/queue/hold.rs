//! When a held account is tried again. An account is held when a person must act (login refused, certificate, quota):
//! its mail stays, nothing is bounced, and the relay sees one login attempt per interval however much mail waits.
//! Pure; the spool keeps the hold, `run` and the foreground send ask here.

use crate::clock::Moment;
use crate::spool::Hold;
use std::time::Duration;

/// What makes us look at an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A person: `sendmail -q`, `mailchute queue flush`.
    ByHand,
    /// A timer, `serve`, the run behind a success.
    DueOnly,
    /// A new message whose caller waits.
    NewMessage,
}

/// The wait between the first failure and the first probe.
pub const FIRST_PROBE: Duration = Duration::from_secs(15 * 60);

/// The longest wait between probes.
pub const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// A new message probes when the last failure is older than this.
pub const FRESH: Duration = Duration::from_secs(60);

/// Whether the account may be tried now. `digest` is that of its present configuration: a changed one is tried at once.
/// A moment that a jumping clock has put out of reach counts as reached.
pub fn open(hold: Option<&Hold>, digest: &str, occasion: Occasion, now: Moment) -> bool {
    let Some(hold) = hold else { return true };
    if hold.digest != digest {
        return true;
    }
    match occasion {
        Occasion::ByHand => true,
        Occasion::DueOnly => hold.next_probe <= now || hold.next_probe > now.after(LONGEST),
        Occasion::NewMessage => now.since(hold.last_failure) > FRESH || hold.last_failure > now,
    }
}

/// The hold after one more failure. Only a probe that was due lengthens the wait: callers who write a message a minute
/// do not push the timer's next probe ahead of them.
pub fn failed(hold: Option<Hold>, digest: &str, reason: &str, now: Moment) -> Hold {
    let known = hold.filter(|hold| hold.digest == digest);
    let mut hold = known.unwrap_or(Hold {
        since: now,
        last_failure: now,
        probes: 0,
        next_probe: now,
        reason: String::new(),
        digest: digest.to_string(),
    });
    if open(Some(&hold), digest, Occasion::DueOnly, now) {
        hold.next_probe = now.after(interval(hold.probes));
        hold.probes = hold.probes.saturating_add(1);
    }
    hold.last_failure = now;
    hold.reason = reason.to_string();
    hold
}

/// 15 minutes, doubled with each probe, at most 4 hours.
fn interval(probes: u32) -> Duration {
    FIRST_PROBE.saturating_mul(1 << probes.min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000;
    const MINUTE: u64 = 60;

    fn at(seconds: u64) -> Moment {
        Moment::from_seconds(START + seconds)
    }

    #[test]
    fn probes_come_after_fifteen_minutes_doubling_to_four_hours() {
        let mut hold = failed(None, "1", "535", at(0));
        let mut waits = Vec::new();
        for _ in 0..7 {
            let now = hold.next_probe;
            waits.push(now.since(hold.last_failure).as_secs() / MINUTE);
            hold = failed(Some(hold), "1", "535", now);
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 240, 240]);
        assert_eq!(hold.since, at(0));
    }

    #[test]
    fn who_asks_decides_when_a_held_account_is_tried() {
        let hold = failed(None, "1", "535", at(0));
        // digest, occasion, seconds since the failure, tried
        let cases = [
            ("1", Occasion::DueOnly, 15 * MINUTE - 1, false),
            ("1", Occasion::DueOnly, 15 * MINUTE, true),
            ("1", Occasion::ByHand, 1, true),
            ("1", Occasion::NewMessage, 60, false),
            ("1", Occasion::NewMessage, 61, true),
            ("2", Occasion::DueOnly, 1, true),
            ("2", Occasion::NewMessage, 1, true),
        ];
        for (digest, occasion, passed, tried) in cases {
            assert_eq!(open(Some(&hold), digest, occasion, at(passed)), tried, "{digest} {occasion:?} {passed}");
        }
        assert!(open(None, "1", Occasion::DueOnly, at(0)));
    }

    #[test]
    fn a_clock_that_jumps_by_years_does_not_hold_for_years() {
        let hold = failed(None, "1", "535", at(0));
        let long_ago = Moment::from_seconds(START - 10 * 365 * 86_400);
        assert!(open(Some(&hold), "1", Occasion::DueOnly, long_ago));
        assert!(open(Some(&hold), "1", Occasion::NewMessage, long_ago));
    }

    #[test]
    fn a_failing_new_message_does_not_move_the_next_probe() {
        let first = failed(None, "1", "535 a", at(0));
        let second = failed(Some(first.clone()), "1", "535 b", at(61));
        assert_eq!(second, Hold { last_failure: at(61), reason: "535 b".into(), ..first });
    }

    #[test]
    fn a_changed_account_starts_again() {
        let old = failed(None, "1", "535", at(0));
        let new = failed(Some(old), "2", "535", at(90));
        assert_eq!((new.since, new.probes, new.next_probe), (at(90), 1, at(90 + 15 * MINUTE)));
    }
}
