//! One address in its one spelling: quoted only where RFC 5321 section 4.1.2 asks for it.

use super::list::find;
use super::{AddressError, Addressee};
use std::fmt;

/// A complete address as SMTP writes it between angle brackets: local part (quoted where it must be) and domain.
/// Holds no control byte, no space outside quotes, no angle bracket outside quotes; at most 1000 octets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    local: String,
    domain: String,
}

/// The longest address taken, in octets. RFC 5321 section 4.5.3.1 asks for 256; longer ones are the relay's to judge
/// as long as a command line can hold them.
const LONGEST: usize = 1000;

impl Mailbox {
    /// Exactly one complete address, without display name, comment, blank or angle brackets.
    pub fn parse(text: &str) -> Result<Mailbox, AddressError> {
        let error = |reason| Err(AddressError::new(text.as_bytes(), reason));
        let mut list = find(text.as_bytes())?;
        match (list.pop(), list.is_empty()) {
            (Some(found), true) if found.span == (0..text.len()) && !found.blanks => match found.addressee {
                Addressee::Mailbox(mailbox) => Ok(mailbox),
                Addressee::Local(_) => error("no @ in it"),
            },
            _ => error("not one plain address"),
        }
    }

    /// From what the local part means (not how it was quoted) and the domain as written.
    pub(super) fn new(local: &str, domain: &str) -> Result<Mailbox, &'static str> {
        let domain = if domain.starts_with('[') { domain } else { domain.strip_suffix('.').unwrap_or(domain) };
        check_domain(domain)?;
        let mailbox = Mailbox { local: quote(local), domain: domain.to_owned() };
        check_length(mailbox.local.len() + 1 + mailbox.domain.len())?;
        Ok(mailbox)
    }

    /// The part before the `@`, quoted where it must be.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The part behind the `@`, as written: host name (perhaps with U-labels) or address literal.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// With the domain in lower case: equal for two spellings of the same mailbox.
    pub fn folded(&self) -> String {
        format!("{}@{}", self.local, self.domain.to_lowercase())
    }

    /// The same mailbox with the domain in A-labels (RFC 5890); `None` when that is impossible.
    pub fn with_ascii_domain(&self) -> Option<Mailbox> {
        if self.domain.is_ascii() {
            return Some(self.clone());
        }
        let domain = idna::domain_to_ascii_cow(self.domain.as_bytes(), idna::AsciiDenyList::URL).ok()?;
        // Mapping can bring forth a dot or nothing at all, so the result is checked like any other domain.
        check_domain(&domain).ok()?;
        check_length(self.local.len() + 1 + domain.len()).ok()?;
        Some(Mailbox { local: self.local.clone(), domain: domain.into_owned() })
    }

    /// Whether it can only be sent with SMTPUTF8 (RFC 6531): a local part beyond ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local.is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// A bare name from what it means: quoted where it must be. Names that local delivery agents take for a program, a
/// file or a list of their own are refused, so that they are nobody's.
pub(super) fn local_name(name: &str) -> Result<String, &'static str> {
    match name {
        _ if name.starts_with('|') => return Err("a program is not an address"),
        _ if name.starts_with('/') || name.starts_with(":include:") => return Err("a file is not an address"),
        _ if name.contains('@') => return Err("the @ is inside quotes"),
        _ if name.contains('!') => return Err("a UUCP path is not an address"),
        _ if name.bytes().all(|byte| byte == b'.' || byte == b' ') => return Err("no address in it"),
        _ => {}
    }
    check_length(name.len())?;
    Ok(quote(name))
}

fn quote(local: &str) -> String {
    let plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    if local.split('.').all(|word| !word.is_empty() && word.chars().all(plain)) {
        return local.to_owned();
    }
    let mut quoted = String::with_capacity(local.len() + 2);
    quoted.push('"');
    for c in local.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn check_domain(domain: &str) -> Result<(), &'static str> {
    if let Some(literal) = domain.strip_prefix('[') {
        let inside = literal.strip_suffix(']').unwrap_or_default();
        let sound =
            !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-".contains(&byte));
        return if sound { Ok(()) } else { Err("not an address literal") };
    }
    let plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if domain.split('.').all(|label| !label.is_empty() && label.chars().all(plain)) {
        Ok(())
    } else {
        Err("not a domain behind the @")
    }
}

fn check_length(octets: usize) -> Result<(), &'static str> {
    if octets <= LONGEST { Ok(()) } else { Err("over 1000 octets") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_one_plain_address() {
        for text in [
            "b@x",
            "bob+tag@x.org",
            "bob%x@x",
            "\"bob b\"@x",
            "bob@[127.0.0.1]",
            "b@[IPv6:2001:db8::1]",
            "jörg@exämple.org",
        ] {
            assert_eq!(Mailbox::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["", "root", "<b@x>", "b@x ", " b@x", "b @x", "b@x(c)", "b@x,c@x", "b@x,", "g:b@x;", "B <b@x>", "b@x\r\n"]
        {
            assert!(Mailbox::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn quotes_stay_only_where_they_must() {
        let cases = [
            ("\"bob\"@x", "bob@x"),
            ("\"b\\ob\"@x", "bob@x"),
            ("\"a b\"@x", "\"a b\"@x"),
            ("\"a\\\"b\\\\\"@x", "\"a\\\"b\\\\\"@x"),
            ("a.\"b c\".d@x", "\"a.b c.d\"@x"),
            ("a..b@docomo.example", "\"a..b\"@docomo.example"),
            ("a.@x", "\"a.\"@x"),
            ("\"\"@x", "\"\"@x"),
            ("\"<>\"@x", "\"<>\"@x"),
        ];
        for (text, expected) in cases {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!(mailbox.to_string(), expected);
            assert_eq!(Mailbox::parse(expected).unwrap(), mailbox);
        }
    }

    #[test]
    fn a_domain_is_a_domain() {
        for text in [
            "b@x..org",
            "b@.x",
            "b@x..",
            "b@x/y",
            "b@x!y",
            "b@x%y",
            "b@\"x\"",
            "b@[",
            "b@[]",
            "b@[1 2]",
            "b@[a\\]b]",
            "b@x\u{a0}",
            "b@x\u{85}",
        ] {
            assert!(Mailbox::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_domain_beyond_ascii_has_an_ascii_spelling() {
        let cases = [
            ("b@bücher.example", Some("b@xn--bcher-kva.example")),
            ("jörg@x_y.Example", Some("jörg@x_y.Example")),
            ("b@[127.0.0.1]", Some("b@[127.0.0.1]")),
            ("b@例え.jp", Some("b@xn--r8jz45g.jp")),
            ("b@x\u{ff20}y", None),
            ("b@x\u{ff1c}y", None),
            ("b@\u{ad}", None),
        ];
        for (text, expected) in cases {
            let ascii = Mailbox::parse(text).ok().and_then(|mailbox| mailbox.with_ascii_domain());
            assert_eq!(ascii.map(|mailbox| mailbox.to_string()).as_deref(), expected, "{text:?}");
        }
        assert!(Mailbox::parse("jörg@x").unwrap().needs_smtputf8());
        assert!(!Mailbox::parse("b@bücher.example").unwrap().needs_smtputf8());
    }

    #[test]
    fn its_parts_are_as_they_were_written() {
        let mailbox = Mailbox::parse("\"Bob B\"@X.Org").unwrap();
        assert_eq!(
            (mailbox.local(), mailbox.domain(), mailbox.folded().as_str()),
            ("\"Bob B\"", "X.Org", "\"Bob B\"@x.org")
        );
    }

    #[test]
    fn a_thousand_octets_are_enough() {
        let long = format!("{}@example.org", "x".repeat(1000 - 12));
        assert!(Mailbox::parse(&long).is_ok());
        assert!(Mailbox::parse(&format!("x{long}")).is_err());
        // Six octets longer in ASCII.
        for (octets, room) in [(978, true), (979, false), (984, false)] {
            let mailbox = Mailbox::parse(&format!("{}@b\u{fc}cher.example", "x".repeat(octets))).unwrap();
            assert_eq!(mailbox.with_ascii_domain().is_some(), room, "{octets}");
        }
        assert!(local_name(&"x".repeat(1001)).is_err());
    }
}
