//! One `[accounts.NAME]`: how to reach a relay, as whom, and which senders it takes.

use super::client_certificate::ClientCertificate;
use super::password::{Password, Secret, SecretError};
use super::program::Leave;
use super::steward;
use super::store::Store;
use crate::mail::address::Mailbox;
use std::path::PathBuf;

/// An account, its preset's values filled in.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    /// The preset it names.
    pub provider: Option<String>,
    /// Where to connect, in the order to try; nowhere when there is a store.
    pub endpoints: Vec<Endpoint>,
    /// Where its mail is kept instead of being submitted.
    pub store: Option<Store>,
    /// The login name; `None` is no AUTH.
    pub user: Option<String>,
    pub secret: Option<Secret>,
    pub auth: Auth,
    pub trust: Trust,
    /// What this host shows to a relay that wants to see a certificate of it.
    pub certificate: Option<ClientCertificate>,
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

impl Account {
    /// Fetches the password or token now, from wherever it is; `None` when the account has none. As
    /// [`Secret::fetch_or_leave`] for somebody who may have to leave.
    pub fn password(&self, leave: Option<Leave>) -> Option<Result<Password, SecretError>> {
        let secret = self.secret.as_ref()?;
        Some(match steward::line().filter(|_| secret.runs_program()) {
            Some(line) => line.ask(&self.name, leave),
            None => secret.fetch_or_leave(leave),
        })
    }

    /// The name to log in with; empty where the certificate alone says it, `None` is no AUTH.
    pub fn login(&self) -> Option<&str> {
        self.user.as_deref().or_else(|| self.auth.is_external().then_some(""))
    }

    /// Whether the relay takes this address as sender: `from`, or one of the identities.
    pub fn may_send_as(&self, sender: &Mailbox) -> bool {
        self.claim(sender).is_some()
    }

    /// How surely an address is this account's; `None` when it is not.
    pub fn claim(&self, sender: &Mailbox) -> Option<Claim> {
        let sender = sender.to_string().to_lowercase();
        let is_from = self.from.as_ref().is_some_and(|from| from.to_string().to_lowercase() == sender);
        let identity = |pattern: &String| match pattern.strip_prefix('*') {
            Some(domain) => sender.ends_with(domain).then_some(Claim::Pattern),
            None => (pattern.to_lowercase() == sender).then_some(Claim::Identity),
        };
        is_from.then_some(Claim::From).or_else(|| self.identities.iter().filter_map(identity).max())
    }

    /// The domains of `from` and of the identities, in lower case.
    pub fn domains(&self) -> impl Iterator<Item = String> {
        let from = self.from.iter().map(|from| from.domain().to_lowercase());
        let identities = self.identities.iter().filter_map(|identity| identity.rsplit_once('@'));
        from.chain(identities.map(|(_, domain)| domain.to_lowercase()))
    }
}

/// How surely a sender is an account's, the surest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// `*@lists.example` among the identities.
    Pattern,
    /// Word for word among the identities.
    Identity,
    /// The account's `from`.
    From,
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

impl Auth {
    /// Whether the client certificate is what logs in.
    pub fn is_external(&self) -> bool {
        matches!(self, Auth::Mechanism(name) if name == "EXTERNAL")
    }
}

/// What makes a relay's certificate good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The system's certificate authorities.
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

impl RewriteFrom {
    /// As the configuration writes it.
    pub(super) const WORDS: &[(&str, RewriteFrom)] = &[
        ("foreign", RewriteFrom::Foreign),
        ("local", RewriteFrom::Local),
        ("never", RewriteFrom::Never),
        ("always", RewriteFrom::Always),
    ];
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

impl Default for Limits {
    /// What every relay takes (RFC 5321 section 4.5.3.1.8), over few connections.
    fn default() -> Limits {
        Limits { recipients: 100, connections: 2, size: None }
    }
}

#[cfg(test)]
impl Account {
    /// One at nothing in particular, for tests that say what matters to them.
    pub fn sample() -> Account {
        Account {
            name: "test".into(),
            provider: None,
            endpoints: Vec::new(),
            store: None,
            user: None,
            secret: None,
            auth: Auth::Auto,
            trust: Trust::System,
            certificate: None,
            ehlo_name: None,
            from: None,
            identities: Vec::new(),
            rewrite_from: RewriteFrom::Never,
            limits: Limits::default(),
            fallback: Vec::new(),
            digest: 0,
        }
    }
}
