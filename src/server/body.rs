//! The octets behind DATA: where they end, and which dots were only stuffing (RFC 5321 section 4.5.2). Nothing is
//! collected; a piece of the input is handed on as soon as it cannot be part of the end.

use super::line::Ends;

/// Where in the text we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    LineStart,
    Middle,
    /// Behind a CR that has been handed on.
    Cr,
    /// Behind a dot at the start of a line, which is stuffing unless the line ends here.
    Dot,
    /// Behind such a dot and a CR, neither handed on.
    DotCr,
}

/// The text of one message.
pub(super) struct Text {
    ends: Ends,
    place: Place,
}

/// What has been found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Octets(&'a [u8]),
    End,
}

impl Text {
    /// A text whose lines end in this way. With [`Ends::Crlf`] a bare LF is an octet like any other and ends neither
    /// a line nor the text; with [`Ends::Lf`] a CR before it belongs to the line end.
    pub fn new(ends: Ends) -> Text {
        Text { ends, place: Place::LineStart }
    }

    /// Takes octets from the front of the input; `None` when it is used up.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        loop {
            let (&first, rest) = input.split_first()?;
            match (self.place, first) {
                (Place::LineStart, b'.') => {
                    *input = rest;
                    self.place = Place::Dot;
                }
                (Place::Dot, b'\r') => {
                    *input = rest;
                    self.place = Place::DotCr;
                }
                (Place::Dot, b'\n') if self.ends == Ends::Lf => return self.end(input, rest),
                (Place::DotCr, b'\n') => return self.end(input, rest),
                (Place::DotCr, _) => {
                    self.place = Place::Cr;
                    return Some(Piece::Octets(b"\r"));
                }
                (Place::LineStart | Place::Middle | Place::Cr | Place::Dot, _) => {
                    return Some(Piece::Octets(self.run(input)));
                }
            }
        }
    }

    fn end<'a>(&mut self, input: &mut &'a [u8], rest: &'a [u8]) -> Option<Piece<'a>> {
        *input = rest;
        self.place = Place::LineStart;
        Some(Piece::End)
    }

    /// The octets up to a line that begins with a dot, or all.
    fn run<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        let octets = *input;
        let mut from = 0;
        while let Some(found) = octets[from..].iter().position(|&octet| octet == b'\n') {
            let at = from + found;
            from = at + 1;
            let behind_cr = if at == 0 { self.place == Place::Cr } else { octets[at - 1] == b'\r' };
            let line_ends = self.ends == Ends::Lf || behind_cr;
            if line_ends && octets.get(from).is_none_or(|&next| next == b'.') {
                self.place = Place::LineStart;
                *input = &octets[from..];
                return &octets[..from];
            }
        }
        self.place = if octets.last() == Some(&b'\r') { Place::Cr } else { Place::Middle };
        *input = &[];
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a text in pieces of `step` octets: what it says, and what stands behind its end.
    fn read(ends: Ends, input: &[u8], step: usize) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut text = Text::new(ends);
        let mut said = Vec::new();
        for (number, mut piece) in input.chunks(step).enumerate() {
            while let Some(found) = text.next(&mut piece) {
                match found {
                    Piece::Octets(octets) => said.extend_from_slice(octets),
                    Piece::End => {
                        let behind = input.len().min((number + 1) * step);
                        return (said, Some([piece, &input[behind..]].concat()));
                    }
                }
            }
        }
        (said, None)
    }

    /// Input, what it says, what stands behind its end.
    type Case = (Ends, &'static [u8], &'static [u8], Option<&'static [u8]>);

    #[test]
    fn the_text_is_the_same_however_the_octets_come() {
        let cases: [Case; 20] = [
            (Ends::Crlf, b"a\r\n.\r\nQUIT", b"a\r\n", Some(b"QUIT")),
            (Ends::Crlf, b".\r\n", b"", Some(b"")),
            (Ends::Crlf, b"..\r\n.\r\n", b".\r\n", Some(b"")),
            (Ends::Crlf, b".a\r\n...b\r\n.\r\n", b"a\r\n..b\r\n", Some(b"")),
            (Ends::Crlf, b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", Some(b"")),
            (Ends::Crlf, b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", Some(b"")),
            (Ends::Crlf, b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n", Some(b"")),
            (Ends::Crlf, b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", Some(b"")),
            (Ends::Crlf, b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", Some(b"")),
            (Ends::Crlf, b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", Some(b"")),
            (Ends::Crlf, b"a\r\r\n.\r\n", b"a\r\r\n", Some(b"")),
            (Ends::Crlf, b"a.b\r\n", b"a.b\r\n", None),
            (Ends::Crlf, b"a\n.\n", b"a\n.\n", None),
            (Ends::Crlf, b"\0\xff\r\n.\r\n", b"\0\xff\r\n", Some(b"")),
            (Ends::Lf, b"a\n.\nQUIT\n", b"a\n", Some(b"QUIT\n")),
            (Ends::Lf, b".\n", b"", Some(b"")),
            (Ends::Lf, b"..\n.b\n.\n", b".\nb\n", Some(b"")),
            (Ends::Lf, b"a\r\n.\r\n", b"a\r\n", Some(b"")),
            (Ends::Lf, b"a\r\n.\nb", b"a\r\n", Some(b"b")),
            (Ends::Lf, b"a\r.\n.\n", b"a\r.\n", Some(b"")),
        ];
        for (ends, input, said, behind) in cases {
            for step in 1..=input.len() {
                let found = read(ends, input, step);
                let shown = String::from_utf8_lossy(input);
                assert_eq!(found, (said.to_vec(), behind.map(<[u8]>::to_vec)), "{ends:?} {shown:?} in {step}s");
            }
        }
    }

    #[test]
    fn a_long_run_of_lines_is_one_piece() {
        let input = b"line\r\n".repeat(1000);
        let mut rest = input.as_slice();
        assert_eq!(Text::new(Ends::Crlf).next(&mut rest), Some(Piece::Octets(&input)));
        assert!(rest.is_empty());
    }
}
