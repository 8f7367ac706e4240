//! A directory held open, and what in it may be trusted: everything is opened relative to it, without following a
//! link, and looked at after opening. Reads only; what changes names is in durable.rs.

use super::error::SpoolError;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::geteuid;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How every directory of ours is opened.
const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// An open directory that is ours and that nobody else can write to.
#[derive(Debug)]
pub struct Directory {
    handle: File,
    path: PathBuf,
    /// Its owner, and so ours.
    owner: u32,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Look,
    Change,
}

/// What stands under a name.
#[derive(Debug)]
pub enum Found {
    /// A regular file of ours that nobody else can read; it may have lost its name since.
    Ours(File, Metadata),
    Nothing,
    /// Anything else; it is left alone.
    Foreign(&'static str),
}

impl Directory {
    /// Opens a directory by path; links on the way to it are followed, it itself must not be one. `None` when there
    /// is nothing.
    #[allow(clippy::disallowed_methods, reason = "opens, never creates")]
    pub fn open(path: &Path) -> Result<Option<Directory>, SpoolError> {
        // Rebuilt from its components, because a slash at the end would have the link followed.
        let path: PathBuf = path.components().collect();
        Directory::checked(retry(|| open(&path, DIRECTORY, Mode::empty())), path)
    }

    /// Opens a directory in this one. `None` when there is nothing.
    #[allow(clippy::disallowed_methods, reason = "opens, never creates")]
    pub fn inside(&self, name: &str) -> Result<Option<Directory>, SpoolError> {
        Directory::checked(retry(|| openat(self, name, DIRECTORY, Mode::empty())), self.path.join(name))
    }

    fn checked(opened: nix::Result<std::os::fd::OwnedFd>, path: PathBuf) -> Result<Option<Directory>, SpoolError> {
        let handle = match opened {
            Ok(handle) => File::from(handle),
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                return Err(SpoolError::Unsafe { path, why: "a link, or no directory" });
            }
            Err(error) => return Err(SpoolError::io("opening it", &path)(error.into())),
        };
        let found = handle.metadata().map_err(SpoolError::io("looking at it", &path))?;
        let owner = found.uid();
        if owner != geteuid().as_raw() {
            return Err(SpoolError::Unsafe { path, why: "belongs to somebody else" });
        }
        if found.mode() & 0o022 != 0 {
            return Err(SpoolError::Unsafe { path, why: "others can write to it" });
        }
        Ok(Some(Directory { handle, path, owner }))
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what stands under a name. A pipe or device does not block us, a link is not followed.
    #[allow(clippy::disallowed_methods, reason = "opens, never creates")]
    pub fn find(&self, name: &str, access: Access) -> io::Result<Found> {
        let access = match access {
            Access::Look => OFlag::O_RDONLY,
            Access::Change => OFlag::O_RDWR,
        };
        let flags = access | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let file = match retry(|| openat(self, name, flags, Mode::empty())) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(Found::Nothing),
            Err(Errno::ELOOP) => return Ok(Found::Foreign("a symbolic link")),
            Err(Errno::EISDIR) => return Ok(Found::Foreign("a directory")),
            Err(Errno::ENXIO) => return Ok(Found::Foreign("a socket or device")),
            Err(Errno::EACCES) => return Ok(Found::Foreign("not ours to open")),
            Err(error) => return Err(error.into()),
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Ok(Found::Foreign("not a regular file"));
        }
        if found.uid() != self.owner {
            return Ok(Found::Foreign("belongs to somebody else"));
        }
        if found.mode() & 0o077 != 0 {
            return Ok(Found::Foreign("others can read or write it"));
        }
        Ok(Found::Ours(file, found))
    }

    /// Whether this very file still stands under a name.
    pub fn holds(&self, name: &str, file: &Metadata) -> io::Result<bool> {
        match retry(|| fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW)) {
            Ok(found) => Ok(found.st_ino == file.ino() && found.st_dev == file.dev()),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a name of that kind is there.
    pub fn holds_name(&self, wanted: impl Fn(&str) -> bool) -> io::Result<bool> {
        let mut directory = retry(|| Dir::openat(self, ".", DIRECTORY, Mode::empty()))?;
        for entry in directory.iter() {
            if entry?.file_name().to_str().is_ok_and(&wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All names, in no order, without `.` and `..`; those that are not UTF-8 are left out, none of ours is like that.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut directory = retry(|| Dir::openat(self, ".", DIRECTORY, Mode::empty()))?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_string());
            }
        }
        Ok(names)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Calls again when a signal came between.
pub fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
