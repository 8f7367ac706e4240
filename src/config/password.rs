//! Passwords and tokens: where they come from, and how they stay unseen.

use super::file;
use super::netrc;
use super::program::{Leave, Program};
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::system;
use nix::unistd::Uid;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A password or token in memory: zeroed when dropped, never printed.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    pub fn new(bytes: Vec<u8>) -> Password {
        Password(Zeroizing::new(bytes))
    }

    /// The bytes, for the SASL response and nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether it has the form of an App Password as Google and Yahoo make them: 16 small letters, perhaps in groups
    /// of four. One that has not is most likely the ordinary password, which those relays refuse.
    pub fn looks_like_app_password(&self) -> bool {
        self.ungrouped().is_some()
    }

    /// The 16 letters of an App Password without the white space that it is shown with (no-break spaces among it).
    fn ungrouped(&self) -> Option<Password> {
        let text = std::str::from_utf8(&self.0).ok()?;
        let mut letters = Zeroizing::new(Vec::with_capacity(text.len()));
        letters.extend(
            text.chars().filter(|c| !c.is_whitespace()).map(|c| if c.is_ascii_lowercase() { c as u8 } else { 0 }),
        );
        (letters.len() == 16 && !letters.contains(&0)).then_some(Password(letters))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Where the secret comes from.
#[derive(Clone, Debug)]
pub enum Secret {
    Literal(Password),
    File(PathBuf),
    /// A program; its first output line is the password.
    Command(Program),
    /// The same, but what it prints is an OAuth 2 access token.
    TokenCommand(Program),
    /// A systemd credential, a file in `$CREDENTIALS_DIRECTORY`; a bare name when that is not set.
    Credential(PathBuf),
    /// An entry of a netrc file.
    Netrc {
        file: PathBuf,
        host: String,
        user: String,
    },
    /// What git's credential helpers have for this relay.
    Git(Program),
    /// An App Password from the source inside, whose groups of four may be written with spaces.
    AppPassword(Box<Secret>),
}

impl Secret {
    /// Fetches the secret now, into memory that no other process may read. Commands get 30 s and no terminal noise; their stderr is in the error.
    pub fn fetch(&self) -> Result<Password, SecretError> {
        self.fetch_or_leave(None)
    }

    /// The same, for somebody who has something to do at a certain moment even while a command runs.
    pub fn fetch_or_leave(&self, leave: Option<Leave>) -> Result<Password, SecretError> {
        system::hide_memory();
        match self {
            Secret::Literal(password) => Ok(password.clone()),
            Secret::File(path) => from_private_file(path),
            Secret::Command(program) | Secret::TokenCommand(program) => program.first_line(leave),
            Secret::Netrc { file, host, user } => netrc::look_up(file, host, user),
            Secret::Git(git) => git.line_behind("password=", leave),
            Secret::Credential(path) if path.is_absolute() => from_file("credential", path, |_| Ok(())),
            Secret::Credential(name) => {
                Err(SecretError::new(format!("credential {}: no such directory", name.display()))
                    .with_hint("$CREDENTIALS_DIRECTORY is set by systemd for units with LoadCredential= only"))
            }
            Secret::AppPassword(source) => {
                source.fetch_or_leave(leave).map(|password| password.ungrouped().unwrap_or(password))
            }
        }
    }

    /// Whether it is an OAuth 2 token, which is never sent as a password.
    pub fn is_token(&self) -> bool {
        matches!(self, Secret::TokenCommand(_))
    }

    /// The source itself, whatever is made of what it gives.
    pub fn source(&self) -> &Secret {
        match self {
            Secret::AppPassword(source) => source.source(),
            source => source,
        }
    }

    /// When the file that the secret is in last changed; 0 for other sources. For [`super::Account::digest`].
    pub(super) fn stamp(&self) -> i128 {
        self.file().map_or(0, file::stamp)
    }

    /// The file that it is read from when it is fetched.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Secret::File(path) | Secret::Credential(path) | Secret::Netrc { file: path, .. } => Some(path),
            Secret::AppPassword(source) => source.file(),
            Secret::Literal(_) | Secret::Command(_) | Secret::TokenCommand(_) | Secret::Git(_) => None,
        }
    }

    /// The keys of those for which a program is run.
    pub(super) const PROGRAM_KEYS: &[&str] = &["password-command", "token-command", "git-credential"];

    /// Whether a program is run for it.
    pub(super) fn runs_program(&self) -> bool {
        match self {
            Secret::Command(_) | Secret::TokenCommand(_) | Secret::Git(_) => true,
            Secret::AppPassword(source) => source.runs_program(),
            Secret::Literal(_) | Secret::File(_) | Secret::Credential(_) | Secret::Netrc { .. } => false,
        }
    }

    /// Whether the secret stands in the configuration file itself.
    pub(super) fn is_literal(&self) -> bool {
        match self {
            Secret::Literal(_) => true,
            Secret::AppPassword(source) => source.is_literal(),
            Secret::File(_)
            | Secret::Command(_)
            | Secret::TokenCommand(_)
            | Secret::Credential(_)
            | Secret::Netrc { .. }
            | Secret::Git(_) => false,
        }
    }
}

/// Where the secret comes from, for people: never the secret.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Literal(_) => f.write_str("password in the configuration file"),
            Secret::File(path) => write!(f, "password-file {}", path.display()),
            Secret::Command(program) => write!(f, "password-command {program}"),
            Secret::TokenCommand(program) => write!(f, "token-command {program}"),
            Secret::Credential(path) => write!(f, "credential {}", path.display()),
            Secret::Netrc { file, .. } => write!(f, "netrc {}", file.display()),
            Secret::Git(_) => f.write_str("git-credential"),
            Secret::AppPassword(source) => source.fmt(f),
        }
    }
}

/// A file of the caller's or root's, closed to all others.
fn from_private_file(path: &Path) -> Result<Password, SecretError> {
    from_file("password-file", path, |file| check_private("password-file", path, file))
}

/// Whether an open file is the caller's or root's, and closed to all others.
pub(super) fn check_private(kind: &str, path: &Path, file: &file::Opened) -> Result<(), SecretError> {
    let shown = path.display();
    if !file.is_owned_by(Uid::current().as_raw()) {
        return Err(SecretError::new(format!("{kind} {shown}: belongs to another user"))
            .with_hint(format!("chown $(id -un) {shown}")));
    }
    if file.grants(0o077) {
        return Err(SecretError::new(format!("{kind} {shown}: open to others (mode {:04o})", file.mode()))
            .with_hint(format!("chmod 600 {shown}")));
    }
    Ok(())
}

fn from_file(
    kind: &str,
    path: &Path,
    check: impl Fn(&file::Opened) -> Result<(), SecretError>,
) -> Result<Password, SecretError> {
    let at = |problem: &dyn fmt::Display| SecretError::new(format!("{kind} {}: {problem}", path.display()));
    let mut file = file::open(path).map_err(|error| at(&error))?;
    check(&file)?;
    let bytes = file.bytes().map_err(|error| at(&error))?;
    match file::first_line(&bytes) {
        [] => Err(at(&"its first line is empty")),
        line => Ok(Password::new(line.to_vec())),
    }
}

/// Why there is no secret: the source and the cause, never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretError {
    pub cause: String,
    pub hint: Option<String>,
}

impl SecretError {
    pub(super) fn new(cause: String) -> SecretError {
        SecretError { cause, hint: None }
    }

    pub(super) fn with_hint(self, hint: impl Into<String>) -> SecretError {
        SecretError { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for SecretError {}

impl Explain for SecretError {
    fn exit(&self) -> Exit {
        Exit::Config
    }

    fn hints(&self) -> Vec<String> {
        self.hint.clone().into_iter().collect()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_password_file_gives_its_first_line_when_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("work.secret");
        let shown = path.display();
        for (text, mode, wanted) in [
            ("se cret \nnotes\n", 0o600, Ok("se cret ".to_string())),
            ("secret\r\n", 0o400, Ok("secret".to_string())),
            ("\nsecret", 0o600, Err(format!("password-file {shown}: its first line is empty"))),
            ("secret", 0o640, Err(format!("password-file {shown}: open to others (mode 0640)"))),
            ("secret", 0o604, Err(format!("password-file {shown}: open to others (mode 0604)"))),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let found = Secret::File(path.clone()).fetch();
            let found = found.map(|password| String::from_utf8(password.expose().to_vec()).unwrap());
            assert_eq!(found.map_err(|error| error.cause), wanted);
            fs::remove_file(&path).unwrap();
        }
        let error = Secret::File(path.clone()).fetch().unwrap_err();
        assert_eq!(error.cause, format!("password-file {shown}: No such file or directory (os error 2)"));
    }

    #[test]
    fn the_mode_of_a_credential_is_systemds_business() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail");
        fs::write(&path, "secret\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        assert_eq!(Secret::Credential(path).fetch().unwrap().expose(), b"secret");
        let error = Secret::Credential(PathBuf::from("mail")).fetch().unwrap_err();
        assert_eq!(error.cause, "credential mail: no such directory");
    }

    #[test]
    fn the_groups_of_an_app_password_are_joined_and_other_passwords_stay_as_they_are() {
        for (written, wanted, is_one) in [
            ("abcd efgh ijkl mnop", "abcdefghijklmnop", true),
            ("abcd\u{a0}efgh\u{a0}ijkl\u{a0}mnop ", "abcdefghijklmnop", true),
            ("abcdefghijklmnop", "abcdefghijklmnop", true),
            ("my old pass word", "my old pass word", false),
            ("Abcd efgh ijkl mnop", "Abcd efgh ijkl mnop", false),
            ("hunter2", "hunter2", false),
        ] {
            let password = Password::new(written.as_bytes().to_vec());
            assert_eq!(password.looks_like_app_password(), is_one, "{written}");
            let secret = Secret::AppPassword(Box::new(Secret::Literal(password)));
            assert_eq!(secret.fetch().unwrap().expose(), wanted.as_bytes(), "{written}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let secret = Secret::AppPassword(Box::new(Secret::Literal(Password::new(b"hunter2".to_vec()))));
        assert!(!format!("{secret:?} {secret}").contains("hunter2"));
    }
}
