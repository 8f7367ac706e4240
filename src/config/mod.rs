//! What the administrator or the user decided: accounts, where passwords come from, aliases, queue policy. Reads
//! files; decides nothing about a message.

pub mod account;
mod account_table;
pub mod aliases;
mod client_certificate;
mod connection_keys;
mod document;
mod duration;
pub mod editor;
mod error;
mod file;
mod fragments;
pub mod keeper;
mod keys;
mod netrc;
pub mod password;
mod paths;
mod ports;
pub mod presets;
mod program;
pub mod provenance;
mod reader;
mod secret_keys;
mod serve;
pub mod steward;
mod store;
pub mod url;

pub use account::{Account, Auth, Claim, Endpoint, Limits, RewriteFrom, Tls, Trust};
pub use client_certificate::ClientCertificate;
pub use connection_keys::is_host_name;
pub use error::{ConfigError, nearest};
pub use keys::KEYS;
pub use password::{Password, Secret, SecretError};
pub use program::{Leave, Program};
pub use serve::{Principal, Quota, Senders, Serve, is_socket};
pub use store::Store;
pub use url::Url;

use crate::mail::address::Addressee;
use crate::process::Process;
use crate::system;
use document::{Origin, Surroundings};
use fragments::{Fragment, Loaded};
use reader::Source;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything a configuration file says, defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from; `None` when there is none and everything is default.
    pub file: Option<PathBuf>,
    /// The files of `config.d` beside it, in the order they are read in.
    pub fragments: Vec<PathBuf>,
    /// The system's file, or a fragment of it, when there is no other and the caller may not read it: its passwords are not for everybody.
    pub unreadable: Option<PathBuf>,
    /// In the order of the file.
    pub accounts: Vec<Account>,
    pub default_account: Option<String>,
    /// Qualifies bare names in header fields, and is the right side of Message-IDs.
    pub domain: String,
    pub local_recipients: LocalRecipients,
    /// `[aliases]`, names in lower case.
    pub aliases: BTreeMap<String, Vec<Addressee>>,
    pub queue: QueuePolicy,
    pub spool: PathBuf,
    pub log_file: Option<PathBuf>,
    /// What queue runs write for Prometheus.
    pub metrics_file: Option<PathBuf>,
    pub sandbox: Sandbox,
    pub serve: Serve,
}

/// Whether a process shuts itself in before it hears strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    On,
    Off,
}

impl Sandbox {
    /// As the configuration writes it.
    const WORDS: &[(&str, Sandbox)] = &[("on", Sandbox::On), ("off", Sandbox::Off)];
}

/// What to do with bare names and this host's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalRecipients {
    Alias,
    Relay,
}

/// When a message is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Foreground,
    Background,
    Queue,
}

/// `[queue]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePolicy {
    pub delivery: Delivery,
    pub expire: Duration,
    pub retry_first: Duration,
    pub retry_max: Duration,
    pub foreground_deadline: Duration,
    /// After how long a delay warning goes out; `None` for never.
    pub warn_after: Option<Duration>,
    /// How long `dead/` is kept.
    pub keep_dead: Duration,
}

impl Config {
    /// Finds and reads the configuration: `-C` (restricted: it may name no programs and nothing to write to), then
    /// `$MAILCHUTE_CONFIG`, the user's, the system's; of these last two also what lies in `config.d` beside them, for
    /// which nobody but their owner has to answer. None found is a `Config` without accounts.
    ///
    /// # Errors
    /// A file that is named and not there, that others can change, or that says what cannot be meant.
    pub fn load(process: &Process, named: Option<&Path>) -> Result<Config, ConfigError> {
        let around = surroundings(process);
        if let Some(path) = named {
            return read(&[path.to_path_buf()], Origin::Named, &around);
        }
        let system = Path::new(paths::SYSTEM_FILE);
        match process.variable("MAILCHUTE_CONFIG").filter(|path| !path.is_empty()).map(Path::new) {
            // The same file however it is named, as in its own units; only then it must be there.
            Some(path) if path == system => match Config::of_system(&around)? {
                Config { file: None, unreadable: None, .. } => return read(&[system.into()], Origin::Usual, &around),
                config => return Ok(config),
            },
            Some(path) => return read(&[path.into()], Origin::Variable, &around),
            None => {}
        }
        if let Some(path) = paths::user_file(process) {
            let files = usual_files(&path).map_err(|error| fragments::folder_error(&path, &error))?;
            if !files.is_empty() {
                return read(&files, Origin::Usual, &around);
            }
        }
        Config::of_system(&around)
    }

    /// The system's, as far as the caller may read it: a part of what is configured would be something else than what
    /// was meant.
    fn of_system(around: &Surroundings) -> Result<Config, ConfigError> {
        let system = Path::new(paths::SYSTEM_FILE);
        let closed = |path: &Path| Config { unreadable: Some(path.to_path_buf()), ..Config::empty(around) };
        match usual_files(system) {
            Ok(files) => match fragments::closed(&files) {
                Some(file) => Ok(closed(file)),
                None => read(&files, Origin::Usual, around),
            },
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(closed(system)),
            Err(error) => Err(fragments::folder_error(system, &error)),
        }
    }

    /// What holds when no file is read.
    pub fn without_file(process: &Process) -> Config {
        Config::empty(&surroundings(process))
    }

    /// Where the caller's own configuration is or would be; for root the system's. `None` without a home.
    pub fn usual_file(process: &Process) -> Option<PathBuf> {
        if process.caller.is_root() { Some(paths::SYSTEM_FILE.into()) } else { paths::user_file(process) }
    }

    /// Whether it came from the system's file, whose accounts are the spooler's where there is one.
    pub fn is_the_systems(&self) -> bool {
        self.file.as_deref() == Some(Path::new(paths::SYSTEM_FILE))
    }

    /// Drops where passwords are and what they are, in a process that must not know.
    pub fn forget_secrets(&mut self) {
        self.accounts.iter_mut().for_each(|account| account.secret = None);
    }

    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }
}

fn surroundings(process: &Process) -> Surroundings {
    let mail_name = std::fs::read_to_string("/etc/mailname").ok();
    let mail_name = mail_name.as_deref().and_then(|text| text.lines().next()).and_then(document::valid_domain);
    Surroundings {
        uid: process.caller.uid,
        home: process.home(),
        credentials: process.variable("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute()),
        domain: mail_name.unwrap_or_else(|| process.host.clone()),
        spool: paths::spool(process),
    }
}

/// The file at its usual place, if it is there, and the fragments beside it.
fn usual_files(main: &Path) -> io::Result<Vec<PathBuf>> {
    let there = match std::fs::metadata(main) {
        Ok(_) => Some(main.to_path_buf()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(error) => return Err(error),
    };
    Ok(there.into_iter().chain(fragments::beside(main)?).collect())
}

/// Reads files, each laid over those before it.
fn read(files: &[PathBuf], origin: Origin, around: &Surroundings) -> Result<Config, ConfigError> {
    let files: Vec<Loaded> = files.iter().map(|path| load(path, origin, around)).collect::<Result<_, _>>()?;
    let Some((main, others)) = files.split_first() else { return Ok(Config::empty(around)) };
    let over = lay_out(&main.text, others);
    let config = document::read(Source { file: &main.path, text: &main.text, over: &over }, origin, around)?;
    let secrets = || config.accounts.iter().filter_map(|account| account.secret.as_ref());
    let runs_programs = secrets().any(Secret::runs_program);
    let has_passwords = secrets().any(Secret::is_literal);
    for file in &files {
        // The only file needs no second look.
        let has = |keys: &[&str]| others.is_empty() || file.has(keys);
        if runs_programs && has(Secret::PROGRAM_KEYS) && !file.opened.is_owned_by(around.uid) {
            return Err(refused(&file.path, "names a program to run and belongs to another user", "chown $(id -un)"));
        }
        if has_passwords && has(&["password"]) {
            check_closed(file, around)?;
        }
    }
    Ok(config)
}

/// What lies beside a main file that has this text.
fn fragments_of(main: &Path, text: &str, process: &Process) -> Result<Vec<Fragment>, ConfigError> {
    let around = surroundings(process);
    let files = fragments::beside(main).map_err(|error| fragments::folder_error(main, &error))?;
    let files: Vec<Loaded> = files.iter().map(|path| load(path, Origin::Usual, &around)).collect::<Result<_, _>>()?;
    Ok(lay_out(text, &files))
}

fn lay_out(main: &str, others: &[Loaded]) -> Vec<Fragment> {
    // One position between two files: the end of one is not the beginning of the next.
    let mut start = main.len() + 1;
    let behind = |file: &Loaded| {
        let fragment = Fragment::behind(start, &file.path, &file.text);
        start = fragment.text.len() + 1;
        fragment
    };
    others.iter().map(behind).collect()
}

/// Opens and reads one file that nobody else can change.
fn load(path: &Path, origin: Origin, around: &Surroundings) -> Result<Loaded, ConfigError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut opened = file::open(&path).map_err(|error| unreadable(&path, &error))?;
    if origin == Origin::Named && !opened.is_owned_by(around.uid) {
        return Err(refused(&path, "given with -C and belongs to another user", "chown $(id -un)"));
    }
    if opened.grants(0o002) || origin == Origin::Named && opened.grants(0o022) {
        return Err(refused(&path, &format!("others can change it (mode {:04o})", opened.mode()), "chmod go-w"));
    }
    // A password may stand in it.
    system::hide_memory();
    let text = opened.text().map_err(|error| unreadable(&path, &error))?;
    Ok(Loaded { path, opened, text })
}

/// A file with a password is its owner's alone.
fn check_closed(file: &Loaded, around: &Surroundings) -> Result<(), ConfigError> {
    if !file.opened.is_owned_by(around.uid) {
        return Err(refused(&file.path, "holds a password and belongs to another user", "chown $(id -un)"));
    }
    if file.opened.grants(0o077) {
        let problem = format!("holds a password and is open to others (mode {:04o})", file.opened.mode());
        return Err(refused(&file.path, &problem, "chmod 600"));
    }
    Ok(())
}

fn refused(path: &Path, problem: &str, change: &str) -> ConfigError {
    ConfigError::of_file(path, problem).with_hint(format!("{change} {}", path.display()))
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    ConfigError::of_file(path, error.to_string())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;
    use crate::diagnostic::render;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn read_file(text: &str, mode: u32, origin: Origin) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        read(&[path], origin, &Surroundings::sample())
            .map_err(|error| render(&error).replace(&folder.path().display().to_string(), "/c"))
    }

    const LITERAL: &str = "[accounts.a]\nhost = \"x.org\"\nuser = \"u\"\npassword = \"p\"\n";

    #[test]
    fn a_file_that_others_can_change_is_refused() {
        for (mode, origin, good) in [
            (0o644, Origin::Usual, true),
            (0o664, Origin::Usual, true),
            (0o666, Origin::Usual, false),
            (0o644, Origin::Named, true),
            (0o664, Origin::Named, false),
            (0o646, Origin::Variable, false),
        ] {
            assert_eq!(read_file("", mode, origin).is_ok(), good, "{mode:o} {origin:?}");
        }
        assert_eq!(
            read_file("", 0o664, Origin::Named).unwrap_err(),
            "mailchute: /c/config.toml: others can change it (mode 0664)\n\
             mailchute:   hint: chmod go-w /c/config.toml\n"
        );
    }

    #[test]
    fn a_file_with_a_password_is_closed_to_all_others() {
        assert!(read_file(LITERAL, 0o600, Origin::Usual).is_ok());
        assert!(read_file(LITERAL, 0o400, Origin::Named).is_ok());
        assert_eq!(
            read_file(LITERAL, 0o640, Origin::Usual).unwrap_err(),
            "mailchute: /c/config.toml: holds a password and is open to others (mode 0640)\n\
             mailchute:   hint: chmod 600 /c/config.toml\n"
        );
        let app = LITERAL.replace("host = \"x.org\"", "provider = \"gmail\"").replace("\"u\"", "\"u@gmail.com\"");
        assert!(read_file(&app, 0o604, Origin::Usual).is_err());
    }

    /// Only root can give a file away; for anyone else there is nothing to see here.
    #[test]
    fn a_file_of_another_user_may_not_name_programs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let program = LITERAL.replace("password = \"p\"", "password-command = \"/bin/pass\"");
        for (text, good) in [("", true), (program.as_str(), false), (LITERAL, false)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            if std::os::unix::fs::chown(&path, Some(4711), None).is_err() {
                return;
            }
            for origin in [Origin::Variable, Origin::Usual] {
                let found = read(std::slice::from_ref(&path), origin, &Surroundings::sample());
                assert_eq!(found.is_ok(), good, "{text} {origin:?}");
            }
        }
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let error = read(&[PathBuf::from("/no/such.toml")], Origin::Named, &Surroundings::sample()).unwrap_err();
        assert_eq!(error.to_string(), "/no/such.toml: No such file or directory (os error 2)");
    }
}
