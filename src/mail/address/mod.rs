//! Addresses (RFC 5321 section 4.1.2, RFC 5322 section 3.4) as people and programs really write them.
//!
//! ```text
//! bytes -> token: words, quotes, comments -> list: who stands there -> mailbox: one address in its one spelling
//! ```
//!
//! Which local names exist, and whose they are, is for `route`.

mod list;
mod mailbox;
mod token;

pub use mailbox::Mailbox;

use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::fmt;

pub(super) use list::find;

/// What stands where an address is expected: a complete one, or a bare name such as `root` that only this host knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressee {
    Mailbox(Mailbox),
    /// Without quotes where none are needed; never a pipe, a file or an include.
    Local(String),
}

impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addressee::Mailbox(mailbox) => mailbox.fmt(f),
            Addressee::Local(name) => f.write_str(name),
        }
    }
}

/// All addressees of an address list (a header field's value, or an operand), in order: groups opened, comments and
/// display names dropped, source routes dropped, sloppy commas, semicolons and blanks between addresses tolerated.
/// An empty list is `Ok(vec![])`. One addressee that cannot be parsed, or a control byte anywhere, fails the whole.
pub fn parse_list(text: &[u8]) -> Result<Vec<Addressee>, AddressError> {
    if text.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(AddressError::new(text, "control character"));
    }
    Ok(find(text)?.into_iter().map(|found| found.addressee).collect())
}

/// The argument of `-f` or `-r`: `None` for the null reverse-path (`''`, `<>`).
pub fn parse_sender(text: &[u8]) -> Result<Option<Addressee>, AddressError> {
    let bare = text.trim_ascii();
    if bare.is_empty() || bare.strip_prefix(b"<").is_some_and(|rest| rest.trim_ascii_start() == b">") {
        return Ok(None);
    }
    let mut list = parse_list(text)?.into_iter();
    match (list.next(), list.next()) {
        (Some(addressee), None) => Ok(Some(addressee)),
        (None, _) => Err(AddressError::new(text, "no address in it")),
        (Some(_), Some(_)) => Err(AddressError::new(text, "more than one address")),
    }
}

/// What could not be read as an address, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    pub text: String,
    pub reason: &'static str,
}

/// The longest piece of a list that an error shows, in octets.
const SHOWN: usize = 200;

impl AddressError {
    pub(super) fn new(text: &[u8], reason: &'static str) -> AddressError {
        let shown = text.get(..SHOWN).unwrap_or(text);
        AddressError { text: String::from_utf8_lossy(shown).into_owned(), reason }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {:?}: {}", self.text, self.reason)
    }
}

impl std::error::Error for AddressError {}

impl Explain for AddressError {
    fn exit(&self) -> Exit {
        Exit::DataErr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_one_address_or_nobody() {
        let cases: [(&[u8], Option<&str>); 9] = [
            (b"", None),
            (b"<>", None),
            (b" < > ", None),
            (b"s@x.org", Some("s@x.org")),
            (b"<s@x.org>", Some("s@x.org")),
            (b"Name <s@x.org>", Some("s@x.org")),
            (b"s@x.org (Name)", Some("s@x.org")),
            (b"joe", Some("joe")),
            (b"\"a b\"@x", Some("\"a b\"@x")),
        ];
        for (text, expected) in cases {
            let sender = parse_sender(text).unwrap().map(|addressee| addressee.to_string());
            assert_eq!(sender.as_deref(), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_sender_that_is_no_address_is_an_error() {
        for text in ["a,b", "a b@x", "a@x\nX: y", "a@x\r\n", "@x", "(nobody)", "a@x\0", "a@x\x7f", "<a@x", "a@b@c"] {
            assert!(parse_sender(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_control_byte_anywhere_in_an_operand_is_an_error() {
        for byte in (0..32u8).chain([127]).filter(|&byte| byte != b'\t') {
            for text in ["b@x", "\"a\" <b@x>", "b@x (c)"] {
                for at in 0..=text.len() {
                    let mut text = text.as_bytes().to_vec();
                    text.insert(at, byte);
                    assert!(parse_list(&text).is_err(), "{byte:#x} at {at}");
                }
            }
        }
    }

    #[test]
    fn an_error_names_the_address_and_shows_no_more_than_a_piece() {
        let error = parse_list(b"good@x.org, bob@").unwrap_err();
        assert_eq!(error.to_string(), "address \"bob@\": nothing behind the @");
        let long = [b"x".repeat(1 << 16).as_slice(), b"@"].concat();
        assert!(parse_list(&long).unwrap_err().to_string().len() < 300);
    }

    /// Every list of up to five of the pieces that matter, some of them hostile.
    #[test]
    fn whatever_is_found_is_fit_for_an_smtp_command_and_reads_as_itself() {
        const PIECES: [&str; 12] = ["a", ".", "@", "\"", "\\", "<", ">", " ", ",", ":", "(", "é"];
        let mut found = 0;
        for number in 0..PIECES.len().pow(5) {
            let text: String = (0..5).map(|at| PIECES[number / PIECES.len().pow(at) % PIECES.len()]).collect();
            for addressee in parse_list(text.as_bytes()).unwrap_or_default() {
                found += 1;
                let shown = addressee.to_string();
                let outside: String = shown.split('"').step_by(2).collect();
                assert!(
                    shown.contains('\\') || !outside.contains([' ', '<', '>', ',', '(']),
                    "{text:?} gives {shown:?}"
                );
                assert!(!shown.contains(|c: char| c.is_control()));
                assert_eq!(parse_list(shown.as_bytes()), Ok(vec![addressee.clone()]), "{text:?}");
                if let Addressee::Mailbox(mailbox) = addressee {
                    assert_eq!(Mailbox::parse(&shown), Ok(mailbox));
                }
            }
        }
        assert!(found > 10_000, "{found}");
    }
}
