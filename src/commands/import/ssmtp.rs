//! `ssmtp.conf`, and `revaliases` beside it.

use super::relay::{Found, Kept, Relay, name_of_host};
use super::{Line, assignments};
use crate::config::Tls;

/// Reads `ssmtp.conf`, and `revaliases` when it is there.
pub fn read(text: &str, file: &str, revaliases: Option<&str>) -> Found {
    let mut found = Found::default();
    let mut relay = Relay { host: "mail".into(), ..Relay::default() };
    let (mut tls, mut starttls) = (false, false);
    for Line { key, value, place } in assignments(text, file) {
        let yes = value.eq_ignore_ascii_case("yes");
        match key.to_lowercase().as_str() {
            "mailhub" => match value.rsplit_once(':') {
                Some((host, port)) => (relay.host, relay.port) = (host.to_owned(), port.parse().ok()),
                None => relay.host = value,
            },
            "authuser" => relay.user = Some(value),
            "authpass" => relay.secret = Some(Kept::password(&value)),
            "authmethod" if value.eq_ignore_ascii_case("cram-md5") => relay.auth = Some("cram-md5".into()),
            "authmethod" => relay.auth = Some("login".into()),
            "usetls" => tls = yes,
            "usestarttls" => starttls = yes,
            "tls_ca_file" => relay.ca_file = Some(value),
            "tlscert" => relay.certificate = Some(value),
            "tlskey" => relay.key = Some(value),
            "root" if value.contains('@') => {
                found.aliases.push(("root".into(), value));
            }
            "rewritedomain" => found.domain = Some(value),
            "hostname" => relay.ehlo_name = Some(value),
            // What a caller says is kept where the relay takes it; rewrite-from says when.
            "fromlineoverride" | "debug" | "root" | "usetlscert" => {}
            _ => found.lose(&place, &format!("{key} is not carried over")),
        }
    }
    relay.tls = Some(match (tls, starttls) {
        (_, true) => Tls::Starttls,
        (true, false) => Tls::Implicit,
        (false, false) if relay.port.is_some_and(|port| port == 587 || port == 465) => {
            if relay.port == Some(465) {
                Tls::Implicit
            } else {
                Tls::Starttls
            }
        }
        (false, false) => Tls::None,
    });
    reverse(revaliases.unwrap_or_default(), &mut relay, &mut found);
    found.accounts.push((name_of_host(&relay.host), relay));
    found
}

/// `login:address[:mailhub]`: the first address becomes `from`, the others senders that are allowed.
fn reverse(text: &str, relay: &mut Relay, found: &mut Found) {
    let mut addresses = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.split(':');
        let (login, address) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if parts.next().is_some_and(|host| host != relay.host) {
            found.lose("revaliases", &format!("{login} has a relay of its own, which is not carried over"));
        }
        if address.contains('@') && !addresses.contains(&address.to_owned()) {
            addresses.push(address.to_owned());
        }
    }
    if addresses.len() > 1 {
        found.lose("revaliases", "logins have different addresses; here the first is from, the others identities");
    }
    let mut addresses = addresses.into_iter();
    relay.from = addresses.next();
    relay.identities = addresses.collect();
}
