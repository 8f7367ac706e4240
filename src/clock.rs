//! What time it is, and how mail, JSON and the queue listing write it. The only place that asks the clock.

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use std::time::Duration;

/// A moment, in microseconds since 1970-01-01 UTC. Wall-clock time: it may jump, so nothing may depend on its order
/// for safety.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// The wall clock now.
    pub fn now() -> Moment {
        Moment(u64::try_from(now().as_microsecond()).unwrap_or(0))
    }

    /// From whole seconds since 1970.
    pub fn from_seconds(seconds: u64) -> Moment {
        Moment(seconds.saturating_mul(1_000_000))
    }

    /// From a date as mail and HTTP write it (RFC 5322 section 3.3, RFC 9110 section 5.6.7).
    pub fn from_date(text: &str) -> Option<Moment> {
        let moment = DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
        u64::try_from(moment.as_microsecond()).ok().map(Moment)
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This moment and so much later.
    pub fn after(self, wait: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long since `earlier`; zero when the clock went backwards.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// As a Date field has it, local time with numeric zone (RFC 5322 section 3.3): `Tue, 24 Nov 2026 15:04:05 +0100`.
    pub fn rfc5322(self) -> String {
        self.local().strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
    }

    /// As JSON has it, UTC (RFC 3339): `2026-11-24T14:04:05Z`.
    pub fn rfc3339(self) -> String {
        self.zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// As an mbox has it, UTC (RFC 4155): `Tue Nov 24 14:04:05 2026`.
    pub fn asctime(self) -> String {
        self.zoned(TimeZone::UTC).strftime("%a %b %e %H:%M:%S %Y").to_string()
    }

    /// As Postfix's queue listing has it, local time: `Tue Nov 24 15:04:05`.
    pub fn listing(self) -> String {
        self.local().strftime("%a %b %e %H:%M:%S").to_string()
    }

    fn local(self) -> ZonedDateTime {
        self.zoned(TimeZone::system())
    }

    fn zoned(self, zone: TimeZone) -> ZonedDateTime {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX).to_zoned_datetime(zone)
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that asks the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_each_reader_expects() {
        let moment = Moment::from_seconds(1_795_529_045);
        assert_eq!(moment.rfc3339(), "2026-11-24T14:04:05Z");
        assert_eq!(moment.asctime(), "Tue Nov 24 14:04:05 2026");
        assert_eq!(moment.zoned(TimeZone::UTC).strftime("%a %b %e %H:%M:%S").to_string(), "Tue Nov 24 14:04:05");
    }

    #[test]
    fn a_date_of_mail_and_one_of_http_are_the_same() {
        let moment = Moment::from_seconds(1_795_529_045);
        for text in
            ["Tue, 24 Nov 2026 14:04:05 GMT", "Tue, 24 Nov 2026 15:04:05 +0100", " 24 Nov 2026 14:04:05 +0000\r"]
        {
            assert_eq!(Moment::from_date(text), Some(moment), "{text}");
        }
        assert_eq!(Moment::from_date("ready"), None);
    }

    #[test]
    fn a_clock_set_back_gives_no_age() {
        assert_eq!(Moment::from_seconds(5).since(Moment::from_seconds(9)), Duration::ZERO);
    }

    #[test]
    fn the_end_of_time_can_be_written() {
        assert!(!Moment(u64::MAX).rfc3339().is_empty());
    }
}
