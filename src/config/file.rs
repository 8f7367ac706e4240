//! Files that hold or lead to secrets, opened so that nobody else can have prepared them: what is checked is the open
//! file, never its name.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// More than any configuration or password needs.
const MOST: u64 = 1 << 20;

/// An open regular file and what the system says of it.
pub(super) struct Opened {
    file: File,
    facts: Metadata,
}

/// Opens a regular file; a pipe or a device is an error, and is not waited for.
pub(super) fn open(path: &Path) -> io::Result<Opened> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path)?;
    let facts = file.metadata()?;
    if facts.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
    }
    if !facts.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(Opened { file, facts })
}

impl Opened {
    /// Whether it belongs to `uid` or root.
    pub fn is_owned_by(&self, uid: u32) -> bool {
        [uid, 0].contains(&self.facts.uid())
    }

    /// The permission bits that are set among these.
    pub fn grants(&self, bits: u32) -> bool {
        self.mode() & bits != 0
    }

    /// The permission bits.
    pub fn mode(&self) -> u32 {
        self.facts.permissions().mode() & 0o7777
    }

    /// The whole text, zeroed when dropped.
    pub fn text(&mut self) -> io::Result<Zeroizing<String>> {
        let bytes = self.bytes()?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_string())),
            Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text")),
        }
    }

    /// All bytes, zeroed when dropped. The buffer never grows, so that no copy is left behind.
    pub fn bytes(&mut self) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(vec![0; self.facts.len().min(MOST) as usize + 1]);
        let mut filled = 0;
        loop {
            match self.file.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if filled == bytes.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too large, or growing while it is read"));
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// The first line of a text, without its line end.
pub(super) fn first_line(bytes: &[u8]) -> &[u8] {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// When the file last changed, in nanoseconds since 1970; 0 when it cannot be seen.
pub(super) fn stamp(path: &Path) -> i128 {
    std::fs::metadata(path)
        .map_or(0, |facts| i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_opened_and_a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(open(&pipe).err().unwrap().to_string(), "not a regular file");
        assert_eq!(open(folder.path()).err().unwrap().to_string(), "is a folder");
        assert_eq!(open(&folder.path().join("none")).err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_text_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        for (bytes, wanted) in [
            (b"".to_vec(), Some("")),
            (b"a\nb".to_vec(), Some("a\nb")),
            (vec![0xff], None),
            (vec![b'x'; MOST as usize + 1], None),
        ] {
            let path = folder.path().join("file");
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(open(&path).unwrap().text().ok().as_deref().map(String::as_str), wanted);
        }
    }

    #[test]
    fn the_first_line_loses_its_line_end_and_nothing_else() {
        for (text, line) in [("a b \r\nc", "a b "), ("a", "a"), ("", ""), ("\na", "")] {
            assert_eq!(first_line(text.as_bytes()), line.as_bytes(), "{text:?}");
        }
    }
}
