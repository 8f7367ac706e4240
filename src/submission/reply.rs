//! The grammar of SMTP replies (RFC 5321 section 4.2), strict where a mistake would lose mail, bounded everywhere.
//! Octets in, whole replies out; what a reply means is classify's.

use crate::mail::outcome::Reply;
use lettre::transport::smtp::response::{Category, Code, Detail, Response, Severity};
use std::fmt;

/// Octets of a line that are kept; the rest is read and forgotten.
const LINE: usize = 4096;
const LINES: usize = 1000;
/// Octets of a whole reply.
const TOTAL: usize = 256 * 1024;

/// Puts a reply together from pieces as they arrive. One for each reply.
#[derive(Default)]
pub struct Assembler {
    code: Option<Code>,
    lines: Vec<String>,
    line: Vec<u8>,
    total: usize,
}

/// Why what came is no reply. Nothing that is no reply is ever taken for success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoReply {
    /// Not three digits and a separator; the line, shortened.
    Grammar(String),
    /// The lines of one reply with different codes.
    MixedCodes,
    TooLong,
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoReply::Grammar(line) => write!(f, "not an SMTP reply: {line:?}"),
            NoReply::MixedCodes => f.write_str("a reply whose lines have different codes"),
            NoReply::TooLong => f.write_str("a reply without end"),
        }
    }
}

impl Assembler {
    /// Takes octets up to the end of the reply. Returns how many were taken, and the reply when it is whole.
    pub fn take(&mut self, octets: &[u8]) -> Result<(usize, Option<Response>), NoReply> {
        let mut taken = 0;
        while let Some(length) = octets[taken..].iter().position(|&octet| octet == b'\n') {
            self.keep(&octets[taken..taken + length])?;
            taken += length + 1;
            if let Some(response) = self.end_line()? {
                return Ok((taken, Some(response)));
            }
        }
        self.keep(&octets[taken..])?;
        Ok((octets.len(), None))
    }

    /// What has come of an unfinished reply, for people.
    pub fn fragment(&self) -> Option<String> {
        match (self.line.as_slice(), self.lines.last()) {
            ([], last) => last.map(|line| excerpt(line.as_bytes())),
            (begun, _) => Some(excerpt(begun)),
        }
    }

    fn keep(&mut self, octets: &[u8]) -> Result<(), NoReply> {
        self.total += octets.len();
        if self.total > TOTAL {
            return Err(NoReply::TooLong);
        }
        let room = LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&octets[..octets.len().min(room)]);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Response>, NoReply> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let (code, last, text) = parse(line).ok_or_else(|| NoReply::Grammar(excerpt(line)))?;
        if *self.code.get_or_insert(code) != code {
            return Err(NoReply::MixedCodes);
        }
        self.lines.push(String::from_utf8_lossy(text).into_owned());
        if last {
            return Ok(Some(Response::new(code, std::mem::take(&mut self.lines))));
        }
        if self.lines.len() >= LINES { Err(NoReply::TooLong) } else { Ok(None) }
    }
}

/// A response as the other rooms know it.
pub fn told(response: &Response) -> Reply {
    Reply { code: response.code().into(), lines: response.message().map(String::from).collect() }
}

/// Code, whether it is the last line, text.
fn parse(line: &[u8]) -> Option<(Code, bool, &[u8])> {
    let (digits, rest) = line.split_first_chunk::<3>()?;
    let code = code(digits)?;
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

fn code(digits: &[u8; 3]) -> Option<Code> {
    let severity = match digits[0] {
        b'2' => Severity::PositiveCompletion,
        b'3' => Severity::PositiveIntermediate,
        b'4' => Severity::TransientNegativeCompletion,
        b'5' => Severity::PermanentNegativeCompletion,
        _ => return None,
    };
    let category = match digits[1] {
        b'0' => Category::Syntax,
        b'1' => Category::Information,
        b'2' => Category::Connections,
        b'3' => Category::Unspecified3,
        b'4' => Category::Unspecified4,
        b'5' => Category::MailSystem,
        _ => return None,
    };
    let detail = match digits[2] {
        b'0' => Detail::Zero,
        b'1' => Detail::One,
        b'2' => Detail::Two,
        b'3' => Detail::Three,
        b'4' => Detail::Four,
        b'5' => Detail::Five,
        b'6' => Detail::Six,
        b'7' => Detail::Seven,
        b'8' => Detail::Eight,
        b'9' => Detail::Nine,
        _ => return None,
    };
    Some(Code::new(severity, category, detail))
}

fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the whole text in pieces of `size`.
    fn read(text: &[u8], size: usize) -> Result<Option<Reply>, NoReply> {
        let mut assembler = Assembler::default();
        for piece in text.chunks(size) {
            if let (_, Some(response)) = assembler.take(piece)? {
                return Ok(Some(told(&response)));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_reply_is_read_the_same_in_any_pieces() {
        type Expected = Option<(u16, &'static [&'static str])>;
        let cases: &[(&str, Expected)] = &[
            ("250 ok\r\n", Some((250, &["ok"]))),
            ("250 ok\n", Some((250, &["ok"]))),
            ("250\r\n", Some((250, &[""]))),
            ("250-a\r\n250-b\r\n250 c\r\n", Some((250, &["a", "b", "c"]))),
            ("250-a\n250\n", Some((250, &["a", ""]))),
            ("354  Go ahead\r\n", Some((354, &[" Go ahead"]))),
            ("250 ok", None),
            ("250-part\r\n", None),
            ("25", None),
        ];
        for (text, expected) in cases {
            for size in [1, 2, 3, 7, 100] {
                let reply = read(text.as_bytes(), size).unwrap();
                let expected =
                    expected.map(|(code, lines)| Reply { code, lines: lines.iter().map(|l| l.to_string()).collect() });
                assert_eq!(reply, expected, "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for text in ["000 x\n", "999 x\n", "260 x\n", "25\n", "250x\n", "HTTP/1.1 400\r\n", "\n", "-250 x\n", "2５0 \n"]
        {
            assert!(matches!(read(text.as_bytes(), 100), Err(NoReply::Grammar(_))), "{text:?}");
        }
        assert_eq!(read(b"250-ok\r\n550 no\r\n", 100), Err(NoReply::MixedCodes));
    }

    #[test]
    fn a_code_is_one_of_those_there_can_be() {
        for code in 0..1000_u16 {
            let reply = read(format!("{code:03} x\n").as_bytes(), 100).ok().flatten();
            let can_be = (2..=5).contains(&(code / 100)) && (0..=5).contains(&(code / 10 % 10));
            assert_eq!(reply.map(|reply| reply.code), can_be.then_some(code), "{code}");
        }
    }

    #[test]
    fn a_long_line_is_cut_and_an_endless_reply_refused() {
        let long = [b"250 ".as_slice(), &vec![b'x'; 100_000], b"\r\n"].concat();
        assert_eq!(read(&long, 1000).unwrap().unwrap().lines[0].len(), LINE - 4);
        assert_eq!(read(&vec![b'2'; TOTAL], 4096), Ok(None));
        assert_eq!(read(&vec![b'2'; TOTAL + 1], 4096), Err(NoReply::TooLong));
        assert_eq!(read(&b"250-x\n".repeat(LINES), 4096), Err(NoReply::TooLong));
    }

    #[test]
    fn what_has_come_of_an_unfinished_reply_can_be_shown() {
        let long = "x".repeat(100);
        let cases = [
            ("", None),
            ("25", Some("25")),
            ("250-part\r\n", Some("part")),
            ("250-part\r\n250 mo", Some("250 mo")),
            (&long, Some(&long[..60])),
        ];
        for (text, expected) in cases {
            let mut assembler = Assembler::default();
            assert!(assembler.take(text.as_bytes()).unwrap().1.is_none());
            assert_eq!(assembler.fragment().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn why_it_is_no_reply_is_said() {
        assert_eq!(read(b"HTTP/1.1 400\r\n", 9).unwrap_err().to_string(), "not an SMTP reply: \"HTTP/1.1 400\"");
        assert_eq!(NoReply::MixedCodes.to_string(), "a reply whose lines have different codes");
        assert_eq!(NoReply::TooLong.to_string(), "a reply without end");
    }

    #[test]
    fn octets_behind_a_reply_are_not_taken() {
        let (taken, response) = Assembler::default().take(b"220 go\r\n250 forged\r\n").unwrap();
        assert_eq!((taken, response.is_some()), (8, true));
    }
}
