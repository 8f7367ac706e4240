//! A configuration in several files: `config.d/*.toml` beside the main one, in the order of their names. A later file
//! adds to what the earlier ones say and overrides it key by key; every error and every setting still knows its own
//! file and line.

use super::error::ConfigError;
use super::file::{self, Opened};
use super::unreadable;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

/// The folder beside `config.toml`.
const FOLDER: &str = "config.d";
/// More files than this are a mistake.
const MOST: usize = 1000;

/// A file that is laid over those before it.
pub(super) struct Fragment {
    pub file: PathBuf,
    /// The file's text behind as many blanks as all texts before it have octets, so that a position in it is one of
    /// the whole.
    pub text: Zeroizing<String>,
    pub start: usize,
}

impl Fragment {
    /// The text of a file behind others that have `start` octets.
    pub fn behind(start: usize, file: &Path, text: &str) -> Fragment {
        let mut padded = Zeroizing::new(String::with_capacity(start + text.len()));
        padded.extend(std::iter::repeat_n(' ', start));
        padded.push_str(text);
        Fragment { file: file.to_path_buf(), text: padded, start }
    }
}

/// The names of the fragments beside a file, in order; none when there is no folder.
///
/// # Errors
/// The folder cannot be read, can be changed by others, or holds too many.
pub(super) fn beside(main: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = main.with_file_name(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if fs::metadata(&folder)?.permissions().mode() & 0o002 != 0 {
        return Err(io::Error::other("others can change it"));
    }
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        // What an editor or a package manager leaves beside a file, such as x.toml~, does not end so.
        if name.to_str().is_some_and(|name| name.ends_with(".toml") && !name.starts_with('.')) {
            files.push(folder.join(name));
        }
        if files.len() > MOST {
            return Err(io::Error::other("too many files"));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// What goes wrong with the folder, as an error of the configuration.
pub(super) fn folder_error(main: &Path, error: &io::Error) -> ConfigError {
    let folder = main.with_file_name(FOLDER);
    let problem = unreadable(&folder, error);
    if error.kind() == ErrorKind::Other {
        problem.with_hint(format!("chmod o-w {}", folder.display()))
    } else {
        problem
    }
}

/// Whether one of the files may not be read by the caller, and which.
pub(super) fn closed(files: &[PathBuf]) -> Option<&PathBuf> {
    let is_closed =
        |file: &&PathBuf| matches!(file::open(file), Err(error) if error.kind() == ErrorKind::PermissionDenied);
    files.iter().find(is_closed)
}

/// Lays one table over another: tables are joined, everything else is replaced.
pub(super) fn lay_over<'a>(under: &mut DeTable<'a>, over: DeTable<'a>) {
    for (key, value) in over {
        let below = under.get_mut(key.get_ref().as_ref()).map(|value| value.get_mut());
        match (below, value.get_ref()) {
            (Some(DeValue::Table(below)), DeValue::Table(_)) => {
                if let DeValue::Table(above) = value.into_inner() {
                    lay_over(below, above);
                }
            }
            _ => {
                // The key that stays would be the old one, with its old place.
                under.remove(key.get_ref().as_ref());
                under.insert(key, value);
            }
        }
    }
}

/// A file of the configuration, as it was opened and read.
pub(super) struct Loaded {
    pub path: PathBuf,
    pub opened: Opened,
    pub text: Zeroizing<String>,
}

impl Loaded {
    /// Whether an account in this file has one of these keys; `oauth2.scope` is a key in a table.
    pub fn has(&self, keys: &[&str]) -> bool {
        let Ok(table) = DeTable::parse(&self.text) else { return false };
        let Some(DeValue::Table(accounts)) = table.get_ref().get("accounts").map(|value| value.get_ref()) else {
            return false;
        };
        accounts.values().any(|account| match account.get_ref() {
            DeValue::Table(account) => keys.iter().any(|key| match key.split_once('.') {
                Some((table, key)) => match account.get(table).map(|value| value.get_ref()) {
                    Some(DeValue::Table(table)) => table.contains_key(key),
                    _ => false,
                },
                None => account.contains_key(*key),
            }),
            _ => false,
        })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::super::document::{self, Origin, Surroundings};
    use super::super::reader::Source;
    use super::super::{Config, provenance, read, usual_files};
    use super::*;
    use crate::diagnostic::render;
    use std::fs::Permissions;
    use tempfile::TempDir;

    /// A main file and what lies in `config.d`: name, text and mode.
    fn folder(main: &str, fragments: &[(&str, &str, u32)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), main).unwrap();
        fs::set_permissions(folder.path().join("config.toml"), Permissions::from_mode(0o644)).unwrap();
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        fs::set_permissions(folder.path().join(FOLDER), Permissions::from_mode(0o755)).unwrap();
        for (name, text, mode) in fragments {
            let path = folder.path().join(FOLDER).join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
        }
        folder
    }

    fn config(folder: &TempDir) -> Result<Config, String> {
        let main = folder.path().join("config.toml");
        let files = usual_files(&main).map_err(|error| folder_error(&main, &error));
        files
            .and_then(|files| read(&files, Origin::Usual, &Surroundings::sample()))
            .map_err(|error| render(&error).replace(&folder.path().display().to_string(), "/c"))
    }

    const MAIN: &str = "domain = \"a.example\"\n[accounts.work]\nhost = \"one.example\"\nidentities = [\"x@y.org\"]\n\
                        [queue]\nexpire = \"2d\"\nretry = { first = \"2m\" }\n";

    #[test]
    fn a_later_file_adds_and_overrides_key_by_key() {
        let over = "domain = \"b.example\"\n[accounts.work]\nhost = \"two.example\"\ntls-ca-file = \"ca.pem\"\n\
                    [queue]\nretry = { max = \"1h\" }\n";
        let third = "\n[accounts.other]\nhost = \"three.example\"\n";
        let folder = folder(
            MAIN,
            &[
                ("20-more.toml", third, 0o644),
                ("10-site.toml", over, 0o644),
                ("30-not.toml~", "=", 0o644),
                (".x.toml", "=", 0o644),
            ],
        );
        let config = config(&folder).unwrap();
        assert_eq!(config.domain, "b.example");
        let accounts: Vec<(&str, &str)> =
            config.accounts.iter().map(|account| (&*account.name, &*account.endpoints[0].host)).collect();
        assert_eq!(accounts, [("work", "two.example"), ("other", "three.example")]);
        assert_eq!(config.accounts[0].identities, ["x@y.org"]);
        let queue = [config.queue.expire, config.queue.retry_first, config.queue.retry_max];
        assert_eq!(queue.map(|span| span.as_secs()), [172_800, 120, 3600]);

        let origins: Vec<String> = provenance::of_account(&config, &config.accounts[0])
            .into_iter()
            .map(|one| format!("{} {}", one.key, one.origin).replace(&folder.path().display().to_string(), "/c"))
            .collect();
        for wanted in
            ["host /c/config.d/10-site.toml:3", "tls-ca-file /c/config.d/10-site.toml:4", "identities /c/config.toml:4"]
        {
            assert!(origins.iter().any(|origin| origin == wanted), "{wanted} in {origins:?}");
        }
        let trust = format!("{:?}", config.accounts[0].trust);
        assert!(trust.contains("config.d/ca.pem"), "a path is relative to its own file: {trust}");
    }

    #[test]
    fn fragments_are_enough() {
        let folder = folder("", &[("a.toml", MAIN, 0o644)]);
        fs::remove_file(folder.path().join("config.toml")).unwrap();
        assert_eq!(config(&folder).unwrap().accounts.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_of_the_file_it_stands_in() {
        for (text, wanted) in [
            ("\nacounts = 1", "/c/config.d/a.toml:2: unknown key \"acounts\"; did you mean \"accounts\"?"),
            ("x = [", "/c/config.d/a.toml:1: unclosed array, expected `]`"),
            (
                "\n\n[accounts.work]\nport = \"x\"",
                "/c/config.d/a.toml:4: \"port\" in [accounts.work] is a string, not a whole number",
            ),
            (
                "default-account = \"wrk\"",
                "/c/config.d/a.toml:1: \"default-account\" is \"wrk\", which is no account here; did you mean \"work\"?",
            ),
        ] {
            let said = config(&folder(MAIN, &[("a.toml", text, 0o644), ("b.toml", "", 0o644)])).unwrap_err();
            assert_eq!(said.replace("\nmailchute:   hint: ", "; "), format!("mailchute: {wanted}\n"));
        }
        let folder = folder("domain = 1", &[("a.toml", "", 0o644)]);
        assert_eq!(config(&folder).unwrap_err(), "mailchute: /c/config.toml:1: \"domain\" is a number, not a string\n");
    }

    #[test]
    fn only_the_file_with_the_password_must_be_closed() {
        let secret = "[accounts.work]\nuser = \"u\"\npassword = \"p\"\n";
        assert!(config(&folder(MAIN, &[("a.toml", secret, 0o600), ("b.toml", "", 0o644)])).is_ok());
        assert_eq!(
            config(&folder(MAIN, &[("a.toml", secret, 0o640)])).unwrap_err(),
            "mailchute: /c/config.d/a.toml: holds a password and is open to others (mode 0640)\n\
             mailchute:   hint: chmod 600 /c/config.d/a.toml\n"
        );
        // Overridden or not, it stands there for all to read.
        let overridden = folder(
            secret,
            &[(
                "a.toml",
                &format!("{MAIN}{}", secret.replace("[accounts.work]", "[accounts.b]\nhost = \"b.example\"")),
                0o600,
            )],
        );
        assert!(config(&overridden).unwrap_err().contains("/c/config.toml: holds a password"));
    }

    #[test]
    fn what_others_can_change_is_refused() {
        let open = folder(MAIN, &[("a.toml", "", 0o646)]);
        assert!(config(&open).unwrap_err().starts_with("mailchute: /c/config.d/a.toml: others can change it"));
        let folder = folder(MAIN, &[]);
        fs::set_permissions(folder.path().join(FOLDER), Permissions::from_mode(0o757)).unwrap();
        assert_eq!(
            config(&folder).unwrap_err(),
            "mailchute: /c/config.d: others can change it\nmailchute:   hint: chmod o-w /c/config.d\n"
        );
    }

    #[test]
    fn a_secret_that_changes_in_a_fragment_changes_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let (main, other) = (folder.path().join("config.toml"), folder.path().join("50.toml"));
        for (lines, secret) in [
            ("host = \"x.org\"\nuser = \"u@x.org\"", "[accounts.a]\npassword = \"p\""),
            (
                "provider = \"gmail\"\nuser = \"u@x.org\"\noauth2.client-id = \"c\"",
                "[accounts.a.oauth2]\nclient-secret = \"s\"",
            ),
        ] {
            let text = format!("[accounts.a]\n{lines}\n");
            std::fs::write(&main, &text).unwrap();
            std::fs::write(&other, secret).unwrap();
            let digest = || {
                let over = [Fragment::behind(text.len() + 1, &other, secret)];
                let source = Source { file: &main, text: &text, over: &over };
                document::read(source, Origin::Usual, &Surroundings::sample()).unwrap().accounts.remove(0).digest
            };
            let before = digest();
            assert_eq!(before, digest());
            std::fs::File::open(&other).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
            assert_ne!(before, digest(), "{secret}");
        }
    }
}
