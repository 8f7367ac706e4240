//! The only code of the spool that creates, links, renames or removes, and the order in which it does.
//!
//! The order is: name first, then `fsync` of the file, then `fsync` of the directory. The first `fsync` takes the name
//! along in the same journal transaction, so that ext4 and xfs flush twice for a message; naming it last needs four
//! flushes, or loses acknowledged mail in a power cut when the directory is left out. The price is that an
//! incomplete file may be seen under its name after a power cut; it was never acknowledged, and its checksum shows it.

use super::directory::{Directory, retry};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, fdatasync, fsync, linkat, unlinkat};
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::sync::Arc;

/// Names that begin so belong to files that have not got theirs yet.
pub const TEMPORARY: &str = ".tmp.";

/// A file without its name: nothing is left of it when it is dropped.
pub struct Unnamed {
    file: Arc<File>,
    /// The name it has in the meantime, where the file system knows no files without one.
    temporary: Option<String>,
    /// Where it was created.
    home: Arc<Directory>,
}

/// What kind of file to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// Without any name, when the file system and /proc can do that.
    Nameless,
    /// With a temporary one.
    Temporary,
}

impl Unnamed {
    /// Creates a file, readable by us alone. `name` need not be the final one, only nobody else's.
    pub fn create(home: &Arc<Directory>, name: &str, birth: Birth) -> io::Result<Unnamed> {
        // A nameless file gets its name through /proc; without it (a chroot) it would never get one.
        if birth == Birth::Nameless && Path::new("/proc/self/fd").exists() {
            match create(home, ".", OFlag::O_TMPFILE) {
                Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT | Errno::EINVAL) => {}
                file => return Ok(Unnamed { file: Arc::new(file?), temporary: None, home: home.clone() }),
            }
        }
        let temporary = format!("{TEMPORARY}{name}");
        let file = Arc::new(create(home, &temporary, OFlag::O_CREAT | OFlag::O_EXCL)?);
        Ok(Unnamed { file, temporary: Some(temporary), home: home.clone() })
    }

    /// The file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Gives the file its name; `AlreadyExists` when that is taken. Durable only after [`sync_file`] and
    /// [`sync_directory`].
    #[allow(clippy::disallowed_methods, reason = "the home of linkat and renameat")]
    fn link(&mut self, directory: &Directory, name: &str) -> io::Result<()> {
        let from: &Directory = &self.home;
        let Some(temporary) = self.temporary.as_deref() else {
            let this = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let follow = AtFlags::AT_SYMLINK_FOLLOW;
            return Ok(retry(|| linkat(AT_FDCWD, this.as_str(), directory, name, follow))?);
        };
        match retry(|| linkat(from, temporary, directory, name, AtFlags::empty())) {
            // It has its name; the other one is tried again when it is dropped, and may stay.
            Ok(()) if unlink(from, temporary).is_err() => return Ok(()),
            Ok(()) => {}
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EMLINK) => {
                // No hard links here. Two writers of one name cannot meet: new names are random, and a derived one
                // is made only by who holds the lock of its original.
                match retry(|| fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)) {
                    Err(Errno::ENOENT) => retry(|| renameat(from, temporary, directory, name))?,
                    Err(error) => return Err(error.into()),
                    Ok(_) => return Err(ErrorKind::AlreadyExists.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let _ = unlink(&self.home, &temporary);
        }
    }
}

/// Where [`publish`] stopped.
#[derive(Debug)]
pub enum Unpublished {
    /// The name is taken.
    Taken,
    /// Nothing is left under the name, or an empty file.
    Undone(io::Error),
    /// The name is still there and could not be taken back.
    Doubtful(io::Error),
}

/// Gives a complete file its name, durably: link, fsync(file), fsync(directory).
pub fn publish(file: &mut Unnamed, directory: &Directory, name: &str) -> Result<(), Unpublished> {
    match file.link(directory, name) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(Unpublished::Taken),
        Err(error) => return Err(Unpublished::Undone(error)),
    }
    let synced = sync_file(&file.file).and_then(|()| sync_directory(directory));
    // A name that cannot be taken back leads to nothing: nobody sends an entry without its octets.
    synced.map_err(|error| match unlink(directory, name).or_else(|_| file.file.set_len(0)) {
        Ok(()) => Unpublished::Undone(error),
        Err(_) => Unpublished::Doubtful(error),
    })
}

/// Moves a file to another directory, durably.
#[allow(clippy::disallowed_methods, reason = "the home of renameat")]
pub fn relocate(from: &Directory, name: &str, to: &Directory, new_name: &str) -> io::Result<()> {
    retry(|| renameat(from, name, to, new_name))?;
    sync_directory(to)?;
    sync_directory(from)
}

/// Writes a small file, durably; `AlreadyExists` when the name is taken.
pub fn write(directory: &Arc<Directory>, name: &str, unique: &str, content: &[u8]) -> io::Result<()> {
    let mut new = Unnamed::create(directory, unique, Birth::Nameless)?;
    new.file.write_all_at(content, 0)?;
    publish(&mut new, directory, name).map_err(|why| match why {
        Unpublished::Taken => ErrorKind::AlreadyExists.into(),
        Unpublished::Undone(error) | Unpublished::Doubtful(error) => error,
    })
}

/// Puts a small file in the place of another, durably: a reader sees the old one or the new one.
pub fn replace(directory: &Arc<Directory>, name: &str, unique: &str, content: &[u8]) -> io::Result<()> {
    // Renaming needs a name to begin with.
    supplant(Unnamed::create(directory, unique, Birth::Temporary)?, name, content)
}

/// A file for [`supplant`] that has its place on the disk before its content is known.
pub fn reserve(directory: &Arc<Directory>, unique: &str, octets: usize) -> io::Result<Unnamed> {
    let new = Unnamed::create(directory, unique, Birth::Temporary)?;
    new.file.write_all_at(&vec![0; octets], 0)?;
    sync_file(&new.file)?;
    Ok(new)
}

/// Puts a file with a temporary name in the place of another one beside it, durably.
#[allow(clippy::disallowed_methods, reason = "the home of renameat")]
pub fn supplant(mut new: Unnamed, name: &str, content: &[u8]) -> io::Result<()> {
    new.file.write_all_at(content, 0)?;
    new.file.set_len(content.len().try_into().unwrap_or(u64::MAX))?;
    sync_file(&new.file)?;
    let directory = Arc::clone(&new.home);
    if let Some(temporary) = new.temporary.as_deref() {
        let directory: &Directory = &directory;
        retry(|| renameat(directory, temporary, directory, name))?;
    }
    new.temporary = None;
    sync_directory(&directory)
}

/// Creates an empty file, readable by us alone, for what need not survive a power cut; one that is there stays.
pub fn create_empty(directory: &Directory, name: &str) -> io::Result<()> {
    match create(directory, name, OFlag::O_CREAT | OFlag::O_EXCL) {
        Ok(_) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a name. Durable only after [`sync_directory`]; a name that is gone already is no error.
#[allow(clippy::disallowed_methods, reason = "the home of unlinkat")]
pub fn unlink(directory: &Directory, name: &str) -> io::Result<()> {
    match retry(|| unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Puts content and size of a file on the disk. An error is final: the kernel forgets what it could not write, so
/// trying again would report success.
pub fn sync_file(file: &File) -> io::Result<()> {
    Ok(retry(|| fsync(file))?)
}

/// Puts the content of a file on the disk whose size has not changed.
pub fn sync_content(file: &File) -> io::Result<()> {
    Ok(retry(|| fdatasync(file))?)
}

/// Puts the names of a directory on the disk.
pub fn sync_directory(directory: &Directory) -> io::Result<()> {
    sync_handle(directory)
}

fn sync_handle(directory: impl AsFd) -> io::Result<()> {
    match retry(|| fsync(&directory)) {
        // Some network file systems cannot; their names are durable when the call that made them returns.
        Ok(()) | Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Creates a directory with mode 0700 and those above it that are missing, durably.
pub fn create_directories(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_directories(above.ok_or(error)?)?;
            return create_directories(path);
        }
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match File::open(above.unwrap_or(Path::new("."))) {
        Ok(above) => sync_handle(&above),
        // Closed to us for reading; then there is no handle to sync.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates a directory with mode 0700 in another, when it is not there yet.
#[allow(clippy::disallowed_methods, reason = "the home of mkdirat")]
pub fn create_inside(directory: &Directory, name: &str) -> io::Result<()> {
    match retry(|| mkdirat(directory, name, Mode::S_IRWXU)) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[allow(clippy::disallowed_methods, reason = "the home of creating openat")]
fn create(directory: &Directory, name: &str, how: OFlag) -> nix::Result<File> {
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | how;
    retry(|| openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)).map(File::from)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "plants what others would")]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    fn room() -> (tempfile::TempDir, Arc<Directory>) {
        let folder = tempfile::tempdir().unwrap();
        create_directories(&folder.path().join("ours")).unwrap();
        let directory = Directory::open(&folder.path().join("ours")).unwrap().unwrap();
        (folder, Arc::new(directory))
    }

    const BIRTHS: [Birth; 2] = [Birth::Nameless, Birth::Temporary];

    #[test]
    fn a_new_file_is_ours_alone_and_no_program_inherits_it() {
        let (_folder, home) = room();
        for birth in BIRTHS {
            let file = Unnamed::create(&home, "x", birth).unwrap();
            assert_eq!(file.file().metadata().unwrap().mode() & 0o7777, 0o600);
            let flags = fcntl(file.file().as_ref(), FcntlArg::F_GETFD).unwrap();
            assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        }
    }

    #[test]
    fn a_taken_name_is_told_from_a_name_that_cannot_be_had() {
        for birth in BIRTHS {
            let (folder, home) = room();
            let mut first = Unnamed::create(&home, "a", birth).unwrap();
            publish(&mut first, &home, "name").unwrap();
            let mut second = Unnamed::create(&home, "b", birth).unwrap();
            assert!(matches!(publish(&mut second, &home, "name"), Err(Unpublished::Taken)));
            fs::create_dir(folder.path().join("gone")).unwrap();
            let gone = Directory::open(&folder.path().join("gone")).unwrap().unwrap();
            fs::remove_dir(folder.path().join("gone")).unwrap();
            assert!(matches!(publish(&mut second, &gone, "name"), Err(Unpublished::Undone(_))));
            drop((first, second));
            assert_eq!(fs::read_dir(folder.path().join("ours")).unwrap().count(), 1);
        }
    }

    #[test]
    fn directories_are_made_where_they_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_directories(&deep).unwrap();
        create_directories(&deep).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().mode() & 0o7777, 0o700);
        fs::write(folder.path().join("file"), "").unwrap();
        create_directories(&folder.path().join("file/x")).unwrap_err();
        create_directories(&folder.path().join("file/x/y")).unwrap_err();
    }

    #[test]
    fn what_was_written_is_there_or_the_old_one_is() {
        let (folder, home) = room();
        write(&home, "name", "u1", b"one").unwrap();
        assert_eq!(write(&home, "name", "u2", b"two").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(folder.path().join("ours/name")).unwrap(), b"one");
        replace(&home, "name", "u3", b"three").unwrap();
        assert_eq!(fs::read(folder.path().join("ours/name")).unwrap(), b"three");
        supplant(reserve(&home, "u4", 64).unwrap(), "name", b"four").unwrap();
        assert_eq!(fs::read(folder.path().join("ours/name")).unwrap(), b"four");
        drop(reserve(&home, "u5", 64).unwrap());
        unlink(&home, "name").unwrap();
        unlink(&home, "name").unwrap();
        assert_eq!(fs::read_dir(folder.path().join("ours")).unwrap().count(), 0);
    }
}
