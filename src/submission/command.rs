//! One flight of commands: what is written at once. The only place where a command becomes octets, so the only one
//! that must see to it that no argument can start a second command.

use super::fault::Fault;
use std::fmt::{Display, Write};
use std::ops::Range;
use zeroize::Zeroizing;

/// Commands, and perhaps a message behind them, that go out together.
#[derive(Default)]
pub struct Flight {
    octets: Zeroizing<Vec<u8>>,
    shown: Vec<Shown>,
}

/// How a line is shown to an observer.
enum Shown {
    Octets(Range<usize>),
    Instead(String),
}

impl Flight {
    /// Appends one command of lettre's, or anything else that writes itself as one line ended by CRLF.
    ///
    /// # Errors
    /// `Unsendable` when it holds any other control character; the flight is as before then.
    pub fn command(&mut self, command: &impl Display) -> Result<(), Fault> {
        let mut line = String::with_capacity(128);
        write!(line, "{command}").map_err(|_| Fault::Unsendable)?;
        let text = line.strip_suffix("\r\n").filter(|text| !text.contains(|c: char| c.is_control()));
        let text = text.ok_or(Fault::Unsendable)?;
        let start = self.octets.len();
        self.octets.extend_from_slice(line.as_bytes());
        self.shown.push(Shown::Octets(start..start + text.len()));
        Ok(())
    }

    /// Appends a line with a secret in it: `shown` and four asterisks are what an observer hears.
    pub fn secret(&mut self, shown: &str, secret: &[u8]) -> Result<(), Fault> {
        if secret.iter().any(u8::is_ascii_control) {
            return Err(Fault::Unsendable);
        }
        // Grown once, before the secret is in it: a vector that moves leaves a copy behind.
        self.octets.reserve_exact(shown.len() + secret.len() + 2);
        self.octets.extend_from_slice(shown.as_bytes());
        self.octets.extend_from_slice(secret);
        self.octets.extend_from_slice(b"\r\n");
        self.shown.push(Shown::Instead(format!("{shown}****")));
        Ok(())
    }

    /// Appends octets of a message.
    pub fn message(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// Says to an observer that a message goes behind the commands.
    pub fn note_message(&mut self, octets: u64) {
        self.shown.push(Shown::Instead(format!("(message of {octets} octets)")));
    }

    /// Appends another flight.
    pub fn append(&mut self, other: Flight) {
        let start = self.octets.len();
        self.octets.extend_from_slice(&other.octets);
        self.shown.extend(other.shown.into_iter().map(|shown| match shown {
            Shown::Octets(range) => Shown::Octets(start + range.start..start + range.end),
            instead @ Shown::Instead(_) => instead,
        }));
    }

    /// The octets to write.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The lines for an observer.
    pub fn shown(&self) -> impl Iterator<Item = String> {
        self.shown.iter().map(|shown| match shown {
            Shown::Octets(range) => String::from_utf8_lossy(&self.octets[range.clone()]).into_owned(),
            Shown::Instead(text) => text.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lettre::Address;
    use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
    use lettre::transport::smtp::extension::{MailParameter, RcptParameter};

    #[test]
    fn commands_are_written_as_lettre_writes_them() {
        let mut flight = Flight::default();
        let from = Address::new_dangerous("a", "x.org");
        flight.command(&Mail::new(Some(from), vec![MailParameter::Size(5)])).unwrap();
        flight.command(&Data).unwrap();
        assert_eq!(flight.octets(), b"MAIL FROM:<a@x.org> SIZE=5\r\nDATA\r\n");
        assert_eq!(flight.shown().collect::<Vec<_>>(), ["MAIL FROM:<a@x.org> SIZE=5", "DATA"]);
    }

    #[test]
    fn no_argument_starts_a_second_command() {
        for hostile in ["a\r\nDATA", "a\nb", "a\rb", "a\0", "a\x7f", "a\u{85}b"] {
            let mut flight = Flight::default();
            let rcpt = Rcpt::new(Address::new_dangerous(hostile, "x.org"), vec![]);
            assert_eq!(flight.command(&rcpt), Err(Fault::Unsendable), "{hostile:?}");
            let keyword = RcptParameter::Other { keyword: hostile.into(), value: None };
            let rcpt = Rcpt::new(Address::new_dangerous("a", "x.org"), vec![keyword]);
            assert_eq!(flight.command(&rcpt), Err(Fault::Unsendable), "{hostile:?}");
            assert!(flight.octets().is_empty());
        }
        assert_eq!(Flight::default().command(&"NOOP"), Err(Fault::Unsendable));
    }

    #[test]
    fn a_secret_is_sent_but_not_shown() {
        let mut flight = Flight::default();
        flight.secret("AUTH PLAIN ", b"AGEAYg==").unwrap();
        assert_eq!(flight.octets(), b"AUTH PLAIN AGEAYg==\r\n");
        assert_eq!(flight.shown().collect::<Vec<_>>(), ["AUTH PLAIN ****"]);
        assert_eq!(flight.secret("", b"a\r\nb"), Err(Fault::Unsendable));
    }
}
