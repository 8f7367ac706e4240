//! What a command line asks (RFC 5321 section 4.1.1, RFC 3030 section 2), and how a line is refused.

use super::event::Form;
use super::transaction::{Forward, Transaction};
use std::fmt;

/// A command understood. What its order in the dialogue allows is for the session.
#[derive(Debug)]
pub(super) enum Command {
    Ehlo,
    Helo,
    Mail(Transaction),
    Rcpt(Forward),
    Data,
    Bdat {
        size: u64,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy,
    Help,
    /// XQUEUE, of our own client.
    Queue(Form),
    /// XHEALTH, of our own client.
    Health,
    /// ETRN (RFC 1985).
    Flush,
    Quit,
}

/// A reply of one line that is not the good one (RFC 5321 section 4.2, RFC 3463).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    code: u16,
    enhanced: &'static str,
    text: String,
}

impl Refusal {
    pub fn new(code: u16, enhanced: &'static str, text: impl AsRef<str>) -> Refusal {
        Refusal { code, enhanced, text: words(text.as_ref()) }
    }

    /// A command that cannot stand here.
    pub fn order(text: &'static str) -> Refusal {
        Refusal::new(503, "5.5.1", text)
    }

    /// A command that nobody knows.
    pub fn unknown() -> Refusal {
        Refusal::new(500, "5.5.2", "command not recognized")
    }

    /// Arguments that mean nothing.
    pub fn arguments(text: impl AsRef<str>) -> Refusal {
        Refusal::new(501, "5.5.4", text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.enhanced, self.text)
    }
}

/// The longest text of a reply, so that its line stays under 512 octets (RFC 5321 section 4.5.3.1.5).
const LONGEST_TEXT: usize = 400;

/// Words on one line of printable ASCII.
pub(super) fn words(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

/// Every command that HELP names.
pub(super) const COMMANDS: &str = "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT";

/// Reads a line without its end. `max_size` is what MAIL's SIZE is held against, in octets.
pub(super) fn parse(line: &[u8], max_size: Option<u64>) -> Result<Command, Refusal> {
    let unreadable = || Refusal::new(500, "5.5.2", "neither ASCII nor UTF-8");
    let line = std::str::from_utf8(line).map_err(|_| unreadable())?;
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Refusal::new(500, "5.5.2", "control character"));
    }
    let line = line.trim_end();
    let (verb, arguments) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let arguments = arguments.trim_start();
    let bare = |command| match arguments {
        "" => Ok(command),
        _ => Err(Refusal::arguments("no argument is expected")),
    };
    let some = |command| match arguments {
        "" => Err(Refusal::arguments("an argument is expected")),
        _ => Ok(command),
    };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => some(Command::Ehlo),
        "HELO" => some(Command::Helo),
        "MAIL" => Transaction::parse(arguments, max_size).map(Command::Mail),
        "RCPT" => Forward::parse(arguments).map(Command::Rcpt),
        "DATA" => bare(Command::Data),
        "BDAT" => chunk(arguments),
        "RSET" => bare(Command::Rset),
        "NOOP" => Ok(Command::Noop),
        "VRFY" => some(Command::Vrfy),
        "HELP" => Ok(Command::Help),
        "QUIT" => bare(Command::Quit),
        "EXPN" | "STARTTLS" => Err(Refusal::new(502, "5.5.1", "not implemented")),
        "AUTH" => Err(Refusal::order("no authentication is needed here")),
        "ETRN" => some(Command::Flush),
        "XHEALTH" => bare(Command::Health),
        "XQUEUE" => match arguments {
            "" => Ok(Command::Queue(Form::Mailq)),
            form if form.eq_ignore_ascii_case("JSON") => Ok(Command::Queue(Form::Json)),
            form if form.eq_ignore_ascii_case("STATE") => Ok(Command::Queue(Form::State)),
            _ => Err(Refusal::arguments("syntax: XQUEUE [JSON | STATE]")),
        },
        _ => Err(Refusal::unknown()),
    }
}

fn chunk(arguments: &str) -> Result<Command, Refusal> {
    let mut words = arguments.split_ascii_whitespace();
    let size = words.next().filter(|word| word.bytes().all(|b| b.is_ascii_digit())).and_then(|word| word.parse().ok());
    match (size, words.next(), words.next()) {
        (Some(size), None, _) => Ok(Command::Bdat { size, last: false }),
        (Some(size), Some(last), None) if last.eq_ignore_ascii_case("LAST") => Ok(Command::Bdat { size, last: true }),
        _ => Err(Refusal::arguments("syntax: BDAT size [LAST]")),
    }
}
