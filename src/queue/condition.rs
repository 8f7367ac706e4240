//! How a queue stands, in a few numbers: for those who watch many machines. `look` reads them; all else is pure.

use crate::clock::Moment;
use crate::spool::{Place, Spool, SpoolError};
use std::fmt;
use std::time::Duration;

/// The numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Messages that wait.
    pub queued: usize,
    /// When the first of them was taken.
    pub oldest: Option<Moment>,
    /// Messages that were given up and are still kept.
    pub dead: usize,
    /// Accounts that wait for a person.
    pub held: Vec<String>,
    /// No room is left for another message.
    pub full: bool,
}

/// Reads how a spool stands; `accounts` are the names of those that are configured.
///
/// # Errors
/// The spool cannot be read.
pub fn look<'a>(spool: &Spool, accounts: impl Iterator<Item = &'a str>) -> Result<Condition, SpoolError> {
    let ids = spool.queue()?;
    let first = ids.iter().find_map(|id| spool.peek(id).ok().flatten());
    Ok(Condition {
        queued: ids.len(),
        oldest: first.map(|peek| peek.ticket.created),
        dead: spool.ids(Place::Dead)?.len(),
        held: accounts.filter(|name| spool.recall(name).hold.is_some()).map(str::to_owned).collect(),
        full: spool.check_room().is_err(),
    })
}

/// One line that [`Condition::parse`] reads: what the spooler tells its clients.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let oldest = self.oldest.map_or(0, Moment::seconds);
        let full = u8::from(self.full);
        write!(f, "queued={} oldest={oldest} dead={} full={full} held={}", self.queued, self.dead, self.held.join(","))
    }
}

impl Condition {
    /// Reads a line.
    pub fn parse(line: &str) -> Option<Condition> {
        let value = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let number = |key: &str| value(key)?.parse::<u64>().ok();
        let count = |key: &str| usize::try_from(number(key)?).ok();
        Some(Condition {
            queued: count("queued")?,
            oldest: Some(number("oldest")?).filter(|seconds| *seconds > 0).map(Moment::from_seconds),
            dead: count("dead")?,
            full: number("full")? > 0,
            held: value("held")?.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        })
    }

    /// How good that is.
    pub fn judge(&self, limits: &Limits, now: Moment) -> (Level, String) {
        let age = self.oldest.map(|oldest| now.since(oldest));
        let over = |most: Option<Duration>| age.zip(most).is_some_and(|(age, most)| age >= most);
        let many = |most: Option<u64>| most.is_some_and(|most| self.queued as u64 >= most);
        let critical = !self.held.is_empty() || self.full || over(limits.critical_age) || many(limits.critical_queued);
        let level = if critical {
            Level::Critical
        } else if over(limits.warning_age) || many(limits.warning_queued) {
            Level::Warning
        } else {
            Level::Ok
        };
        let mut words = vec![match self.queued {
            0 => "nothing waits".to_owned(),
            queued => format!("{queued} waiting, the first for {}", span(age.unwrap_or_default())),
        }];
        words.extend(self.held.iter().map(|name| format!("account {name} is held")));
        words.extend(self.full.then(|| "no room on the disk of the spool".to_owned()));
        (level, format!("{}{}", words.join(", "), self.data(limits, age.unwrap_or_default())))
    }

    /// What monitoring draws: value, warning, critical, least.
    fn data(&self, limits: &Limits, age: Duration) -> String {
        let most = |most: Option<u64>| most.map(|most| most.to_string()).unwrap_or_default();
        let seconds = |most: Option<Duration>| most.map(|most| most.as_secs().to_string()).unwrap_or_default();
        format!(
            " | queued={};{};{};0 oldest={}s;{};{};0 held={};;;0 dead={};;;0",
            self.queued,
            most(limits.warning_queued),
            most(limits.critical_queued),
            age.as_secs(),
            seconds(limits.warning_age),
            seconds(limits.critical_age),
            self.held.len(),
            self.dead
        )
    }
}

/// From when on something is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub warning_age: Option<Duration>,
    pub critical_age: Option<Duration>,
    pub warning_queued: Option<u64>,
    pub critical_queued: Option<u64>,
}

/// As monitoring has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Ok,
    Warning,
    Critical,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Ok => "OK",
            Level::Warning => "WARNING",
            Level::Critical => "CRITICAL",
        })
    }
}

/// The two largest units are enough.
fn span(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn limits() -> Limits {
        Limits {
            warning_age: Some(HOUR),
            critical_age: Some(24 * HOUR),
            warning_queued: Some(10),
            critical_queued: None,
        }
    }

    #[test]
    fn what_stands_badly_is_told_with_its_level() {
        let now = Moment::from_seconds(1_795_529_045);
        let waiting = |queued, age: u64| Condition {
            queued,
            oldest: Some(Moment::from_seconds(now.seconds() - age)),
            ..Condition::default()
        };
        let held = Condition { held: vec!["gmail".into()], ..waiting(1, 60) };
        let full = Condition { full: true, dead: 3, ..Condition::default() };
        for (condition, level, words) in [
            (
                Condition::default(),
                Level::Ok,
                "nothing waits | queued=0;10;;0 oldest=0s;3600;86400;0 held=0;;;0 dead=0;;;0",
            ),
            (waiting(1, 3599), Level::Ok, "1 waiting, the first for 59m | queued=1;"),
            (waiting(2, 3660), Level::Warning, "2 waiting, the first for 1h1m | queued=2;"),
            (waiting(10, 0), Level::Warning, "10 waiting, the first for 0m |"),
            (waiting(2, 90_000), Level::Critical, "2 waiting, the first for 1d1h |"),
            (held, Level::Critical, "1 waiting, the first for 1m, account gmail is held |"),
            (full, Level::Critical, "nothing waits, no room on the disk of the spool |"),
        ] {
            let (found, text) = condition.judge(&limits(), now);
            assert_eq!(found, level, "{text}");
            assert!(text.starts_with(words), "{text}");
        }
    }

    #[test]
    fn a_condition_survives_its_line() {
        let some = Condition {
            queued: 3,
            oldest: Some(Moment::from_seconds(5)),
            dead: 1,
            held: vec!["a".into(), "b.c".into()],
            full: true,
        };
        for condition in [some, Condition::default()] {
            assert_eq!(Condition::parse(&condition.to_string()), Some(condition));
        }
        assert_eq!(Condition::parse("queued=x"), None);
    }
}
