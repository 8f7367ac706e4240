//! `mailchute queue show ID`: everything about one message.

use super::{Row, table};
use crate::clock::Moment;
use crate::diagnostic::printable;
use crate::mail::header::Header;

/// The fields of the header that tell a person which message it is.
const SHOWN: [&str; 5] = ["From", "To", "Subject", "Date", "Message-ID"];

/// What is known of the message, each recipient with the last reply, and the telling fields of its header.
pub fn show(row: &Row, header: &Header, now: Moment) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<13}{}\n", printable(value)));
    line("Queue id", &row.id);
    line("Created", &row.created.rfc5322());
    line("Size", &format!("{} octets", row.size));
    line("Account", row.account.as_deref().unwrap_or("chosen at each attempt"));
    line("Attempts", &row.attempts.to_string());
    line("State", &table::wait(row, now));
    line("Reverse-path", &format!("<{}>", row.reverse_path));
    for recipient in &row.recipients {
        line("Recipient", &format!("<{}> {}", recipient.address, recipient.status()));
        if !recipient.reply.is_empty() {
            line("", &recipient.reply);
        }
    }
    text.push('\n');
    for name in SHOWN {
        if let Some(field) = header.first(name) {
            text.push_str(&format!("{name}: {}\n", printable(field.text().trim())));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::mail::header::Field;

    #[test]
    fn everything_about_a_message_is_shown() {
        let mut header = Header::default();
        header.push(Field::new("Subject", "disk full"));
        header.push(Field::new("X-Other", "not shown"));
        let row = sample("A");
        let created = row.created.rfc5322();
        assert_eq!(
            show(&row, &header, Moment::from_seconds(1_795_529_105)),
            format!(
                "Queue id     A\n\
                 Created      {created}\n\
                 Size         283 octets\n\
                 Account      gmail\n\
                 Attempts     2\n\
                 State        next try in 60 s: connect to 127.0.0.1[127.0.0.1]:25250: Connection refused\n\
                 Reverse-path <tester@lab.example.net>\n\
                 Recipient    <ann@example.org> accepted\n\
                 \x20            250 2.0.0 OK\n\
                 Recipient    <bob@example.org> deferred\n\
                 \x20            connect to 127.0.0.1[127.0.0.1]:25250: Connection refused\n\
                 \n\
                 Subject: disk full\n"
            )
        );
    }
}
