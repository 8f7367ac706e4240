//! What the administrator or the user decided: accounts, where passwords come from, aliases, queue policy. Reads
//! files; decides nothing about a message.

pub mod account;
pub mod password;

pub use account::{Account, Auth, Endpoint, Limits, RewriteFrom, Tls, Trust};
pub use password::{Password, Secret};

use crate::mail::address::Addressee;
use crate::process::Process;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything a configuration file says, defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from; `None` when there is none and everything is default.
    pub file: Option<PathBuf>,
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
    /// Finds and reads the configuration: `-C` (restricted: it may name no programs and no log file), then
    /// `$MAILCHUTE_CONFIG`, the user's, the system's. None found is a `Config` without accounts.
    pub fn load(_process: &Process, _named: Option<&Path>) -> Result<Config, ConfigError> {
        todo!()
    }

    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }
}

/// What is wrong with a configuration, and where: `file:line`.
#[derive(Debug)]
pub struct ConfigError;
