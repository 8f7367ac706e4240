//! The slow paths: what cannot leave as it is becomes what can. A line over 998 octets or a NUL fits no wire; an octet
//! over 127 fits no relay without 8BITMIME (RFC 6152). Content is encoded as quoted-printable, part by part, so that
//! it reads as it was; only what cannot be encoded is folded. Constant memory, whatever the message.

mod lines;
mod parts;
mod quoted;

use super::header::{Field, Header, LONGEST_LINE};
use super::message::{Canonical, Dots, Nature};
use super::wire::Source;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use lines::Piece;
use parts::{Breaks, Holds, Met, Signed, walk};
use quoted::Quoted;
use std::fmt;
use std::io::{self, Write};

/// Whether a body of that nature fits no wire as it is.
pub fn unfit(nature: &Nature) -> bool {
    nature.longest_line > LONGEST_LINE || nature.nul
}

/// Writes a body that fits the wire: content with over-long lines or NULs encoded, adding MIME fields where there are
/// none; over-long lines anywhere else folded. Signatures over what is changed break, as they would on the way.
pub fn rework(
    header: Header,
    body: &dyn Source,
    size: u64,
    output: &mut dyn Write,
) -> Result<(Header, Nature), EncodeError> {
    encode(header, body, size, Purpose::Wire, output)
}

/// Writes a body for a relay that takes seven bits: content beyond ASCII encoded. What may not be touched (signed
/// parts, RFC 1847) or is no content (raw bytes in the headers of parts) stays; the nature tells whether there is any.
pub fn seven_bit(
    header: Header,
    body: &dyn Source,
    size: u64,
    output: &mut dyn Write,
) -> Result<(Header, Nature), EncodeError> {
    encode(header, body, size, Purpose::SevenBit, output)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Wire,
    SevenBit,
}

/// The body is read twice: the header of a part, which comes first, must say how its content is encoded.
fn encode(
    header: Header,
    body: &dyn Source,
    size: u64,
    purpose: Purpose,
    output: &mut dyn Write,
) -> Result<(Header, Nature), EncodeError> {
    let signed = if purpose == Purpose::Wire { Signed::Enter } else { Signed::Leave };
    let mut contents: Vec<Content> = Vec::new();
    let mut heads = 0;
    walk(&header, body, size, signed, &mut |met| {
        match met {
            Met::Head { holds: Holds::Plain, .. } => {
                heads += 1;
                if heads <= MOST_CONTENTS {
                    contents.push(Content::default());
                }
            }
            Met::Content(piece) if heads <= MOST_CONTENTS => {
                if let Some(content) = contents.last_mut() {
                    content.look_at(&piece);
                }
            }
            Met::Head { .. } | Met::Content(_) | Met::Fixed(..) => {}
        }
        Ok(())
    })?;
    let mut writer = Writer {
        contents: contents.iter(),
        purpose,
        quoted: None,
        column: 0,
        top: None,
        output: Canonical::new(output, Dots::Keep),
    };
    walk(&header, body, size, signed, &mut |met| writer.take(met))?;
    let Writer { output, top, .. } = writer;
    Ok((top.unwrap_or(header), output.finish().map_err(EncodeError::Write)?))
}

/// Content beyond so many parts stays as it is.
const MOST_CONTENTS: usize = 100_000;

/// What the content of a part turned out to be.
#[derive(Default)]
struct Content {
    unfit: bool,
    eight_bit: bool,
    not_utf8: bool,
    column: usize,
    /// A character cut between two pieces.
    cut: Vec<u8>,
}

impl Content {
    fn look_at(&mut self, piece: &Piece) {
        let line = piece.bytes.strip_suffix(b"\r\n").unwrap_or(piece.bytes);
        self.column = line.len() + if piece.starts { 0 } else { self.column };
        self.unfit = self.unfit || self.column > LONGEST_LINE || line.contains(&b'\0');
        if line.is_ascii() && self.cut.is_empty() {
            return;
        }
        self.eight_bit = true;
        self.cut.extend_from_slice(line);
        let rest = match std::str::from_utf8(&self.cut) {
            Ok(_) => self.cut.len(),
            Err(error) => {
                self.not_utf8 = self.not_utf8 || error.error_len().is_some() || piece.ends();
                error.valid_up_to()
            }
        };
        self.cut.drain(..rest);
        self.cut.truncate(if self.not_utf8 { 0 } else { 3 });
    }

    fn must_be_encoded(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Wire => self.unfit,
            Purpose::SevenBit => self.eight_bit,
        }
    }

    fn charset(&self) -> &'static str {
        match (self.eight_bit, self.not_utf8) {
            (false, _) => "us-ascii",
            (true, false) => "utf-8",
            // For text of which nobody knows the charset (RFC 1428).
            (true, true) => "unknown-8bit",
        }
    }
}

/// Writes what is met, encoded where it must be.
struct Writer<'a> {
    contents: std::slice::Iter<'a, Content>,
    purpose: Purpose,
    /// The content at hand is encoded.
    quoted: Option<Quoted>,
    /// Octets written of the current line, when it is not encoded.
    column: usize,
    /// The header of the message itself, when it had to change.
    top: Option<Header>,
    output: Canonical<&'a mut dyn Write>,
}

impl Writer<'_> {
    fn take(&mut self, met: Met) -> Result<(), EncodeError> {
        match met {
            Met::Head { header, raw, holds } => self.head(header, raw, holds),
            Met::Content(piece) => match &mut self.quoted {
                Some(quoted) => quoted.write(piece.bytes, &mut self.output).map_err(EncodeError::Write),
                None => self.fixed(piece, Breaks::Blank),
            },
            Met::Fixed(piece, breaks) => self.fixed(piece, breaks),
        }
    }

    fn head(&mut self, header: &Header, raw: Option<&[u8]>, holds: Holds) -> Result<(), EncodeError> {
        self.quoted = None;
        let changed = match holds {
            Holds::Parts => self.parts_header(header),
            Holds::Plain => match self.contents.next() {
                Some(content) if content.must_be_encoded(self.purpose) => {
                    self.quoted = Some(Quoted::new());
                    Some(encoded_header(header, content, raw.is_none()))
                }
                _ => None,
            },
        };
        match (changed, raw) {
            (changed, None) => self.top = changed,
            (Some(header), Some(_)) => self.lines(&[header.to_bytes().as_slice(), b"\r\n"].concat())?,
            (None, Some(raw)) => self.lines(raw)?,
        }
        Ok(())
    }

    /// What holds encoded parts only must not say 8bit, or a relay of seven bits may refuse it.
    fn parts_header(&self, header: &Header) -> Option<Header> {
        let says_more = matches!(header.transfer_encoding().as_str(), "8bit" | "binary");
        (self.purpose == Purpose::SevenBit && says_more).then(|| {
            let mut header = header.clone();
            header.replace(Field::new(TRANSFER_ENCODING, "7bit"));
            header
        })
    }

    fn lines(&mut self, lines: &[u8]) -> Result<(), EncodeError> {
        lines
            .split_inclusive(|&byte| byte == b'\n')
            .try_for_each(|bytes| self.fixed(Piece { bytes, starts: true }, Breaks::Blank))
    }

    /// Writes a piece as it is, over-long lines broken.
    fn fixed(&mut self, piece: Piece, breaks: Breaks) -> Result<(), EncodeError> {
        if piece.bytes.contains(&b'\0') {
            return Err(EncodeError::Nul);
        }
        let line = piece.bytes.strip_suffix(b"\r\n").unwrap_or(piece.bytes);
        if piece.starts {
            self.column = 0;
        }
        let mut copied = 0;
        if self.column + line.len() > LONGEST_LINE {
            for (at, &byte) in line.iter().enumerate() {
                if self.column + room_for(byte, breaks) > LONGEST_LINE {
                    self.write(&line[copied..at])?;
                    self.write(match breaks {
                        Breaks::Blank => b"\r\n ",
                        Breaks::Soft => b"=\r\n",
                    })?;
                    copied = at;
                    self.column = usize::from(breaks == Breaks::Blank);
                }
                self.column += 1;
            }
        } else {
            self.column += line.len();
        }
        self.write(&piece.bytes[copied..])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.output.write_all(bytes).map_err(EncodeError::Write)
    }
}

const TRANSFER_ENCODING: &str = "Content-Transfer-Encoding";

fn encoded_header(header: &Header, content: &Content, top: bool) -> Header {
    let mut header = header.clone();
    if top && header.first("MIME-Version").is_none() {
        header.push(Field::new("MIME-Version", "1.0"));
    }
    if header.content_type().is_none() {
        header.push(Field::new("Content-Type", &format!("text/plain; charset={}", content.charset())));
    }
    header.replace(Field::new(TRANSFER_ENCODING, "quoted-printable"));
    header
}

/// The octets that must fit on the line for this byte to stand on it: those of its character or its `=XX`, so that
/// neither is cut, and those of the break.
fn room_for(byte: u8, breaks: Breaks) -> usize {
    let whole = match byte {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
        b'=' if breaks == Breaks::Soft => 3,
        _ => 1,
    };
    whole + usize::from(breaks == Breaks::Soft)
}

/// Why a message could not be made to fit.
#[derive(Debug)]
pub enum EncodeError {
    /// The body could not be read back.
    Read(io::Error),
    /// The copy could not be written.
    Write(io::Error),
    /// A NUL where nothing can be encoded.
    Nul,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EncodeError::Read(_) => "reading the message back",
            EncodeError::Write(_) => "copying the message",
            EncodeError::Nul => "NUL byte in the structure of the message",
        })
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EncodeError::Read(error) | EncodeError::Write(error) => Some(error),
            EncodeError::Nul => None,
        }
    }
}

impl Explain for EncodeError {
    fn exit(&self) -> Exit {
        match self {
            EncodeError::Read(_) | EncodeError::Write(_) => Exit::TempFail,
            EncodeError::Nul => Exit::DataErr,
        }
    }
}

#[cfg(test)]
mod tests;
