//! How long: `5d`, `1h30m`, as sendmail writes intervals.

use std::time::Duration;

/// Reads numbers, each with its unit: seconds, minutes, hours, days, weeks. `None` for anything else, and for a
/// number without a unit.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let unit = match behind.bytes().next()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 60 * 60,
            b'd' => 24 * 60 * 60,
            b'w' => 7 * 24 * 60 * 60,
            _ => return None,
        };
        seconds = number.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(seconds)?;
        rest = &behind[1..];
    }
    (!text.is_empty()).then_some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_numbers_with_units() {
        let cases = [
            ("5d", Some(432_000)),
            ("1h30m", Some(5400)),
            ("90s", Some(90)),
            ("2w", Some(1_209_600)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("d", None),
            ("5d3", None),
            ("-5d", None),
            ("5 d", None),
            ("5µ", None),
            ("99999999999999999999w", None),
            ("9999999999999999999w", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
