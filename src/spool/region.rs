//! A part of a spool file, read without moving a position that a forked child would share.

use crate::mail::wire::Source;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Octets of an open file.
#[derive(Clone, Debug)]
pub struct Region {
    pub(super) file: Arc<File>,
    pub(super) start: u64,
    pub(super) size: u64,
}

impl Region {
    /// All of a file.
    pub fn whole(file: File) -> io::Result<Region> {
        let size = file.metadata()?.len();
        Ok(Region { file: Arc::new(file), start: 0, size })
    }

    /// Its size in octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All of it, in memory: for a message header.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let size = usize::try_from(self.size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut octets = vec![0; size];
        self.file.read_exact_at(&mut octets, self.start)?;
        Ok(octets)
    }

    /// All of it, piece by piece.
    pub fn copy_to(&self, output: &mut dyn Write) -> io::Result<()> {
        let (mut buffer, mut at) = (vec![0; 64 << 10], 0);
        while at < self.size {
            let count = self.read_at(&mut buffer, at)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            output.write_all(&buffer[..count])?;
            at += count as u64;
        }
        Ok(())
    }

    /// A part of it; what lies outside is cut off.
    pub fn part(&self, start: u64, size: u64) -> Region {
        let start = start.min(self.size);
        Region { file: self.file.clone(), start: self.start + start, size: size.min(self.size - start) }
    }
}

impl Source for Region {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        loop {
            match self.file.read_at(&mut buffer[..wanted], self.start + offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_ends_where_it_ends() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let region = Region { file: Arc::new(file), start: 2, size: 5 };
        let mut buffer = [0; 8];
        assert_eq!(region.read().unwrap(), b"23456");
        assert_eq!(region.read_at(&mut buffer, 3).unwrap(), 2);
        assert_eq!(&buffer[..2], b"56");
        assert_eq!(region.read_at(&mut buffer, 5).unwrap(), 0);
        assert_eq!(region.read_at(&mut buffer, 50).unwrap(), 0);
        assert_eq!(region.part(1, 2).read().unwrap(), b"34");
        let mut copy = Vec::new();
        region.copy_to(&mut copy).unwrap();
        assert_eq!(copy, b"23456");
        assert_eq!(region.part(4, 20).read().unwrap(), b"6");
    }
}
