//! Command lines out of a stream of octets, however it is cut: bounded, with their kind of line end.

/// The longest command line, in octets without its end. RFC 5321 section 4.5.3.1.4 asks for 512 and what extensions
/// add to it.
const LONGEST: usize = 4096;

/// How lines end. The first line of a session decides for all of it, so that a client that ends lines with CRLF can
/// pass on a body with `LF . LF` in it, and the rest of that body is not taken for commands (SMTP smuggling).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Crlf,
    Lf,
}

/// A command line, complete or not.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    too_long: bool,
}

/// A line that has come to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Complete(Vec<u8>, Ends),
    TooLong,
}

impl Lines {
    /// Takes octets up to the end of a line; `None` when the input ends first.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Line> {
        let octets = *input;
        let end = octets.iter().position(|&octet| octet == b'\n');
        let part = &octets[..end.unwrap_or(octets.len())];
        // One more than the line itself may have: the CR of its end.
        self.too_long |= self.line.len() + part.len() > LONGEST + 1;
        if !self.too_long {
            self.line.extend_from_slice(part);
        }
        *input = &octets[end.map_or(octets.len(), |end| end + 1)..];
        end?;
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            return Some(Line::TooLong);
        }
        let ends = if line.pop_if(|octet| *octet == b'\r').is_some() { Ends::Crlf } else { Ends::Lf };
        Some(if line.len() > LONGEST { Line::TooLong } else { Line::Complete(line, ends) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], step: usize) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for mut piece in input.chunks(step) {
            while let Some(line) = lines.next(&mut piece) {
                found.push(line);
            }
        }
        found
    }

    #[test]
    fn a_line_is_the_same_however_the_octets_come() {
        let expected = [
            Line::Complete(b"HELO x".to_vec(), Ends::Crlf),
            Line::Complete(b"".to_vec(), Ends::Lf),
            Line::Complete(b"a\rb".to_vec(), Ends::Lf),
        ];
        for step in 1..20 {
            assert_eq!(lines(b"HELO x\r\n\na\rb\nrest", step), expected, "{step}");
        }
    }

    #[test]
    fn a_long_line_is_one_error_and_the_next_line_is_sound() {
        for step in [1, 7, 4096, 100_000] {
            for over in [LONGEST + 1, LONGEST + 2, 3 * LONGEST] {
                let input = [vec![b'x'; over], b"\r\nNOOP\r\n".to_vec()].concat();
                assert_eq!(lines(&input, step), [Line::TooLong, Line::Complete(b"NOOP".to_vec(), Ends::Crlf)]);
            }
            let input = [vec![b'x'; LONGEST], b"\r\n".to_vec()].concat();
            assert_eq!(lines(&input, step), [Line::Complete(vec![b'x'; LONGEST], Ends::Crlf)]);
        }
    }
}
