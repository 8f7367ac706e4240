//! Where each setting of an account came from: a line of the file, its preset, or the default. For people who ask why
//! something is as it is; the values themselves are the [`Account`]'s.

use super::account::{Account, Auth, RewriteFrom, Tls, Trust};
use super::presets::{self, Preset};
use super::{Config, Delivery, LocalRecipients, Sandbox, Store, file, secret_keys};
use std::fmt;
use std::path::PathBuf;
use toml::de::{DeTable, DeValue};

/// One setting as it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As the file writes it, with its section where that is not an account's.
    pub key: &'static str,
    /// As a person reads it; never a secret.
    pub value: String,
    pub origin: Provenance,
}

/// Who decided a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// A line of a file, from 1.
    Line(PathBuf, usize),
    /// The preset of this name.
    Preset(String),
    /// It follows from another setting.
    Follows(&'static str),
    Default,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Provenance::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Provenance::Preset(id) => write!(f, "preset {id}"),
            Provenance::Follows(key) => write!(f, "from {key}"),
            Provenance::Default => f.write_str("default"),
        }
    }
}

/// What holds for every account.
pub fn general(config: &Config) -> Vec<Setting> {
    let lines = Lines::of(config);
    let setting = |key, value: String, path: &[&str]| {
        let origin = lines.of_first(path.split_last().map_or(&[], |(_, up)| up), &path[path.len() - 1..]);
        Setting { key, value, origin: origin.unwrap_or(Provenance::Default) }
    };
    vec![
        setting("domain", config.domain.clone(), &["domain"]),
        setting("local-recipients", words(LOCAL, config.local_recipients), &["local-recipients"]),
        setting("sandbox", words(Sandbox::WORDS, config.sandbox), &["sandbox"]),
        setting("queue.delivery", words(DELIVERY, config.queue.delivery), &["queue", "delivery"]),
        setting("spool.directory", config.spool.display().to_string(), &["spool", "directory"]),
    ]
}

/// What holds for one account, in the order of the manual; what is empty and unsaid is left out.
pub fn of_account(config: &Config, account: &Account) -> Vec<Setting> {
    let lines = Lines::of(config);
    let preset = account.provider.as_deref().and_then(presets::find);
    let rows = account.store.as_ref().map_or_else(|| rows(account), |store| store_rows(account, store));
    let rows = rows.into_iter().filter_map(|row| {
        let origin = lines.of_first(&["accounts", &account.name], row.keys);
        let preset = preset.as_ref().filter(|preset| (row.in_preset)(preset));
        let from_preset = || preset.map(|preset| Provenance::Preset(preset.id.clone()));
        let follows = || row.follows.filter(|_| row.value.is_some()).map(Provenance::Follows);
        let origin = origin.or_else(from_preset).or_else(follows).unwrap_or(Provenance::Default);
        row.value.map(|value| Setting { key: row.keys[0], value, origin })
    });
    rows.collect()
}

/// One setting: the keys that decide it, whether a preset does, what it follows from, its value.
struct Row {
    keys: &'static [&'static str],
    in_preset: fn(&Preset) -> bool,
    follows: Option<&'static str>,
    value: Option<String>,
}

fn list(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(", "))
}

/// Those of an account that keeps its mail here.
fn store_rows(account: &Account, store: &Store) -> Vec<Row> {
    let row = |keys, value| Row { keys, in_preset: |_| false, follows: None, value };
    let (key, path): (&'static [&'static str], _) = match store {
        Store::Maildir(path) => (&["maildir"], path),
        Store::Mbox(path) => (&["mbox"], path),
    };
    vec![
        row(key, Some(path.display().to_string())),
        row(&["from"], account.from.as_ref().map(ToString::to_string)),
        row(&["identities"], list(&account.identities)),
        row(&["rewrite-from"], Some(words(RewriteFrom::WORDS, account.rewrite_from))),
        row(&["fallback"], list(&account.fallback)),
    ]
}

fn rows(account: &Account) -> Vec<Row> {
    let row = |keys, in_preset: fn(&Preset) -> bool, value| Row { keys, in_preset, follows: None, value };
    let ports = account.endpoints.iter().map(|endpoint| format!("{} {}", endpoint.port, words(TLS, endpoint.tls)));
    let ports = ports.collect::<Vec<_>>().join(", ");
    let trust = match &account.trust {
        Trust::System => "the system's authorities".to_owned(),
        Trust::File(path) => path.display().to_string(),
        Trust::Fingerprint(_) => "a pinned certificate".to_owned(),
    };
    let auth = match &account.auth {
        Auth::Auto => "auto".to_owned(),
        Auth::Mechanism(name) => name.clone(),
    };
    vec![
        row(&["provider"], |_| false, account.provider.clone()),
        row(&["host"], |preset| preset.host.is_some(), account.endpoints.first().map(|end| end.host.clone())),
        row(&["ports", "port", "tls"], |preset| !preset.ports.is_empty(), Some(ports)),
        row(&["tls-ca-file", "tls-fingerprint"], |_| false, Some(trust)),
        row(
            &["tls-cert-file"],
            |_| false,
            account.certificate.as_ref().map(|shown| shown.certificate.display().to_string()),
        ),
        Row {
            follows: Some("tls-cert-file"),
            ..row(
                &["tls-key-file"],
                |_| false,
                account.certificate.as_ref().map(|shown| shown.key.display().to_string()),
            )
        },
        row(&["user"], |_| true, account.user.clone()),
        row(&secret_keys::KEYS, |_| false, account.secret.as_ref().map(ToString::to_string)),
        row(&["auth"], |preset| preset.auth.is_some(), Some(auth)),
        Row { follows: Some("user"), ..row(&["from"], |_| false, account.from.as_ref().map(ToString::to_string)) },
        row(&["identities"], |_| false, list(&account.identities)),
        row(&["rewrite-from"], |_| true, Some(words(RewriteFrom::WORDS, account.rewrite_from))),
        row(&["ehlo-name"], |_| false, account.ehlo_name.clone()),
        row(&["recipients"], |preset| preset.recipients.is_some(), Some(account.limits.recipients.to_string())),
        row(&["connections"], |preset| preset.connections.is_some(), Some(account.limits.connections.to_string())),
        row(&["size"], |preset| preset.size.is_some(), account.limits.size.map(|size| size.to_string())),
        row(&["fallback"], |_| false, list(&account.fallback)),
    ]
}

const TLS: &[(&str, Tls)] = &[("implicit TLS", Tls::Implicit), ("STARTTLS", Tls::Starttls), ("in clear", Tls::None)];
const LOCAL: &[(&str, LocalRecipients)] = &[("alias", LocalRecipients::Alias), ("relay", LocalRecipients::Relay)];
const DELIVERY: &[(&str, Delivery)] =
    &[("foreground", Delivery::Foreground), ("background", Delivery::Background), ("queue", Delivery::Queue)];

fn words<T: PartialEq>(table: &[(&str, T)], meaning: T) -> String {
    table.iter().find(|(_, other)| *other == meaning).map_or_else(String::new, |(word, _)| (*word).to_owned())
}

/// The files once more, the last one first, for the places of their keys.
struct Lines(Vec<Text>);

/// One file.
struct Text {
    file: PathBuf,
    text: zeroize::Zeroizing<String>,
}

impl Lines {
    fn of(config: &Config) -> Lines {
        let files = config.file.iter().chain(&config.fragments).rev();
        let text = |file: &PathBuf| file::open(file).and_then(|mut file| file.text()).unwrap_or_default();
        Lines(files.map(|file| Text { file: file.clone(), text: text(file) }).collect())
    }

    /// The line of the first of these keys that stands in the table at `path`, in the file that has the last word.
    fn of_first(&self, path: &[&str], keys: &[&str]) -> Option<Provenance> {
        self.0.iter().find_map(|text| text.of_first(path, keys))
    }
}

impl Text {
    fn of_first(&self, path: &[&str], keys: &[&str]) -> Option<Provenance> {
        let whole = DeTable::parse(&self.text).ok()?;
        let mut table = whole.get_ref();
        for name in path {
            match table.get(*name)?.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => return None,
            }
        }
        let at = keys.iter().find_map(|key| table.get_key_value(*key)).map(|(key, _)| key.span().start)?;
        let line = 1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        Some(Provenance::Line(self.file.clone(), line))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::super::document::{self, Origin, Surroundings};
    use super::super::reader::Source;
    use super::*;

    #[test]
    fn every_setting_says_who_decided_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        let text = "domain = \"x.org\"\n\n[accounts.g]\nprovider = \"gmail\"\nuser = \"me@gmail.com\"\n\
                    password = \"abcd\"\nport = 465\n";
        std::fs::write(&file, text).unwrap();
        let config = document::read(Source::one(&file, text), Origin::Usual, &Surroundings::sample()).unwrap();
        let told = |settings: Vec<Setting>| -> Vec<String> {
            let name = |origin: Provenance| origin.to_string().replace(&file.display().to_string(), "c");
            settings.into_iter().map(|one| format!("{} = {} ({})", one.key, one.value, name(one.origin))).collect()
        };
        assert_eq!(told(general(&config))[0], "domain = x.org (c:1)");
        assert_eq!(
            told(of_account(&config, &config.accounts[0])),
            [
                "provider = gmail (c:4)",
                "host = smtp.gmail.com (preset gmail)",
                "ports = 465 implicit TLS (c:7)",
                "tls-ca-file = the system's authorities (default)",
                "user = me@gmail.com (c:5)",
                "password = password in the configuration file (c:6)",
                "auth = auto (default)",
                "from = me@gmail.com (from user)",
                "rewrite-from = foreign (preset gmail)",
                "recipients = 100 (preset gmail)",
                "connections = 2 (preset gmail)",
                "size = 35882577 (preset gmail)",
            ]
        );
    }
}
