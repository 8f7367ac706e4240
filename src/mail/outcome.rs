//! What a relay said about a message, per recipient, and what we make of it. Doubt means deferred: only a 5yz reply
//! about *this message* or *this recipient* rejects.

use std::fmt;

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Enhanced {
    /// Reads `5.1.1` at the start of a reply's text.
    pub fn parse(text: &str) -> Option<Enhanced> {
        let word = text.split([' ', '\t']).next()?;
        let mut parts = word.split('.');
        let class = parts.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?;
        let enhanced = Enhanced(class, short(parts.next()?)?, short(parts.next()?)?);
        parts.next().is_none().then_some(enhanced)
    }
}

fn short(digits: &str) -> Option<u16> {
    (digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A complete SMTP reply (RFC 5321 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The lines after the code, as received, without line ends.
    pub lines: Vec<String>,
}

impl Reply {
    /// The enhanced status code, when the reply carries one.
    pub fn enhanced(&self) -> Option<Enhanced> {
        self.lines.first().and_then(|line| Enhanced::parse(line))
    }

    /// The lines joined into one text, each without its repeated enhanced code: for logs, listings and bounces.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let line = match Enhanced::parse(line) {
                Some(code) => line.trim_start().strip_prefix(&code.to_string()).unwrap_or(line),
                None => line,
            };
            let line = line.trim();
            if !line.is_empty() {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(line);
            }
        }
        text
    }
}

/// `550 5.1.1 no such user`: code, enhanced code once, text on one line.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced() {
            write!(f, " {enhanced}")?;
        }
        let text = self.text();
        if text.is_empty() { Ok(()) } else { write!(f, " {text}") }
    }
}

/// Where in the dialogue something happened; decides what a failure means and how it is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Resolve,
    Connect,
    Greeting,
    Ehlo,
    StartTls,
    Tls,
    /// Nothing was tried: the account waits for a person.
    Held,
    /// The password source, before anything is sent.
    Secret,
    /// The same, of an OAuth 2 token.
    Token,
    Auth,
    Mail,
    Rcpt,
    /// A folder of this machine where mail is kept.
    Folder,
    /// DATA or BDAT and everything up to the reply behind the final dot.
    Data,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Resolve => "DNS",
            Stage::Connect => "connect",
            Stage::Greeting => "greeting",
            Stage::Ehlo => "EHLO",
            Stage::StartTls => "STARTTLS",
            Stage::Tls => "TLS",
            Stage::Held => "held",
            Stage::Secret => "password",
            Stage::Token => "token",
            Stage::Auth => "AUTH",
            Stage::Mail => "MAIL FROM",
            Stage::Rcpt => "RCPT TO",
            Stage::Folder => "delivery",
            Stage::Data => "DATA",
        })
    }
}

/// One failure as a person is told it: what failed, on what, in whose words, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub stage: Stage,
    /// The relay as `host[address]:port`, or as much of it as is known.
    pub relay: String,
    /// What the relay said, when it was the relay.
    pub reply: Option<Reply>,
    /// What happened, when there is no reply: `connection refused`, `certificate expired`.
    pub cause: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// `login refused by smtp.gmail.com[142.250.1.108]:587: 535 5.7.8 Username and Password not accepted`
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reply {
            Some(reply) => write!(f, "{} said {reply} (in reply to {})", self.relay, self.stage),
            None => write!(f, "{}: {}: {}", self.relay, self.stage, self.cause),
        }
    }
}

impl std::error::Error for Failure {}

/// What became of one recipient in one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The relay has taken responsibility (RFC 5321 section 4.2.5).
    Accepted(Reply),
    /// Try again later.
    Deferred(Failure),
    /// The relay will never take it.
    Rejected(Failure),
}

/// Trouble that is the account's or the network's and says nothing about a message: nobody was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No network, DNS, timeout, 421: silent, try again with the usual back-off.
    Waiting(Failure),
    /// Login, certificate, quota: the account is held, a person must act.
    Held(Failure),
}

impl Trouble {
    /// The failure behind it.
    pub fn failure(&self) -> &Failure {
        match self {
            Trouble::Waiting(failure) | Trouble::Held(failure) => failure,
        }
    }
}

/// One try to hand one message to one relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// One for each recipient that was offered, in that order.
    pub outcomes: Vec<Outcome>,
    /// Set when the attempt says something about the account; every outcome is then deferred or was decided before.
    pub trouble: Option<Trouble>,
}

impl Attempt {
    /// Whether some recipient's fate is decided: another account would only send it twice.
    pub fn is_decided(&self) -> bool {
        self.outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Deferred(_)))
    }

    /// Whether another account may be offered the message at once: this one failed, and cannot have taken it. From
    /// MAIL on, a connection that breaks leaves that open, for the message may be in the same flight.
    pub fn may_go_elsewhere(&self) -> bool {
        let undelivered = match &self.trouble {
            None => false,
            Some(Trouble::Held(_)) => true,
            Some(Trouble::Waiting(failure)) => !matches!(failure.stage, Stage::Mail | Stage::Rcpt | Stage::Data),
        };
        undelivered && !self.is_decided()
    }

    /// An attempt that ended before any recipient could be offered.
    pub fn failed(trouble: Trouble, recipients: usize) -> Attempt {
        let outcomes = vec![Outcome::Deferred(trouble.failure().clone()); recipients];
        Attempt { outcomes, trouble: Some(trouble) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_many_lines_reads_as_one() {
        let reply = Reply {
            code: 535,
            lines: vec![
                "5.7.8 Username and Password not accepted. For more information, go to".into(),
                "5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp".into(),
            ],
        };
        assert_eq!(
            reply.to_string(),
            "535 5.7.8 Username and Password not accepted. For more information, go to \
             https://support.google.com/mail/?p=BadCredentials x - gsmtp"
        );
    }

    #[test]
    fn an_enhanced_code_is_read_only_when_it_is_one() {
        assert_eq!(Enhanced::parse("5.1.1 no"), Some(Enhanced(5, 1, 1)));
        assert_eq!(Enhanced::parse("4.7.28"), Some(Enhanced(4, 7, 28)));
        for text in ["", "5.1", "5.1.1.1 x", "3.1.1", "5.x.1", "5.1000.1", "ok 5.1.1"] {
            assert_eq!(Enhanced::parse(text), None, "{text}");
        }
    }
}
