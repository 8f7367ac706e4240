//! `mailchute queue list`: for a person who wants to know what waits, for what, and until when.

use super::{Row, Standing};
use crate::clock::Moment;
use crate::diagnostic::printable;
use crate::spool::{Hold, State};
use std::io::{self, Write};
use std::time::Duration;

/// Recipients named before the rest is counted.
const NAMED: usize = 3;

/// Writes held accounts first, with their names, then the messages, then how many they are.
pub fn list(
    holds: &[(String, Hold)],
    rows: impl Iterator<Item = Row>,
    now: Moment,
    output: &mut dyn Write,
) -> io::Result<()> {
    for (account, hold) in holds {
        let span = words(now.since(hold.since)).unwrap_or("0 s".to_string());
        writeln!(output, "Account {} has been held for {span}.", printable(account))?;
        writeln!(output, "    {}", printable(&hold.reason))?;
        writeln!(output, "    Next try {}; mailchute queue flush tries now.\n", ahead(hold.next_probe, now))?;
    }
    let (mut count, mut octets) = (0u64, 0u64);
    for row in rows {
        entry(&row, now, output)?;
        if count == 0 {
            output.flush()?;
        }
        count += 1;
        octets = octets.saturating_add(row.size);
    }
    match count {
        0 => writeln!(output, "The queue is empty."),
        1 => writeln!(output, "1 message, {}.", size(octets)),
        _ => writeln!(output, "{count} messages, {}.", size(octets)),
    }?;
    output.flush()
}

fn entry(row: &Row, now: Moment, output: &mut dyn Write) -> io::Result<()> {
    let sender = if row.reverse_path.is_empty() { "<>".to_string() } else { printable(&row.reverse_path) };
    writeln!(output, "{}  {}  from {sender}  {}", row.id, size(row.size), ago(row.created, now))?;
    let waiting: Vec<_> = row.recipients.iter().filter(|line| line.state != State::Accepted).collect();
    let mut named: Vec<String> = waiting.iter().take(NAMED).map(|line| printable(&line.address)).collect();
    if waiting.len() > NAMED {
        named.push(format!("{} more", waiting.len() - NAMED));
    }
    writeln!(output, "    to {}", named.join(", "))?;
    writeln!(output, "    {}\n", wait(row, now))
}

/// What happens next, and why not yet.
pub fn wait(row: &Row, now: Moment) -> String {
    let next = match (row.standing, row.next_attempt) {
        (Standing::Active, _) => "being sent now".to_string(),
        (Standing::UserHeld, _) => "on hold until mailchute queue release".to_string(),
        (Standing::Dead, _) => "given up".to_string(),
        (Standing::AccountHeld, Some(next)) => {
            let account = row.account.as_deref().unwrap_or("its");
            format!("account {} is held, next try {}", printable(account), ahead(next, now))
        }
        (_, Some(next)) => format!("next try {}", ahead(next, now)),
        (_, None) => "waiting".to_string(),
    };
    match &row.reason {
        Some(reason) => format!("{next}: {}", printable(reason)),
        None => next,
    }
}

fn ago(then: Moment, now: Moment) -> String {
    match words(now.since(then)) {
        Some(words) => format!("{words} ago"),
        None => "just now".to_string(),
    }
}

fn ahead(then: Moment, now: Moment) -> String {
    match words(then.since(now)) {
        Some(words) => format!("in {words}"),
        None => "at the next queue run".to_string(),
    }
}

/// `None` for less than a second.
fn words(span: Duration) -> Option<String> {
    let seconds = span.as_secs();
    Some(match seconds {
        0 => return None,
        1..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    })
}

fn size(octets: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", octets / unit, octets % unit * 10 / unit);
    match octets {
        0..=999 => format!("{octets} B"),
        1000..=999_999 => format!("{} kB", tenths(1000)),
        1_000_000..=999_999_999 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn now() -> Moment {
        Moment::from_seconds(1_795_529_105)
    }

    fn listed(holds: &[(String, Hold)], rows: Vec<Row>) -> String {
        let mut output = Vec::new();
        list(holds, rows.into_iter(), now(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_message_says_what_it_waits_for() {
        assert_eq!(
            listed(&[], vec![sample("064D1A2B3C4D5E6F01234567")]),
            "064D1A2B3C4D5E6F01234567  283 B  from tester@lab.example.net  60 s ago\n\
             \x20   to bob@example.org\n\
             \x20   next try in 60 s: connect to 127.0.0.1[127.0.0.1]:25250: Connection refused\n\
             \n\
             1 message, 283 B.\n"
        );
        assert_eq!(listed(&[], Vec::new()), "The queue is empty.\n");
    }

    #[test]
    fn held_accounts_come_first() {
        let hold = Hold {
            since: Moment::from_seconds(1_795_529_105 - 3 * 3600),
            last_failure: now(),
            probes: 2,
            next_probe: now().after(Duration::from_secs(1800)),
            reason: "smtp.gmail.com said 535 5.7.8 no\x1b[2J".into(),
            digest: "1".into(),
        };
        let row = Row { standing: Standing::AccountHeld, reason: None, ..sample("A") };
        let text = listed(&[("gmail".into(), hold)], vec![row]);
        assert!(
            text.starts_with(
                "Account gmail has been held for 3 h.\n\
                 \x20   smtp.gmail.com said 535 5.7.8 no\\x1b[2J\n\
                 \x20   Next try in 30 min; mailchute queue flush tries now.\n\n"
            ),
            "{text}"
        );
        assert!(text.contains("account gmail is held, next try in 60 s\n"), "{text}");
    }

    #[test]
    fn many_recipients_are_counted() {
        let mut row = sample("A");
        row.recipients = vec![row.recipients[1].clone(); 7];
        assert!(listed(&[], vec![row]).contains("    to bob@example.org, bob@example.org, bob@example.org, 4 more\n"));
    }

    #[test]
    fn every_standing_has_its_words() {
        let cases = [
            (Standing::Active, "being sent now"),
            (Standing::UserHeld, "on hold until mailchute queue release"),
            (Standing::Dead, "given up"),
            (Standing::Queued, "next try in 60 s"),
        ];
        for (standing, words) in cases {
            assert_eq!(wait(&Row { standing, reason: None, ..sample("A") }, now()), words);
        }
    }

    #[test]
    fn spans_and_sizes_are_short() {
        let spans =
            [(0, None), (119, Some("119 s")), (120, Some("2 min")), (7200, Some("2 h")), (200_000, Some("2 days"))];
        for (seconds, expected) in spans {
            assert_eq!(words(Duration::from_secs(seconds)).as_deref(), expected);
        }
        for (octets, expected) in [(0, "0 B"), (1234, "1.2 kB"), (25_000_000, "25.0 MB"), (2_100_000_000, "2.1 GB")] {
            assert_eq!(size(octets), expected);
        }
    }
}
