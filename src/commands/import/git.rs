//! `git config sendemail.*`, as `git config --list --null` writes it.

use super::relay::{Found, Kept, Relay, name};
use crate::config::Tls;
use std::collections::BTreeMap;

/// Reads `key\nvalue\0` entries. `sendemail.NAME.key` is the identity NAME, which has what it does not say from
/// `sendemail.key`.
pub fn read(text: &str) -> Found {
    let mut found = Found::default();
    let mut identities: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for entry in text.split('\0').filter(|entry| !entry.is_empty()) {
        let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
        let Some(rest) = key.strip_prefix("sendemail.") else { continue };
        let (identity, key) = rest.rsplit_once('.').unwrap_or(("", rest));
        identities.entry(identity.to_owned()).or_default().insert(key.to_lowercase(), value.to_owned());
    }
    let general = identities.remove("").unwrap_or_default();
    let mut all: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    if general.contains_key("smtpserver") {
        all.push(("git".to_owned(), general.clone()));
    }
    for (identity, own) in identities {
        let mut settings = general.clone();
        settings.extend(own);
        if settings.contains_key("smtpserver") {
            all.push((identity, settings));
        }
    }
    found.default = general.get("identity").map(|identity| name(identity));
    for (called, settings) in all {
        let place = format!("sendemail ({called})");
        if let Some(relay) = relay(&settings, &place, &mut found) {
            found.accounts.push((name(&called), relay));
        }
    }
    let default = found.default.take();
    found.default = default.filter(|default| found.accounts.iter().any(|(called, _)| called == default));
    found
}

fn relay(settings: &BTreeMap<String, String>, place: &str, found: &mut Found) -> Option<Relay> {
    let said = |key: &str| settings.get(key).filter(|value| !value.is_empty()).cloned();
    let host = said("smtpserver")?;
    if host.starts_with(['/', '~']) {
        found.lose(place, &format!("smtpserver is a program, {host}, and no relay"));
        return None;
    }
    let tls = match said("smtpencryption").as_deref() {
        Some("ssl") => Tls::Implicit,
        Some("tls") => Tls::Starttls,
        _ => Tls::None,
    };
    let port: Option<u16> = said("smtpserverport").and_then(|port| port.parse().ok());
    let user = said("smtpuser");
    // Without a password git asks its credential helpers.
    let secret = said("smtppass").map(|password| Kept::password(&password)).or(user.as_ref().map(|_| Kept::Git));
    if said("smtpsslcertpath").is_some_and(|path| !path.is_empty()) {
        found.lose(place, "smtpsslcertpath: set tls-ca-file to its file of authorities");
    }
    for key in ["smtpauth", "smtpdomain", "smtpserveroption", "smtpbatchsize", "envelopesender"] {
        if said(key).is_some_and(|value| value != "auto") {
            found.lose(place, &format!("{key} is not carried over"));
        }
    }
    let from = said("from").map(|from| match (from.rfind('<'), from.rfind('>')) {
        (Some(open), Some(close)) if open < close => from[open + 1..close].to_owned(),
        _ => from,
    });
    Some(Relay { host, port, tls: Some(tls), user, secret, from, ..Relay::default() })
}
