//! A password in the desktop's keyring (the Secret Service), through secret-tool(1) of libsecret: what speaks D-Bus is
//! a program that the distribution keeps, instead of some sixty crates, or a C library, in every sendmail.

use super::file::first_line;
use super::password::{Password, SecretError};
use super::program::{self, Ended, Leave, Program};
use crate::process::Process;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "secret-tool";

/// One item: found by its attributes, `service smtp`, `host`, `user`, as msmtp documents them too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    pub host: String,
    pub user: String,
    /// What the program finds in `$HOME`.
    pub home: Option<PathBuf>,
    /// The address of the session's bus.
    pub bus: String,
}

impl Keyring {
    /// Whether there is a session that may have a keyring, and the program that asks it.
    pub fn is_there(process: &Process) -> bool {
        let bus = super::bus(process);
        let socket = bus.strip_prefix("unix:path=").and_then(|rest| rest.split([',', ';']).next());
        socket.is_some_and(|path| Path::new(path).exists()) && program::find(PROGRAM).is_some()
    }

    /// Fetches the password; the keyring may ask a person to unlock it meanwhile.
    pub fn look_up(&self, leave: Option<Leave>) -> Result<Password, SecretError> {
        let Ended { status, output, errors } = self.run(&["lookup"], &[], leave)?;
        match (status.success(), errors.trim_ascii()) {
            // `echo secret | secret-tool store` has put a line end in, too.
            (true, _) if !first_line(&output).is_empty() => Ok(Password::new(first_line(&output).to_vec())),
            (_, []) if self.is_locked() => Err(self
                .error("the keyring is locked, and nobody unlocked it")
                .with_hint("unlock it, as logging in to the desktop does; then: mailchute queue flush")),
            (_, []) => Err(self.error("no such item").with_hint("mailchute login stores it")),
            (_, said) => Err(self.told(said)),
        }
    }

    /// Puts a password in, in the place of one that is there, and sees that it is found again.
    pub fn keep(&self, password: &Password) -> Result<(), SecretError> {
        self.store(password)?;
        match self.look_up(None)?.expose() == password.expose() {
            true => Ok(()),
            false => Err(self.error("another password is found than the one just stored")),
        }
    }

    fn store(&self, password: &Password) -> Result<(), SecretError> {
        let label = format!("--label=mail of {} through {}", self.user, self.host);
        let Ended { status, errors, .. } = self.run(&["store", &label], password.expose(), None)?;
        if status.success() { Ok(()) } else { Err(self.told(errors.trim_ascii())) }
    }

    fn run(&self, words: &[&str], input: &[u8], leave: Option<Leave>) -> Result<Ended, SecretError> {
        let attributes = ["service", "smtp", "host", &self.host, "user", &self.user];
        let words = [PROGRAM].iter().chain(words).chain(&attributes).map(|word| (*word).to_owned()).collect();
        let program = Program::new(words, self.home.clone()).ok_or_else(|| self.error("no program"))?;
        program.with_variable("DBUS_SESSION_BUS_ADDRESS", self.bus.clone()).run(input, leave).map_err(|error| {
            let missing = "secret-tool is in the package libsecret-tools or libsecret";
            let slow = "it may be locked, and nobody unlocked it: log in to the desktop, or use password-command";
            let hint = if error.cause.contains("took longer") { slow } else { missing };
            SecretError { cause: format!("keyring: {}", error.cause), ..error }.with_hint(hint)
        })
    }

    fn told(&self, said: &[u8]) -> SecretError {
        let said = String::from_utf8_lossy(said);
        let said = said.lines().next().unwrap_or_default().trim_start_matches("secret-tool: ");
        let error = self.error(&crate::diagnostic::printable(said));
        error.with_hint("a keyring is there while its owner is logged in to a desktop; elsewhere use password-command")
    }

    fn error(&self, problem: &str) -> SecretError {
        SecretError::new(format!("keyring: {} at {}: {problem}", self.user, self.host))
    }

    /// Whether an item that was not handed out is there: a search also shows what is locked.
    fn is_locked(&self) -> bool {
        self.run(&["search"], &[], None).is_ok_and(|found| !found.output.trim_ascii().is_empty())
    }
}
