//! What a message must have before it may leave: From, Date, Message-ID; what must not leave: Bcc, Return-Path,
//! Content-Length. Every other byte and the order of fields stay. Also who is written in its To, Cc and Bcc.

use super::address::{AddressError, Addressee};
use super::header::Header;
use crate::clock::Moment;

/// What to add when it is missing.
pub struct Defaults<'a> {
    /// The address for a missing From, `root@host` or the account's.
    pub from: &'a str,
    /// The display name for a missing From; empty for none.
    pub full_name: &'a str,
    pub now: Moment,
    /// The right side of a Message-ID, and the domain that qualifies bare names in header fields.
    pub domain: &'a str,
    /// The left side of a Message-ID: unique.
    pub unique: &'a str,
}

/// All recipients named in the header: To, Cc, Bcc; or, when one of Resent-To, Resent-Cc, Resent-Bcc is there, those.
pub fn recipients(_header: &Header) -> Result<Vec<Addressee>, AddressError> {
    todo!()
}

/// Drops what must not leave, adds what is missing, qualifies bare names in address fields.
pub fn compose(_header: Header, _defaults: &Defaults) -> Header {
    todo!()
}
