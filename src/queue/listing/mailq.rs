//! `mailq` and `sendmail -bp`: Postfix's layout to the letter, which monitoring plugins parse.

use super::{Line, Row, Standing};
use crate::diagnostic::printable;
use crate::spool::State;
use std::io::{self, Write};

/// Writes the listing: `*` marks a message being sent, `!` one that a person holds; only recipients still waiting are
/// named, each reason once above those it is true of.
pub fn list(rows: impl Iterator<Item = Row>, output: &mut dyn Write) -> io::Result<()> {
    let (mut count, mut octets) = (0u64, 0u64);
    for row in rows {
        if count == 0 {
            writeln!(output, "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------")?;
        }
        entry(&row, output)?;
        if count == 0 {
            output.flush()?;
        }
        count += 1;
        octets = octets.saturating_add(row.size);
    }
    match count {
        0 => writeln!(output, "Mail queue is empty"),
        1 => writeln!(output, "-- {} Kbytes in 1 Request.", octets / 1024),
        _ => writeln!(output, "-- {} Kbytes in {count} Requests.", octets / 1024),
    }?;
    output.flush()
}

/// The column at which a reason ends.
const REASON_END: usize = 76;

fn entry(row: &Row, output: &mut dyn Write) -> io::Result<()> {
    let mark = match row.standing {
        Standing::Active => '*',
        Standing::UserHeld => '!',
        Standing::Queued | Standing::AccountHeld | Standing::Dead => ' ',
    };
    let sender = match row.reverse_path.as_str() {
        "" => "MAILER-DAEMON".to_string(),
        mailbox => printable(mailbox),
    };
    writeln!(output, "{:<11}{mark}{:>7} {:<20} {sender}", row.id, row.size, row.created.listing())?;
    let mut said = None;
    for line in row.recipients.iter().filter(|line| line.state != State::Accepted) {
        let reason = reason(row, line);
        if said.as_ref() != Some(&reason) && !reason.is_empty() {
            let indent = REASON_END.saturating_sub(reason.chars().count());
            writeln!(output, "{:indent$}({reason})", "")?;
        }
        writeln!(output, "{:41}{}", "", printable(&line.address))?;
        said = Some(reason);
    }
    writeln!(output)
}

fn reason(row: &Row, line: &Line) -> String {
    match (row.standing, &row.reason, &row.account) {
        (Standing::AccountHeld, Some(reason), Some(account)) => printable(&format!("account {account} held: {reason}")),
        _ => printable(&line.reply),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn listed(rows: Vec<Row>) -> String {
        let mut output = Vec::new();
        list(rows.into_iter(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn the_layout_is_postfix_s() {
        let row = sample("93693A2681B");
        let time = row.created.listing();
        assert_eq!(
            listed(vec![row]),
            format!(
                "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n\
                 93693A2681B     283 {time}  tester@lab.example.net\n\
                 {:19}(connect to 127.0.0.1[127.0.0.1]:25250: Connection refused)\n\
                 {:41}bob@example.org\n\
                 \n\
                 -- 0 Kbytes in 1 Request.\n",
                "", ""
            )
        );
        assert_eq!(listed(Vec::new()), "Mail queue is empty\n");
    }

    #[test]
    fn marks_say_who_has_the_message() {
        for (standing, mark) in [(Standing::Active, '*'), (Standing::UserHeld, '!'), (Standing::AccountHeld, ' ')] {
            let text = listed(vec![Row { standing, ..sample("064D1A2B3C4D5E6F01234567") }]);
            let line = text.lines().nth(1).unwrap().to_string();
            assert!(line.starts_with(&format!("064D1A2B3C4D5E6F01234567{mark}    283 ")), "{line}");
        }
    }

    #[test]
    fn a_bounce_comes_from_the_mailer_daemon() {
        assert!(listed(vec![Row { reverse_path: String::new(), ..sample("A") }]).contains(" MAILER-DAEMON\n"));
    }

    #[test]
    fn a_held_account_is_the_reason_of_its_messages() {
        let row = Row { standing: Standing::AccountHeld, reason: Some("535 5.7.8 no".into()), ..sample("A") };
        assert!(listed(vec![row]).contains("(account gmail held: 535 5.7.8 no)\n"));
    }

    #[test]
    fn a_reason_that_many_share_stands_once() {
        let mut row = sample("A");
        row.recipients = ["a", "b", "c"]
            .map(|address| Line { address: address.into(), state: State::Pending, reply: "451 wait".into() })
            .to_vec();
        row.recipients[2].reply = "452 full".into();
        let text = listed(vec![row]);
        assert_eq!(text.matches("(451 wait)").count(), 1);
        assert_eq!(text.matches("(452 full)").count(), 1);
    }

    #[test]
    fn foreign_text_cannot_forge_a_line() {
        let mut row = sample("A");
        row.recipients[1].reply = "451 x\n-- 0 Kbytes in 0 Requests.".into();
        assert_eq!(listed(vec![row]).lines().filter(|line| line.starts_with("--")).count(), 1);
    }

    /// As Nagios' check_mailq -M postfix reads it: the number behind ` Kbytes in ` on a line that starts with `-- `.
    fn nagios_count(text: &str) -> Option<u64> {
        if text.contains("Mail queue is empty") {
            return Some(0);
        }
        text.lines().rev().find_map(|line| {
            let rest = line.strip_prefix("-- ")?.trim_start_matches(|c: char| c.is_ascii_digit());
            let rest = rest.strip_prefix(" Kbytes in ")?;
            let (count, request) = rest.split_once(' ')?;
            request.starts_with("Request").then(|| count.parse().ok())?
        })
    }

    #[test]
    fn monitoring_counts_right() {
        for count in [0, 1, 2, 1000] {
            let rows = (0..count).map(|number| sample(&number.to_string())).collect();
            assert_eq!(nagios_count(&listed(rows)), Some(count));
        }
    }

    #[test]
    fn the_first_entry_is_out_before_the_second_is_asked_for() {
        use std::cell::Cell;
        struct Watch<'a>(&'a Cell<usize>);
        impl Write for Watch<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.set(self.0.get() + bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let written = Cell::new(0);
        let rows = (0..2).map(|number| {
            assert_eq!(number == 1, written.get() > 0);
            sample("A")
        });
        list(rows, &mut io::BufWriter::new(Watch(&written))).unwrap();
    }
}
