//! Spans of time as the configuration writes them: `30s`, `1m`, `4h`, `5d`, `1w`.

use std::time::Duration;

const YEAR: u64 = 366 * 86_400;

/// Reads a whole number and its unit. Zero and anything over a year are slips, not wishes.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let seconds = digits.trim_end().parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=YEAR).contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_whole_number_and_a_unit() {
        for (text, seconds) in [
            ("30s", Some(30)),
            ("1m", Some(60)),
            ("4h", Some(14_400)),
            ("5 d", Some(432_000)),
            ("1w", Some(604_800)),
            ("5", None),
            ("", None),
            ("h", None),
            ("-1h", None),
            ("1.5h", None),
            ("0s", None),
            ("2y", None),
            ("99999999999999999999d", None),
            ("400d", None),
        ] {
            assert_eq!(parse(text), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
