//! The part of a bounce that a machine reads: message/delivery-status (RFC 3464 section 2), ASCII throughout.

use super::{Action, Fate, Report};
use crate::diagnostic::printable;
use crate::mail::address::Mailbox;
use crate::mail::header::Field;
use crate::mail::outcome::Enhanced;
use std::fmt::Write;

/// The per-message fields, and behind an empty line each the per-recipient ones; lines end in CRLF.
pub fn fields(report: &Report) -> String {
    let mut text = String::new();
    field(&mut text, "Reporting-MTA", &format!("dns; {}", report.host));
    if let Some(envid) = report.envid {
        field(&mut text, "Original-Envelope-Id", envid);
    }
    field(&mut text, "X-Mailchute-Queue-Id", report.original);
    field(&mut text, "Arrival-Date", &report.arrival.rfc5322());
    for fate in report.fates {
        text.push_str("\r\n");
        recipient(&mut text, fate, report);
    }
    text
}

fn recipient(text: &mut String, fate: &Fate, report: &Report) {
    let diagnosis = Diagnosis::read(fate.words);
    if let Some((kind, address)) = fate.recipient.original.as_deref().and_then(|original| original.split_once(';')) {
        field(text, "Original-Recipient", &format!("{kind}; {}", address.trim()));
    }
    field(text, "Final-Recipient", &address(&fate.recipient.mailbox));
    field(
        text,
        "Action",
        match fate.action {
            Action::Rejected | Action::Expired => "failed",
            Action::Delayed { .. } => "delayed",
            Action::Relayed => "relayed",
        },
    );
    field(text, "Status", &status(fate.action, &diagnosis).to_string());
    if let Some(host) = diagnosis.host {
        field(text, "Remote-MTA", &format!("dns; {host}"));
    }
    match diagnosis.reply {
        Some(reply) => field(text, "Diagnostic-Code", &format!("smtp; {}", printable(reply))),
        None => field(text, "Diagnostic-Code", &format!("x-mailchute; {}", printable(fate.words))),
    }
    if let Action::Delayed { until } = fate.action {
        field(text, "Last-Attempt-Date", &report.now.rfc5322());
        field(text, "Will-Retry-Until", &until.rfc5322());
    }
}

fn field(text: &mut String, name: &str, value: &str) {
    let mut ascii = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let _ = write!(ascii, "\\x{{{:X}}}", u32::from(c));
        }
    }
    text.push_str(&String::from_utf8_lossy(Field::new(name, &ascii).raw()));
}

/// With its type; beyond ASCII as `utf-8`, whose `\x{E9}` form is what [`field`] writes (RFC 6533 section 3).
fn address(mailbox: &Mailbox) -> String {
    let text = mailbox.to_string();
    format!("{}; {text}", if text.is_ascii() { "rfc822" } else { "utf-8" })
}

/// The relay's own code where it fits the action; else the general one of its class.
fn status(action: Action, diagnosis: &Diagnosis) -> Enhanced {
    let said = |class: u8| diagnosis.enhanced.filter(|code| code.0 == class).unwrap_or(Enhanced(class, 0, 0));
    match action {
        Action::Rejected => said(5),
        // RFC 3463: delivery time expired.
        Action::Expired => Enhanced(4, 4, 7),
        Action::Delayed { .. } => said(4),
        Action::Relayed => said(2),
    }
}

/// Whether words report a reply that rejects for good.
pub fn rejects(words: &str) -> bool {
    Diagnosis::read(words).reply.is_some_and(|reply| reply.starts_with('5'))
}

/// What a failure's words tell a machine; the inverse of `Failure`'s Display.
#[derive(Debug, Default, PartialEq, Eq)]
struct Diagnosis<'a> {
    host: Option<&'a str>,
    reply: Option<&'a str>,
    enhanced: Option<Enhanced>,
}

impl<'a> Diagnosis<'a> {
    fn read(words: &'a str) -> Diagnosis<'a> {
        let Some((relay, said)) = words.split_once(" said ").filter(|(_, said)| is_reply(said)) else {
            let relay = words.split_once(": ").map(|(relay, _)| relay).filter(|relay| relay.contains('.'));
            return Diagnosis { host: relay.and_then(host), ..Diagnosis::default() };
        };
        let reply = said.rsplit_once(" (in reply to ").map_or(said, |(reply, _)| reply);
        let enhanced = reply.get(4..).and_then(Enhanced::parse);
        Diagnosis { host: host(relay), reply: Some(reply), enhanced }
    }
}

fn is_reply(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits == 3 && matches!(text.as_bytes().get(3), None | Some(b' '))
}

/// The name in `name[address]:port`.
fn host(relay: &str) -> Option<&str> {
    let name = relay.split(['[', ':']).next().unwrap_or_default();
    (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::outcome::{Failure, Reply, Stage};

    fn failure(reply: Option<Reply>) -> String {
        let relay = "smtp.example.org[2001:db8::1]:587".to_string();
        Failure { stage: Stage::Rcpt, relay, reply, cause: "connection reset".into(), hint: None }.to_string()
    }

    #[test]
    fn a_failure_is_read_back_from_its_words() {
        let reply = Reply { code: 550, lines: vec!["5.1.1 no (in reply to nobody) here".into()] };
        assert_eq!(
            Diagnosis::read(&failure(Some(reply))),
            Diagnosis {
                host: Some("smtp.example.org"),
                reply: Some("550 5.1.1 no (in reply to nobody) here"),
                enhanced: Some(Enhanced(5, 1, 1)),
            }
        );
        let bare = Reply { code: 550, lines: vec![String::new()] };
        let words = failure(Some(bare));
        assert_eq!(Diagnosis::read(&words).reply, Some("550"));
        let words = failure(None);
        assert_eq!(Diagnosis::read(&words), Diagnosis { host: Some("smtp.example.org"), ..Diagnosis::default() });
    }

    #[test]
    fn words_of_any_other_kind_name_no_host() {
        for words in ["", "no route", "he said 550 no", "connect: refused", "it said nothing"] {
            assert_eq!(Diagnosis::read(words).host.filter(|host| host.contains('.')), None, "{words}");
        }
    }

    #[test]
    fn the_status_keeps_to_the_class_of_the_action() {
        let diagnosis = Diagnosis::read("a said 452 4.2.2 full (in reply to RCPT TO)");
        let until = crate::clock::Moment::default();
        let cases = [
            (Action::Rejected, "5.0.0"),
            (Action::Expired, "4.4.7"),
            (Action::Delayed { until }, "4.2.2"),
            (Action::Relayed, "2.0.0"),
        ];
        for (action, expected) in cases {
            assert_eq!(status(action, &diagnosis).to_string(), expected);
        }
    }
}
