//! The form of a message on the wire: canonical lines, dots stuffed. `Wire` is the only thing `submission` sends, and
//! only this file makes one. It trusts nobody: each line is checked on its way out, so that no server, whatever it
//! takes for a line end, can find the end of the message anywhere but at its end.

use super::header::Header;
use memchr::memchr3;
use std::io;

/// A message ready to be sent: header bytes in memory, body streamed from a file.
pub struct Wire {
    /// The header with the empty line behind it.
    head: Vec<u8>,
    body: Box<dyn Source>,
    body_size: u64,
    eight_bit: bool,
}

/// Where the body lies: a region of a spool file, read without moving a shared position.
pub trait Source: Send {
    /// Reads up to `buffer.len()` octets from `offset` of the body; 0 at its end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// Takes the chunks of a message, one after the other.
pub type Sink<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// The largest chunk, in octets.
const CHUNK: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dots {
    Stuffed,
    AsTheyAre,
}

impl Wire {
    /// `body` is canonical, as [`super::message::Canonical`] writes it; meeting anything else while sending is an
    /// error of kind `InvalidData`, so that nothing forged can end a message early. `eight_bit` is the body's.
    pub fn new(header: &Header, body: Box<dyn Source>, body_size: u64, eight_bit: bool) -> Wire {
        let head = [header.to_bytes().as_slice(), b"\r\n"].concat();
        let eight_bit = eight_bit || !head.is_ascii();
        Wire { head, body, body_size, eight_bit }
    }

    /// Octets as sent with BDAT and as declared with SIZE: header, empty line, body; without dot-stuffing.
    pub fn size(&self) -> u64 {
        self.head.len() as u64 + self.body_size
    }

    /// Whether any octet is over 127.
    pub fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Hands the message on in chunks of up to 64 KiB as DATA wants it: dots stuffed (RFC 5321 section 4.5.2), ended by
    /// CRLF.CRLF. After an error, that end has not been handed on, and the connection is good for nothing more.
    pub fn data(&self, sink: &mut Sink) -> io::Result<()> {
        let mut chunks = Chunks::new(Dots::Stuffed, sink);
        self.hand_on(&mut chunks)?;
        chunks.append(b".\r\n")?;
        chunks.flush()
    }

    /// Hands the message on in chunks of up to 64 KiB as BDAT wants it, exactly [`Wire::size`] octets.
    pub fn bdat(&self, sink: &mut Sink) -> io::Result<()> {
        let mut chunks = Chunks::new(Dots::AsTheyAre, sink);
        self.hand_on(&mut chunks)?;
        chunks.flush()
    }

    fn hand_on(&self, chunks: &mut Chunks) -> io::Result<()> {
        for piece in self.head.chunks(CHUNK) {
            chunks.take(piece)?;
        }
        let mut buffer = vec![0; CHUNK.min(usize::try_from(self.body_size).unwrap_or(CHUNK))];
        let mut offset = 0;
        while offset < self.body_size {
            let left = usize::try_from(self.body_size - offset).unwrap_or(CHUNK).min(buffer.len());
            let read = match self.body.read_at(&mut buffer[..left], offset) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "message shorter than it was")),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            chunks.take(&buffer[..read])?;
            offset += read as u64;
        }
        if chunks.at == At::LineStart { Ok(()) } else { Err(not_canonical("last line without end")) }
    }
}

/// Where in a line the last byte taken stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Inside,
    BehindReturn,
}

/// Checks the bytes, stuffs the dots, fills the chunks.
struct Chunks<'a, 'b> {
    dots: Dots,
    sink: &'a mut Sink<'b>,
    chunk: Vec<u8>,
    at: At,
}

impl<'a, 'b> Chunks<'a, 'b> {
    fn new(dots: Dots, sink: &'a mut Sink<'b>) -> Chunks<'a, 'b> {
        Chunks { dots, sink, chunk: Vec::with_capacity(CHUNK), at: At::LineStart }
    }

    /// Takes any piece of the message that is not empty. Bytes are appended only when those before them have been
    /// found canonical.
    fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        // What is cut off from its line by the border between two pieces is decided byte by byte.
        let mut copied = 0;
        let mut next = match self.at {
            At::BehindReturn if piece[0] == b'\n' => 1,
            At::BehindReturn => return Err(not_canonical("bare CR")),
            At::LineStart | At::Inside => 0,
        };
        if self.at == At::BehindReturn {
            self.at = At::LineStart;
        }
        let mut line_start = self.at == At::LineStart;
        loop {
            if line_start && self.dots == Dots::Stuffed && piece.get(next) == Some(&b'.') {
                self.append(&piece[copied..next])?;
                self.append(b".")?;
                copied = next;
            }
            let Some(found) = memchr3(b'\r', b'\n', b'\0', &piece[next..]) else { break };
            next += found;
            match (piece[next], piece.get(next + 1)) {
                (b'\r', Some(b'\n')) => next += 2,
                (b'\r', None) => {
                    self.at = At::BehindReturn;
                    return self.append(&piece[copied..]);
                }
                (b'\r', Some(_)) => return Err(not_canonical("bare CR")),
                (b'\n', _) => return Err(not_canonical("bare LF")),
                _ => return Err(not_canonical("NUL")),
            }
            line_start = true;
        }
        self.at = if next == piece.len() && line_start { At::LineStart } else { At::Inside };
        self.append(&piece[copied..])
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.chunk.len() + bytes.len() > CHUNK {
            let (fits, rest) = bytes.split_at(CHUNK - self.chunk.len());
            self.chunk.extend_from_slice(fits);
            self.flush()?;
            bytes = rest;
        }
        self.chunk.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.chunk.is_empty() {
            (self.sink)(&self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }
}

fn not_canonical(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("message damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header::Field;
    use crate::mail::message::{Canonical, Dots};
    use std::io::Write;

    /// A body that is read in pieces of at most so many octets.
    struct Slow(Vec<u8>, usize);

    impl Source for Slow {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = &self.0[usize::try_from(offset).unwrap()..];
            let length = rest.len().min(buffer.len()).min(self.1);
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        }
    }

    fn header() -> Header {
        let mut header = Header::default();
        header.push(Field::new(".Subject", "s"));
        header
    }

    fn wire(body: &[u8], piece: usize) -> Wire {
        Wire::new(&header(), Box::new(Slow(body.to_vec(), piece)), body.len() as u64, false)
    }

    /// What was handed on, whether or not an error came in the end.
    fn sent(send: impl Fn(&mut Sink) -> io::Result<()>) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let result = send(&mut |chunk| {
            assert!((1..=CHUNK).contains(&chunk.len()));
            bytes.extend_from_slice(chunk);
            Ok(())
        });
        (bytes, result)
    }

    fn canonical(body: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        let mut canonical = Canonical::new(&mut output, Dots::Keep);
        canonical.write_all(body).unwrap();
        canonical.finish().unwrap();
        output
    }

    /// Reads data as a server does to which any of `ends` ends a line. `Some` when the end of data is found: the
    /// lines, unstuffed, and what is left behind the end.
    fn receive(data: &[u8], ends: &[&[u8]]) -> Option<(Vec<Vec<u8>>, Vec<u8>)> {
        let (mut lines, mut line, mut rest) = (Vec::new(), Vec::new(), data);
        while !rest.is_empty() {
            let Some(end) = ends.iter().find(|end| rest.starts_with(end)) else {
                line.push(rest[0]);
                rest = &rest[1..];
                continue;
            };
            rest = &rest[end.len()..];
            if line == b"." {
                return Some((lines, rest.to_vec()));
            }
            lines.push(line.strip_prefix(b".").unwrap_or(&line).to_vec());
            line.clear();
        }
        None
    }

    const SERVERS: [&[&[u8]]; 3] = [&[b"\r\n"], &[b"\r\n", b"\n"], &[b"\r\n", b"\n", b"\r"]];

    /// Every body of up to six octets of those that matter.
    fn bodies() -> impl Iterator<Item = Vec<u8>> {
        (0..=6u32).flat_map(|length| {
            (0..4usize.pow(length)).map(move |number| (0..length).map(|at| b"\r\n.a"[number >> (2 * at) & 3]).collect())
        })
    }

    #[test]
    fn every_server_finds_the_end_of_a_canonical_message_once_and_at_its_end() {
        for body in bodies() {
            let body = canonical(&body);
            let mut expected: Vec<&[u8]> = vec![b".Subject: s", b""];
            expected.extend(body.split(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\r")));
            for piece in [1, 2, 5, 1000] {
                let (data, result) = sent(|sink| wire(&body, piece).data(sink));
                result.unwrap();
                for ends in SERVERS {
                    let (lines, rest) = receive(&data, ends).unwrap();
                    assert_eq!(
                        (lines, rest.as_slice()),
                        (expected.iter().map(|line| line.to_vec()).collect(), b"".as_slice())
                    );
                }
                let (data, result) = sent(|sink| wire(&body, piece).bdat(sink));
                result.unwrap();
                assert_eq!(data.len() as u64, wire(&body, piece).size());
                assert_eq!(data, [b".Subject: s\r\n\r\n".as_slice(), &body].concat());
            }
        }
    }

    #[test]
    fn no_server_finds_an_end_in_a_message_that_is_not_canonical() {
        for body in bodies().filter(|body| canonical(body) != *body) {
            for piece in [1, 2, 1000] {
                let (data, result) = sent(|sink| wire(&body, piece).data(sink));
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
                assert!(SERVERS.iter().all(|ends| receive(&data, ends).is_none()), "{body:?}");
                assert!(sent(|sink| wire(&body, piece).bdat(sink)).1.is_err());
            }
        }
    }

    #[test]
    fn a_nul_is_not_sent() {
        for body in [b"\0\r\n".as_slice(), b"a\r\0\n", b"a\0b\r\n"] {
            assert_eq!(sent(|sink| wire(body, 9).data(sink)).1.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn dots_are_stuffed_across_the_borders_of_chunks() {
        for width in 1..6 {
            let line = [b"...".repeat(width).as_slice(), b"\r\n"].concat();
            let body = line.repeat(3 * CHUNK / line.len());
            let (data, result) = sent(|sink| wire(&body, usize::MAX).data(sink));
            result.unwrap();
            let (lines, rest) = receive(&data, SERVERS[0]).unwrap();
            assert_eq!((lines[2..].join(b"\r\n".as_slice()).len() + 2, rest.len()), (body.len(), 0));
        }
    }

    #[test]
    fn a_message_without_header_or_body_has_an_end() {
        let wire = Wire::new(&Header::default(), Box::new(Slow(Vec::new(), 1)), 0, false);
        assert_eq!(sent(|sink| wire.data(sink)).0, b"\r\n.\r\n");
        assert_eq!(sent(|sink| wire.bdat(sink)).0, b"\r\n");
        assert_eq!((wire.size(), wire.eight_bit()), (2, false));
    }

    #[test]
    fn a_header_beyond_ascii_is_eight_bit() {
        let mut header = header();
        header.push(Field::new("Subject", "ü"));
        assert!(Wire::new(&header, Box::new(Slow(Vec::new(), 1)), 0, false).eight_bit());
    }

    #[test]
    fn a_body_that_shrank_has_no_end() {
        let wire = Wire::new(&header(), Box::new(Slow(b"a\r\n".to_vec(), 9)), 4, false);
        let (data, result) = sent(|sink| wire.data(sink));
        assert_eq!((data.len(), result.unwrap_err().kind()), (0, io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn an_error_of_the_sink_comes_back() {
        let refuse = &mut |_: &[u8]| Err(io::ErrorKind::BrokenPipe.into());
        assert_eq!(wire(b"a\r\n", 9).data(refuse).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    /// Says these errors first, and has more than belongs to the message.
    struct Faulty(std::sync::Mutex<Vec<io::ErrorKind>>);

    impl Source for Faulty {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            match self.0.lock().unwrap().pop() {
                Some(kind) => Err(kind.into()),
                None => Slow(b"text\r\n.\r\nnot ours\r\n".to_vec(), 6).read_at(buffer, offset),
            }
        }
    }

    #[test]
    fn an_interrupted_read_is_no_error_and_any_other_is() {
        use io::ErrorKind::{Interrupted, Other};
        for (kinds, whole) in
            [(vec![Interrupted, Interrupted], true), (vec![Other], false), (vec![Other, Interrupted], false)]
        {
            let wire = Wire::new(&header(), Box::new(Faulty(kinds.clone().into())), 6, false);
            let (bytes, result) = sent(|sink| wire.data(sink));
            assert_eq!(result.is_ok(), whole, "{kinds:?}");
            assert_eq!(bytes.ends_with(b"\r\n\r\ntext\r\n.\r\n"), whole, "{kinds:?}");
        }
    }

    #[test]
    fn what_is_not_canonical_is_named() {
        for (body, words) in
            [("a\rb\r\n", "bare CR"), ("a\nb\r\n", "bare LF"), ("a\0b\r\n", "NUL"), ("a", "last line without end")]
        {
            let (_, result) = sent(|sink| wire(body.as_bytes(), 100).data(sink));
            assert_eq!(result.unwrap_err().to_string(), format!("message damaged: {words}"));
        }
    }

    #[test]
    fn what_lies_behind_the_body_is_not_sent() {
        let wire = Wire::new(&header(), Box::new(Faulty(Vec::new().into())), 9, false);
        let (bytes, result) = sent(|sink| wire.bdat(sink));
        result.unwrap();
        assert_eq!(bytes.len() as u64, wire.size());
        assert!(bytes.ends_with(b"\r\n\r\ntext\r\n.\r\n"));
    }

    #[test]
    fn chunks_are_as_large_as_they_may_be() {
        let wire = wire(&b"0123456789abcd\r\n".repeat(20_000), 4096);
        let mut sizes = Vec::new();
        wire.bdat(&mut |chunk| {
            sizes.push(chunk.len());
            Ok(())
        })
        .unwrap();
        let last = sizes.pop().unwrap();
        assert_eq!((sizes, last), (vec![65_536; 4], wire.size() as usize - 4 * 65_536));
    }
}
