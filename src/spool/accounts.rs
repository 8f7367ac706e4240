//! What is remembered about an account from one process to the next: that it is held, and which way to its relay
//! worked. A small file each, replaced as a whole. Advice, never more: what cannot be read is forgotten.

use super::Spool;
use super::directory::{Access, Found};
use super::durable;
use super::error::{Flaw, SpoolError};
use super::fields::{self, Lines};
use super::queue_id::QueueId;
use crate::clock::Moment;
use std::io::Read;

/// Why an account is not used for the time being. Times in whole seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    pub since: Moment,
    pub last_failure: Moment,
    /// Tries since then.
    pub probes: u32,
    pub next_probe: Moment,
    /// In the server's words.
    pub reason: String,
    /// Of the configuration it failed with; a change calls for a new try.
    pub digest: String,
}

/// What is remembered about an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub hold: Option<Hold>,
    /// The way that worked, in the words of whoever remembers it.
    pub route: Option<String>,
}

impl Spool {
    /// What is remembered about an account; nothing when there is nothing, or nothing that can be read.
    pub fn recall(&self, account: &str) -> Memory {
        let read = || -> Option<Memory> {
            let directory = self.existing_directory(ACCOUNTS).ok()??;
            let Found::Ours(file, _) = directory.find(&file_name(account)?, Access::Look).ok()? else { return None };
            let mut text = Vec::new();
            file.take(LIMIT).read_to_end(&mut text).ok()?;
            read(&text).ok()
        };
        read().unwrap_or_default()
    }

    /// Remembers this about an account, durably, in place of what was.
    pub fn remember(&self, account: &str, memory: &Memory) -> Result<(), SpoolError> {
        let directory = self.made_directory(ACCOUNTS)?;
        let trouble = SpoolError::io("remembering an account", directory.path());
        let Some(name) = file_name(account) else {
            return Err(trouble(std::io::ErrorKind::InvalidFilename.into()));
        };
        let unique = QueueId::new(Moment::now());
        durable::replace(&directory, &name, unique.as_str(), &write(memory)).map_err(trouble)
    }

    /// Forgets what was remembered about an account.
    pub fn forget(&self, account: &str) -> Result<(), SpoolError> {
        let (Some(directory), Some(name)) = (self.existing_directory(ACCOUNTS)?, file_name(account)) else {
            return Ok(());
        };
        let removed = durable::unlink(&directory, &name).and_then(|()| durable::sync_directory(&directory));
        removed.map_err(SpoolError::io("forgetting an account", directory.path()))
    }
}

/// The directory.
pub const ACCOUNTS: &str = "accounts";

/// More than this is not ours.
const LIMIT: u64 = 64 << 10;

/// The file's name for an account's: letters and digits as they are, every other octet as `%XX`, so that no name
/// leaves the directory. `None` when it is empty or too long for a file.
pub fn file_name(account: &str) -> Option<String> {
    let mut name = String::new();
    for octet in account.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(octet)),
            _ => name.push_str(&format!("%{octet:02X}")),
        }
    }
    (1..=255).contains(&name.len()).then_some(name)
}

fn write(memory: &Memory) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(hold) = &memory.hold {
        let (since, last, next) = (hold.since.seconds(), hold.last_failure.seconds(), hold.next_probe.seconds());
        fields::write(
            &mut out,
            &[
                ("held-since", Some(since.to_string().as_bytes())),
                ("last-failure", Some(last.to_string().as_bytes())),
                ("probes", Some(hold.probes.to_string().as_bytes())),
                ("next-probe", Some(next.to_string().as_bytes())),
                ("digest", Some(hold.digest.as_bytes())),
                ("reason", Some(hold.reason.as_bytes())),
            ],
        );
    }
    if let Some(route) = &memory.route {
        fields::write(&mut out, &[("route", Some(route.as_bytes()))]);
    }
    out
}

fn read(text: &[u8]) -> Result<Memory, Flaw> {
    let mut memory = Memory::default();
    for line in Lines(text) {
        let line = line?;
        match line.first() {
            Some(("held-since", _)) => memory.hold = Some(read_hold(&line)?),
            Some(("route", value)) => memory.route = Some(fields::text(value)?.to_string()),
            _ => {}
        }
    }
    Ok(memory)
}

fn read_hold(line: &[(&str, &[u8])]) -> Result<Hold, Flaw> {
    let mut hold = Hold::default();
    for (word, value) in line {
        let moment = || fields::number(value).map(Moment::from_seconds);
        match *word {
            "held-since" => hold.since = moment()?,
            "last-failure" => hold.last_failure = moment()?,
            "next-probe" => hold.next_probe = moment()?,
            "probes" => hold.probes = u32::try_from(fields::number(value)?).unwrap_or(u32::MAX),
            "digest" => hold.digest = fields::text(value)?.to_string(),
            "reason" => hold.reason = fields::text(value)?.to_string(),
            _ => {}
        }
    }
    Ok(hold)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Memory {
        let hold = Hold {
            since: Moment::from_seconds(1_795_529_045),
            last_failure: Moment::from_seconds(1_795_529_945),
            probes: 2,
            next_probe: Moment::from_seconds(1_795_531_745),
            reason: "535 5.7.8 Username and Password not accepted\nroute 1:x".into(),
            digest: "ab12".into(),
        };
        Memory { hold: Some(hold), route: Some("465 implicit".into()) }
    }

    #[test]
    fn what_is_remembered_is_recalled_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("spool")).unwrap();
        assert_eq!(spool.recall("gmail"), Memory::default());
        spool.forget("gmail").unwrap();
        for memory in [sample(), Memory { hold: None, ..sample() }, Memory { route: None, ..sample() }] {
            spool.remember("gmail", &memory).unwrap();
            assert_eq!(spool.recall("gmail"), memory);
        }
        spool.forget("gmail").unwrap();
        assert_eq!(spool.recall("gmail"), Memory::default());
        assert_eq!(std::fs::read_dir(folder.path().join("spool/accounts")).unwrap().count(), 0);
    }

    #[test]
    fn no_name_leaves_the_directory_and_no_two_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("spool")).unwrap();
        let names = ["../x", "..", ".", "a/b", "a%2Fb", "a b", "\u{fc}", "-", "%"];
        for name in names {
            spool.remember(name, &Memory { hold: None, route: Some(name.into()) }).unwrap();
        }
        for name in names {
            assert_eq!(spool.recall(name).route.as_deref(), Some(name));
        }
        assert_eq!(std::fs::read_dir(folder.path().join("spool/accounts")).unwrap().count(), names.len());
        for name in ["", &"x".repeat(256)] {
            assert!(spool.remember(name, &sample()).is_err());
        }
    }

    #[test]
    fn what_cannot_be_read_is_forgotten() {
        assert!(read(b"held-since 3:abc\n").is_err());
        assert!(read(b"held-since 99:1").is_err());
        assert_eq!(read(b""), Ok(Memory::default()));
        assert_eq!(read(b"colour 3:red\n"), Ok(Memory::default()));
    }
}
