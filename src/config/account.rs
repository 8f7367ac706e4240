//! One `[accounts.NAME]`: how to reach a relay, as whom, and which senders it takes.

use super::password::Secret;
use crate::mail::address::Mailbox;
use std::path::PathBuf;

/// An account, its preset's values filled in.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    /// The preset it names.
    pub provider: Option<String>,
    /// Where to connect, in the order to try.
    pub endpoints: Vec<Endpoint>,
    /// The login name; `None` is no AUTH.
    pub user: Option<String>,
    pub secret: Option<Secret>,
    pub auth: Auth,
    pub trust: Trust,
    /// The name to say in EHLO; `None` is the host's own.
    pub ehlo_name: Option<String>,
    pub from: Option<Mailbox>,
    /// Other senders this account may use: `me@work.example`, `*@lists.example`; lower-case domains.
    pub identities: Vec<String>,
    pub rewrite_from: RewriteFrom,
    pub limits: Limits,
    pub fallback: Vec<String>,
    /// Changes with anything about the account: a held account whose configuration changed is tried at once.
    pub digest: u64,
}

/// One address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub tls: Tls,
}

/// When TLS starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// With the first byte (465).
    Implicit,
    /// After STARTTLS, which must be offered (587).
    Starttls,
    /// Never: loopback, or the configuration says `allow-plaintext`. No AUTH then, but on loopback.
    None,
}

/// Which SASL mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// The strongest both sides have.
    Auto,
    /// This one or none, upper case.
    Mechanism(String),
}

/// What makes a relay's certificate good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    System,
    /// `tls-ca-file`.
    File(PathBuf),
    /// `tls-fingerprint`: SHA-256 of the leaf's DER.
    Fingerprint([u8; 32]),
}

/// When envelope sender and From become the account's `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewriteFrom {
    Never,
    /// Senders with no domain or this host's.
    Local,
    /// Those, and any domain that no account has.
    Foreign,
    Always,
}

/// What a relay takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Recipients in one transaction.
    pub recipients: usize,
    /// Connections at once.
    pub connections: usize,
    /// Octets of a message.
    pub size: Option<u64>,
}
