//! The parts of a message (RFC 2046), walked from its first line to its last, nested multiparts and messages entered.
//! What is to be done with a part is for whoever walks.

use super::EncodeError;
use super::lines::{Lines, Piece};
use crate::mail::header::{Header, field_name};
use crate::mail::wire::Source;

/// What the walk meets, in order; together the pieces are the body, byte for byte.
pub enum Met<'a> {
    /// The header of the message or of a part: `raw` with the empty line behind it, nothing for the message itself,
    /// whose header is not in the body.
    Head { header: &'a Header, raw: Option<&'a [u8]>, holds: Holds },
    /// Content of the part whose head was met last, and which holds [`Holds::Plain`].
    Content(Piece<'a>),
    /// Whatever must stay as it is: delimiters, text around the parts, encoded content, parts too odd to be understood.
    Fixed(Piece<'a>, Breaks),
}

/// What the body behind a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Content in no transfer encoding, which may get one.
    Plain,
    /// Parts, or a message: may have no transfer encoding but 7bit, 8bit and binary (RFC 2045 section 6.4).
    Parts,
}

/// How an over-long line can be broken with the least harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    /// CRLF and a blank: folds a header line, means nothing in base64.
    Blank,
    /// `=` and CRLF: means nothing in quoted-printable.
    Soft,
}

/// Whether signed parts are entered: touching one breaks its signature (RFC 1847 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    Enter,
    Leave,
}

/// Deeper parts stay as they are.
const DEEPEST: usize = 32;

/// The header of a part is held in memory up to this, in octets; one that is longer makes its part an odd one.
const LONGEST_HEAD: usize = 256 * 1024;

/// Walks the body of a message with that header.
pub fn walk(
    header: &Header,
    body: &dyn Source,
    size: u64,
    signed: Signed,
    visit: &mut dyn FnMut(Met) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut walk = Walk { open: Vec::new(), at: At::Fixed(Breaks::Blank), signed, visit };
    walk.enter(header, None, TEXT)?;
    let mut lines = Lines::new(body, size);
    while let Some(piece) = lines.next().map_err(EncodeError::Read)? {
        walk.take(piece)?;
    }
    walk.leave_head()
}

/// The content of a part that does not say what it holds.
const TEXT: &str = "text/plain";

/// The same within a multipart/digest (RFC 2046 section 5.1.5).
const MESSAGE: &str = "message/rfc822";

struct Walk<'v> {
    /// The multiparts entered and not yet left, the innermost last.
    open: Vec<Multipart>,
    at: At,
    signed: Signed,
    visit: &'v mut dyn FnMut(Met) -> Result<(), EncodeError>,
}

struct Multipart {
    boundary: Vec<u8>,
    default: &'static str,
}

enum At {
    /// In a header, of which this much has been read.
    Head {
        raw: Vec<u8>,
        default: &'static str,
    },
    Content,
    Fixed(Breaks),
}

enum Delimiter {
    Next(usize),
    Last(usize),
}

impl Walk<'_> {
    fn take(&mut self, piece: Piece) -> Result<(), EncodeError> {
        match self.delimiter(&piece) {
            Some(Delimiter::Next(level)) => {
                self.leave_head()?;
                self.open.truncate(level + 1);
                (self.visit)(Met::Fixed(piece, Breaks::Blank))?;
                let default = self.open.last().map_or(TEXT, |multipart| multipart.default);
                self.at = At::Head { raw: Vec::new(), default };
                return Ok(());
            }
            Some(Delimiter::Last(level)) => {
                self.leave_head()?;
                self.open.truncate(level);
                self.at = At::Fixed(Breaks::Blank);
            }
            None => {}
        }
        match &mut self.at {
            At::Fixed(breaks) => (self.visit)(Met::Fixed(piece, *breaks)),
            At::Content => (self.visit)(Met::Content(piece)),
            At::Head { raw, default } => {
                let continues = !piece.starts || (!raw.is_empty() && matches!(piece.bytes[0], b' ' | b'\t'));
                let belongs = continues || field_name(piece.bytes).is_some();
                if belongs && raw.len() + piece.bytes.len() <= LONGEST_HEAD {
                    raw.extend_from_slice(piece.bytes);
                    return Ok(());
                }
                if piece.bytes == b"\r\n" {
                    let (mut raw, default) = (std::mem::take(raw), *default);
                    let header = Header::from_bytes(&raw);
                    raw.extend_from_slice(piece.bytes);
                    return self.enter(&header, Some(&raw), default);
                }
                self.leave_head()?;
                self.take(piece)
            }
        }
    }

    /// Decides what is behind a head.
    fn enter(&mut self, header: &Header, raw: Option<&[u8]>, default: &'static str) -> Result<(), EncodeError> {
        let content = header.content_type();
        let kind = content.as_ref().map_or(default, |content| content.kind.as_str());
        let encoding = header.transfer_encoding();
        let boundary = content.as_ref().and_then(|content| content.boundary.as_deref());
        let holds = match encoding.as_str() {
            "" | "7bit" | "8bit" | "binary" if kind == MESSAGE || kind == "message/global" => {
                self.at = At::Head { raw: Vec::new(), default: TEXT };
                Holds::Parts
            }
            "" | "7bit" | "8bit" | "binary" if kind.starts_with("multipart/") => match boundary {
                Some(boundary) if self.may_enter(kind) => {
                    let default = if kind == "multipart/digest" { MESSAGE } else { TEXT };
                    self.open.push(Multipart { boundary: boundary.trim_end().as_bytes().to_vec(), default });
                    self.at = At::Fixed(Breaks::Blank);
                    Holds::Parts
                }
                _ => return self.stay_out(raw, Breaks::Blank),
            },
            "" | "7bit" | "8bit" | "binary" if !kind.starts_with("message/") => {
                self.at = At::Content;
                Holds::Plain
            }
            "quoted-printable" => return self.stay_out(raw, Breaks::Soft),
            _ => return self.stay_out(raw, Breaks::Blank),
        };
        (self.visit)(Met::Head { header, raw, holds })
    }

    fn may_enter(&self, kind: &str) -> bool {
        self.open.len() < DEEPEST && (kind != "multipart/signed" || self.signed == Signed::Enter)
    }

    fn stay_out(&mut self, raw: Option<&[u8]>, breaks: Breaks) -> Result<(), EncodeError> {
        self.at = At::Fixed(breaks);
        self.fix(raw.unwrap_or_default())
    }

    /// Gives up a head that has no end or holds what is no field.
    fn leave_head(&mut self) -> Result<(), EncodeError> {
        if let At::Head { raw, .. } = &mut self.at {
            let raw = std::mem::take(raw);
            self.at = At::Fixed(Breaks::Blank);
            self.fix(&raw)?;
        }
        Ok(())
    }

    fn fix(&mut self, lines: &[u8]) -> Result<(), EncodeError> {
        for bytes in lines.split_inclusive(|&byte| byte == b'\n') {
            (self.visit)(Met::Fixed(Piece { bytes, starts: true }, Breaks::Blank))?;
        }
        Ok(())
    }

    /// The delimiter of the innermost multipart whose delimiter the line is; one of an outer one ends all within.
    fn delimiter(&self, piece: &Piece) -> Option<Delimiter> {
        let line = piece.bytes.strip_prefix(b"--").filter(|_| piece.starts)?;
        self.open.iter().enumerate().rev().find_map(|(level, multipart)| {
            let behind = line.strip_prefix(multipart.boundary.as_slice())?.trim_ascii_end();
            match behind {
                b"" => Some(Delimiter::Next(level)),
                b"--" => Some(Delimiter::Last(level)),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::encode::tests::Memory;

    /// What is met, one letter a line: `h`ead of a part, `H` of several, `c`ontent, `f`ixed; and the pieces together.
    fn met(header: &str, body: &str, signed: Signed) -> (String, String) {
        let header = Header::from_bytes(header.as_bytes());
        let memory = Memory(body.as_bytes().to_vec(), 7);
        let (mut kinds, mut all) = (String::new(), Vec::new());
        walk(&header, &memory, body.len() as u64, signed, &mut |met| {
            let (kind, bytes) = match met {
                Met::Head { raw, holds: Holds::Plain, .. } => ('h', raw.unwrap_or_default()),
                Met::Head { raw, holds: Holds::Parts, .. } => ('H', raw.unwrap_or_default()),
                Met::Content(piece) => ('c', piece.bytes),
                Met::Fixed(piece, Breaks::Blank) => ('f', piece.bytes),
                Met::Fixed(piece, Breaks::Soft) => ('s', piece.bytes),
            };
            kinds.push(kind);
            all.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        (kinds, String::from_utf8(all).unwrap())
    }

    #[test]
    fn the_parts_of_a_message_are_met_in_order_and_whole() {
        let multipart = "Content-Type: multipart/mixed; boundary=b\r\n";
        let cases = [
            ("", "a\nb\n", "hcc"),
            ("Content-Type: text/html\r\n", "--b\n", "hc"),
            ("Content-Transfer-Encoding: base64\r\n", "a\n", "f"),
            ("Content-Transfer-Encoding: Quoted-Printable\r\n", "a\n", "s"),
            ("Content-Type: multipart/mixed\r\n", "--\na\n", "ff"),
            ("Content-Type: message/delivery-status\r\n", "A: b\n\nc\n", "fff"),
            ("Content-Type: message/rfc822\r\n", "A: b\n\nc\n", "Hhc"),
            (multipart, "pre\n--b\nA: b\n c\n\nd\ne\n--b\n\nf\n--b--\npost\n", "Hffhccfhcff"),
            (multipart, "--b \n\na\n--bc\n--b-- \nz\n", "Hfhccff"),
            (multipart, "--b\nno header\n\na\n--b--\n", "Hfffff"),
            (multipart, "--b\nA: b\n--b\n\nc\n", "Hfffhc"),
            (multipart, "--b\nA: b\n", "Hff"),
            (multipart, "--b\n", "Hf"),
            (multipart, "", "H"),
            (
                multipart,
                "--b\nContent-Type: multipart/alternative; boundary=\"c d\"\n\n--c d\n\na\n--c d--\n\n--b\n\nb\n--b--\n",
                "HfHfhcfffhcf",
            ),
            // An outer delimiter ends an inner multipart that was never closed.
            (multipart, "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\na\n--b\n\n--c\n", "HfHfhcfhc"),
            ("Content-Type: multipart/digest; boundary=b\r\n", "--b\n\nA: b\n\nc\n--b--\n", "HfHhcf"),
        ];
        for (header, body, expected) in cases {
            let body = body.replace('\n', "\r\n");
            let (kinds, all) = met(header, &body, Signed::Enter);
            assert_eq!(kinds, expected, "{body:?}");
            assert_eq!(all, body);
        }
    }

    #[test]
    fn a_signed_part_is_left_alone_when_it_should_be() {
        let header = "Content-Type: multipart/signed; boundary=b\r\n";
        let body = "--b\r\n\r\na\r\n--b--\r\n";
        assert_eq!(met(header, body, Signed::Leave).0, "ffff");
        assert_eq!(met(header, body, Signed::Enter).0, "Hfhcf");
    }

    #[test]
    fn depth_and_length_have_their_ends() {
        let nested: String = (0..50)
            .map(|depth| format!("--{depth}\r\nContent-Type: multipart/x; boundary={}\r\n\r\n", depth + 1))
            .collect();
        let (kinds, all) = met("Content-Type: multipart/x; boundary=0\r\n", &nested, Signed::Enter);
        assert!(all == nested);
        assert_eq!(kinds.matches('H').count(), DEEPEST);
        let long = format!("--b\r\nA: {}\r\n\r\na\r\n", "x".repeat(LONGEST_HEAD));
        let (kinds, all) = met("Content-Type: multipart/x; boundary=b\r\n", &long, Signed::Enter);
        assert!(all == long && !kinds.contains('h'));
    }
}
