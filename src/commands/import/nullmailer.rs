//! nullmailer's `remotes`, and the one-line files beside it.

use super::relay::{Found, Kept, Relay, name_of_host, sha256};
use crate::config::Tls;

/// Reads `remotes`; `beside` gives the first line of another file in its folder. Each remote stands in for the one
/// before it.
pub fn read(text: &str, file: &str, beside: &dyn Fn(&str) -> Option<String>) -> Found {
    let mut found = Found::default();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        let words = words(line);
        let mut words = words.iter().map(String::as_str);
        let Some(host) = words.next().filter(|host| !host.starts_with('#')) else { continue };
        let mut relay = Relay { host: host.to_owned(), tls: Some(Tls::None), ..Relay::default() };
        for word in words {
            let (option, value) =
                word.trim_start_matches('-').split_once('=').unwrap_or((word.trim_start_matches('-'), ""));
            match option {
                "smtp" => {}
                "port" => relay.port = value.parse().ok(),
                "user" => relay.user = Some(value.to_owned()),
                "pass" => relay.secret = Some(Kept::password(value)),
                "auth-login" => relay.auth = Some("login".into()),
                "ssl" => relay.tls = Some(Tls::Implicit),
                "starttls" => relay.tls = Some(Tls::Starttls),
                "x509cafile" => relay.ca_file = Some(value.to_owned()),
                "x509certfile" => relay.certificate = Some(value.to_owned()),
                "x509keyfile" => relay.key = Some(value.to_owned()),
                "x509fp" => match sha256(value) {
                    Some(digest) => relay.fingerprint = Some(digest),
                    None => found.lose(&place, "the fingerprint is not SHA-256; mailchute doctor shows the right one"),
                },
                "insecure" => found.lose(&place, "certificates are always verified here"),
                "qmtp" => found.lose(&place, "QMTP is not spoken here, SMTP is tried"),
                other => found.lose(&place, &format!("{other} is not carried over")),
            }
        }
        if let Some(from) = beside("allmailfrom") {
            (relay.from, relay.rewrite_from) = (Some(from), Some("always"));
        }
        let mut called = name_of_host(host);
        while found.accounts.iter().any(|(known, _)| *known == called) {
            called.push_str("-2");
        }
        if let Some((_, before)) = found.accounts.last_mut() {
            before.fallback = vec![called.clone()];
        }
        found.accounts.push((called, relay));
    }
    found.domain = beside("defaulthost").or_else(|| beside("me")).filter(|domain| domain.contains('.'));
    if let Some(admin) = beside("adminaddr") {
        found.aliases.push(("*".into(), admin));
    }
    found
}

/// Words as nullmailer cuts them: blanks between, quotes and backslashes within.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            c if quote == Some(c) => quote = None,
            c @ ('"' | '\'') if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            '\\' if quote != Some('\'') => word.get_or_insert_default().extend(letters.next()),
            c if c.is_whitespace() && quote.is_none() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
