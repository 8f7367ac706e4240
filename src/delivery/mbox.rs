//! One file for all messages (RFC 4155), each behind a line that begins with "From "; such lines in a message are
//! quoted, those that look quoted once more, so that it can be undone ("mboxrd"). What is not written whole is taken
//! back; what a killed try has left at the end is found by the letter's own Received field and replaced.
#![allow(clippy::disallowed_methods, reason = "a mailbox is no spool")]

use super::fault::Fault;
use super::letter::Letter;
use super::lock::Lock;
use nix::libc;
use nix::unistd::{AccessFlags, access, geteuid};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What every message begins with.
const BEGINNING: &[u8] = b"From ";

/// Appends a letter.
pub fn deliver(path: &Path, letter: &Letter) -> Result<(), Fault> {
    let (file, is_new) = open(path)?;
    let _lock = Lock::take(&file, path)?;
    // While we waited, another program may have put a new file in its place.
    let held = file.metadata()?;
    if !fs::symlink_metadata(path).is_ok_and(|here| (here.dev(), here.ino()) == (held.dev(), held.ino())) {
        return Err(Fault::Locked);
    }
    let end = take_back(&file, held.size(), letter)?;
    let written = append(&file, end, letter).and_then(|()| file.sync_all()).and_then(|()| match is_new {
        true => sync_folder(path),
        false => Ok(()),
    });
    written.map_err(|error| match file.set_len(end) {
        Ok(()) => Fault::System(error),
        Err(_) => Fault::Open(error),
    })
}

/// Whether letters can be written there.
pub fn examine(path: &Path) -> Result<(), Fault> {
    match fs::symlink_metadata(path) {
        Ok(_) => {
            access(path, AccessFlags::R_OK | AccessFlags::W_OK)?;
            check(&File::open(path)?)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(access(path.parent().unwrap_or(path), AccessFlags::W_OK | AccessFlags::X_OK)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// The mailbox, which readers remove when it is empty, and whether it had to be made.
fn open(path: &Path) -> Result<(File, bool), Fault> {
    let mut options = OpenOptions::new();
    // At the end, whoever else may write without a lock.
    options.read(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    let (file, is_new) = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => (options.create(true).open(path)?, true),
        file => (file?, false),
    };
    check(&file)?;
    Ok((file, is_new))
}

/// Ours, and nobody's trick to have us write elsewhere.
fn check(file: &File) -> Result<(), Fault> {
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Fault::Folder("not a regular file"));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(Fault::Folder("belongs to somebody else"));
    }
    if found.mode() & 0o002 != 0 {
        return Err(Fault::Folder("everybody can write to it"));
    }
    if found.nlink() > 1 {
        return Err(Fault::Folder("has another name besides"));
    }
    Ok(())
}

/// Cuts off what an earlier try has left of this very letter, if nothing came behind it; where the file ends then.
fn take_back(file: &File, size: u64, letter: &Letter) -> Result<u64, Fault> {
    // Quoting may have made it longer by an octet for each line, and no line is shorter than its end.
    let window = size.min(letter.bound().saturating_mul(2).saturating_add(1024));
    let Some((start, head)) = last_message(file, size, window)? else { return Ok(size) };
    // Only where it is written: further down, a letter that quotes this one has it too.
    let is_ours = head.starts_with(format!("{}{}", separator(letter), letter.mark()).as_bytes());
    if is_ours {
        file.set_len(start)?;
    }
    Ok(if is_ours { start } else { size })
}

/// Octets read at a time, backwards.
const BLOCK: u64 = 64 << 10;
/// Where the trace fields are.
const HEAD: u64 = 64 << 10;

/// Where the last message begins, and its first octets; `None` when that is not within `window` of the end.
fn last_message(file: &File, size: u64, window: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let first = size - window;
    let mut end = size;
    while end > first {
        let start = end.saturating_sub(BLOCK).max(first);
        // With what follows it, so that a beginning across two blocks is seen, and the line end before it.
        let from = start.saturating_sub(1);
        let mut block = vec![0; usize::try_from((end + BEGINNING.len() as u64).min(size) - from).unwrap_or(0)];
        file.read_exact_at(&mut block, from)?;
        let begins = |at: usize| {
            block.get(at..).is_some_and(|rest| rest.starts_with(BEGINNING))
                && (from + at as u64 == 0 || at > 0 && block[at - 1] == b'\n')
        };
        if let Some(at) = (0..block.len()).rev().find(|at| begins(*at)) {
            let begin = from + at as u64;
            let mut head = vec![0; usize::try_from((size - begin).min(HEAD)).unwrap_or(0)];
            file.read_exact_at(&mut head, begin)?;
            return Ok(Some((begin, head)));
        }
        end = start;
    }
    Ok(None)
}

/// The line in front of a message.
fn separator(letter: &Letter) -> String {
    format!("From {} {}\n", letter.sender(), letter.created.asctime())
}

fn append(mut file: &File, end: u64, letter: &Letter) -> io::Result<()> {
    let from = separator(letter);
    let mut piece = [gap(file, end)?, from.as_bytes()].concat();
    let mut quoting = Quoting::default();
    letter.write(&mut |octets| {
        quoting.quote(octets, &mut piece);
        file.write_all(&piece)?;
        piece.clear();
        Ok(())
    })?;
    quoting.finish(&mut piece);
    piece.push(b'\n');
    file.write_all(&piece)
}

/// What stands between the end of the file and a new message: an empty line.
fn gap(file: &File, end: u64) -> io::Result<&'static [u8]> {
    let mut last = [b'\n'; 2];
    let known = usize::try_from(end.min(2)).unwrap_or(2);
    file.read_exact_at(&mut last[2 - known..], end - known as u64)?;
    Ok(match last {
        [b'\n', b'\n'] => b"",
        [_, b'\n'] => b"\n",
        _ => b"\n\n",
    })
}

/// Puts `>` in front of every line that is `From ` behind any number of them.
#[derive(Default)]
struct Quoting {
    /// The beginning of a line, as long as it may turn out to be one.
    held: Vec<u8>,
    inside: bool,
}

impl Quoting {
    fn quote(&mut self, octets: &[u8], output: &mut Vec<u8>) {
        for octet in octets {
            if self.inside {
                output.push(*octet);
            } else {
                self.held.push(*octet);
                self.decide(output);
            }
            if *octet == b'\n' {
                self.inside = false;
            }
        }
    }

    /// Lets go of the beginning of a line once it is known what it is.
    fn decide(&mut self, output: &mut Vec<u8>) {
        let arrows = self.held.iter().take_while(|octet| **octet == b'>').count();
        let rest = &self.held[arrows..];
        if rest == BEGINNING {
            output.push(b'>');
        } else if BEGINNING.starts_with(rest) {
            return;
        }
        self.finish(output);
        self.inside = true;
    }

    fn finish(&mut self, output: &mut Vec<u8>) {
        output.append(&mut self.held);
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder that we may write to and not read, or that knows no sync.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}
