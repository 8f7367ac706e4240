//! A message as it comes in on standard input: where the header ends, where the message ends, what to forgive. The
//! rules are those on which Sendmail, Postfix and Exim agree; what a message must have is for `compose`.

mod canonical;

pub use canonical::{Canonical, Dots, Nature};

use super::header::{Field, Header, field_name};
use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::fmt;
use std::io::{self, BufRead, Chain, Cursor, Read, Write};

/// The longest header taken, in octets as they come in.
const LONGEST_HEADER: usize = 1024 * 1024;

/// The most hops a message may have behind it (RFC 5321 section 6.3 asks for at least 100 to be *possible*; Postfix
/// stops at 50, and no submission comes near).
pub const MOST_HOPS: usize = 50;

/// Reads the header, and leaves the body to be read. A line that is no header line ends the header, and opens the
/// body; `From ` lines of mailboxes are dropped. When the header cannot be taken, the input is read to its end first,
/// so that the caller's write never meets a closed pipe.
pub fn read<R: BufRead>(mut input: R, dots: Dots) -> Result<(Header, Body<R>), MessageError> {
    let mut lines = HeaderLines::default();
    loop {
        match lines.next(&mut input, dots) {
            Ok(Next::Line) => {}
            Ok(Next::Body { pending, state }) => {
                return Ok((lines.header, Body { input: Cursor::new(pending).chain(input), dots, state }));
            }
            Err(MessageError::Read(error)) => return Err(MessageError::Read(error)),
            Err(error) => {
                drain(&mut input).map_err(MessageError::Read)?;
                return Err(error);
            }
        }
    }
}

/// How many relays the message has passed: its Received fields.
pub fn hops(header: &Header) -> usize {
    header.all("Received").count()
}

/// The header as far as it has come in.
#[derive(Default)]
struct HeaderLines {
    header: Header,
    /// The lines of the field being read, without line ends, and where each ends.
    field: Vec<u8>,
    ends: Vec<usize>,
    octets: usize,
}

enum Next {
    Line,
    /// The header is over; `pending` was read and belongs to the body.
    Body {
        pending: Vec<u8>,
        state: State,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The dot or the end of the input came within the header.
    Ended,
}

impl HeaderLines {
    fn next(&mut self, input: &mut impl BufRead, dots: Dots) -> Result<Next, MessageError> {
        // One octet more than allowed tells a header that is too long from one that just fits.
        let room = LONGEST_HEADER + 1 - self.octets;
        let mut raw = Vec::new();
        input.by_ref().take(room as u64).read_until(b'\n', &mut raw).map_err(MessageError::Read)?;
        let line = raw.strip_suffix(b"\n").unwrap_or(&raw);
        let line = &line[..line.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1)];
        if raw.is_empty() || (line == b"." && dots == Dots::End) {
            self.end_field();
            return Ok(Next::Body { pending: Vec::new(), state: State::Ended });
        }
        if line.is_empty() {
            self.end_field();
            return Ok(Next::Body { pending: Vec::new(), state: State::Open });
        }
        let continues = !self.ends.is_empty() && (line[0] == b' ' || line[0] == b'\t');
        let starts = field_name(line).is_some();
        if !continues && !starts {
            if self.is_mailbox_line(line) {
                self.octets += raw.len();
                return self.check_length();
            }
            self.end_field();
            return Ok(Next::Body { pending: raw, state: State::Open });
        }
        if line.contains(&b'\0') {
            return Err(MessageError::NulInHeader);
        }
        if starts && !continues {
            self.end_field();
        }
        self.octets += raw.len();
        self.field.extend_from_slice(line);
        self.ends.push(self.field.len());
        self.check_length()
    }

    /// `From a@x Mon ...` and `>From ...`, as mailbox files have them before the header.
    fn is_mailbox_line(&self, line: &[u8]) -> bool {
        self.ends.is_empty() && (line.starts_with(b"From ") || line.starts_with(b">From "))
    }

    fn check_length(&self) -> Result<Next, MessageError> {
        if self.octets > LONGEST_HEADER { Err(MessageError::HeaderTooLong) } else { Ok(Next::Line) }
    }

    fn end_field(&mut self) {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let lines = starts.zip(&self.ends).map(|(start, &end)| &self.field[start..end]);
        if let Some(field) = Field::from_lines(lines) {
            self.header.push(field);
        }
        self.field.clear();
        self.ends.clear();
    }
}

/// The rest of the input behind the header.
pub struct Body<R> {
    input: Chain<Cursor<Vec<u8>>, R>,
    dots: Dots,
    state: State,
}

impl<R: BufRead> Body<R> {
    /// Streams the body in canonical form (lines end in CRLF, the last one too; no bare CR or LF) into `output`, and
    /// reads the input to its end; after an error in writing, [`Body::drain`] does that.
    pub fn copy_to(&mut self, output: &mut dyn Write) -> Result<Nature, MessageError> {
        let mut canonical = Canonical::new(output, self.dots);
        while self.state == State::Open {
            let chunk = next_chunk(&mut self.input).map_err(MessageError::Read)?;
            canonical.write_all(chunk).map_err(MessageError::Write)?;
            if chunk.is_empty() || canonical.ended() {
                self.state = State::Ended;
            }
            let length = chunk.len();
            self.input.consume(length);
        }
        self.drain().map_err(MessageError::Read)?;
        canonical.finish().map_err(MessageError::Write)
    }

    /// Reads the input to its end and forgets it, so that the caller's write never meets a closed pipe.
    pub fn drain(&mut self) -> io::Result<()> {
        self.state = State::Ended;
        drain(&mut self.input)
    }
}

fn drain(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let length = next_chunk(input)?.len();
        if length == 0 {
            return Ok(());
        }
        input.consume(length);
    }
}

fn next_chunk(input: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Asked again, since the borrow checker cannot see that the first answer is not kept; it costs nothing.
            Ok(_) => return input.fill_buf(),
            Err(error) => return Err(error),
        }
    }
}

/// Why a message could not be taken.
#[derive(Debug)]
pub enum MessageError {
    /// Standard input failed before its end.
    Read(io::Error),
    /// The copy could not be written.
    Write(io::Error),
    /// The header is over 1 MiB.
    HeaderTooLong,
    /// A NUL in the header.
    NulInHeader,
    /// More Received fields than [`MOST_HOPS`]: that many.
    TooManyHops(usize),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageError::Read(_) => f.write_str("reading the message from standard input"),
            MessageError::Write(_) => f.write_str("copying the message"),
            MessageError::HeaderTooLong => f.write_str("message header over 1 MiB"),
            MessageError::NulInHeader => f.write_str("NUL byte in the message header"),
            MessageError::TooManyHops(hops) => write!(f, "mail loop: {hops} Received fields"),
        }
    }
}

impl std::error::Error for MessageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MessageError::Read(error) | MessageError::Write(error) => Some(error),
            MessageError::HeaderTooLong | MessageError::NulInHeader | MessageError::TooManyHops(_) => None,
        }
    }
}

impl Explain for MessageError {
    fn exit(&self) -> Exit {
        match self {
            MessageError::Read(_) => Exit::IoErr,
            MessageError::Write(_) => Exit::TempFail,
            MessageError::HeaderTooLong | MessageError::NulInHeader => Exit::DataErr,
            MessageError::TooManyHops(_) => Exit::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests;
