//! The keys of an account that keeps its mail on this machine: `maildir` or `mbox`, beside which nothing stands that is
//! about a relay.

use super::document::{Origin, Surroundings};
use super::error::ConfigError;
use super::keys;
use super::reader::Section;
use std::fmt;
use std::path::PathBuf;

/// Where mail is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A folder with a file for each message.
    Maildir(PathBuf),
    /// One file for all.
    Mbox(PathBuf),
}

/// `maildir /home/me/Mail`
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Store::Maildir(path) => write!(f, "maildir {}", path.display()),
            Store::Mbox(path) => write!(f, "mbox {}", path.display()),
        }
    }
}

/// What else such an account may say.
const BESIDE: [&str; 4] = ["from", "identities", "rewrite-from", "fallback"];

/// Reads the one that is there.
pub(super) fn read(section: &Section, origin: Origin, around: &Surroundings) -> Result<Option<Store>, ConfigError> {
    type Make = fn(PathBuf) -> Store;
    let kinds: [(&str, Make); 2] = [("maildir", Store::Maildir), ("mbox", Store::Mbox)];
    let Some((kind, make)) = kinds.into_iter().find(|(key, _)| section.has(key)) else { return Ok(None) };
    let stranger = |key: &&&str| **key != kind && !BESIDE.contains(*key) && section.has(key);
    if let Some(key) = keys::ACCOUNT.iter().find(stranger) {
        let problem = format_args!("stands beside \"{kind}\", which keeps mail here and submits none").to_string();
        return Err(section.error_at(key, problem));
    }
    let Some(text) = section.string(kind)? else { return Ok(None) };
    if origin == Origin::Named {
        return Err(origin.refusal(section, kind));
    }
    if text.value.is_empty() || text.value.contains(char::is_control) {
        return Err(section.error(kind, text.at, "is empty or has control characters"));
    }
    Ok(Some(make(around.resolve(section.source.file_at(text.at), text.value))))
}
