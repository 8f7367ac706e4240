//! `msmtprc`: sections begun by `account`, inheritance, `defaults`.

use super::relay::{Found, Kept, Relay, name, sha256};
use crate::config::Tls;
use std::collections::BTreeMap;

/// The commands of one account, each with its place.
type Section = BTreeMap<String, (String, String)>;

/// Commands that change nothing here: we do it anyway, or in our own way.
const NEEDLESS: [&str; 7] = [
    "syslog",
    "timeout",
    "add_missing_date_header",
    "add_missing_from_header",
    "remove_bcc_headers",
    "undisclosed_recipients",
    "set_date_header",
];

/// Reads the text of `msmtprc`; `file` is how it is called, `read` gives the text of an alias file.
pub fn read(text: &str, file: &str, read: &dyn Fn(&str) -> Option<String>) -> Found {
    let mut found = Found::default();
    let mut defaults = Section::new();
    let mut sections: Vec<(String, Section)> = Vec::new();
    let mut same_as: Vec<(String, String)> = Vec::new();
    let mut current: Option<usize> = None;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        let line = line.trim();
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = unquoted(rest.trim());
        match command {
            "" => {}
            comment if comment.starts_with('#') => {}
            "defaults" => current = None,
            "account" => {
                let (called, bases) = argument.split_once(':').unwrap_or((&argument, ""));
                let mut section = defaults.clone();
                let bases: Vec<&str> = bases.split(',').map(str::trim).filter(|base| !base.is_empty()).collect();
                for base in &bases {
                    if let Some((_, inherited)) = sections.iter().find(|(known, _)| known == base) {
                        section.extend(inherited.clone());
                    }
                    same_as.push((called.trim().to_owned(), (*base).to_owned()));
                }
                current = Some(sections.len());
                sections.push((called.trim().to_owned(), section));
            }
            command => {
                let section = match current {
                    Some(index) => &mut sections[index].1,
                    None => &mut defaults,
                };
                // Of these two the last one said holds.
                match command {
                    "password" => drop(section.remove("passwordeval")),
                    "passwordeval" => drop(section.remove("password")),
                    _ => {}
                }
                section.insert(command.to_owned(), (argument, place));
            }
        }
    }
    // `account default : gmail` is not an account but says which one is the default.
    let same = |called: &str| {
        let (_, base) = same_as.iter().find(|(account, _)| account == called)?;
        let of = |wanted: &str| sections.iter().find(|(known, _)| known == wanted).map(|(_, section)| section);
        (of(called) == of(base)).then(|| base.clone())
    };
    found.default = same("default")
        .map(|base| name(&base))
        .or_else(|| sections.iter().find(|(called, _)| called == "default").map(|(called, _)| name(called)));
    for (called, section) in &sections {
        if called == "default" && same("default").is_some() {
            continue;
        }
        let relay = relay(section, &mut found, read);
        found.accounts.push((name(called), relay));
    }
    found
}

fn relay(section: &Section, found: &mut Found, read: &dyn Fn(&str) -> Option<String>) -> Relay {
    let mut relay = Relay::default();
    let said = |key: &str| section.get(key).map(|(value, _)| value.as_str());
    let on = |key: &str| said(key).map(|value| value != "off");
    relay.tls = Some(match (on("tls"), on("tls_starttls")) {
        (Some(true), Some(false)) => Tls::Implicit,
        (Some(true), _) => Tls::Starttls,
        _ => Tls::None,
    });
    let mut token = false;
    for (command, (value, place)) in section {
        match command.as_str() {
            "host" => relay.host = value.clone(),
            "port" => relay.port = value.parse().ok(),
            "user" => relay.user = Some(value.clone()),
            "password" => relay.secret = Some(Kept::password(value)),
            "passwordeval" => relay.secret = Some(Kept::Command(value.clone())),
            "from" if value.contains('%') => found.lose(place, "from has a pattern, which is not known here"),
            "from" => relay.from = Some(value.clone()),
            "domain" => relay.ehlo_name = Some(value.clone()),
            "tls_trust_file" if value != "system" => relay.ca_file = Some(value.clone()),
            "tls_cert_file" => relay.certificate = Some(value.clone()),
            "tls_key_file" => relay.key = Some(value.clone()),
            "tls_fingerprint" => match sha256(value) {
                Some(digest) => relay.fingerprint = Some(digest),
                None => found.lose(place, "the fingerprint is not SHA-256; mailchute doctor shows the right one"),
            },
            "auth" => match value.to_lowercase().as_str() {
                "" | "on" | "off" => {}
                "xoauth2" | "oauthbearer" => token = true,
                method @ ("plain" | "login" | "cram-md5" | "scram-sha-1" | "scram-sha-256" | "external") => {
                    relay.auth = Some(method.to_owned());
                }
                method => found.lose(place, &format!("auth {method} is not known here")),
            },
            "aliases" => match read(value) {
                Some(text) => found.aliases.extend(aliases(&text)),
                None => found.lose(place, &format!("{value} cannot be read")),
            },
            "tls_certcheck" if value == "off" => found.lose(place, "certificates are always verified here"),
            "tls" | "tls_starttls" | "tls_certcheck" | "tls_trust_file" => {}
            "protocol" if value == "smtp" => {}
            command if NEEDLESS.contains(&command) => {}
            command => found.lose(place, &format!("{command} is not carried over")),
        }
    }
    if said("auth").is_none_or(|value| value == "off") {
        (relay.user, relay.secret) = (None, None);
    }
    if token && let Some(Kept::Command(line)) = relay.secret.take() {
        relay.secret = Some(Kept::Token(line));
    }
    relay
}

/// `name: address, address`; `default` is any other name.
fn aliases(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, addresses)| {
            let name = name.trim();
            (if name == "default" { "*" } else { name }.to_owned(), addresses.trim().to_owned())
        })
        .collect()
}

fn unquoted(text: &str) -> String {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned()
}
