//! A world of its own for one test: a home, a configuration, a spool, and the program under each of its names. Nothing
//! of the caller's environment gets in.

use super::relay::{Relay, Security, certificates};
use super::run::Run;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The login that [`Sandbox::for_relay`] configures.
pub const USER: &str = "alice@example.test";
/// Its password; no output may ever show it.
pub const PASSWORD: &str = "CANARY-5up3r-s3cret";

/// The folder, and what the configuration in it says. Gone when dropped.
pub struct Sandbox {
    folder: TempDir,
    /// Keys in front of every table.
    pub top: String,
    /// The lines of `[accounts.test]`; empty is no account.
    pub account: String,
    /// Further tables.
    pub tables: String,
}

impl Sandbox {
    /// A world without a configuration.
    pub fn empty() -> Sandbox {
        let folder = tempfile::Builder::new().prefix("mailchute-").tempdir().unwrap();
        for name in ["home", "bin", "state"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["sendmail", "mailq", "newaliases", "mailchute"] {
            symlink(env!("CARGO_BIN_EXE_mailchute"), folder.path().join("bin").join(name)).unwrap();
        }
        fs::write(folder.path().join("ca.pem"), certificates::authority()).unwrap();
        let (top, account, tables) = Default::default();
        Sandbox { folder, top, account, tables }
    }

    /// A world whose one account is that relay.
    pub fn for_relay(relay: &Relay) -> Sandbox {
        let mut sandbox = Sandbox::empty();
        sandbox.account = account_for(relay);
        sandbox.write_config();
        sandbox
    }

    /// Adds lines to the account.
    pub fn account(mut self, lines: &str) -> Sandbox {
        self.account += &format!("{lines}\n");
        self.write_config();
        self
    }

    /// Replaces a part of the account's lines, which must be there.
    pub fn replace(mut self, old: &str, new: &str) -> Sandbox {
        assert!(self.account.contains(old), "{old:?} is not in {}", self.account);
        self.account = self.account.replace(old, new);
        self.write_config();
        self
    }

    /// Adds keys in front of the tables.
    pub fn top(mut self, lines: &str) -> Sandbox {
        self.top += &format!("{lines}\n");
        self.write_config();
        self
    }

    /// Adds tables behind the account; `[queue]` and `[spool]` are there already.
    pub fn tables(mut self, lines: &str) -> Sandbox {
        self.tables += &format!("{lines}\n");
        self.write_config();
        self
    }

    /// Adds keys to `[queue]`.
    pub fn queue_policy(self, lines: &str) -> Sandbox {
        self.tables(&format!("[queue]\n{lines}"))
    }

    /// Puts this text in the place of the whole configuration.
    pub fn config_text(self, text: &str) -> Sandbox {
        self.write_private("config.toml", text);
        self
    }

    fn write_config(&self) {
        let Sandbox { top, account, tables, .. } = self;
        let account = if account.is_empty() { String::new() } else { format!("[accounts.test]\n{account}") };
        let spool = self.spool();
        let text = format!("{top}\n{account}\n[spool]\ndirectory = \"{}\"\n{tables}", spool.display());
        self.write_private("config.toml", &text);
    }

    /// Writes a file that only its owner may read.
    pub fn write_private(&self, name: &str, contents: &str) {
        let path = self.path(name);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A path in this world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    pub fn spool(&self) -> PathBuf {
        self.path("spool")
    }

    /// The program called `sendmail`, with these arguments.
    pub fn sendmail<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        self.program("sendmail", arguments)
    }

    /// The program called `mailchute`, with these arguments.
    pub fn mailchute<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        self.program("mailchute", arguments)
    }

    /// The program under one of its names.
    pub fn program<A: AsRef<OsStr>>(&self, name: &str, arguments: impl IntoIterator<Item = A>) -> Run {
        self.program_at(&self.path("bin").join(name), arguments)
    }

    /// The program at that path.
    pub fn program_at<A: AsRef<OsStr>>(&self, path: &Path, arguments: impl IntoIterator<Item = A>) -> Run {
        Run::new(path.to_path_buf(), arguments)
            .env("HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .env("MAILCHUTE_CONFIG", self.config())
    }

    /// The entries waiting in the spool.
    pub fn queue(&self) -> Vec<PathBuf> {
        self.entries("queue")
    }

    /// The entries that were given up.
    pub fn dead(&self) -> Vec<PathBuf> {
        self.entries("dead")
    }

    /// The entries that could not be read.
    pub fn corrupt(&self) -> Vec<PathBuf> {
        self.entries("corrupt")
    }

    fn entries(&self, folder: &str) -> Vec<PathBuf> {
        let found = fs::read_dir(self.spool().join(folder)).into_iter().flatten();
        let mut paths: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// `mailchute queue list --json`, read.
    pub fn list(&self) -> Vec<Value> {
        let printed = self.mailchute(["queue", "list", "--json"]).prints();
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error} in {printed}"))
    }

    /// The only entry of that list.
    pub fn entry(&self) -> Value {
        let mut entries = self.list();
        assert_eq!(entries.len(), 1, "entries in {entries:#?}");
        entries.remove(0)
    }
}

/// The account lines for a relay, with the login when it wants one.
pub fn account_for(relay: &Relay) -> String {
    let tls = match relay.security() {
        Security::Plain => "none",
        Security::Starttls => "starttls",
        Security::Implicit => "implicit",
    };
    let mut lines = format!("host = \"localhost\"\nport = {}\ntls = \"{tls}\"\n", relay.port());
    if tls != "none" {
        lines += &format!("tls-ca-file = \"ca.pem\"\nuser = \"{USER}\"\npassword = \"{PASSWORD}\"\n");
    }
    lines + "from = \"alice@example.test\"\n"
}
