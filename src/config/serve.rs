//! `[serve]`: where the spooler listens, whom it serves, and how much it takes of each.

use super::document::{Origin, Surroundings};
use super::error::ConfigError;
use super::reader::Section;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The spooler's socket when nobody says otherwise; clients look for it there.
const SOCKET: &str = "/run/mailchute/submit.sock";

/// `[serve]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    pub socket: PathBuf,
    /// A TCP address of this machine, for programs that only speak SMTP.
    pub listen: Option<SocketAddr>,
    /// Whom it serves; empty for everybody.
    pub allow: Vec<Principal>,
    /// Whom it does not serve, whatever `allow` says.
    pub deny: Vec<Principal>,
    pub senders: Senders,
    /// Whom `senders` does not bind.
    pub trusted: Vec<Principal>,
    pub quota: Quota,
    /// After how long without a caller an acceptor ends that systemd starts again for the next one.
    pub idle_exit: Duration,
}

/// A user, or all members of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A login name or a number.
    User(String),
    /// Written `@name`.
    Group(String),
}

/// As whom a caller may send, before the account's own rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Senders {
    Any,
    /// The login name at this host.
    Own,
}

/// What one user may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Messages in a minute.
    pub rate: u32,
    /// Octets of a message.
    pub size: u64,
    /// Recipients of a message.
    pub recipients: usize,
    /// Messages that wait.
    pub queued: usize,
    /// Connections at once.
    pub connections: usize,
}

impl Default for Serve {
    fn default() -> Serve {
        Serve {
            socket: SOCKET.into(),
            listen: None,
            allow: Vec::new(),
            deny: Vec::new(),
            senders: Senders::Any,
            trusted: Vec::new(),
            quota: Quota { rate: 120, size: 50 << 20, recipients: 1000, queued: 1000, connections: 20 },
            idle_exit: Duration::from_secs(60),
        }
    }
}

/// Reads the section.
pub(super) fn read(section: &Section, origin: Origin, around: &Surroundings) -> Result<Serve, ConfigError> {
    let usual = Serve::default();
    let count = |key, most: usize| Ok(section.number(key, 1..=most as u64)?.map(|number| number as usize));
    let socket = match (section.string("socket")?, origin) {
        (None, _) => usual.socket,
        (Some(_), Origin::Named) => return Err(origin.refusal(section, "socket")),
        (Some(path), _) => around.resolve(section.source.file_at(path.at), path.value),
    };
    let quota = Quota {
        rate: count("rate", 1_000_000)?.map_or(usual.quota.rate, |rate| rate as u32),
        size: section.number("size", 1..=u64::MAX >> 1)?.unwrap_or(usual.quota.size),
        recipients: count("recipients", 100_000)?.unwrap_or(usual.quota.recipients),
        queued: count("queued", 10_000_000)?.unwrap_or(usual.quota.queued),
        connections: count("connections", 10_000)?.unwrap_or(usual.quota.connections),
    };
    Ok(Serve {
        socket,
        listen: listen(section)?,
        allow: principals(section, "allow")?,
        deny: principals(section, "deny")?,
        senders: section.word("senders", &[("any", Senders::Any), ("own", Senders::Own)])?.unwrap_or(usual.senders),
        trusted: principals(section, "trusted")?,
        quota,
        idle_exit: section.duration("idle-exit")?.unwrap_or(usual.idle_exit),
    })
}

fn listen(section: &Section) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(text) = section.string("listen")? else { return Ok(None) };
    match text.value.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(Some(address)),
        Ok(_) => Err(section
            .error("listen", text.at, format_args!("is {:?}, which other machines could reach", text.value))
            .with_hint("an address of this machine only: \"127.0.0.1:25\" or \"[::1]:25\"")),
        Err(_) => Err(section.error("listen", text.at, format_args!("is {:?}, not address:port", text.value))),
    }
}

fn principals(section: &Section, key: &str) -> Result<Vec<Principal>, ConfigError> {
    let mut found = Vec::new();
    for text in section.strings(key)?.unwrap_or_default() {
        found.push(match text.value.strip_prefix('@') {
            Some("") => return Err(section.error(key, text.at, "has a group without a name")),
            Some(group) => Principal::Group(group.to_string()),
            None if text.value.is_empty() => return Err(section.error(key, text.at, "has a user without a name")),
            None => Principal::User(text.value.to_string()),
        });
    }
    Ok(found)
}

/// Whether somebody stands at a path to talk to, now or a moment ago: the socket outlives its listener.
pub fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::super::reader::Source;
    use super::*;

    fn parsed(text: &str, origin: Origin) -> Result<Serve, String> {
        let source = Source::one(Path::new("/c/c.toml"), text);
        let read = || {
            let table = source.parse()?;
            let top = Section::whole(source, table.get_ref(), keys::SERVE)?;
            read(&top, origin, &Surroundings::sample())
        };
        read().map_err(|error: ConfigError| error.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let text = "socket = \"s\"\nlisten = \"[::1]:25\"\nallow = [\"@mail\", \"www-data\"]\ndeny = \"games\"\n\
                    senders = \"own\"\ntrusted = [\"0\"]\nrate = 1\nsize = 2\nrecipients = 3\nqueued = 4\n\
                    connections = 5\nidle-exit = \"6s\"\n";
        let user = |name: &str| Principal::User(name.into());
        assert_eq!(
            parsed(text, Origin::Usual),
            Ok(Serve {
                socket: "/c/s".into(),
                listen: Some("[::1]:25".parse().unwrap()),
                allow: vec![Principal::Group("mail".into()), user("www-data")],
                deny: vec![user("games")],
                senders: Senders::Own,
                trusted: vec![user("0")],
                quota: Quota { rate: 1, size: 2, recipients: 3, queued: 4, connections: 5 },
                idle_exit: Duration::from_secs(6),
            })
        );
        assert_eq!(parsed("", Origin::Named), Ok(Serve::default()));
    }

    #[test]
    fn other_machines_cannot_reach_it_and_strangers_do_not_say_where_it_is() {
        for (text, origin, wanted) in [
            ("listen = \"0.0.0.0:25\"", Origin::Usual, "is \"0.0.0.0:25\", which other machines could reach"),
            ("listen = \"localhost\"", Origin::Usual, "is \"localhost\", not address:port"),
            ("socket = \"/tmp/s\"", Origin::Named, "may not stand in a file given with -C"),
            ("allow = [\"@\"]", Origin::Usual, "has a group without a name"),
        ] {
            let error = parsed(text, origin).unwrap_err();
            assert!(error.ends_with(wanted), "{text}: {error}");
        }
    }
}
