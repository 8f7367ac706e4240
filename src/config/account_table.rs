//! `[accounts.NAME]` of a file made into an [`Account`]: the preset filled in, the usual mistakes named.

use super::account::{Account, Limits, RewriteFrom};
use super::client_certificate::ClientCertificate;
use super::connection_keys::{self, is_host_name};
use super::document::{Origin, Surroundings};
use super::error::ConfigError;
use super::presets::{self, PasswordKind, Preset, UserForm};
use super::reader::{Section, Text};
use super::{client_certificate, file, secret_keys, store};
use crate::mail::address::Mailbox;

/// Reads one account.
pub(super) fn read(section: &Section, origin: Origin, around: &Surroundings) -> Result<Account, ConfigError> {
    let name = section.name.strip_prefix("accounts.").unwrap_or(&section.name).to_string();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
        let problem = format!("account name {name:?} has more than letters, digits, dots, dashes and underscores");
        return Err(section.source.error(section.at, problem));
    }
    let store = store::read(section, origin, around)?;
    let preset = preset(section)?;
    let (user, from) = identity(section, preset.as_ref())?;
    let host = section.string("host")?.map(|host| host.value.to_lowercase());
    let host = host.or_else(|| preset.as_ref()?.host.clone()).unwrap_or_default();
    let login = secret_keys::Login { host: &host, user: user.as_deref().unwrap_or_default() };
    let secret = secret_keys::read(section, origin, around, preset.as_ref(), &login)?;
    let auth = secret_keys::auth(section, preset.as_ref(), secret.as_ref())?;
    if !auth.is_external() {
        check_login(section, preset.as_ref(), user.as_deref(), secret.is_some())?;
    }
    let mut account = Account {
        name,
        endpoints: match store {
            Some(_) => Vec::new(),
            None => connection_keys::endpoints(section, preset.as_ref())?,
        },
        user,
        secret,
        auth,
        trust: connection_keys::trust(section, around)?,
        certificate: client_certificate::keys(section, origin, around)?,
        ehlo_name: connection_keys::ehlo_name(section)?,
        from,
        identities: identities(section)?,
        rewrite_from: section
            .word("rewrite-from", RewriteFrom::WORDS)?
            .or(preset.as_ref().map(|preset| preset.rewrite_from))
            .unwrap_or(if store.is_some() { RewriteFrom::Never } else { RewriteFrom::Local }),
        limits: limits(section, preset.as_ref())?,
        fallback: strings(section, "fallback")?,
        provider: preset.map(|preset| preset.id),
        store,
        digest: 0,
    };
    account.digest = digest(&account, section);
    Ok(account)
}

fn preset(section: &Section) -> Result<Option<Preset>, ConfigError> {
    let Some(id) = section.string("provider")? else { return Ok(None) };
    match presets::find(id.value) {
        Some(preset) => Ok(Some(preset)),
        None => {
            let problem = format_args!("is {:?}, which is no provider that mailchute knows", id.value).to_string();
            Err(section
                .error("provider", id.at, problem)
                .with_nearest(id.value, presets::ids())
                .with_hint("leave it out and write host = \"smtp...\" as the provider says"))
        }
    }
}

/// The login name and the address to send as, as far as they are written.
fn identity(section: &Section, preset: Option<&Preset>) -> Result<(Option<String>, Option<Mailbox>), ConfigError> {
    let written = section.string("user")?;
    if let Some(user) = written.filter(|user| user.value.is_empty() || user.value.contains(char::is_control)) {
        return Err(section.error("user", user.at, "is empty or has control characters"));
    }
    let address = written.and_then(|user| Mailbox::parse(user.value).ok());
    let from = match section.string("from")? {
        Some(from) => Some(mailbox(section, "from", from)?),
        None => address.clone(),
    };
    let user = match (preset.map(|preset| &preset.user), written) {
        (Some(UserForm::Fixed(name)), None) => Some(name.clone()),
        (Some(UserForm::Full), Some(user)) if address.is_none() => {
            return Err(section
                .error("user", user.at, format_args!("is {:?}, not a whole address", user.value))
                .with_hint(whole_address(user.value, preset)));
        }
        (Some(UserForm::Local), Some(_)) if address.as_ref().is_some_and(|address| is_of(address, preset)) => {
            address.map(|address| address.local().to_string())
        }
        (_, written) => written.map(|user| user.value.to_string()),
    };
    Ok((user, from))
}

fn whole_address(user: &str, preset: Option<&Preset>) -> String {
    match preset.and_then(|preset| preset.domains.iter().find(|domain| !domain.ends_with(".*"))) {
        Some(domain) => format!("the login name is the whole address, as in user = \"{user}@{domain}\""),
        None => "the login name is the whole address, domain included".to_string(),
    }
}

fn is_of(address: &Mailbox, preset: Option<&Preset>) -> bool {
    let found = presets::for_domain(address.domain());
    found.is_some_and(|found| preset.is_some_and(|preset| preset.id == found.id))
}

/// Whether user and secret are both there or both not.
fn check_login(
    section: &Section,
    preset: Option<&Preset>,
    user: Option<&str>,
    has_secret: bool,
) -> Result<(), ConfigError> {
    match (user, has_secret) {
        (Some(_), false) if preset.is_none_or(|preset| preset.password != PasswordKind::None) => {
            let error = section.error_here("has a user and no password").with_hint(
                "one of password-command, password-file, credential, keyring, token-command, oauth2, password; see mailchute.toml(5)",
            );
            Err(preset.and_then(|preset| preset.hint.clone()).into_iter().fold(error, ConfigError::with_hint))
        }
        (None, true) => Err(section.error_here("has a password and no user")),
        _ => Ok(()),
    }
}

/// Addresses, or `*@domain`, with the domain in lower case.
fn identities(section: &Section) -> Result<Vec<String>, ConfigError> {
    let one = |text: Text| match text.value.strip_prefix("*@") {
        Some(domain) if is_host_name(domain) && domain.contains('.') => Ok(format!("*@{}", domain.to_lowercase())),
        _ => Ok(mailbox(section, "identities", text)?.folded()),
    };
    section.strings("identities")?.unwrap_or_default().into_iter().map(one).collect()
}

fn limits(section: &Section, preset: Option<&Preset>) -> Result<Limits, ConfigError> {
    // A folder takes one message after the other.
    let usual = match ["maildir", "mbox"].iter().any(|key| section.has(key)) {
        true => Limits { connections: 1, ..Limits::default() },
        false => Limits::default(),
    };
    let count = |key| Ok(section.number(key, 1..=10_000)?.and_then(|number| usize::try_from(number).ok()));
    Ok(Limits {
        recipients: count("recipients")?.or(preset.and_then(|preset| preset.recipients)).unwrap_or(usual.recipients),
        connections: count("connections")?
            .or(preset.and_then(|preset| preset.connections))
            .unwrap_or(usual.connections),
        size: section.number("size", 1..=u64::MAX)?.or(preset.and_then(|preset| preset.size)),
    })
}

fn strings(section: &Section, key: &str) -> Result<Vec<String>, ConfigError> {
    Ok(section.strings(key)?.unwrap_or_default().into_iter().map(|text| text.value.to_string()).collect())
}

fn mailbox(section: &Section, key: &str, text: Text) -> Result<Mailbox, ConfigError> {
    let problem = |reason| section.error(key, text.at, format_args!("is {:?}, not an address: {reason}", text.value));
    Mailbox::parse(text.value).map_err(|error| problem(error.reason))
}

/// A number that stays the same as long as everything about the account does, from one run of the same program to
/// the next. Of the secret only the source counts, and when the file it is in last changed: nobody can try passwords
/// on the number.
fn digest(account: &Account, section: &Section) -> u64 {
    let secret = account.secret.as_ref();
    let stamp = secret.map_or(0, |secret| match secret.is_literal() {
        true => file::stamp(secret_keys::literal_file(section)),
        false => secret.stamp(),
    });
    let shown = account.certificate.as_ref().map_or(0, ClientCertificate::stamp);
    // FNV-1a: std's hashers may differ from one release to the next.
    format!("{account:?} {stamp} {shown}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::super::document::{self, Surroundings};
    use super::super::reader::Source;
    use super::super::{Account, Auth, Secret, Store, Tls};
    use super::*;
    use std::path::Path;

    /// An account of the given lines, or what is said about them: error and hints, joined.
    fn account(lines: &str) -> Result<Account, String> {
        let text = format!("[accounts.a]\n{lines}\n");
        let source = Source::one(Path::new("/c/c.toml"), &text);
        match document::read(source, Origin::Usual, &Surroundings::sample()) {
            Ok(mut config) => Ok(config.accounts.remove(0)),
            Err(error) => Err([vec![error.to_string()], error.hints].concat().join("; ")),
        }
    }

    const WORK: &str = "host = \"smtp.work.example\"\nuser = \"me@work.example\"\npassword = \"x\"\n";

    #[test]
    fn gmail_is_three_lines() {
        let gmail =
            account("provider = \"gmail\"\nuser = \"someone@gmail.com\"\npassword = \"abcd efgh ijkl mnop\"").unwrap();
        let endpoints: Vec<_> = gmail.endpoints.iter().map(|end| (end.host.as_str(), end.port, end.tls)).collect();
        assert_eq!(endpoints, [("smtp.gmail.com", 587, Tls::Starttls), ("smtp.gmail.com", 465, Tls::Implicit)]);
        assert_eq!(gmail.from.unwrap().to_string(), "someone@gmail.com");
        assert_eq!(gmail.secret.unwrap().fetch().unwrap().expose(), b"abcdefghijklmnop");
        assert_eq!((gmail.rewrite_from, gmail.limits.recipients), (RewriteFrom::Foreign, 100));
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        let work = account(WORK).unwrap();
        let ports: Vec<_> = work.endpoints.iter().map(|end| (end.port, end.tls)).collect();
        assert_eq!(ports, [(587, Tls::Starttls), (465, Tls::Implicit)]);
        assert_eq!((work.auth, work.rewrite_from, work.limits), (Auth::Auto, RewriteFrom::Local, Limits::default()));
        assert_eq!(work.from.unwrap().to_string(), "me@work.example");
        let relay = account("host = \"relay.example\"").unwrap();
        assert!(relay.user.is_none() && relay.secret.is_none() && relay.from.is_none());
    }

    #[test]
    fn the_login_name_has_the_form_that_the_provider_wants() {
        for (provider, user, wanted) in [
            ("web-de", Some("someone@web.de"), Ok("someone")),
            ("web-de", Some("someone"), Ok("someone")),
            ("sendgrid", None, Ok("apikey")),
            ("postmark", Some("token"), Ok("token")),
            ("gmail", Some("me@work.example"), Ok("me@work.example")),
            (
                "gmail",
                Some("someone"),
                Err(
                    "/c/c.toml:3: \"user\" in [accounts.a] is \"someone\", not a whole address; the login name is the \
                     whole address, as in user = \"someone@gmail.com\"",
                ),
            ),
        ] {
            let user = user.map(|user| format!("user = \"{user}\"\n")).unwrap_or_default();
            let found = account(&format!("provider = \"{provider}\"\n{user}password = \"x\""));
            assert_eq!(found.map(|account| account.user.unwrap()), wanted.map(String::from).map_err(String::from));
        }
    }

    #[test]
    fn mail_that_is_kept_needs_a_folder_and_no_more() {
        let kept = account("maildir = \"~/Mail\"").unwrap();
        assert_eq!(kept.store, Some(Store::Maildir("/home/me/Mail".into())));
        assert_eq!((kept.endpoints.len(), kept.rewrite_from), (0, RewriteFrom::Never));
        let kept = account("mbox = \"inbox\"\nfrom = \"me@x.org\"\nfallback = []").unwrap();
        assert_eq!(kept.store, Some(Store::Mbox("/c/inbox".into())));
    }

    #[test]
    fn the_usual_mistakes_are_named() {
        for (lines, wanted) in [
            (
                "user = \"x\"",
                "/c/c.toml:1: [accounts.a] has a user and no password; one of password-command, password-file, credential, keyring, token-command, oauth2, password; see mailchute.toml(5)",
            ),
            ("password = \"x\"", "/c/c.toml:1: [accounts.a] has a password and no user"),
            (
                "from = \"a@b.example\"",
                "/c/c.toml:1: [accounts.a] has no host; host = \"smtp.example.org\", or provider = \"gmail\" and the like",
            ),
            (
                "provider = \"gmial\"",
                "/c/c.toml:2: \"provider\" in [accounts.a] is \"gmial\", which is no provider that mailchute knows; did you mean \"gmail\"?; leave it out and write host = \"smtp...\" as the provider says",
            ),
            (
                "provider = \"tuta\"",
                "/c/c.toml:1: [accounts.a] has no host, and Tuta has none for everybody; Tuta has no SMTP, so no program can send through it",
            ),
            (
                "host = \"smtp.x.org:587\"",
                "/c/c.toml:2: \"host\" in [accounts.a] is \"smtp.x.org:587\", not the name of a host; write the name alone; the port is port =, TLS is tls =",
            ),
            (
                "host = \"x.org\"\ntls = \"none\"",
                "/c/c.toml:3: \"tls\" in [accounts.a] is \"none\", but x.org is not this machine; tls = \"starttls\" or \"implicit\"; allow-plaintext = true if nobody can listen on the way",
            ),
            (
                "host = \"x.org\"\npassword = \"x\"\npassword-file = \"y\"",
                "/c/c.toml:4: \"password-file\" in [accounts.a] stands beside \"password\": one is enough",
            ),
            (
                "host = \"x.org\"\nfrom = \"root\"",
                "/c/c.toml:3: \"from\" in [accounts.a] is \"root\", not an address: no @ in it",
            ),
            (
                "host = \"x.org\"\nidentities = [\"*@\"]",
                "/c/c.toml:3: \"identities\" in [accounts.a] is \"*@\", not an address: nothing behind the @",
            ),
            (
                "host = \"x.org\"\ntls-fingerprint = \"sha1:00\"",
                "/c/c.toml:3: \"tls-fingerprint\" in [accounts.a] is not \"sha256:\" and 64 hexadecimal digits; mailchute doctor shows the fingerprint of the certificate",
            ),
            (
                "host = \"x.org\"\nehlo-name = \"a b\"",
                "/c/c.toml:3: \"ehlo-name\" in [accounts.a] is \"a b\", not a host name or an address in brackets",
            ),
            (
                "host = \"x.org\"\nuser = \"u\"\ntoken-command = \"tok\"\nauth = \"plain\"",
                "/c/c.toml:5: \"auth\" in [accounts.a] is PLAIN, which would send a token as a password; auth = \"xoauth2\" or \"oauthbearer\", or leave it out",
            ),
            (
                "host = \"x.org\"\nuser = \"u\"\npassword = \"p\"\nauth = \"oauthbearer\"",
                "/c/c.toml:5: \"auth\" in [accounts.a] is OAUTHBEARER, which needs a token-command or oauth2",
            ),
            (
                "host = \"x.org\"\nauth = \"external\"",
                "/c/c.toml:3: \"auth\" in [accounts.a] is EXTERNAL, which needs a tls-cert-file",
            ),
            (
                "host = \"x.org\"\nuser = \"u\"\npassword = \"p\"\ntls-cert-file = \"c\"\nauth = \"external\"",
                "/c/c.toml:6: \"auth\" in [accounts.a] is EXTERNAL, which takes no password: the certificate logs in",
            ),
            (
                "host = \"x.org\"\ntls-key-file = \"k\"",
                "/c/c.toml:3: \"tls-key-file\" in [accounts.a] has no tls-cert-file beside it",
            ),
            (
                "host = \"x.org\"\nuser = \"u\"\npassword-command = \"gpg -d x | head -1\"",
                "/c/c.toml:4: \"password-command\" in [accounts.a] has '|', which only a shell understands, and no shell runs it; password-command = [\"sh\", \"-c\", \"gpg -d x | head -1\"]",
            ),
            (
                "host = \"x.org\"\nfallback = \"b\"",
                "/c/c.toml:3: \"fallback\" in [accounts.a] is \"b\", which is no other account here",
            ),
            (
                "maildir = \"Mail\"\nhost = \"x.org\"",
                "/c/c.toml:3: \"host\" in [accounts.a] stands beside \"maildir\", which keeps mail here and submits none",
            ),
            ("mbox = \"\"", "/c/c.toml:2: \"mbox\" in [accounts.a] is empty or has control characters"),
            (
                "host = \"x.org\"\nsize = \"25M\"",
                "/c/c.toml:3: \"size\" in [accounts.a] is a string, not a whole number",
            ),
        ] {
            assert_eq!(account(lines).err().as_deref(), Some(wanted), "{lines}");
        }
    }

    #[test]
    fn plaintext_is_for_this_machine_and_for_those_who_insist() {
        for lines in [
            "host = \"127.0.0.2\"\ntls = \"none\"",
            "host = \"::1\"\ntls = \"none\"",
            "host = \"localhost\"\nport = 1025\ntls = \"none\"",
            "host = \"x.org\"\ntls = \"none\"\nallow-plaintext = true",
            "provider = \"mailpit\"",
        ] {
            assert_eq!(account(lines).unwrap().endpoints[0].tls, Tls::None, "{lines}");
        }
    }

    #[test]
    fn an_identity_is_an_address_or_a_whole_domain() {
        let work = account(&format!("{WORK}identities = [\"Me@Other.Example\", \"*@Lists.Example\"]")).unwrap();
        assert_eq!(work.identities, ["Me@other.example", "*@lists.example"]);
        for (sender, wanted) in [
            ("me@work.example", Some(super::super::Claim::From)),
            ("ME@other.EXAMPLE", Some(super::super::Claim::Identity)),
            ("any@lists.example", Some(super::super::Claim::Pattern)),
            ("any@sub.lists.example", None),
            ("you@work.example", None),
        ] {
            assert_eq!(work.claim(&Mailbox::parse(sender).unwrap()), wanted, "{sender}");
        }
        assert_eq!(work.domains().collect::<Vec<_>>(), ["work.example", "other.example", "lists.example"]);
    }

    #[test]
    fn a_fingerprint_may_have_colons() {
        let digits = "AB:".repeat(32);
        let pinned = account(&format!("{WORK}tls-fingerprint = \"sha256:{}\"", digits.trim_end_matches(':'))).unwrap();
        assert_eq!(pinned.trust, super::super::Trust::Fingerprint([0xab; 32]));
    }

    #[test]
    fn the_digest_changes_with_the_account_and_with_nothing_else() {
        let digest = |lines: &str| account(lines).unwrap().digest;
        assert_eq!(digest(WORK), digest(WORK));
        assert_ne!(digest(WORK), digest(&format!("{WORK}port = 465")));
        assert_eq!(digest(WORK), digest(&WORK.replace("password = \"x\"", "password = \"y\"")));
    }

    #[test]
    fn a_path_begins_at_the_folder_of_the_file_or_at_home() {
        let path = |lines: &str| match account(&format!("host = \"x.org\"\nuser = \"u\"\n{lines}")).unwrap().secret {
            Some(Secret::File(path) | Secret::Credential(path)) => path.display().to_string(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        for (lines, wanted) in [
            ("password-file = \"work.secret\"", "/c/work.secret"),
            ("password-file = \"~/work.secret\"", "/home/me/work.secret"),
            ("password-file = \"/etc/work.secret\"", "/etc/work.secret"),
            ("credential = \"mail\"", "/run/credentials/mail"),
            ("password-command = [\"bin/pass word\", \"x\"]", "password-command /c/bin/pass word"),
            ("password-command = [\"/bin/a b\"]", "password-command /bin/a b"),
            ("password-command = \"pass show x\"", "password-command pass"),
        ] {
            assert_eq!(path(lines), wanted);
        }
    }
}
