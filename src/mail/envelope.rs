//! Who a message is for and who hears of its fate: the reverse-path and the recipients, with what DSN adds to them
//! (RFC 3461). Values only; an `Envelope` is never empty.

use super::address::Mailbox;
use std::fmt;

/// Where bounces go: nowhere (`<>`) or a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`: a message that is never bounced.
    Null,
    Mailbox(Mailbox),
}

/// Without the angle brackets: empty for the null reverse-path.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

/// When the sender wants to hear of a recipient (RFC 3461 section 4.1). The default, `None` in [`Recipient`], leaves
/// it to the relay; all three `false` is NEVER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
}

impl Notify {
    /// NOTIFY=NEVER.
    pub const NEVER: Notify = Notify { success: false, failure: false, delay: false };

    /// Reads `never` or a comma list of `success`, `failure`, `delay`, in any case.
    pub fn parse(text: &str) -> Option<Notify> {
        let mut notify = Notify::NEVER;
        if text.eq_ignore_ascii_case("never") {
            return Some(notify);
        }
        for word in text.split(',') {
            match word.trim().to_ascii_lowercase().as_str() {
                "success" => notify.success = true,
                "failure" => notify.failure = true,
                "delay" => notify.delay = true,
                _ => return None,
            }
        }
        Some(notify)
    }
}

/// As RCPT writes it: `NEVER` or `SUCCESS,FAILURE,DELAY`.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [("SUCCESS", self.success), ("FAILURE", self.failure), ("DELAY", self.delay)];
        let asked: Vec<&str> = words.iter().filter(|(_, asked)| *asked).map(|(word, _)| *word).collect();
        if asked.is_empty() { f.write_str("NEVER") } else { f.write_str(&asked.join(",")) }
    }
}

/// How much of the message a bounce carries (RFC 3461 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    Full,
    Headers,
}

impl Return {
    /// Reads `full` or `hdrs`, in any case.
    pub fn parse(text: &str) -> Option<Return> {
        match text.to_ascii_lowercase().as_str() {
            "full" => Some(Return::Full),
            "hdrs" => Some(Return::Headers),
            _ => None,
        }
    }
}

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Return::Full => "FULL",
            Return::Headers => "HDRS",
        })
    }
}

/// One forward-path and what was asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub mailbox: Mailbox,
    pub notify: Option<Notify>,
    /// The address as it was before aliases, `rfc822;addr`, not yet xtext (RFC 3461 section 4.2).
    pub original: Option<String>,
}

impl Recipient {
    /// A recipient with nothing special asked.
    pub fn new(mailbox: Mailbox) -> Recipient {
        Recipient { mailbox, notify: None, original: None }
    }
}

/// Reverse-path and recipients of one message; at least one recipient, no two the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    reverse_path: ReversePath,
    recipients: Vec<Recipient>,
    /// RET.
    pub ret: Option<Return>,
    /// ENVID, not yet xtext: printable ASCII.
    pub envid: Option<String>,
}

impl Envelope {
    /// `None` when there is no recipient. A mailbox that stands twice (the domain compared without case) is kept
    /// once, at its first place.
    pub fn new(reverse_path: ReversePath, recipients: Vec<Recipient>) -> Option<Envelope> {
        let mut seen = std::collections::HashSet::new();
        let recipients: Vec<Recipient> =
            recipients.into_iter().filter(|recipient| seen.insert(recipient.mailbox.folded())).collect();
        (!recipients.is_empty()).then_some(Envelope { reverse_path, recipients, ret: None, envid: None })
    }

    pub fn reverse_path(&self) -> &ReversePath {
        &self.reverse_path
    }

    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// The same message under another reverse-path.
    pub fn with_reverse_path(self, reverse_path: ReversePath) -> Envelope {
        Envelope { reverse_path, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_that_stands_twice_is_kept_once() {
        let recipients = ["a@x.org", "b@x.org", "a@X.ORG", "A@x.org"];
        let recipients = recipients.map(|text| Recipient::new(Mailbox::parse(text).unwrap())).to_vec();
        let envelope = Envelope::new(ReversePath::Null, recipients).unwrap();
        let kept: Vec<String> = envelope.recipients().iter().map(|r| r.mailbox.to_string()).collect();
        assert_eq!(kept, ["a@x.org", "b@x.org", "A@x.org"]);
    }

    #[test]
    fn nobody_is_no_envelope() {
        assert_eq!(Envelope::new(ReversePath::Null, Vec::new()), None);
    }

    #[test]
    fn notify_is_read_in_any_case_and_written_in_order() {
        assert_eq!(Notify::parse("delay,Success").unwrap().to_string(), "SUCCESS,DELAY");
        assert_eq!(Notify::parse("NEVER").unwrap().to_string(), "NEVER");
        assert_eq!(Notify::parse("never,success"), None);
        assert_eq!(Notify::parse("bogus"), None);
    }
}
