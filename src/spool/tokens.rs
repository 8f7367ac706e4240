//! The OAuth 2 tokens of accounts, a small file each, replaced as a whole; what is in it is its owner's business. The
//! file is also the lock under which they are renewed: who has waited for it finds a new file under the name.

use super::Spool;
use super::accounts::file_name;
use super::claim;
use super::directory::{Access, Directory, Found};
use super::durable::{self, Unnamed};
use super::error::SpoolError;
use super::queue_id::QueueId;
use crate::clock::Moment;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The tokens of an account as they were when it was opened.
#[derive(Debug)]
pub struct Slip {
    directory: Arc<Directory>,
    name: String,
    file: File,
    facts: Metadata,
}

impl Spool {
    /// The tokens of an account; `None` when there are none.
    ///
    /// # Errors
    /// They cannot be read, or others can.
    pub fn tokens(&self, account: &str) -> Result<Option<Slip>, SpoolError> {
        let (Some(directory), Some(name)) = (self.existing_directory(TOKENS)?, file_name(account)) else {
            return Ok(None);
        };
        let path = directory.path().join(&name);
        match directory.find(&name, Access::Change).map_err(SpoolError::io("reading tokens", &path))? {
            Found::Ours(file, facts) => Ok(Some(Slip { directory: directory.into(), name, file, facts })),
            Found::Nothing => Ok(None),
            Found::Foreign(why) => Err(SpoolError::Unsafe { path, why }),
        }
    }

    /// Keeps the tokens of an account, durably, in place of what was.
    pub fn keep_tokens(&self, account: &str, content: &[u8]) -> Result<(), SpoolError> {
        let directory = self.made_directory(TOKENS)?;
        let trouble = SpoolError::io("keeping tokens", directory.path());
        let Some(name) = file_name(account) else { return Err(trouble(ErrorKind::InvalidFilename.into())) };
        let unique = QueueId::new(Moment::now());
        durable::replace(&directory, &name, unique.as_str(), content).map_err(trouble)
    }
}

/// A new file for the tokens of an account, with its place on the disk.
pub struct Blank {
    directory: PathBuf,
    name: String,
    file: Unnamed,
}

impl Blank {
    /// Keeps the tokens in it, durably, in place of what was.
    pub fn fill(self, content: &[u8]) -> Result<(), SpoolError> {
        durable::supplant(self.file, &self.name, content).map_err(SpoolError::io("keeping tokens", &self.directory))
    }
}

impl Slip {
    /// What is in the file; nothing when it is larger than any that we write.
    pub fn content(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        let size = usize::try_from(self.facts.len()).unwrap_or(usize::MAX);
        if size > LIMIT {
            return Ok(Zeroizing::default());
        }
        let mut content = Zeroizing::new(vec![0; size]);
        self.file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// Takes the lock, unless another process has it. It ends with the slip.
    pub fn lock(&self) -> io::Result<bool> {
        claim::lock(&self.file)
    }

    /// Makes sure that new tokens can be kept in its place, before the old ones are used up.
    ///
    /// # Errors
    /// There is no room, or the disk is not to be written to.
    pub fn blank(&self) -> Result<Blank, SpoolError> {
        let path = self.directory.path();
        let unique = QueueId::new(Moment::now());
        let file =
            durable::reserve(&self.directory, unique.as_str(), ROOM).map_err(SpoolError::io("keeping tokens", path))?;
        Ok(Blank { directory: path.to_path_buf(), name: self.name.clone(), file })
    }

    /// Whether the file still stands under its name.
    pub fn is_current(&self) -> io::Result<bool> {
        self.directory.holds(&self.name, &self.facts)
    }
}

/// The directory.
pub const TOKENS: &str = "tokens";

/// More than this is not ours: some tokens have a few KiB.
const LIMIT: usize = 256 << 10;

/// What nearly all tokens need.
const ROOM: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::super::tests::Room;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn tokens_are_kept_for_us_alone_and_replaced_as_a_whole() {
        let room = Room::make();
        assert!(room.spool.tokens("gmail").unwrap().is_none());
        room.spool.keep_tokens("gmail", b"one").unwrap();
        let first = room.spool.tokens("gmail").unwrap().unwrap();
        assert_eq!(first.content().unwrap().as_slice(), b"one");
        assert_eq!(first.facts.permissions().mode() & 0o7777, 0o600);
        assert!(first.lock().unwrap() && first.is_current().unwrap());
        let second = room.spool.tokens("gmail").unwrap().unwrap();
        assert!(!second.lock().unwrap());
        room.spool.keep_tokens("gmail", b"two").unwrap();
        assert!(!first.is_current().unwrap());
        drop(first);
        assert!(second.lock().unwrap() && !second.is_current().unwrap());
        let third = room.spool.tokens("gmail").unwrap().unwrap();
        assert_eq!(third.content().unwrap().as_slice(), b"two");
        third.blank().unwrap().fill(b"three").unwrap();
        assert!(!third.is_current().unwrap());
        assert_eq!(room.spool.tokens("gmail").unwrap().unwrap().content().unwrap().as_slice(), b"three");
    }
}
