//! A Postfix null client: `relayhost` in `main.cf`, and the password map it names.

use super::relay::{Found, Kept, Relay, name_of_host};
use super::{Line, assignments};
use crate::config::Tls;

/// Parameters that say how other mail is handled than what leaves through the relay, or what we do in our own way.
const NEEDLESS: [&str; 12] = [
    "smtp_sasl_auth_enable",
    "smtp_sasl_security_options",
    "smtp_sasl_tls_security_options",
    "smtp_use_tls",
    "smtp_tls_session_cache_database",
    "myhostname",
    "mydestination",
    "mynetworks",
    "inet_interfaces",
    "inet_protocols",
    "alias_maps",
    "alias_database",
];

/// Reads `main.cf`; `read` gives the text of the maps it names.
pub fn read(text: &str, file: &str, read: &dyn Fn(&str) -> Option<String>) -> Found {
    let mut found = Found::default();
    let mut relay = Relay { tls: Some(Tls::None), ..Relay::default() };
    let (mut relayhost, mut wrapped, mut maps) = (String::new(), false, Vec::new());
    for Line { key, value, place } in assignments(&unfolded(text), file) {
        match key.as_str() {
            "relayhost" => relayhost = value,
            "smtp_tls_wrappermode" => wrapped = value == "yes",
            "smtp_tls_security_level" => match value.as_str() {
                "none" | "" => {}
                _ => relay.tls = Some(Tls::Starttls),
            },
            "smtp_use_tls" if value == "yes" => relay.tls = Some(Tls::Starttls),
            "smtp_tls_cafile" | "smtp_tls_CAfile" => relay.ca_file = Some(value),
            "smtp_tls_cert_file" => relay.certificate = Some(value),
            // The default: beside the certificate, in the same file.
            "smtp_tls_key_file" if value.starts_with('$') => {}
            "smtp_tls_key_file" => relay.key = Some(value),
            "smtp_helo_name" if !value.contains('$') => relay.ehlo_name = Some(value),
            "myorigin" if value.starts_with('/') => found.domain = read(&value).map(|text| text.trim().to_owned()),
            "myorigin" if !value.contains('$') => found.domain = Some(value),
            "smtp_sasl_password_maps" => {
                for map in value.split([',', ' ']).filter(|map| !map.is_empty()) {
                    let path = map.split_once(':').map_or(map, |(_, path)| path);
                    match read(path) {
                        Some(text) => maps.push(text),
                        None => found.lose(&place, &format!("{map} cannot be read")),
                    }
                }
            }
            "sender_dependent_relayhost_maps"
            | "smtp_generic_maps"
            | "sender_canonical_maps"
            | "transport_maps"
            | "smtp_sasl_mechanism_filter"
            | "canonical_maps"
            | "smtp_header_checks" => {
                found.lose(&place, &format!("{key} is not carried over; see identities, rewrite-from and auth"));
            }
            key if NEEDLESS.contains(&key) || !key.starts_with("smtp_") => {}
            key => found.lose(&place, &format!("{key} is not carried over")),
        }
    }
    if relayhost.is_empty() {
        found.lose(file, "it has no relayhost, so it sends to each domain by itself, which mailchute never does");
        return found;
    }
    let (host, port) = match relayhost.rsplit_once(':').filter(|(host, _)| !host.is_empty()) {
        Some((host, port)) => (host, Some(port)),
        None => (relayhost.as_str(), None),
    };
    relay.host = host.trim_matches(['[', ']']).to_owned();
    relay.port = match port {
        Some("submission") => Some(587),
        Some("submissions" | "smtps") => Some(465),
        port => port.and_then(|port| port.parse().ok()),
    };
    if wrapped {
        relay.tls = Some(Tls::Implicit);
    }
    let lines = || maps.iter().flat_map(|text| text.lines()).map(str::trim).filter(|line| !line.starts_with('#'));
    let login = [relayhost.as_str(), host, &relay.host].into_iter().find_map(|wanted| {
        let value = lines().find_map(|line| {
            let (key, value) = line.split_once(char::is_whitespace)?;
            (key == wanted).then(|| value.trim().to_owned())
        })?;
        let (user, password) = value.split_once(':')?;
        Some((user.to_owned(), Kept::password(password)))
    });
    if let Some((user, password)) = login {
        (relay.user, relay.secret) = (Some(user), Some(password));
    } else if !maps.is_empty() {
        found.lose(file, &format!("no login for {relayhost} in its password maps"));
    }
    found.accounts.push((name_of_host(&relay.host), relay));
    found
}

/// A line that begins with a blank continues the one before it. Numbers of lines are kept.
fn unfolded(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut last = 0;
    for line in text.lines() {
        let continues = line.starts_with([' ', '\t']) && !line.trim().is_empty() && !lines.is_empty();
        if continues {
            let more = format!(" {}", line.trim());
            lines[last].push_str(&more);
            lines.push(String::new());
        } else {
            if !line.trim().is_empty() && !line.starts_with('#') {
                last = lines.len();
            }
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}
