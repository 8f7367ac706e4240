//! The whole configuration file as a [`Config`]: what stands outside the accounts, and the defaults of everything.

use super::error::ConfigError;
use super::keys;
use super::reader::{Section, Source};
use super::{Config, Delivery, LocalRecipients, QueuePolicy, Sandbox, Serve, account_table, serve};
use crate::mail::address::{Addressee, Mailbox, parse_list};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How we came to a file, which decides what it may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// `-C FILE`: anybody who can add an argument to a command line, as PHP's mail() lets its callers.
    Named,
    /// `$MAILCHUTE_CONFIG`: the caller's own will.
    Variable,
    /// The user's or the system's file at its usual place.
    Usual,
}

/// What the file does not say and its defaults need.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub uid: u32,
    pub home: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// The domain when the file has none.
    pub domain: String,
    /// The spool when the file has none.
    pub spool: PathBuf,
}

impl Origin {
    /// Why a key may not stand in a file given with `-C`.
    pub fn refusal(self, section: &Section, key: &str) -> ConfigError {
        section
            .error_at(key, "may not stand in a file given with -C")
            .with_hint("arguments may come from strangers: name the file in $MAILCHUTE_CONFIG")
    }
}

impl Surroundings {
    /// A path as the file means it: `~/` is the caller's home, a relative one begins at the file's folder.
    pub fn resolve(&self, file: &Path, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => file.parent().unwrap_or(Path::new("/")).join(path),
        }
    }
}

impl Config {
    /// Everything at its default: no file, no accounts.
    pub(super) fn empty(around: &Surroundings) -> Config {
        Config {
            file: None,
            fragments: Vec::new(),
            unreadable: None,
            accounts: Vec::new(),
            default_account: None,
            domain: around.domain.clone(),
            local_recipients: LocalRecipients::Alias,
            aliases: BTreeMap::new(),
            queue: QueuePolicy::default(),
            spool: around.spool.clone(),
            log_file: None,
            metrics_file: None,
            sandbox: Sandbox::On,
            serve: Serve::default(),
        }
    }
}

impl Default for QueuePolicy {
    fn default() -> QueuePolicy {
        QueuePolicy {
            delivery: Delivery::Foreground,
            expire: Duration::from_secs(5 * DAY),
            retry_first: Duration::from_secs(MINUTE),
            retry_max: Duration::from_secs(4 * HOUR),
            foreground_deadline: Duration::from_secs(30),
            warn_after: Some(Duration::from_secs(4 * HOUR)),
            keep_dead: Duration::from_secs(7 * DAY),
        }
    }
}

/// Reads the text of a file.
pub(super) fn read(source: Source, origin: Origin, around: &Surroundings) -> Result<Config, ConfigError> {
    let table = source.parse()?;
    let top = Section::whole(source, table.get_ref(), keys::TOP)?;
    let fragments = source.over.iter().map(|fragment| fragment.file.clone()).collect();
    let mut config = Config { file: Some(source.file.to_path_buf()), fragments, ..Config::empty(around) };
    if let Some(accounts) = top.free_section("accounts")? {
        for name in accounts.names() {
            if let Some(account) = accounts.section(name.value, keys::ACCOUNT)? {
                config.accounts.push(account_table::read(&account, origin, around)?);
            }
        }
        for name in accounts.names() {
            check_fallback(&config, &accounts, name.value)?;
        }
    }
    config.default_account = default_account(&config, &top)?;
    if let Some(domain) = domain(&top)? {
        config.domain = domain;
    }
    if let Some(way) =
        top.word("local-recipients", &[("alias", LocalRecipients::Alias), ("relay", LocalRecipients::Relay)])?
    {
        config.local_recipients = way;
    }
    if let Some(path) = path(&top, "log-file", origin, around)? {
        config.log_file = Some(path);
    }
    config.metrics_file = path(&top, "metrics-file", origin, around)?;
    if let Some(way) = top.word("sandbox", Sandbox::WORDS)? {
        if origin == Origin::Named {
            return Err(origin.refusal(&top, "sandbox"));
        }
        config.sandbox = way;
    }
    if let Some(section) = top.free_section("aliases")? {
        config.aliases = read_aliases(&section)?;
    }
    if let Some(section) = top.section("queue", keys::QUEUE)? {
        config.queue = queue(&section)?;
    }
    if let Some(section) = top.section("spool", keys::SPOOL)?
        && let Some(path) = path(&section, "directory", origin, around)?
    {
        config.spool = path;
    }
    if let Some(section) = top.section("serve", keys::SERVE)? {
        config.serve = serve::read(&section, origin, around)?;
    }
    Ok(config)
}

/// A path that mailchute writes to, which `-C` must not choose.
fn path(section: &Section, key: &str, origin: Origin, around: &Surroundings) -> Result<Option<PathBuf>, ConfigError> {
    let Some(text) = section.string(key)? else { return Ok(None) };
    match origin {
        Origin::Named => Err(origin.refusal(section, key)),
        Origin::Variable | Origin::Usual => Ok(Some(around.resolve(section.source.file_at(text.at), text.value))),
    }
}

fn default_account(config: &Config, top: &Section) -> Result<Option<String>, ConfigError> {
    let Some(text) = top.string("default-account")? else { return Ok(None) };
    match config.account(text.value) {
        Some(account) => Ok(Some(account.name.clone())),
        None => Err(top
            .error("default-account", text.at, format_args!("is {:?}, which is no account here", text.value))
            .with_nearest(text.value, config.accounts.iter().map(|account| account.name.as_str()))),
    }
}

fn check_fallback(config: &Config, accounts: &Section, name: &str) -> Result<(), ConfigError> {
    let Some(section) = accounts.section(name, keys::ACCOUNT)? else { return Ok(()) };
    for other in section.strings("fallback")?.unwrap_or_default() {
        if other.value == name || config.account(other.value).is_none() {
            let known = config.accounts.iter().map(|account| account.name.as_str()).filter(|known| *known != name);
            return Err(section
                .error("fallback", other.at, format_args!("is {:?}, which is no other account here", other.value))
                .with_nearest(other.value, known));
        }
    }
    Ok(())
}

fn domain(top: &Section) -> Result<Option<String>, ConfigError> {
    let Some(text) = top.string("domain")? else { return Ok(None) };
    match valid_domain(text.value) {
        Some(domain) => Ok(Some(domain)),
        None => Err(top.error("domain", text.at, format_args!("is {:?}, not a domain", text.value))),
    }
}

/// A domain as it may stand behind an `@`.
pub(super) fn valid_domain(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('.');
    Mailbox::parse(&format!("x@{text}")).ok().map(|mailbox| mailbox.domain().to_string())
}

fn read_aliases(section: &Section) -> Result<BTreeMap<String, Vec<Addressee>>, ConfigError> {
    let mut names = BTreeMap::new();
    for name in section.names() {
        let mut addressees = Vec::new();
        for text in section.strings(name.value)?.unwrap_or_default() {
            let found = parse_list(text.value.as_bytes());
            addressees.extend(found.map_err(|error| section.error(name.value, text.at, format_args!("has {error}")))?);
        }
        names.insert(name.value.to_lowercase(), addressees);
    }
    Ok(names)
}

fn queue(section: &Section) -> Result<QueuePolicy, ConfigError> {
    let usual = QueuePolicy::default();
    let deliveries =
        [("foreground", Delivery::Foreground), ("background", Delivery::Background), ("queue", Delivery::Queue)];
    let (first, max) = match section.section("retry", keys::RETRY)? {
        Some(retry) => (retry.duration("first")?, retry.duration("max")?),
        None => (None, None),
    };
    let policy = QueuePolicy {
        delivery: section.word("delivery", &deliveries)?.unwrap_or(usual.delivery),
        expire: section.duration("expire")?.unwrap_or(usual.expire),
        retry_first: first.unwrap_or(usual.retry_first),
        retry_max: max.unwrap_or(usual.retry_max),
        foreground_deadline: section.duration("foreground-deadline")?.unwrap_or(usual.foreground_deadline),
        warn_after: match section.string("warn-after")? {
            Some(word) if word.value == "never" => None,
            _ => section.duration("warn-after")?.or(usual.warn_after),
        },
        keep_dead: section.duration("keep-dead")?.unwrap_or(usual.keep_dead),
    };
    if policy.retry_first > policy.retry_max {
        return Err(section.error_at("retry", "has a first wait that is longer than its max"));
    }
    Ok(policy)
}

#[cfg(test)]
impl Surroundings {
    pub fn sample() -> Surroundings {
        Surroundings {
            uid: nix::unistd::Uid::current().as_raw(),
            home: Some(PathBuf::from("/home/me")),
            credentials: Some(PathBuf::from("/run/credentials")),
            domain: "web1.example.org".into(),
            spool: PathBuf::from("/spool"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(text: &str, origin: Origin) -> Result<Config, String> {
        let source = Source::one(Path::new("/c/c.toml"), text);
        read(source, origin, &Surroundings::sample())
            .map_err(|error| [vec![error.to_string()], error.hints].concat().join("; "))
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let config = read_from("", Origin::Usual).unwrap();
        assert!(config.accounts.is_empty() && config.aliases.is_empty() && config.log_file.is_none());
        assert_eq!((config.domain.as_str(), config.spool), ("web1.example.org", PathBuf::from("/spool")));
        assert_eq!(config.queue, QueuePolicy::default());
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            default-account = "work"
            domain = "Example.org."
            local-recipients = "relay"
            log-file = "mail.log"

            [accounts.zebra]
            host = "z.example"
            fallback = ["work"]

            [accounts.work]
            host = "w.example"

            [aliases]
            Root = "me@x.org"
            admins = ["me@x.org", "you@x.org, root"]

            [queue]
            delivery = "queue"
            expire = "2d"
            retry = { first = "2m", max = "1h" }
            foreground-deadline = "10s"
            warn-after = "never"
            keep-dead = "1w"

            [spool]
            directory = "spool"
        "#;
        let config = read_from(text, Origin::Usual).unwrap();
        let names: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
        assert_eq!(names, ["zebra", "work"]);
        assert_eq!(config.default_account.as_deref(), Some("work"));
        assert_eq!((config.domain.as_str(), config.local_recipients), ("Example.org", LocalRecipients::Relay));
        assert_eq!(config.log_file, Some(PathBuf::from("/c/mail.log")));
        assert_eq!(config.aliases["root"].len(), 1);
        assert_eq!(config.aliases["admins"].len(), 3);
        assert_eq!(
            config.queue,
            QueuePolicy {
                delivery: Delivery::Queue,
                expire: Duration::from_secs(2 * DAY),
                retry_first: Duration::from_secs(120),
                retry_max: Duration::from_secs(HOUR),
                foreground_deadline: Duration::from_secs(10),
                warn_after: None,
                keep_dead: Duration::from_secs(7 * DAY),
            }
        );
        assert_eq!(config.spool, PathBuf::from("/c/spool"));
    }

    #[test]
    fn what_cannot_be_meant_is_said_with_its_line() {
        for (text, wanted) in [
            ("acounts = 1", "/c/c.toml:1: unknown key \"acounts\"; did you mean \"accounts\"?"),
            (
                "[accounts.g]\nhost = \"x.org\"\npasswrd = \"\"",
                "/c/c.toml:3: unknown key \"passwrd\" in [accounts.g]; did you mean \"password\"?",
            ),
            (
                "default-account = \"wrk\"\n[accounts.work]\nhost = \"x.org\"",
                "/c/c.toml:1: \"default-account\" is \"wrk\", which is no account here; did you mean \"work\"?",
            ),
            (
                "[accounts.\"a b\"]\nhost = \"x.org\"",
                "/c/c.toml:1: account name \"a b\" has more than letters, digits, dots, dashes and underscores",
            ),
            ("domain = \"a b\"", "/c/c.toml:1: \"domain\" is \"a b\", not a domain"),
            (
                "[aliases]\nroot = \"|prog\"",
                "/c/c.toml:2: \"root\" in [aliases] has address \"|prog\": a program is not an address",
            ),
            (
                "[queue]\nretry = { first = \"2h\", max = \"1h\" }",
                "/c/c.toml:2: \"retry\" in [queue] has a first wait that is longer than its max",
            ),
            (
                "[queue]\nretry = { frist = \"2h\" }",
                "/c/c.toml:2: unknown key \"frist\" in [queue.retry]; did you mean \"first\"?",
            ),
            ("[spool\n", "/c/c.toml:1: unclosed table, expected `]`"),
        ] {
            assert_eq!(read_from(text, Origin::Usual).err().as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn a_file_from_the_command_line_runs_nothing_writes_nowhere_and_reads_only_beside_itself() {
        let account = |line: &str| format!("[accounts.a]\nhost = \"x.org\"\nuser = \"u\"\n{line}");
        for (text, key) in [
            (account("password-command = \"/bin/x\""), "password-command"),
            (account("token-command = [\"/bin/x\"]"), "token-command"),
            (account("credential = \"mail\""), "credential"),
            (account("netrc = \"netrc\""), "netrc"),
            (account("git-credential = true"), "git-credential"),
            (account("password-file = \"/home/me/.secret\""), "password-file"),
            (account("password-file = \"../.secret\""), "password-file"),
            (account("password-file = \"~/.secret\""), "password-file"),
            ("[accounts.b]\nmaildir = \"/tmp/x\"".to_string(), "maildir"),
            ("[accounts.b]\nmbox = \"/tmp/x\"".to_string(), "mbox"),
            ("log-file = \"/tmp/x\"".to_string(), "log-file"),
            ("metrics-file = \"/tmp/x\"".to_string(), "metrics-file"),
            ("[spool]\ndirectory = \"/tmp/x\"".to_string(), "directory"),
        ] {
            let error = read_from(&text, Origin::Named).unwrap_err();
            assert!(error.contains(&format!("\"{key}\"")) && error.contains("-C"), "{error}");
            if !key.starts_with("password-file") {
                assert!(read_from(&text, Origin::Variable).is_ok(), "{text}");
            }
        }
        assert!(read_from(&account("password-file = \"work.secret\""), Origin::Named).is_ok());
        assert!(read_from(&account("password = \"x\""), Origin::Named).is_ok());
    }

    #[test]
    fn a_bare_program_name_is_for_files_at_their_usual_place() {
        let text = "[accounts.a]\nhost = \"x.org\"\nuser = \"u\"\npassword-command = \"pass show x\"";
        assert!(read_from(text, Origin::Usual).is_ok());
        let error = read_from(text, Origin::Variable).unwrap_err();
        assert!(error.starts_with("/c/c.toml:4: \"password-command\" in [accounts.a] names \"pass\" without its path"));
    }
}
