//! Mail as pure values: addresses, header, envelope, wire form, what a relay said. Knows RFC 5322 and nothing of
//! files, networks or configuration.

pub mod address;
pub mod bounce;
pub mod compose;
pub mod encode;
pub mod envelope;
pub mod header;
pub mod message;
pub mod outcome;
pub mod wire;
