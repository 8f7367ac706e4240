//! Mail providers as data: `presets.toml`, with where each fact comes from and when it was looked up. Only the table
//! that is asked for is parsed: a send pays for one provider, not for all.

use super::account::{RewriteFrom, Tls};
use super::error::ConfigError;
use super::ports;
use super::reader::{Section, Source};
use std::fmt;
use std::path::Path;

const TEXT: &str = include_str!("presets.toml");

const KEYS: &[&str] = &[
    "name",
    "domains",
    "mx",
    "host",
    "ports",
    "user",
    "password",
    "auth",
    "rewrite-from",
    "recipients",
    "connections",
    "size",
    "authorize-url",
    "token-url",
    "device-url",
    "scope",
    "redirect-url",
    "help",
    "hint",
    "source",
    "checked",
];

/// What is known of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What `provider =` says.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Domains of its addresses, in lower case; `yahoo.*` is any domain whose first label is `yahoo`.
    pub domains: Vec<String>,
    /// Ends of its MX host names, each with its leading dot.
    pub mx: Vec<String>,
    /// The submission host; `None` when it differs by customer, or when there is none (then `ports` is empty).
    pub host: Option<String>,
    /// Ports in the order to try.
    pub ports: Vec<(u16, Tls)>,
    pub user: UserForm,
    pub password: PasswordKind,
    /// The one SASL mechanism that works there, upper case.
    pub auth: Option<String>,
    pub rewrite_from: RewriteFrom,
    /// Recipients in one transaction, where the provider says less or more than the usual 100.
    pub recipients: Option<usize>,
    pub connections: Option<usize>,
    /// Octets of a message.
    pub size: Option<u64>,
    /// Where it gives out OAuth 2 tokens.
    pub oauth2: Option<Addresses>,
    /// The page that explains how to make a password for programs, or the settings.
    pub help: Option<String>,
    /// What people stumble over, one sentence.
    pub hint: Option<String>,
    /// Where the facts are from.
    pub source: String,
    /// When they were looked up, `2026-11-23`.
    pub checked: String,
}

/// Where a provider gives out OAuth 2 tokens, and what is to be asked for; as `oauth2` in an account has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub authorize: Option<String>,
    pub token: String,
    pub device: Option<String>,
    pub scope: String,
    pub redirect: Option<String>,
}

/// What the login name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserForm {
    /// The whole address.
    Full,
    /// The part before the `@`.
    Local,
    /// Whatever the provider hands out.
    Any,
    /// Always this.
    Fixed(String),
}

/// As a person is told it.
impl fmt::Display for UserForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserForm::Full => f.write_str("the whole address"),
            UserForm::Local => f.write_str("the part before the @"),
            UserForm::Any => f.write_str("what the provider gave you"),
            UserForm::Fixed(name) => write!(f, "{name:?}"),
        }
    }
}

/// What the password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordKind {
    /// The account's own.
    Account,
    /// One made for programs.
    App,
    /// The account's own, until two-factor authentication is on; then one made for programs.
    AppWithTwoFactor,
    ApiKey,
    /// None works: an access token is needed.
    Oauth,
    /// There is no login.
    None,
}

/// As a person is told it.
impl fmt::Display for PasswordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PasswordKind::Account => "the account's own",
            PasswordKind::App => "one made for programs (app password)",
            PasswordKind::AppWithTwoFactor => "the account's own; with two-factor authentication an app password",
            PasswordKind::ApiKey => "an API key",
            PasswordKind::Oauth => "none works: an OAuth 2 token (oauth2 or token-command)",
            PasswordKind::None => "none",
        })
    }
}

/// The preset of that id.
pub fn find(id: &str) -> Option<Preset> {
    let named = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    named.then(|| blocks().find(|(name, _)| *name == id)).flatten().and_then(read)
}

/// The preset whose addresses end in this domain.
pub fn for_domain(domain: &str) -> Option<Preset> {
    let domain = domain.to_lowercase();
    let first = domain.split('.').next().unwrap_or_default();
    let exact = format!("\"{domain}\"");
    let pattern = format!("\"{first}.*\"");
    let with = |word: &str| blocks().filter(|(_, text)| text.contains(word)).filter_map(read).collect::<Vec<_>>();
    let lists = |preset: &Preset, word: &str| preset.domains.iter().any(|known| known == word.trim_matches('"'));
    let choose = |word: &str| with(word).into_iter().find(|preset| lists(preset, word));
    choose(&exact).or_else(|| choose(&pattern))
}

/// The preset of the provider that runs this MX host: for addresses in a domain of one's own.
pub fn for_mx(host: &str) -> Option<Preset> {
    let host = format!(".{}", host.trim_end_matches('.').to_lowercase());
    let matched = |preset: &Preset| preset.mx.iter().filter(|end| host.ends_with(*end)).map(String::len).max();
    let with_mx = blocks().filter(|(_, text)| text.contains("\nmx = ")).filter_map(read);
    with_mx
        .filter_map(|preset| matched(&preset).map(|length| (length, preset)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, preset)| preset)
}

/// All presets, in the order of the file.
pub fn all() -> Vec<Preset> {
    blocks().filter_map(read).collect()
}

/// All ids, in the order of the file.
pub fn ids() -> impl Iterator<Item = &'static str> {
    blocks().map(|(id, _)| id)
}

/// Each table's name and text.
fn blocks() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEXT.split("\n[").skip(1).filter_map(|block| block.split_once(']'))
}

fn read((id, text): (&'static str, &'static str)) -> Option<Preset> {
    parse(id, text).ok()
}

fn parse(id: &str, text: &str) -> Result<Preset, ConfigError> {
    let source = Source::one(Path::new("presets.toml"), text);
    let table = source.parse()?;
    let section = Section::whole(source, table.get_ref(), KEYS)?;
    let one = |key: &str| Ok(section.string(key)?.map(|text| text.value.to_string()));
    let many = |key: &str| -> Result<Vec<String>, ConfigError> {
        Ok(section.strings(key)?.unwrap_or_default().into_iter().map(|text| text.value.to_string()).collect())
    };
    let count = |key: &str| Ok(section.number(key, 1..=100_000)?.and_then(|number| usize::try_from(number).ok()));
    Ok(Preset {
        id: id.to_string(),
        name: one("name")?.unwrap_or_else(|| id.to_string()),
        domains: many("domains")?,
        mx: many("mx")?,
        host: one("host")?,
        ports: ports::read(&section)?.unwrap_or_default(),
        user: one("user")?.map_or(UserForm::Full, |form| match form.as_str() {
            "local" => UserForm::Local,
            "any" => UserForm::Any,
            _ => form.strip_prefix("fixed:").map_or(UserForm::Full, |name| UserForm::Fixed(name.to_string())),
        }),
        password: section.word("password", PASSWORD_KINDS)?.unwrap_or(PasswordKind::Account),
        auth: one("auth")?,
        rewrite_from: section.word("rewrite-from", RewriteFrom::WORDS)?.unwrap_or(RewriteFrom::Foreign),
        recipients: count("recipients")?,
        connections: count("connections")?,
        size: section.number("size", 1..=u64::MAX)?,
        oauth2: match (one("token-url")?, one("scope")?) {
            (Some(token), Some(scope)) => Some(Addresses {
                authorize: one("authorize-url")?,
                token,
                device: one("device-url")?,
                scope,
                redirect: one("redirect-url")?,
            }),
            _ => None,
        },
        help: one("help")?,
        hint: one("hint")?,
        source: one("source")?.unwrap_or_default(),
        checked: one("checked")?.unwrap_or_default(),
    })
}

const PASSWORD_KINDS: &[(&str, PasswordKind)] = &[
    ("account", PasswordKind::Account),
    ("app", PasswordKind::App),
    ("app-with-two-factor", PasswordKind::AppWithTwoFactor),
    ("api-key", PasswordKind::ApiKey),
    ("oauth", PasswordKind::Oauth),
    ("none", PasswordKind::None),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_preset_is_sane_and_says_where_it_is_from() {
        let host_like = |name: &str| {
            name.contains('.')
                && name.split('.').all(|label| {
                    !label.is_empty()
                        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                })
        };
        for (id, text) in blocks() {
            let preset = parse(id, text).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{id}");
            assert!(preset.host.iter().all(|host| host_like(host)), "{id}: host");
            assert!(preset.host.is_some() || preset.hint.is_some(), "{id}: no host and no word about it");
            assert!(preset.host.is_none() || !preset.ports.is_empty(), "{id}: ports");
            assert!(
                preset
                    .domains
                    .iter()
                    .all(|name| host_like(name.trim_end_matches(".*").trim_start_matches('.')) || name.ends_with(".*")),
                "{id}: domains"
            );
            assert!(preset.mx.iter().all(|end| end.starts_with('.') && host_like(&end[1..])), "{id}: mx");
            assert!(preset.help.iter().all(|url| url.starts_with("https://") && !url.contains(' ')), "{id}: help");
            let addresses = preset.oauth2.iter();
            let addresses =
                addresses.flat_map(|known| [Some(&known.token), known.authorize.as_ref(), known.device.as_ref()]);
            assert!(addresses.flatten().all(|url| crate::config::Url::parse(url).is_ok()), "{id}: oauth2");
            assert!(preset.source.starts_with("https://"), "{id}: source");
            assert!(preset.hint.iter().all(|hint| !hint.ends_with('.') && hint.len() < 200), "{id}: hint");
            let date: Vec<u32> = preset.checked.split('-').map(|part| part.parse().unwrap()).collect();
            assert!(matches!(date[..], [2020..=2030, 1..=12, 1..=31]) && preset.checked.len() == 10, "{id}: checked");
            let in_clear = preset.ports.iter().any(|(_, tls)| *tls == Tls::None);
            assert!(!in_clear || preset.host.as_deref() == Some("127.0.0.1"), "{id}: TLS");
        }
    }

    #[test]
    fn no_id_and_no_domain_stands_twice() {
        let presets = all();
        assert!(presets.len() >= 60, "{}", presets.len());
        let mut seen = HashSet::new();
        for preset in &presets {
            assert!(seen.insert(format!("id {}", preset.id)), "{}", preset.id);
            for domain in preset.domains.iter().chain(&preset.mx) {
                assert!(seen.insert(domain.clone()), "{}: {domain}", preset.id);
                assert_eq!(*domain, domain.to_lowercase());
            }
        }
    }

    #[test]
    fn a_provider_is_found_by_id_by_domain_and_by_mx() {
        let id = |preset: Option<Preset>| preset.map(|preset| preset.id);
        for (found, wanted) in [
            (id(find("gmail")), Some("gmail")),
            (id(find("Gmail")), None),
            (id(find("")), None),
            (id(find("name")), None),
            (id(for_domain("gmail.com")), Some("gmail")),
            (id(for_domain("GoogleMail.com")), Some("gmail")),
            (id(for_domain("yahoo.co.uk")), Some("yahoo")),
            (id(for_domain("hotmail.fr")), Some("outlook")),
            (id(for_domain("ail.com")), None),
            (id(for_domain("example.org")), None),
            (id(for_mx("aspmx.l.google.com.")), Some("gmail")),
            (id(for_mx("x-org.mail.protection.outlook.com")), Some("m365")),
            (id(for_mx("outlook-com.olc.protection.outlook.com")), Some("outlook")),
            (id(for_mx("in1-smtp.messagingengine.com")), Some("fastmail")),
            (id(for_mx("mx.example.org")), None),
        ] {
            assert_eq!(found.as_deref(), wanted);
        }
    }

    #[test]
    fn gmail_is_what_google_says_it_is() {
        let gmail = find("gmail").unwrap();
        assert_eq!(gmail.host.as_deref(), Some("smtp.gmail.com"));
        assert_eq!(gmail.ports, [(587, Tls::Starttls), (465, Tls::Implicit)]);
        assert_eq!((gmail.user, gmail.password), (UserForm::Full, PasswordKind::App));
        assert_eq!((gmail.recipients, gmail.size), (Some(100), Some(35_882_577)));
        assert!(matches!(gmail.connections, Some(1..=2)));
    }
}
