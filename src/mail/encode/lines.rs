//! A canonical body read from its source line by line, in constant memory: a line too long for that comes in pieces.

use crate::mail::wire::Source;
use memchr::memchr;
use std::io;

/// A line or a piece of one, with its CRLF; a CRLF is never cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub bytes: &'a [u8],
    /// A line starts here. Lines of up to 2 KiB come whole.
    pub starts: bool,
}

impl Piece<'_> {
    /// Whether the line ends here.
    pub fn ends(&self) -> bool {
        self.bytes.ends_with(b"\n")
    }
}

/// Reads a body from its start to its end.
pub struct Lines<'a> {
    body: &'a dyn Source,
    size: u64,
    offset: u64,
    buffer: Vec<u8>,
    /// What of the buffer has not been handed out.
    start: usize,
    end: usize,
    line_start: bool,
}

const BUFFER: usize = 64 * 1024;

const WHOLE: usize = 2 * 1024;

impl<'a> Lines<'a> {
    pub fn new(body: &'a dyn Source, size: u64) -> Lines<'a> {
        Lines { body, size, offset: 0, buffer: vec![0; BUFFER], start: 0, end: 0, line_start: true }
    }

    /// The next piece; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Piece<'_>>> {
        let length = loop {
            let rest = &self.buffer[self.start..self.end];
            if let Some(end) = memchr(b'\n', rest) {
                break end + 1;
            }
            let over = self.offset == self.size;
            if !over && rest.len() <= WHOLE {
                self.fill()?;
                continue;
            }
            break if rest.ends_with(b"\r") && !over { rest.len() - 1 } else { rest.len() };
        };
        let bytes = &self.buffer[self.start..self.start + length];
        let piece = Piece { bytes, starts: self.line_start };
        self.start += length;
        self.line_start = piece.ends();
        Ok((length > 0).then_some(piece))
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let left = usize::try_from(self.size - self.offset).unwrap_or(BUFFER);
        let room = &mut self.buffer[self.end..];
        let room_length = room.len().min(left);
        match self.body.read_at(&mut room[..room_length], self.offset) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.end += read;
                self.offset += read as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::encode::tests::Memory;

    #[test]
    fn lines_come_whole_and_long_ones_in_pieces() {
        let long = [b"\r".repeat(5).as_slice(), &b"x".repeat(200_000), b"\r\n"].concat();
        let body = [b"a\r\n\r\n--b".as_slice(), &b"y".repeat(2040), b"\r\n", &long, b"z"].concat();
        for piece in [1, 1000, usize::MAX] {
            let memory = Memory(body.clone(), piece);
            let mut lines = Lines::new(&memory, body.len() as u64);
            let (mut all, mut starts) = (Vec::new(), Vec::new());
            while let Some(piece) = lines.next().unwrap() {
                if piece.starts {
                    starts.push(all.len());
                    assert!(piece.ends() || !piece.bytes.starts_with(b"--"));
                }
                assert!(!piece.bytes.ends_with(b"x\r"));
                all.extend_from_slice(piece.bytes);
            }
            assert!(all == body);
            assert_eq!(starts, [0, 3, 5, 2050, 2050 + 200_007]);
        }
    }

    #[test]
    fn a_body_that_shrank_is_an_error() {
        let memory = Memory(b"a\r\n".to_vec(), 9);
        let mut lines = Lines::new(&memory, 4);
        assert!(lines.next().is_ok());
        assert_eq!(lines.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
