//! The one canonicaliser of bodies: every line ends in CRLF, the last one too; no bare CR or LF. It says what it met
//! on the way, and changes nothing else.

use memchr::{memchr, memchr2};
use std::io::{self, Write};

/// Whether a line with a single dot ends the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dots {
    End,
    /// The same, and what is behind the dot is not read: for a terminal, which would wait for more.
    EndInput,
    /// `-i`, `-oi`.
    Keep,
}

/// What the body turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nature {
    /// Octets of the canonical body.
    pub size: u64,
    /// Some octet is over 127.
    pub eight_bit: bool,
    /// Octets of the longest line, without CRLF.
    pub longest_line: usize,
    /// NULs met; each is in the output as it came.
    pub nul: bool,
}

/// Takes a body piece by piece, cut anywhere, and writes it to `output` in canonical form. Constant memory, whatever
/// the length of a line. [`Canonical::finish`] must be called at the end.
///
/// CRs before a line end are dropped; any other CR becomes a line end of its own, since a bare CR on the wire is a
/// line end to some servers and none to others (RFC 5321 section 2.3.8).
pub struct Canonical<W: Write> {
    output: W,
    dots: Dots,
    nature: Nature,
    /// Canonical bytes not yet written; at most [`BUFFER`].
    buffer: Vec<u8>,
    /// Octets of the current line, those that wait below not counted.
    column: usize,
    /// Nothing of the current line has come, and what ended the last one was no bare CR.
    fresh: bool,
    /// The current line is a single dot so far, and waits for what comes next.
    dot: bool,
    /// CRs that wait for what comes next.
    returns: u64,
    ended: bool,
}

const BUFFER: usize = 64 * 1024;

impl<W: Write> Canonical<W> {
    pub fn new(output: W, dots: Dots) -> Canonical<W> {
        Canonical {
            output,
            dots,
            nature: Nature::default(),
            buffer: Vec::with_capacity(BUFFER),
            column: 0,
            fresh: true,
            dot: false,
            returns: 0,
            ended: false,
        }
    }

    /// Whether the dot has come; whatever is written behind it is ignored.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Ends the last line if it is open, and writes what is left.
    pub fn finish(mut self) -> io::Result<Nature> {
        if !self.ended && !self.dot && (self.column > 0 || self.returns > 0) {
            self.end_line()?;
        }
        self.flush_buffer()?;
        Ok(self.nature)
    }

    fn take(&mut self, mut input: &[u8]) -> io::Result<()> {
        while !input.is_empty() && !self.ended {
            input = if self.dot || self.returns > 0 { self.take_after_doubt(input)? } else { self.take_lines(input)? };
        }
        Ok(())
    }

    /// Decides what the dot and the CRs are that wait, and returns the input behind what decided it.
    fn take_after_doubt<'a>(&mut self, input: &'a [u8]) -> io::Result<&'a [u8]> {
        let (byte, rest) = input.split_at(1);
        match byte {
            b"\r" => self.returns += 1,
            b"\n" if self.dot => self.ended = true,
            b"\n" => {
                self.returns = 0;
                self.end_line()?;
                self.fresh = true;
            }
            _ => {
                self.fresh = false;
                if std::mem::take(&mut self.dot) {
                    self.take_open(b".")?;
                }
                for _ in 0..std::mem::take(&mut self.returns) {
                    self.end_line()?;
                }
                self.take_open(byte)?;
            }
        }
        Ok(rest)
    }

    /// Copies whole lines until the input ends or something needs thought; returns the rest.
    fn take_lines<'a>(&mut self, input: &'a [u8]) -> io::Result<&'a [u8]> {
        // Up to `copied`, the input is in the buffer; up to `line`, it is whole lines that need no change.
        let (mut copied, mut line) = (0, 0);
        while let Some(length) = memchr2(b'\r', b'\n', &input[line..]) {
            let end = line + length;
            if self.is_dot(&input[line..end]) {
                self.copy(&input[copied..line])?;
                self.dot = true;
                return Ok(&input[end..]);
            }
            if input[end..].starts_with(b"\r\n") {
                self.count_line(length);
                self.fresh = true;
                line = end + 2;
                continue;
            }
            self.copy(&input[copied..end])?;
            self.column += length;
            if input[end] == b'\r' {
                self.returns = 1;
                return Ok(&input[end + 1..]);
            }
            self.end_line()?;
            self.fresh = true;
            line = end + 1;
            copied = line;
        }
        self.copy(&input[copied..line])?;
        self.take_open(&input[line..])?;
        Ok(&[])
    }

    /// Takes a piece of a line without its end.
    fn take_open(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.is_dot(piece) {
            self.dot = true;
            return Ok(());
        }
        self.fresh = self.fresh && piece.is_empty();
        self.column += piece.len();
        self.copy(piece)
    }

    /// Whether the current line, so far all in `piece`, is a dot that may end the message.
    fn is_dot(&self, piece: &[u8]) -> bool {
        piece == b"." && self.fresh && self.dots != Dots::Keep
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.count_line(0);
        self.copy(b"\r\n")
    }

    fn count_line(&mut self, length: usize) {
        self.nature.longest_line = self.nature.longest_line.max(self.column + length);
        self.column = 0;
    }

    fn copy(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush_buffer()?;
        }
        if bytes.len() >= BUFFER {
            return self.write_out(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.write_out(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        result
    }

    fn write_out(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.nature.size += bytes.len() as u64;
        self.nature.eight_bit = self.nature.eight_bit || !bytes.is_ascii();
        self.nature.nul = self.nature.nul || memchr(b'\0', bytes).is_some();
        self.output.write_all(bytes)
    }
}

impl<W: Write> Write for Canonical<W> {
    fn write(&mut self, input: &[u8]) -> io::Result<usize> {
        self.take(input)?;
        Ok(input.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_buffer()?;
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(pieces: &[&[u8]], dots: Dots) -> (Vec<u8>, Nature) {
        let mut output = Vec::new();
        let mut canonical = Canonical::new(&mut output, dots);
        for piece in pieces {
            canonical.write_all(piece).unwrap();
        }
        let nature = canonical.finish().unwrap();
        (output, nature)
    }

    /// Bodies, and what becomes of them with [`Dots::Keep`] and with [`Dots::End`].
    const BODIES: [(&str, &str, &str); 31] = [
        ("", "", ""),
        ("\n", "\r\n", "\r\n"),
        ("a", "a\r\n", "a\r\n"),
        ("a\n", "a\r\n", "a\r\n"),
        ("a\r\n", "a\r\n", "a\r\n"),
        ("a\nb\r\nc\nd\r\n", "a\r\nb\r\nc\r\nd\r\n", "a\r\nb\r\nc\r\nd\r\n"),
        ("a\r\r\nb", "a\r\nb\r\n", "a\r\nb\r\n"),
        ("a\r\r\r\n\r\r\n", "a\r\n\r\n", "a\r\n\r\n"),
        ("a\rb", "a\r\nb\r\n", "a\r\nb\r\n"),
        ("a\r\rb", "a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"),
        ("\ra", "\r\na\r\n", "\r\na\r\n"),
        ("a\r", "a\r\n", "a\r\n"),
        ("\r", "\r\n", "\r\n"),
        ("a\n\n\n", "a\r\n\r\n\r\n", "a\r\n\r\n\r\n"),
        ("a \t\n\x0b\x0c\x1a\n", "a \t\r\n\x0b\x0c\x1a\r\n", "a \t\r\n\x0b\x0c\x1a\r\n"),
        ("From x\n>From y\n", "From x\r\n>From y\r\n", "From x\r\n>From y\r\n"),
        ("\u{feff}x\n", "\u{feff}x\r\n", "\u{feff}x\r\n"),
        (".", ".\r\n", ""),
        (".\nz", ".\r\nz\r\n", ""),
        ("a\n.\nz", "a\r\n.\r\nz\r\n", "a\r\n"),
        ("a\r\n.\r\nz", "a\r\n.\r\nz\r\n", "a\r\n"),
        ("a\n.\r\r\nz", "a\r\n.\r\nz\r\n", "a\r\n"),
        ("a\n.", "a\r\n.\r\n", "a\r\n"),
        ("a\n.\r", "a\r\n.\r\n", "a\r\n"),
        ("a\n..\n..b\n", "a\r\n..\r\n..b\r\n", "a\r\n..\r\n..b\r\n"),
        ("a\n.b\n. \n", "a\r\n.b\r\n. \r\n", "a\r\n.b\r\n. \r\n"),
        ("a.\nb\n", "a.\r\nb\r\n", "a.\r\nb\r\n"),
        ("a\r.\nb\n", "a\r\n.\r\nb\r\n", "a\r\n.\r\nb\r\n"),
        ("a\n.\rb\n", "a\r\n.\r\nb\r\n", "a\r\n.\r\nb\r\n"),
        ("a\n.\r.\nb\n", "a\r\n.\r\n.\r\nb\r\n", "a\r\n.\r\n.\r\nb\r\n"),
        ("\r.\n.\nz", "\r\n.\r\n.\r\nz\r\n", "\r\n.\r\n"),
    ];

    #[test]
    fn a_body_becomes_canonical_wherever_it_is_cut() {
        for (body, kept, ended) in BODIES {
            for (dots, expected) in [(Dots::Keep, kept), (Dots::End, ended)] {
                let body = body.as_bytes();
                let (whole, nature) = canonical(&[body], dots);
                assert_eq!(String::from_utf8_lossy(&whole), expected, "{dots:?} {:?}", String::from_utf8_lossy(body));
                let bytes: Vec<&[u8]> = body.chunks(1).collect();
                assert_eq!(canonical(&bytes, dots), (whole.clone(), nature));
                for cut in 0..body.len() {
                    assert_eq!(canonical(&[&body[..cut], b"", &body[cut..]], dots), (whole.clone(), nature), "{cut}");
                }
            }
        }
    }

    #[test]
    fn what_is_canonical_stays() {
        for (_, kept, _) in BODIES {
            assert_eq!(canonical(&[kept.as_bytes()], Dots::Keep).0, kept.as_bytes());
        }
    }

    #[test]
    fn the_nature_is_exact() {
        let cases: [(&[u8], Nature); 7] = [
            (b"", Nature::default()),
            (b"abc\n\nab", Nature { size: 11, longest_line: 3, ..Nature::default() }),
            (b"abc\r\nabcd\r\n", Nature { size: 11, longest_line: 4, ..Nature::default() }),
            (b"a\0\n", Nature { size: 4, longest_line: 2, nul: true, ..Nature::default() }),
            (b"\xe4\n", Nature { size: 3, longest_line: 1, eight_bit: true, ..Nature::default() }),
            (b"a\n.\n\xe4\0", Nature { size: 3, longest_line: 1, ..Nature::default() }),
            (b"abc\rde", Nature { size: 9, longest_line: 3, ..Nature::default() }),
        ];
        for (body, nature) in cases {
            assert_eq!(canonical(&[body], Dots::End).1, nature);
        }
        let long = vec![b'x'; 1 << 20];
        let pieces: Vec<&[u8]> = long.chunks(1000).collect();
        let (output, nature) = canonical(&pieces, Dots::End);
        assert_eq!(nature, Nature { size: (1 << 20) + 2, longest_line: 1 << 20, ..Nature::default() });
        assert_eq!(output.len() as u64, nature.size);
    }
}
