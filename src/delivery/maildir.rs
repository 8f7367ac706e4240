//! A Maildir: each message is a file of its own, written in `tmp`, durable, and only then named in `new`, so that no
//! reader ever sees a part of one and nobody needs a lock (<https://cr.yp.to/proto/maildir.html>). The name is made of
//! the queue id: a try that was killed behind the naming is found by the next one.
#![allow(clippy::disallowed_methods, reason = "a Maildir is no spool; everything is opened relative to its folders")]

use super::fault::Fault;
use super::letter::Letter;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{AccessFlags, UnlinkatFlags, access, fsync, geteuid, linkat, unlinkat};
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// The folders it is made of.
const PARTS: [&str; 3] = ["tmp", "new", "cur"];

/// Writes a letter.
pub fn deliver(folder: &Path, letter: &Letter) -> Result<(), Fault> {
    let parts = Parts::open(folder)?;
    let name = format!("{}.{}.{}", letter.created.seconds(), letter.id, letter.host);
    if fstatat(&parts.new, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
        return parts.sync(&name);
    }
    // What a killed try has left.
    let _ = unlinkat(&parts.tmp, name.as_str(), UnlinkatFlags::NoRemoveDir);
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = File::from(openat(&parts.tmp, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    let done = write(&file, letter).map_err(Fault::from).and_then(|()| parts.publish(&name));
    let _ = unlinkat(&parts.tmp, name.as_str(), UnlinkatFlags::NoRemoveDir);
    done
}

fn write(mut file: &File, letter: &Letter) -> io::Result<()> {
    letter.write(&mut |octets| file.write_all(octets))?;
    file.sync_all()
}

/// Whether letters can be written there.
pub fn examine(folder: &Path) -> Result<(), Fault> {
    Parts::open(folder)?;
    for part in ["tmp", "new"] {
        access(&folder.join(part), AccessFlags::W_OK | AccessFlags::X_OK)?;
    }
    Ok(())
}

/// Makes what is missing of it.
pub fn make(folder: &Path) -> io::Result<()> {
    let make = |path: &Path| match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    };
    make(folder)?;
    PARTS.iter().try_for_each(|part| make(&folder.join(part)))
}

/// The folders, held open.
struct Parts {
    tmp: File,
    new: File,
}

impl Parts {
    fn open(folder: &Path) -> Result<Parts, Fault> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = File::from(openat(AT_FDCWD, folder, flags, Mode::empty())?);
        check(&root)?;
        // Whoever may change the folder must not lead us out of it.
        let part = |name: &str| -> Result<File, Fault> {
            let part = File::from(openat(&root, name, flags | OFlag::O_NOFOLLOW, Mode::empty())?);
            check(&part)?;
            Ok(part)
        };
        Ok(Parts { tmp: part("tmp")?, new: part("new")? })
    }

    /// Gives a complete file its name in `new`, durably.
    fn publish(&self, name: &str) -> Result<(), Fault> {
        match linkat(&self.tmp, name, &self.new, name, AtFlags::empty()) {
            Ok(()) => {}
            // No hard links there; nobody else has this name.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EMLINK) => {
                renameat(&self.tmp, name, &self.new, name)?;
            }
            Err(errno) => return Err(errno.into()),
        }
        self.sync(name)
    }

    fn sync(&self, name: &str) -> Result<(), Fault> {
        match fsync(&self.new) {
            // Some network file systems cannot; the name is durable when the call that made it returns.
            Ok(()) | Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(()),
            Err(errno) => match unlinkat(&self.new, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) => Err(errno.into()),
                Err(_) => Err(Fault::Open(errno.into())),
            },
        }
    }
}

/// Ours, and closed to strangers.
fn check(folder: &File) -> Result<(), Fault> {
    let found = folder.metadata()?;
    if found.uid() != geteuid().as_raw() {
        return Err(Fault::Folder("belongs to somebody else"));
    }
    if found.mode() & 0o002 != 0 {
        return Err(Fault::Folder("everybody can write to it"));
    }
    Ok(())
}
