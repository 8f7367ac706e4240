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

/// How far the input has been read. Behind its end it is never read again: a terminal would wait for more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The message is over, the input is not.
    Ended,
    /// The input is over, or of no interest.
    Drained,
}

impl State {
    fn after_dot(dots: Dots) -> State {
        if dots == Dots::EndInput { State::Drained } else { State::Ended }
    }
}

impl HeaderLines {
    fn next(&mut self, input: &mut impl BufRead, dots: Dots) -> Result<Next, MessageError> {
        // One octet more than allowed tells a header that is too long from one that just fits.
        let room = LONGEST_HEADER + 1 - self.octets;
        let mut raw = Vec::new();
        input.by_ref().take(room as u64).read_until(b'\n', &mut raw).map_err(MessageError::Read)?;
        let line = raw.strip_suffix(b"\n").unwrap_or(&raw);
        let line = &line[..line.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1)];
        let over = match line {
            _ if raw.is_empty() => Some(State::Drained),
            b"." if dots != Dots::Keep => Some(State::after_dot(dots)),
            b"" => Some(State::Open),
            _ => None,
        };
        if let Some(state) = over {
            self.end_field();
            return Ok(Next::Body { pending: Vec::new(), state });
        }
        let continues = !self.ends.is_empty() && (line[0] == b' ' || line[0] == b'\t');
        // The limit may cut a field within its name, which then must not pass for a line of the body.
        let is_cut = raw.len() == room && self.octets > 0 && line.iter().all(u8::is_ascii_graphic);
        let starts = is_cut || field_name(line).is_some();
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
            let length =
                next_chunk(&mut self.input, &mut |chunk| canonical.write_all(chunk).map_err(MessageError::Write))?;
            if length == 0 {
                self.state = State::Drained;
            } else if canonical.ended() {
                self.state = State::after_dot(self.dots);
            }
        }
        self.drain().map_err(MessageError::Read)?;
        canonical.finish().map_err(MessageError::Write)
    }

    /// Reads the input to its end and forgets it, so that the caller's write never meets a closed pipe.
    pub fn drain(&mut self) -> io::Result<()> {
        if self.state != State::Drained {
            self.state = State::Drained;
            drain(&mut self.input)?;
        }
        Ok(())
    }
}

fn drain(input: &mut impl BufRead) -> io::Result<()> {
    while next_chunk(input, &mut |_| Ok::<(), io::Error>(()))? > 0 {}
    Ok(())
}

/// Hands the next octets on and says how many they were: 0 at the end.
fn next_chunk<E: From<io::Error>>(
    input: &mut impl BufRead,
    take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<usize, E> {
    loop {
        let length = match input.fill_buf() {
            Ok(chunk) => {
                take(chunk)?;
                chunk.len()
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(E::from(error)),
        };
        input.consume(length);
        return Ok(length);
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

/// Whatever fails while reading is the input; what fails while writing says so itself.
impl From<io::Error> for MessageError {
    fn from(error: io::Error) -> MessageError {
        MessageError::Read(error)
    }
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
