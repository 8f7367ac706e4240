//! The DragonFly Mail Agent's `dma.conf`, and the `auth.conf` that it names.

use super::relay::{Found, Kept, Relay, name_of_host, sha256};
use crate::config::Tls;

/// Reads `dma.conf`; `read` gives the text of the files it names.
pub fn read(text: &str, file: &str, read: &dyn Fn(&str) -> Option<String>) -> Found {
    let mut found = Found::default();
    let mut relay = Relay::default();
    let (mut secure, mut starttls, mut logins) = (false, false, None);
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        let line = line.split('#').next().unwrap_or_default().trim();
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim();
        match key {
            "SMARTHOST" => relay.host = value.to_owned(),
            "PORT" => relay.port = value.parse().ok(),
            "SECURETRANSFER" => secure = true,
            "STARTTLS" => starttls = true,
            "AUTHPATH" => match read(value) {
                Some(text) => logins = Some(text),
                None => found.lose(&place, &format!("{value} cannot be read")),
            },
            "FINGERPRINT" => match sha256(value) {
                Some(digest) => relay.fingerprint = Some(digest),
                None => found.lose(&place, "the fingerprint is not SHA-256; mailchute doctor shows the right one"),
            },
            "MAILNAME" => {
                found.domain = read(value).or_else(|| Some(value.to_owned())).map(|text| text.trim().to_owned())
            }
            "MASQUERADE" if value.contains('@') && !value.ends_with('@') => {
                (relay.from, relay.rewrite_from) = (Some(value.to_owned()), Some("always"));
            }
            "MASQUERADE" => found.lose(&place, "MASQUERADE without a whole address: set from"),
            "OPPORTUNISTIC_TLS" => found.lose(&place, "here TLS is always used"),
            "" | "ALIASES" | "SPOOLDIR" | "NULLCLIENT" | "DEFER" => {}
            other => found.lose(&place, &format!("{other} is not carried over")),
        }
    }
    if relay.host.is_empty() {
        found.lose(file, "it has no SMARTHOST, so it sends to each domain by itself, which mailchute never does");
        return found;
    }
    relay.tls = Some(match (secure, starttls) {
        (true, false) => Tls::Implicit,
        (_, true) => Tls::Starttls,
        (false, false) => Tls::None,
    });
    // user|host:password
    let login = logins.as_deref().unwrap_or_default().lines().map(str::trim).find_map(|line| {
        let (user, rest) = line.split_once('|')?;
        let (host, password) = rest.split_once(':')?;
        host.eq_ignore_ascii_case(&relay.host).then(|| (user.to_owned(), Kept::password(password)))
    });
    if let Some((user, password)) = login {
        (relay.user, relay.secret) = (Some(user), Some(password));
    }
    found.accounts.push((name_of_host(&relay.host), relay));
    found
}
