//! The part of a bounce that a person reads.

use super::{Action, Fate, Report};
use crate::diagnostic::printable;

/// The Subject.
pub fn subject(report: &Report) -> &'static str {
    match report.fates.first().map(|fate| fate.action) {
        Some(Action::Delayed { .. }) => "Delayed Mail (still being tried)",
        Some(Action::Relayed) => "Mail Handed On",
        Some(Action::Rejected | Action::Expired) | None => "Undelivered Mail Returned to Sender",
    }
}

/// The text, in lines of at most 76 octets where its words allow, ended by CRLF.
pub fn body(report: &Report) -> String {
    let mut text = format!("This is the mail program at {}.\n\n", report.host);
    text.push_str(&wrap("", &opening(report)));
    for fate in report.fates {
        text.push('\n');
        text.push_str(&about(fate));
    }
    text.push_str("\nThe message:\n\n");
    for name in ["Subject", "Date"] {
        if let Some(field) = report.header.first(name) {
            text.push_str(&wrap("    ", &format!("{name}: {}", printable(field.text().trim()))));
        }
    }
    text.push_str(&format!("    Queue id: {}\n", report.original));
    let attached = if report.body.is_some() { "It is attached." } else { "Its header is attached." };
    text.push_str(&format!("\n{attached}\n"));
    text.replace('\n', "\r\n")
}

fn opening(report: &Report) -> String {
    match report.fates.first().map(|fate| fate.action) {
        Some(Action::Delayed { until }) => format!(
            "Your message has not been delivered yet to the addresses below. You need not send it again: it is tried \
             until {}, and if that fails you hear of it.",
            until.rfc5322()
        ),
        Some(Action::Relayed) => "Your message was handed to the relay for the addresses below. That relay sends no \
                                  notices of delivery, so this is the last you hear of it."
            .to_string(),
        Some(Action::Rejected | Action::Expired) | None => {
            "Your message was not delivered to the addresses below, and is not tried again for them. Other recipients \
             of it are not affected."
                .to_string()
        }
    }
}

fn about(fate: &Fate) -> String {
    let mut text = format!("<{}>\n", printable(&fate.recipient.mailbox.to_string()));
    let before = fate.recipient.original.as_deref().and_then(|original| original.split_once(';'));
    if let Some((_, before)) = before
        && before != fate.recipient.mailbox.to_string()
    {
        text.push_str(&wrap("    ", &format!("which stands for {}", printable(before))));
    }
    if fate.action == Action::Expired {
        text.push_str(&wrap("    ", "It was tried for as long as the queue tries. The last time:"));
    }
    text.push_str(&wrap("    ", &printable(fate.words)));
    if let Some(hint) = fate.hint {
        text.push_str(&wrap("    ", &format!("What to do: {}", printable(hint))));
    }
    text
}

/// The widest line, in octets.
const WIDTH: usize = 76;

/// Breaks a text at blanks into indented lines; a longer word stands alone.
fn wrap(indent: &str, text: &str) -> String {
    let mut wrapped = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH {
            wrapped.push_str(&format!("{indent}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    wrapped.push_str(&format!("{indent}{line}\n"));
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_at_blanks() {
        let cases = [
            ("", "  \n".to_string()),
            ("a  b\tc", "  a b c\n".to_string()),
            (&format!("a {} b", "x".repeat(80)), format!("  a\n  {}\n  b\n", "x".repeat(80))),
        ];
        for (text, expected) in cases {
            assert_eq!(wrap("  ", text), expected);
        }
        assert!(wrap("    ", &"four ".repeat(100)).lines().all(|line| line.len() <= WIDTH));
    }
}
