//! Addresses (RFC 5321 section 4.1.2, RFC 5322 section 3.4) as people and programs really write them.

use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::fmt;

/// A complete address as SMTP writes it between angle brackets: local part (quoted where it must be) and domain.
/// Holds no control byte, no space outside quotes, no angle bracket outside quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    local: String,
    domain: String,
}

impl Mailbox {
    /// Exactly one complete address, without display name or angle brackets.
    pub fn parse(_text: &str) -> Result<Mailbox, AddressError> {
        todo!()
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
        todo!()
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

/// What stands where an address is expected: a complete one, or a bare name such as `root` that only this host knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressee {
    Mailbox(Mailbox),
    Local(String),
}

/// All addressees of an address list (a header field's value, or an operand), in order: groups opened, comments and
/// display names dropped, source routes dropped, sloppy commas, semicolons and blanks between addresses tolerated.
/// An empty list is `Ok(vec![])`. One addressee that cannot be parsed fails the whole.
pub fn parse_list(_text: &[u8]) -> Result<Vec<Addressee>, AddressError> {
    todo!()
}

/// The argument of `-f` or `-r`: `None` for the null reverse-path (`''`, `<>`).
pub fn parse_sender(_text: &[u8]) -> Result<Option<Addressee>, AddressError> {
    todo!()
}

/// What could not be read as an address, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    pub text: String,
    pub reason: &'static str,
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
