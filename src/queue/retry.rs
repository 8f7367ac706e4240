//! When an entry is tried again, and when it has been tried for long enough. Pure: no clock, no files.
//!
//! The clock may jump by years in either direction. An entry's age is therefore a sum of intervals that are capped
//! before they are added, and a next try that lies further ahead than any back-off reaches is due now.

use crate::clock::Moment;
use crate::spool::Progress;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// How patiently the queue tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The wait after the first try.
    pub first: Duration,
    /// The longest wait, before jitter.
    pub max: Duration,
    /// The age at which a message is given up.
    pub expire: Duration,
    /// The age at which the sender hears of the delay, once; `None` for never.
    pub warn_after: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Policy {
        const HOUR: u64 = 3600;
        Policy {
            first: Duration::from_secs(60),
            max: Duration::from_secs(4 * HOUR),
            expire: Duration::from_secs(5 * 24 * HOUR),
            warn_after: Some(Duration::from_secs(4 * HOUR)),
        }
    }
}

/// Tries that every message gets, however short `expire` is.
pub const LEAST_ATTEMPTS: u32 = 3;

/// Jitter takes away or adds up to this part of a back-off: one fifth.
const JITTER: u32 = 5;

/// The wait after so many tries: `first`, doubled with each further one, at most `max`.
pub fn back_off(policy: &Policy, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    policy.first.saturating_mul(1 << doublings).min(policy.max)
}

/// The wait after so many tries of this entry: the back-off, 20 % shorter to 20 % longer. The entry's id decides by
/// how much, so that a thousand messages queued together are not tried together, and a test knows the answer.
pub fn next(policy: &Policy, attempts: u32, id: &impl Hash) -> Duration {
    let back_off = back_off(policy, attempts);
    let spread = back_off / JITTER * 2;
    let mut hasher = DefaultHasher::new();
    (id, attempts).hash(&mut hasher);
    let thousandths = u32::try_from(hasher.finish() % 1001).unwrap_or(0);
    back_off - spread / 2 + spread * thousandths / 1000
}

/// The age of an entry at `now`: what it was, and the time since its last try, of which at most twice the back-off
/// counts. A jump of the clock by ten years so adds at most one long wait; a jump back adds nothing.
pub fn age(policy: &Policy, progress: &Progress, now: Moment) -> Duration {
    let cap = back_off(policy, progress.attempts).saturating_mul(2);
    progress.age.saturating_add(now.since(progress.last).min(cap))
}

/// Whether the message has been tried for long enough.
pub fn expired(policy: &Policy, age: Duration, attempts: u32) -> bool {
    age > policy.expire && attempts >= LEAST_ATTEMPTS
}

/// Whether the sender should now hear that the message is late.
pub fn late(policy: &Policy, age: Duration, progress: &Progress) -> bool {
    !progress.warned && policy.warn_after.is_some_and(|limit| age >= limit)
}

/// Whether it is time to try an entry that no person has put on hold.
pub fn due(policy: &Policy, progress: &Progress, now: Moment) -> bool {
    !progress.held && (progress.next <= now || progress.next > now.after(policy.max + policy.max / JITTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 3600;
    const YEAR: u64 = 365 * 24 * HOUR;

    fn progress(attempts: u32, last: u64, next: u64, age: u64) -> Progress {
        Progress {
            attempts,
            next: Moment::from_seconds(next),
            age: Duration::from_secs(age),
            last: Moment::from_seconds(last),
            held: false,
            warned: false,
            recipients: Vec::new(),
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let policy = Policy::default();
        let minutes: Vec<u64> = (0..=11).map(|attempts| back_off(&policy, attempts).as_secs() / MINUTE).collect();
        assert_eq!(minutes, [1, 1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240]);
        assert_eq!(back_off(&policy, u32::MAX), policy.max);
    }

    #[test]
    fn jitter_stays_within_a_fifth_and_spreads() {
        let policy = Policy::default();
        for attempts in [1, 2, 5, 9, 40] {
            let exact = back_off(&policy, attempts);
            let waits: Vec<Duration> = (0..200).map(|id| next(&policy, attempts, &id)).collect();
            assert!(waits.iter().all(|wait| *wait >= exact * 4 / 5 && *wait <= exact * 6 / 5), "{attempts}");
            assert!(waits.iter().any(|wait| *wait < exact * 9 / 10), "{attempts}");
            assert!(waits.iter().any(|wait| *wait > exact * 11 / 10), "{attempts}");
        }
        assert_eq!(next(&policy, 3, &"A"), next(&policy, 3, &"A"));
    }

    #[test]
    fn a_jump_of_the_clock_ages_by_one_wait_at_most() {
        let policy = Policy::default();
        let last = 100 * YEAR;
        // attempts, seconds from the last try to now, seconds that count
        let cases = [
            (1, 90, 90),
            (1, 120, 120),
            (1, 8 * 24 * HOUR, 120),
            (4, 10 * YEAR, 16 * MINUTE),
            (20, 6 * HOUR, 6 * HOUR),
            (20, 50 * YEAR, 8 * HOUR),
        ];
        for (attempts, passed, counted) in cases {
            let age = age(&policy, &progress(attempts, last, 0, 1000), Moment::from_seconds(last + passed));
            assert_eq!(age.as_secs(), 1000 + counted, "{attempts} {passed}");
        }
        let back = age(&policy, &progress(4, last, 0, 1000), Moment::from_seconds(5));
        assert_eq!(back.as_secs(), 1000);
    }

    #[test]
    fn a_message_expires_by_age_and_tries_together() {
        let policy = Policy::default();
        let day = 24 * HOUR;
        for (days, attempts, over) in [(4, 40, false), (5, 40, false), (6, 40, true), (6, 2, false), (6, 3, true)] {
            assert_eq!(expired(&policy, Duration::from_secs(days * day), attempts), over, "{days} {attempts}");
        }
    }

    #[test]
    fn an_honest_clock_expires_after_five_days_of_tries() {
        let policy = Policy::default();
        let mut entry = progress(0, 1_000_000, 1_000_000, 0);
        let mut now = entry.last;
        while !expired(&policy, entry.age, entry.attempts) {
            entry.age = age(&policy, &entry, now);
            entry.attempts += 1;
            entry.last = now;
            now = now.after(next(&policy, entry.attempts, &"A"));
            assert!(entry.attempts < 1000, "it never ends");
        }
        let hours = entry.last.seconds().saturating_sub(1_000_000) / HOUR;
        assert!((120..126).contains(&hours), "{hours}");
        assert!((30..50).contains(&entry.attempts), "{}", entry.attempts);
    }

    #[test]
    fn an_entry_is_due_at_its_time_and_when_its_time_cannot_be_true() {
        let policy = Policy::default();
        let now = 100 * YEAR;
        // seconds of the next try relative to now, due
        let cases: [(i64, bool); 7] = [
            (0, true),
            (-1, true),
            (1, false),
            (i64::try_from(4 * HOUR).unwrap(), false),
            (i64::try_from(4 * HOUR * 6 / 5).unwrap(), false),
            (i64::try_from(4 * HOUR * 6 / 5 + 1).unwrap(), true),
            (i64::try_from(10 * YEAR).unwrap(), true),
        ];
        for (ahead, expected) in cases {
            let entry = progress(1, now, now.checked_add_signed(ahead).unwrap(), 0);
            assert_eq!(due(&policy, &entry, Moment::from_seconds(now)), expected, "{ahead}");
        }
        let held = Progress { held: true, ..progress(1, now, 0, 0) };
        assert!(!due(&policy, &held, Moment::from_seconds(now)));
    }

    #[test]
    fn the_sender_hears_of_a_delay_once() {
        let policy = Policy::default();
        let entry = progress(9, 0, 0, 0);
        assert!(!late(&policy, Duration::from_secs(4 * HOUR - 1), &entry));
        assert!(late(&policy, Duration::from_secs(4 * HOUR), &entry));
        assert!(!late(&policy, Duration::from_secs(5 * HOUR), &Progress { warned: true, ..entry.clone() }));
        assert!(!late(&Policy { warn_after: None, ..policy }, Duration::from_secs(5 * HOUR), &entry));
    }
}
