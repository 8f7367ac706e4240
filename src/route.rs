//! Through whom a message goes, for whom local names stand, and as whom it leaves. Pure functions of the
//! configuration and the message.

use crate::config::{Account, Config};
use crate::mail::address::{Addressee, Mailbox};
use crate::mail::envelope::{Envelope, Recipient, ReversePath};
use crate::mail::header::Header;
use std::fmt;

/// Which account takes the message, and why that one.
pub struct Route<'a> {
    pub account: &'a Account,
    pub reason: Reason,
}

/// Why an account was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Asked,
    EnvelopeSender,
    FromField,
    Default,
    Only,
    First,
}

/// Chooses: the one asked for, else the one that may send as the envelope sender, else as the From field, else the
/// default.
pub fn choose<'a>(
    _config: &'a Config,
    _asked: Option<&str>,
    _sender: Option<&Mailbox>,
    _header: &Header,
) -> Result<Route<'a>, RouteError> {
    todo!()
}

/// What this host knows of local names: its own host names, `[aliases]`, and `/etc/aliases` already read.
pub struct Locals<'a> {
    pub config: &'a Config,
    /// Names of this host in lower case: `web1.example.org`, `web1`, `localhost`.
    pub hosts: &'a [String],
    /// `/etc/aliases`, names in lower case.
    pub system_aliases: &'a std::collections::BTreeMap<String, Vec<Addressee>>,
}

/// Expands addressees into recipients: aliases, loops capped, duplicates dropped by `Envelope`.
pub fn recipients(_locals: &Locals, _account: &Account, _to: &[Addressee]) -> Result<Vec<Recipient>, RouteError> {
    todo!()
}

/// Applies the account's identity rule to envelope sender and From field (`rewrite-from`), keeping the old field as
/// Original-From (RFC 5703).
pub fn identify(
    _config: &Config,
    _account: &Account,
    _hosts: &[String],
    envelope: Envelope,
    header: Header,
) -> (Envelope, Header) {
    (envelope, header)
}

/// The reverse-path for what `-f` asked: the null one, an address, a bare name qualified; the account's `from` when
/// nothing was asked.
pub fn reverse_path(
    _account: &Account,
    _asked: Option<Option<Addressee>>,
    _login: Option<&str>,
    _domain: &str,
) -> Result<ReversePath, RouteError> {
    todo!()
}

/// Why there is no way.
#[derive(Debug)]
pub enum RouteError {
    NoAccount,
    UnknownAccount(String),
    NoIdentity,
    NotDeliverable(String),
}

impl fmt::Display for RouteError {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
