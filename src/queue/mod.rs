//! The queue: what we do about what the relay said. When an entry is tried again, when an account waits, who hears of
//! a failure, and how a person sees it all. Is handed a [`run::Courier`] and never imports `submission`.
//!
//! Decisions are pure functions of values (`retry`, `hold`, `settle`, `run::judge`, `listing`); `conclude`, `notice`,
//! `account` and `run` carry them out.

pub mod account;
#[cfg(test)]
mod bench;
pub mod conclude;
pub mod condition;
pub mod hold;
pub mod listing;
pub mod metrics;
mod notice;
pub mod retry;
pub mod run;
pub mod settle;

use crate::mail::header::Header;
use crate::spool::Region;

/// The header of a spooled message, whose region ends with the empty line that a `Header` is without.
pub fn header(region: &Region) -> std::io::Result<Header> {
    let octets = region.read()?;
    Ok(Header::from_bytes(octets.strip_suffix(b"\r\n").unwrap_or(&octets)))
}
