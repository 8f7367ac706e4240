//! The spool: messages that are safe. One file for each, locked by whoever works on it; the format, the states and the
//! guarantee are in FORMAT.md, below. Knows nothing of relays, accounts' settings or schedules.
#![doc = include_str!("FORMAT.md")]

mod accounts;
mod claim;
mod directory;
mod draft;
mod durable;
mod entry;
mod error;
mod expiry;
mod fields;
mod layout;
mod progress;
mod queue_id;
mod region;
mod ticket;
mod tokens;
mod totals;

pub use accounts::{Hold, Memory};
pub use claim::{Claim, Turn};
pub use draft::{Draft, Shape};
pub use entry::{Entry, Place};
pub use error::{Flaw, SpoolError};
pub use progress::{Progress, State, Status};
pub use queue_id::QueueId;
pub use region::Region;
pub use ticket::Ticket;
pub use tokens::{Blank, Slip};
pub use totals::Totals;

use crate::clock::Moment;
use directory::{Access, Directory, Found};
use durable::Birth;
use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open spool directory, checked: ours, writable by nobody else, no link.
#[derive(Clone, Debug)]
pub struct Spool {
    root: Arc<Directory>,
    queue: Arc<Directory>,
    dead: Arc<Directory>,
}

/// An entry seen without taking it; it may be gone or changed by now.
#[derive(Clone, Debug)]
pub struct Peek {
    pub ticket: Ticket,
    pub progress: Progress,
    /// The message header with its empty line.
    pub header: Region,
    /// Octets of the message, header and body.
    pub size: u64,
    /// Tells entries apart in [`Spool::claimed`].
    pub inode: u64,
}

const VERSION: &str = "VERSION";
const VERSION_LINE: &str = "mailchute-spool 1\n";

impl Spool {
    /// Opens, and creates with mode 0700 when missing.
    pub fn open(path: &Path) -> Result<Spool, SpoolError> {
        if let Some(spool) = Spool::existing(path)? {
            return Ok(spool);
        }
        // VERSION comes last: whoever finds it can rely on the directories being durable.
        let trouble = |doing| SpoolError::io(doing, path);
        durable::create_directories(path).map_err(trouble("creating it"))?;
        let missing = || trouble("opening it")(io::ErrorKind::NotFound.into());
        let root = Arc::new(Directory::open(path)?.ok_or_else(missing)?);
        read_version(&root)?;
        for name in [Place::Queue.name(), Place::Dead.name()] {
            durable::create_inside(&root, name).map_err(trouble("creating it"))?;
        }
        durable::sync_directory(&root).map_err(trouble("creating it"))?;
        let (unique, line) = (QueueId::new(Moment::now()), VERSION_LINE.as_bytes());
        match durable::write(&root, VERSION, unique.as_str(), line) {
            // Somebody else has just made the same spool, unless what is there is worthless.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !read_version(&root)? {
                    durable::replace(&root, VERSION, unique.as_str(), line).map_err(trouble("creating it"))?;
                }
            }
            written => written.map_err(trouble("creating it"))?,
        }
        Spool::existing(path)?.ok_or_else(missing)
    }

    /// Opens without creating anything; `None` when there is no spool yet.
    pub fn existing(path: &Path) -> Result<Option<Spool>, SpoolError> {
        let Some(root) = Directory::open(path)? else { return Ok(None) };
        if !read_version(&root)? {
            return Ok(None);
        }
        let (queue, dead) = (root.inside(Place::Queue.name())?, root.inside(Place::Dead.name())?);
        let (Some(queue), Some(dead)) = (queue, dead) else { return Ok(None) };
        Ok(Some(Spool { root: Arc::new(root), queue: Arc::new(queue), dead: Arc::new(dead) }))
    }

    /// The path it was opened by.
    pub fn path(&self) -> PathBuf {
        self.root.path().to_path_buf()
    }

    /// What is needed by who takes and shows mail, and opens nothing else in here: all but the tokens of accounts. Makes
    /// what is missing.
    pub fn places_without_secrets(&self) -> Result<Vec<PathBuf>, SpoolError> {
        self.count(&Totals::default())?;
        let (corrupt, accounts) = (self.corrupt_directory()?, self.made_directory(accounts::ACCOUNTS)?);
        let directories =
            [&self.queue, &self.dead, &corrupt, &accounts].map(|directory| directory.path().to_path_buf());
        Ok(directories.into_iter().chain([VERSION, totals::TOTALS].map(|name| self.root.path().join(name))).collect())
    }

    /// Starts an entry: nothing is visible to anyone until [`Draft::commit`]; a dropped draft leaves nothing.
    ///
    /// # Errors
    /// Also when the disk is so full that results could no longer be recorded: below 1 % or 16 MiB, the smaller.
    pub fn draft(&self, ticket: &Ticket) -> Result<Draft, SpoolError> {
        self.check_room()?;
        Draft::new(self, ticket, Birth::Nameless)
    }

    /// Whether the disk has room for another entry.
    ///
    /// # Errors
    /// As [`Spool::draft`] has them.
    pub fn check_room(&self) -> Result<(), SpoolError> {
        claim::check_room(self.queue.path())
    }

    /// The ids in `queue/`, oldest first. Foreign names are skipped.
    pub fn queue(&self) -> Result<Vec<QueueId>, SpoolError> {
        self.ids(Place::Queue)
    }

    /// The ids in a directory, oldest first. Foreign names are skipped.
    pub fn ids(&self, place: Place) -> Result<Vec<QueueId>, SpoolError> {
        let directory = self.directory(place);
        let names = directory.names().map_err(SpoolError::io("listing it", directory.path()))?;
        let mut ids: Vec<QueueId> = names.iter().filter_map(|name| QueueId::parse(name)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The names in `corrupt/`: entries that were damaged, or never complete.
    pub fn corrupt(&self) -> Result<Vec<String>, SpoolError> {
        let Some(directory) = self.existing_directory(CORRUPT)? else { return Ok(Vec::new()) };
        let mut names = directory.names().map_err(SpoolError::io("listing it", directory.path()))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Takes an entry of `queue/` for this process; the lock dies with it.
    pub fn claim(&self, id: &QueueId) -> Result<Claim, SpoolError> {
        claim::claim(self, Place::Queue, id)
    }

    /// Takes an entry of either directory for this process; the lock dies with it.
    pub fn claim_in(&self, place: Place, id: &QueueId) -> Result<Claim, SpoolError> {
        claim::claim(self, place, id)
    }

    /// Reads an entry of `queue/` without taking it; `None` when it is gone.
    pub fn peek(&self, id: &QueueId) -> Result<Option<Peek>, SpoolError> {
        claim::peek(self, Place::Queue, id)
    }

    /// Reads an entry of either directory without taking it; `None` when it is gone.
    pub fn peek_in(&self, place: Place, id: &QueueId) -> Result<Option<Peek>, SpoolError> {
        claim::peek(self, place, id)
    }

    /// Makes removals durable: once per connection or second, after [`Entry::remove`] or [`Entry::settle`].
    pub fn sync(&self) -> io::Result<()> {
        durable::sync_directory(&self.queue)
    }

    /// Whether anything is in `queue/`; much less work than listing it.
    pub fn is_waiting(&self) -> io::Result<bool> {
        self.queue.holds_name(|name| QueueId::parse(name).is_some())
    }

    /// The turn to look through the queue unasked. `None` when another process has it, and so will see what is due.
    pub fn turn(&self) -> io::Result<Option<Turn>> {
        match self.root.find(VERSION, Access::Change)? {
            Found::Ours(file, _) => claim::turn(file),
            Found::Nothing | Found::Foreign(_) => Ok(None),
        }
    }

    /// The inodes of entries that some process works on.
    pub fn claimed(&self) -> HashSet<u64> {
        claim::locked_inodes(&*self.queue)
    }

    fn directory(&self, place: Place) -> &Arc<Directory> {
        match place {
            Place::Queue => &self.queue,
            Place::Dead => &self.dead,
        }
    }

    fn existing_directory(&self, name: &str) -> Result<Option<Directory>, SpoolError> {
        self.root.inside(name)
    }

    /// A directory that is made when it is first needed.
    fn made_directory(&self, name: &str) -> Result<Arc<Directory>, SpoolError> {
        if let Some(directory) = self.root.inside(name)? {
            return Ok(Arc::new(directory));
        }
        let trouble = |error| SpoolError::io("creating it", &self.root.path().join(name))(error);
        durable::create_inside(&self.root, name).and_then(|()| durable::sync_directory(&self.root)).map_err(trouble)?;
        let directory = self.root.inside(name)?;
        directory.map(Arc::new).ok_or_else(|| trouble(io::ErrorKind::NotFound.into()))
    }

    fn corrupt_directory(&self) -> Result<Arc<Directory>, SpoolError> {
        self.made_directory(CORRUPT)
    }
}

const CORRUPT: &str = "corrupt";

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::Queue => "queue",
            Place::Dead => "dead",
        }
    }
}

/// Whether VERSION is there and complete.
fn read_version(root: &Directory) -> Result<bool, SpoolError> {
    let trouble = |error| SpoolError::io("reading VERSION", root.path())(error);
    let file = match root.find(VERSION, Access::Look).map_err(trouble)? {
        Found::Ours(file, _) => file,
        Found::Nothing => return Ok(false),
        Found::Foreign(_) => {
            return Err(SpoolError::Unsafe { path: root.path().join(VERSION), why: "not a private file of ours" });
        }
    };
    let mut text = String::new();
    file.take(100).read_to_string(&mut text).map_err(trouble)?;
    match text.as_str() {
        VERSION_LINE => Ok(true),
        // A power cut behind the very first creation can leave it empty.
        text if text.trim_matches('\0').is_empty() => Ok(false),
        text => Err(SpoolError::Newer { path: root.path().to_path_buf(), found: text.trim().to_string() }),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "plants what others would")]
pub mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    /// A spool in a folder that goes away with it.
    pub struct Room {
        pub spool: Spool,
        pub folder: tempfile::TempDir,
    }

    impl Room {
        pub fn make() -> Room {
            let folder = tempfile::tempdir().unwrap();
            Room { spool: Spool::open(&folder.path().join("state/spool")).unwrap(), folder }
        }

        pub fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join("state/spool").join(name)
        }

        pub fn count(&self, name: &str) -> usize {
            fs::read_dir(self.path(name)).map_or(0, Iterator::count)
        }

        pub fn deposit(&self, recipients: usize) -> QueueId {
            let mut draft = self.spool.draft(&ticket::tests::sample(recipients)).unwrap();
            draft.writer().write_all(HEADER).unwrap();
            draft.writer().write_all(BODY).unwrap();
            draft.commit(SHAPE).unwrap().id().clone()
        }

        pub fn claim(&self, id: &QueueId) -> Entry {
            match self.spool.claim(id).unwrap() {
                Claim::Mine(entry) => entry,
                other => panic!("{other:?}"),
            }
        }
    }

    pub const HEADER: &[u8] = b"Subject: hello\r\n\r\n";
    pub const BODY: &[u8] = "Gr\u{fc}\u{df}e\r\n".as_bytes();
    pub const SHAPE: Shape = Shape { header: HEADER.len() as u64, body: BODY.len() as u64, eight_bit: true };

    #[test]
    fn the_sample_in_the_documentation_is_an_entry() {
        let text = include_str!("FORMAT.md").split("```entry\n").nth(1).unwrap().split("```").next().unwrap();
        let (head, message) = text.split_once("\n\n").unwrap();
        let mut lines: Vec<&str> = head.split('\n').collect();
        let envelope = lines.split_off(4).join("\n") + "\n\n";
        let mut file: Vec<u8> = lines.iter().flat_map(|line| layout::block(line.to_string())).collect();
        file.extend_from_slice(envelope.as_bytes());
        file.extend_from_slice(message.replace('\n', "\r\n").as_bytes());

        let room = Room::make();
        let id = QueueId::new(Moment(1));
        fs::write(room.path("queue").join(id.as_str()), &file).unwrap();
        fs::set_permissions(room.path("queue").join(id.as_str()), Permissions::from_mode(0o600)).unwrap();
        let entry = room.claim(&id);
        assert_eq!(entry.ticket().write(), envelope.as_bytes(), "the envelope is written as it is shown");
        assert_eq!(entry.progress().write(), file[512..2048], "and so are the slots");
        assert_eq!(entry.progress().which(State::Accepted), [0]);
        assert_eq!(entry.body().read().unwrap(), b"Hello, world\r\n");
    }

    #[test]
    fn a_spool_is_made_private_and_opened_again() {
        let room = Room::make();
        for name in ["", "queue", "dead"] {
            assert_eq!(fs::metadata(room.path(name)).unwrap().mode() & 0o7777, 0o700, "{name}");
        }
        assert_eq!(fs::metadata(room.folder.path().join("state")).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::read_to_string(room.path("VERSION")).unwrap(), "mailchute-spool 1\n");
        let id = room.deposit(1);
        assert_eq!(Spool::open(&room.spool.path()).unwrap().queue().unwrap(), [id]);
        assert!(Spool::existing(&room.folder.path().join("none")).unwrap().is_none());
        assert!(!room.folder.path().join("none").exists());
    }

    #[test]
    fn a_half_made_spool_is_finished() {
        let room = Room::make();
        for broken in ["", "\0\0\0"] {
            fs::write(room.path("VERSION"), broken).unwrap();
            fs::remove_dir(room.path("dead")).unwrap();
            Spool::open(&room.spool.path()).unwrap();
            assert!(room.path("dead").exists());
        }
    }

    #[test]
    fn many_can_make_the_same_spool_at_once() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a/b/spool");
            std::thread::scope(|scope| {
                let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| Spool::open(&path).map(drop))).collect();
                makers.into_iter().for_each(|maker| maker.join().unwrap().unwrap());
            });
            assert_eq!(fs::read_dir(&path).unwrap().count(), 3, "queue, dead, VERSION");
        }
    }

    #[test]
    fn a_newer_spool_is_not_touched() {
        let room = Room::make();
        fs::write(room.path("VERSION"), "mailchute-spool 2\n").unwrap();
        let error = Spool::open(&room.spool.path()).unwrap_err();
        assert!(error.to_string().ends_with("made by a newer mailchute: mailchute-spool 2"), "{error}");
    }

    #[test]
    fn a_spool_that_others_can_change_is_refused() {
        let room = Room::make();
        let unsafe_because = |path: &Path| match Spool::open(path).unwrap_err() {
            SpoolError::Unsafe { why, .. } => why,
            error => panic!("{error}"),
        };
        let link = room.folder.path().join("link");
        symlink(room.spool.path(), &link).unwrap();
        assert_eq!(unsafe_because(&link), "a link, or no directory");
        assert_eq!(unsafe_because(&link.join("")), "a link, or no directory");
        let file = room.folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(unsafe_because(&file), "a link, or no directory");
        for mode in [0o720, 0o702, 0o1777] {
            for name in ["", "queue"] {
                fs::set_permissions(room.path(name), Permissions::from_mode(mode)).unwrap();
                assert_eq!(unsafe_because(&room.spool.path()), "others can write to it");
                fs::set_permissions(room.path(name), Permissions::from_mode(0o700)).unwrap();
            }
        }
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(room.path(""), Some(65534), None).unwrap();
            assert_eq!(unsafe_because(&room.spool.path()), "belongs to somebody else");
        }
    }
}
