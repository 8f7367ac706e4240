//! Through whom a message goes, for whom local names stand, and as whom it leaves. Pure functions of the
//! configuration and the message.

mod identity;
mod locals;

pub use identity::{Login, identify, reverse_path, unforged_from, unforged_sender};
pub use locals::{Locals, recipients};

use crate::config::{Account, Claim, Config, nearest};
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::mail::address::{AddressError, Addressee, Mailbox, parse_list};
use crate::mail::header::Header;
use std::cmp::Reverse;
use std::fmt;
use std::path::PathBuf;

/// Which account takes the message, and why that one.
#[derive(Clone, Copy, Debug)]
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
    config: &'a Config,
    asked: Option<&str>,
    sender: Option<&Mailbox>,
    header: &Header,
) -> Result<Route<'a>, RouteError> {
    let Some(first) = config.accounts.first() else {
        return Err(RouteError::NoAccount { unreadable: config.unreadable.clone() });
    };
    let route = |account, reason| Ok(Route { account, reason });
    if let Some(name) = asked {
        return match config.account(name) {
            Some(account) => route(account, Reason::Asked),
            None => Err(RouteError::unknown_account(config, name)),
        };
    }
    if let Some(account) = sender.and_then(|sender| account_of(config, sender)) {
        return route(account, Reason::EnvelopeSender);
    }
    if let Some(account) = author(header).and_then(|author| account_of(config, &author)) {
        return route(account, Reason::FromField);
    }
    match &config.default_account {
        Some(name) => match config.account(name) {
            Some(account) => route(account, Reason::Default),
            None => Err(RouteError::unknown_account(config, name)),
        },
        None if config.accounts.len() == 1 => route(first, Reason::Only),
        None => route(first, Reason::First),
    }
}

/// The account with the surest claim to a sender; of equal ones the first in the file.
fn account_of<'a>(config: &'a Config, sender: &Mailbox) -> Option<&'a Account> {
    let claims = config.accounts.iter().filter_map(|account| account.claim(sender).map(|claim| (claim, account)));
    claims.min_by_key(|(claim, _): &(Claim, _)| Reverse(*claim)).map(|(_, account)| account)
}

/// The first complete address of the From field.
fn author(header: &Header) -> Option<Mailbox> {
    let list = parse_list(&header.first("From")?.value()).ok()?;
    list.into_iter().find_map(|addressee| match addressee {
        Addressee::Mailbox(mailbox) => Some(mailbox),
        Addressee::Local(_) => None,
    })
}

/// Why there is no way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// Nothing is configured; or it is, in a file that the caller may not read.
    NoAccount { unreadable: Option<PathBuf> },
    /// The account asked for, and the one that was probably meant.
    UnknownAccount { name: String, nearest: Option<String> },
    /// The user id has no login name, and neither `-f` nor the account says who sends.
    NoIdentity(u32),
    /// A local name that no alias and no account stands for.
    NotDeliverable(String),
    /// A local name that does not make an address with the domain.
    Address(AddressError),
}

impl RouteError {
    fn unknown_account(config: &Config, name: &str) -> RouteError {
        let near = nearest(name, config.accounts.iter().map(|account| account.name.as_str()));
        RouteError::UnknownAccount { name: name.to_string(), nearest: near.map(String::from) }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::NoAccount { unreadable: None } => f.write_str("no account is configured"),
            RouteError::NoAccount { unreadable: Some(file) } => {
                write!(f, "no account is configured for this user, and {} is not readable", file.display())
            }
            RouteError::UnknownAccount { name, .. } => write!(f, "no account {name:?}"),
            RouteError::NoIdentity(uid) => write!(f, "no sender: user id {uid} has no login name"),
            RouteError::NotDeliverable(name) => write!(f, "local name {name:?}: no alias says whose it is"),
            RouteError::Address(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RouteError {}

impl Explain for RouteError {
    fn exit(&self) -> Exit {
        match self {
            RouteError::NoAccount { .. }
            | RouteError::UnknownAccount { .. }
            | RouteError::NoIdentity(_)
            | RouteError::NotDeliverable(_) => Exit::Config,
            RouteError::Address(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            RouteError::NoAccount { .. } => vec!["mailchute setup".into()],
            RouteError::UnknownAccount { nearest, .. } => {
                nearest.iter().map(|name| format!("did you mean \"{name}\"?")).collect()
            }
            RouteError::NoIdentity(_) => vec!["set from = in the account, or give -f".into()],
            RouteError::NotDeliverable(name) => {
                vec![format!("[aliases] {name} = \"you@example.org\" in the configuration, or \"*\" for every name")]
            }
            RouteError::Address(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Accounts and configurations for the tests of this room.

    use super::*;
    use crate::config::{Endpoint, LocalRecipients, QueuePolicy, RewriteFrom, Serve, Tls};
    use std::collections::BTreeMap;

    pub fn account(name: &str, from: Option<&str>, identities: &[&str], rewrite_from: RewriteFrom) -> Account {
        Account {
            name: name.to_string(),
            endpoints: vec![Endpoint { host: "x.org".into(), port: 587, tls: Tls::Starttls }],
            from: from.map(|from| Mailbox::parse(from).unwrap()),
            identities: identities.iter().map(|identity| identity.to_string()).collect(),
            rewrite_from,
            ..Account::sample()
        }
    }

    pub fn config(accounts: Vec<Account>) -> Config {
        Config {
            file: None,
            fragments: Vec::new(),
            unreadable: None,
            accounts,
            default_account: None,
            domain: "web1.example.org".into(),
            local_recipients: LocalRecipients::Alias,
            aliases: BTreeMap::new(),
            queue: QueuePolicy::default(),
            spool: PathBuf::from("/spool"),
            log_file: None,
            metrics_file: None,
            sandbox: crate::config::Sandbox::Off,
            serve: Serve::default(),
        }
    }

    pub fn header(text: &str) -> Header {
        Header::from_bytes(text.replace('\n', "\r\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{account, config, header};
    use super::*;
    use crate::config::RewriteFrom;
    use crate::diagnostic::render;

    fn three() -> Config {
        config(vec![
            account("lists", Some("bot@lists.example"), &["*@work.example"], RewriteFrom::Local),
            account("work", Some("me@work.example"), &["sales@shop.example"], RewriteFrom::Local),
            account("home", Some("me@gmail.com"), &["me@work.example"], RewriteFrom::Foreign),
        ])
    }

    #[test]
    fn the_surest_claim_takes_the_message() {
        let config = three();
        for (asked, sender, from, wanted) in [
            (Some("home"), Some("me@work.example"), "", ("home", Reason::Asked)),
            (None, Some("me@work.example"), "", ("work", Reason::EnvelopeSender)),
            (None, Some("ME@Work.Example"), "", ("work", Reason::EnvelopeSender)),
            (None, Some("you@work.example"), "", ("lists", Reason::EnvelopeSender)),
            (None, Some("sales@shop.example"), "me@gmail.com", ("work", Reason::EnvelopeSender)),
            (None, Some("root@web1"), "Me <me@gmail.com>", ("home", Reason::FromField)),
            (None, None, "root, me@gmail.com", ("home", Reason::FromField)),
            (None, Some("root@web1"), "root@web1", ("lists", Reason::First)),
            (None, None, "not, an @ address", ("lists", Reason::First)),
        ] {
            let header = header(&format!("From: {from}\n"));
            let sender = sender.map(|sender| Mailbox::parse(sender).unwrap());
            let route = choose(&config, asked, sender.as_ref(), &header).unwrap();
            assert_eq!((route.account.name.as_str(), route.reason), wanted, "{asked:?} {sender:?} {from}");
        }
    }

    #[test]
    fn nobodys_mail_goes_to_the_default_or_the_only_account() {
        let mut config = three();
        config.default_account = Some("home".into());
        let route = choose(&config, None, None, &Header::default()).unwrap();
        assert_eq!((route.account.name.as_str(), route.reason), ("home", Reason::Default));
        config.default_account = None;
        config.accounts.truncate(1);
        assert_eq!(choose(&config, None, None, &Header::default()).unwrap().reason, Reason::Only);
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let none = choose(&config(Vec::new()), None, None, &Header::default()).unwrap_err();
        let unknown = choose(&three(), Some("hoem"), None, &Header::default()).unwrap_err();
        for (error, wanted) in [
            (none, "mailchute: no account is configured\nmailchute:   hint: mailchute setup\n"),
            (unknown, "mailchute: no account \"hoem\"\nmailchute:   hint: did you mean \"home\"?\n"),
            (
                RouteError::NoIdentity(12345),
                "mailchute: no sender: user id 12345 has no login name\n\
                 mailchute:   hint: set from = in the account, or give -f\n",
            ),
            (
                RouteError::NotDeliverable("root".into()),
                "mailchute: local name \"root\": no alias says whose it is\n\
                 mailchute:   hint: [aliases] root = \"you@example.org\" in the configuration, or \"*\" for every name\n",
            ),
        ] {
            assert_eq!(render(&error), wanted);
            assert_eq!(error.exit(), Exit::Config);
        }
    }
}
