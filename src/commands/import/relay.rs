//! What all those programs have in common: a relay, a login, a sender. How it becomes the lines of an account is decided
//! here, once.

use crate::config::Tls;
use crate::config::editor::Entry;
use crate::config::presets::{self, UserForm};
use std::net::IpAddr;
use zeroize::Zeroizing;

/// Everything that was found in another program's configuration.
#[derive(Default)]
pub struct Found {
    /// In order, each with its name.
    pub accounts: Vec<(String, Relay)>,
    pub default: Option<String>,
    /// Completes bare names.
    pub domain: Option<String>,
    pub aliases: Vec<(String, String)>,
    /// What could not be carried over, each with its place.
    pub lost: Vec<String>,
}

/// One relay and how it is used.
#[derive(Clone, Debug, Default)]
pub struct Relay {
    pub host: String,
    pub port: Option<u16>,
    /// `None` when the program does not say.
    pub tls: Option<Tls>,
    pub ca_file: Option<String>,
    /// 64 hexadecimal digits.
    pub fingerprint: Option<String>,
    pub certificate: Option<String>,
    /// The key of that certificate, when it is in another file.
    pub key: Option<String>,
    pub user: Option<String>,
    pub secret: Option<Kept>,
    pub auth: Option<String>,
    pub from: Option<String>,
    pub identities: Vec<String>,
    pub ehlo_name: Option<String>,
    pub rewrite_from: Option<&'static str>,
    pub fallback: Vec<String>,
}

/// Where the password is.
#[derive(Clone)]
pub enum Kept {
    Password(Zeroizing<String>),
    /// A line for a shell.
    Command(String),
    /// The same, and it prints a token.
    Token(String),
    /// In git's credential helpers.
    Git,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(..)")
    }
}

impl Kept {
    pub fn password(text: &str) -> Kept {
        Kept::Password(Zeroizing::new(text.to_owned()))
    }
}

impl Found {
    /// Notes what is not carried over.
    pub fn lose(&mut self, place: &str, words: &str) {
        let line = format!("{place}: {words}");
        // What stands once may hold for several accounts.
        if !self.lost.contains(&line) {
            self.lost.push(line);
        }
    }

    /// Says of each account what is different here.
    pub fn settle(&mut self) {
        for (name, relay) in &mut self.accounts {
            if relay.tls == Some(Tls::None) && !is_loopback(&relay.host) {
                relay.tls = None;
                relay.port = relay.port.filter(|port| *port != 25);
                self.lost.push(format!("account {name}: it sent in clear, here TLS is always used"));
            }
            let by_certificate = relay.auth.as_deref() == Some("external");
            if by_certificate && relay.secret.take().is_some() {
                self.lost.push(format!("account {name}: EXTERNAL takes no password, so there is none"));
            }
            if relay.user.is_some() && relay.secret.is_none() && !by_certificate {
                self.lost.push(format!(
                    "account {name}: no password was found; put password-command or another source of it in"
                ));
            }
        }
    }
}

impl Relay {
    /// The lines of the account.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![match self.provider() {
            Some(id) => Entry::text("provider", id),
            None => Entry::text("host", &self.host),
        }];
        entries.extend(self.port.map(|port| Entry::number("port", port)));
        entries.extend(self.tls_word().map(|word| Entry::text("tls", word)));
        let text = |key, value: &Option<String>| value.as_ref().map(|value| Entry::text(key, value));
        entries.extend(text("tls-ca-file", &self.ca_file));
        entries
            .extend(self.fingerprint.as_ref().map(|digest| Entry::text("tls-fingerprint", format!("sha256:{digest}"))));
        entries.extend(text("tls-cert-file", &self.certificate));
        entries.extend(text("tls-key-file", &self.key));
        entries.extend(text("user", &self.user));
        entries.extend(self.secret.as_ref().map(Kept::entry));
        entries.extend(text("auth", &self.auth));
        entries.extend(text("from", &self.from));
        if !self.identities.is_empty() {
            entries.push(Entry::words("identities", self.identities.clone()));
        }
        entries.extend(self.rewrite_from.map(|rule| Entry::text("rewrite-from", rule)));
        entries.extend(text("ehlo-name", &self.ehlo_name));
        if !self.fallback.is_empty() {
            entries.push(Entry::words("fallback", self.fallback.clone()));
        }
        entries
    }

    /// The preset for this host, when the login name has its form.
    fn provider(&self) -> Option<String> {
        let preset = presets::all().into_iter().find(|preset| preset.host.as_deref() == Some(&self.host))?;
        let whole = self.user.as_ref().is_some_and(|user| user.contains('@'));
        (preset.user != UserForm::Full || whole).then_some(preset.id)
    }

    /// What the port's number does not say.
    fn tls_word(&self) -> Option<&'static str> {
        match (self.port, self.tls) {
            (Some(587), Some(Tls::Starttls)) | (Some(465), Some(Tls::Implicit)) => None,
            (Some(587 | 465) | None, None) | (None, Some(Tls::Starttls)) => None,
            (_, Some(Tls::Implicit)) => Some("implicit"),
            (_, Some(Tls::None)) => Some("none"),
            (Some(_), Some(Tls::Starttls) | None) => Some("starttls"),
        }
    }
}

impl Kept {
    fn entry(&self) -> Entry {
        match self {
            Kept::Password(password) => Entry::secret("password", password),
            Kept::Command(line) => program("password-command", line),
            Kept::Git => Entry::truth("git-credential", true),
            Kept::Token(line) => program("token-command", line),
        }
    }
}

/// A shell's line as words, run by a shell where only one understands it.
fn program(key: &'static str, line: &str) -> Entry {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _-./:=@%+,".contains(c);
    let words = if line.chars().all(plain) {
        line.split_whitespace().map(str::to_owned).collect()
    } else {
        vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()]
    };
    Entry::words(key, words)
}

/// Whether it can be nothing but this host.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// 64 hexadecimal digits, colons among them dropped; `None` for another digest.
pub fn sha256(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_lowercase();
    (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

/// A name for an account: what a name may have of this text.
pub fn name(text: &str) -> String {
    let name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    if name.is_empty() { "imported".to_owned() } else { name.chars().take(64).collect() }
}

/// A name for the account of a host: its provider's, else the label before the top one.
pub fn name_of_host(host: &str) -> String {
    let preset = presets::all().into_iter().find(|preset| preset.host.as_deref() == Some(host));
    let label = host.rsplit('.').nth(1).filter(|_| host.parse::<IpAddr>().is_err());
    preset.map(|preset| preset.id).or(label.map(name)).unwrap_or_else(|| "relay".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_host_is_its_provider_and_a_port_says_what_it_can() {
        let relay = |host: &str, port, tls, user: &str| {
            let relay = Relay { host: host.into(), port, tls, user: Some(user.into()), ..Relay::default() };
            format!("{:?}", relay.entries()).replace("Entry ", "").replace("key: ", "").replace("value: ", "")
        };
        assert_eq!(
            relay("smtp.gmail.com", Some(587), Some(Tls::Starttls), "me@gmail.com"),
            "[{ \"provider\", \"gmail\" }, { \"port\", 587 }, { \"user\", \"me@gmail.com\" }]"
        );
        assert!(relay("smtp.gmail.com", None, None, "me").contains("\"host\", \"smtp.gmail.com\""));
        assert!(relay("x.org", Some(2525), None, "me").contains("\"tls\", \"starttls\""));
        assert!(relay("x.org", None, Some(Tls::Implicit), "me").contains("\"tls\", \"implicit\""));
    }

    #[test]
    fn an_account_is_called_after_its_relay() {
        for (host, wanted) in [
            ("smtp.gmail.com", "gmail"),
            ("mail.example.org", "example"),
            ("localhost", "relay"),
            ("192.0.2.1", "relay"),
        ] {
            assert_eq!(name_of_host(host), wanted);
        }
        assert_eq!(name("my work"), "my-work");
    }

    #[test]
    fn a_shells_line_stays_a_shells_line() {
        assert_eq!(
            program("password-command", "pass mail/x"),
            Entry::words("password-command", vec!["pass".into(), "mail/x".into()])
        );
        let shell = vec!["sh".into(), "-c".into(), "gpg -d x | head -1".into()];
        assert_eq!(program("password-command", "gpg -d x | head -1"), Entry::words("password-command", shell));
    }
}
