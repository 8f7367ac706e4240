//! Quoted-printable (RFC 2045 section 6.7) as it is written, for text in canonical lines of any length.

use std::io::{self, Write};

/// The longest line, in octets without CRLF.
const LONGEST: usize = 76;

/// Takes canonical text piece by piece, cut anywhere but within a CRLF, and writes it encoded.
pub struct Quoted {
    line: Vec<u8>,
    /// A blank that waits for what comes behind it: at the end of a line it must be encoded.
    blank: Option<u8>,
}

impl Quoted {
    pub fn new() -> Quoted {
        Quoted { line: Vec::with_capacity(LONGEST + 2), blank: None }
    }

    pub fn write(&mut self, text: &[u8], output: &mut dyn Write) -> io::Result<()> {
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let (line, ends) = match line.strip_suffix(b"\r\n") {
                Some(line) => (line, true),
                None => (line, false),
            };
            for &byte in line {
                if let Some(blank) = self.blank.take() {
                    self.push(&[blank], output)?;
                }
                match byte {
                    b' ' | b'\t' => self.blank = Some(byte),
                    b'!'..=b'~' if byte != b'=' => self.push(&[byte], output)?,
                    _ => self.push(&encoded(byte), output)?,
                }
            }
            if ends {
                self.finish(output)?;
                output.write_all(b"\r\n")?;
            }
        }
        Ok(())
    }

    /// Writes what is left of a line that has no end.
    pub fn finish(&mut self, output: &mut dyn Write) -> io::Result<()> {
        if let Some(blank) = self.blank.take() {
            self.push(&encoded(blank), output)?;
        }
        output.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }

    fn push(&mut self, token: &[u8], output: &mut dyn Write) -> io::Result<()> {
        // One octet is kept for the `=` of a soft line break.
        if self.line.len() + token.len() > LONGEST - 1 {
            self.line.extend_from_slice(b"=\r\n");
            output.write_all(&self.line)?;
            self.line.clear();
            // A break in `x--boundary` must not make a delimiter.
            if token == b"-" {
                self.line.extend_from_slice(&encoded(b'-'));
                return Ok(());
            }
        }
        self.line.extend_from_slice(token);
        Ok(())
    }
}

fn encoded(byte: u8) -> [u8; 3] {
    let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value & 15)];
    [b'=', digit(byte >> 4), digit(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut quoted, mut output) = (Quoted::new(), Vec::new());
        for piece in pieces {
            quoted.write(piece, &mut output).unwrap();
        }
        quoted.finish(&mut output).unwrap();
        output
    }

    fn decode(text: &[u8]) -> Vec<u8> {
        let (mut decoded, mut bytes) = (Vec::new(), text.iter());
        while let Some(&byte) = bytes.next() {
            if byte != b'=' {
                decoded.push(byte);
                continue;
            }
            let pair = [*bytes.next().unwrap(), *bytes.next().unwrap()];
            if &pair != b"\r\n" {
                decoded.push(u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap());
            }
        }
        decoded
    }

    #[test]
    fn text_is_encoded_where_it_must_be() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"", b""),
            (b"plain text.\r\n", b"plain text.\r\n"),
            (b"a=b \xe4\0\x1b\r\n", b"a=3Db =E4=00=1B\r\n"),
            (b"a \r\nb\t\r\n \r\n", b"a=20\r\nb=09\r\n=20\r\n"),
            (b"a  b", b"a  b"),
            (b"a ", b"a=20"),
            (b".\r\nFrom x\r\n", b".\r\nFrom x\r\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(encode(&[text]), expected);
        }
    }

    #[test]
    fn a_soft_break_makes_no_delimiter() {
        let text = [b"x".repeat(75).as_slice(), b"--b\r\n"].concat();
        assert_eq!(encode(&[&text]), [b"x".repeat(75).as_slice(), b"=\r\n=2D-b\r\n"].concat());
    }

    #[test]
    fn lines_are_short_and_read_as_they_were_wherever_they_are_cut() {
        for piece in ["x", "é", "=", " ", "x ", "\t\u{1}"] {
            for length in [70, 75, 76, 77, 1000, 5000] {
                let text = [piece.repeat(length).as_bytes(), b"\r\nz\r\n"].concat();
                let whole = encode(&[&text]);
                assert!(whole.split(|&byte| byte == b'\n').all(|line| line.len() <= LONGEST + 1));
                assert_eq!(decode(&whole), text);
                assert_eq!(encode(&text[..length].chunks(7).chain([&text[length..]]).collect::<Vec<_>>()), whole);
            }
        }
    }
}
