//! What goes wrong with a spool, on which path, and what a person can do. A caller that meets one of these still owns
//! its message.

use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What the spool could not do, and where.
#[derive(Debug)]
pub enum SpoolError {
    /// The operating system refused; `doing` says what, as in "creating an entry".
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// Less is free than what must stay free so that results can still be recorded, in bytes.
    Full { path: PathBuf, free: u64, floor: u64 },
    /// The directory could be changed by somebody else.
    Unsafe { path: PathBuf, why: &'static str },
    /// Written by a version of mailchute that does things differently.
    Newer { path: PathBuf, found: String },
    /// One entry that cannot be read.
    Unreadable { path: PathBuf, flaw: Flaw },
    /// The entry has its name, is not known to be durable, and cannot be taken back: the disk takes no change at all
    /// any more. The one case in which a message may be in the spool although its caller still owns it: a promise that
    /// a power cut could break would be worse than a message sent twice when the disk is mended.
    Doubtful { path: PathBuf, source: io::Error },
}

impl SpoolError {
    /// Makes the error of a system call.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError + use<> {
        let path = path.to_path_buf();
        move |source| SpoolError::Io { doing, path, source }
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpoolError::Io { doing, path, .. } => write!(f, "spool {}: {doing}", path.display()),
            SpoolError::Full { path, free, floor } => {
                let (free, floor) = (free / 1024, floor.div_ceil(1024));
                write!(f, "spool {}: {free} KiB free, {floor} KiB needed", path.display())
            }
            SpoolError::Unsafe { path, why } => write!(f, "spool {}: {why}", path.display()),
            SpoolError::Newer { path, found } => {
                write!(f, "spool {}: made by a newer mailchute: {found}", path.display())
            }
            SpoolError::Unreadable { path, flaw } => write!(f, "{}: {flaw}", path.display()),
            SpoolError::Doubtful { path, .. } => {
                write!(f, "{}: not known to be on the disk, and may still be sent", path.display())
            }
        }
    }
}

impl Error for SpoolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SpoolError::Io { source, .. } | SpoolError::Doubtful { source, .. } => Some(source),
            SpoolError::Full { .. }
            | SpoolError::Unsafe { .. }
            | SpoolError::Newer { .. }
            | SpoolError::Unreadable { .. } => None,
        }
    }
}

impl Explain for SpoolError {
    /// Always "try again": the message is not lost, its caller has it.
    fn exit(&self) -> Exit {
        match self {
            SpoolError::Io { .. }
            | SpoolError::Full { .. }
            | SpoolError::Unsafe { .. }
            | SpoolError::Newer { .. }
            | SpoolError::Unreadable { .. }
            | SpoolError::Doubtful { .. } => Exit::TempFail,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            SpoolError::Io { path, source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => vec![free_space(path)],
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    vec!["name a folder of yours as `directory` under [spool] in the configuration".into()]
                }
                _ => Vec::new(),
            },
            SpoolError::Full { path, .. } => vec![free_space(path)],
            SpoolError::Unsafe { path, .. } => {
                vec![format!(
                    "it must be a folder of yours that nobody else can write to: chmod 700 {}",
                    path.display()
                )]
            }
            SpoolError::Newer { .. } => vec!["use the mailchute that made it; nothing in it was touched".into()],
            SpoolError::Unreadable { flaw: Flaw::Newer(_), .. } => {
                vec!["use the mailchute that made it; it was left as it is".into()]
            }
            SpoolError::Unreadable { .. } | SpoolError::Doubtful { .. } => Vec::new(),
        }
    }
}

fn free_space(path: &Path) -> String {
    format!("make room on the disk of {}: df -h shows it", path.display())
}

/// Why a file is not an entry that can be worked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// What does not fit. An entry that was acknowledged never looks like this, unless the disk is bad.
    Damaged(&'static str),
    /// A word or number that a newer version has written.
    Newer(String),
    /// A link, a pipe, somebody else's file.
    Foreign(&'static str),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Damaged(what) => write!(f, "incomplete or damaged: {what}"),
            Flaw::Newer(what) => write!(f, "made by a newer mailchute: {what}"),
            Flaw::Foreign(why) => write!(f, "not an entry: {why}"),
        }
    }
}
