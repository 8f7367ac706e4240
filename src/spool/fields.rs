//! Lines a person can read and a program cannot misread: words and values, each value with its length before it, so
//! that no byte inside one can end it. `to 11:bob@web.org notify 7:FAILURE`. Knows the shape, not the words.

use super::error::Flaw;

/// Adds a line; an absent value leaves its word out.
pub fn write(out: &mut Vec<u8>, fields: &[(&str, Option<&[u8]>)]) {
    let mut space = false;
    for (word, value) in fields {
        let Some(value) = value else { continue };
        if space {
            out.push(b' ');
        }
        space = true;
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(format!(" {}:", value.len()).as_bytes());
        out.extend_from_slice(value);
    }
    out.push(b'\n');
}

/// The words and values of one line, in order.
pub type Line<'a> = Vec<(&'a str, &'a [u8])>;

/// Reads line after line, up to an empty line or the end of the text.
pub struct Lines<'a>(pub &'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.first().is_none_or(|first| *first == b'\n') {
            return None;
        }
        let line = self.line();
        if line.is_none() {
            self.0 = &[];
        }
        Some(line.ok_or(Flaw::Damaged("a line of the envelope")))
    }
}

impl<'a> Lines<'a> {
    fn line(&mut self) -> Option<Line<'a>> {
        let mut fields = Vec::with_capacity(3);
        loop {
            let word = self.until(b' ').filter(|word| is_word(word))?;
            let length = std::str::from_utf8(self.until(b':')?).ok()?.parse().ok()?;
            let (value, rest) = self.0.split_at_checked(length)?;
            fields.push((word, value));
            let (end, rest) = rest.split_first()?;
            self.0 = rest;
            match end {
                b' ' => {}
                b'\n' => {
                    return fields
                        .into_iter()
                        .map(|(word, value)| Some((std::str::from_utf8(word).ok()?, value)))
                        .collect();
                }
                _ => return None,
            }
        }
    }

    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let at = self.0.iter().take(64).position(|byte| *byte == end)?;
        let (word, rest) = self.0.split_at(at);
        self.0 = &rest[1..];
        Some(word)
    }
}

fn is_word(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

/// Whether a word that nobody here knows may be passed over. One that starts with an upper-case letter may not: the
/// version that wrote it says that the rest means something else with it.
pub fn may_be_ignored(word: &str) -> bool {
    !word.starts_with(|c: char| c.is_ascii_uppercase())
}

/// A value as text.
pub fn text(value: &[u8]) -> Result<&str, Flaw> {
    std::str::from_utf8(value).map_err(|_| Flaw::Damaged("a text of the envelope"))
}

/// A value as a number.
pub fn number(value: &[u8]) -> Result<u64, Flaw> {
    text(value)?.parse().map_err(|_| Flaw::Damaged("a number of the envelope"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_of_a_value_ends_it() {
        let nasty: &[u8] = b"a b\nto 3:x@y\0\xff 1:";
        let mut out = Vec::new();
        write(&mut out, &[("from", Some(nasty)), ("gone", None), ("x", Some(b""))]);
        write(&mut out, &[("to", Some(b"b"))]);
        out.extend_from_slice(b"\nSubject: not ours\n");
        let lines: Result<Vec<_>, _> = Lines(&out).collect();
        assert_eq!(lines.unwrap(), [vec![("from", nasty), ("x", b"".as_slice())], vec![("to", b"b".as_slice())]]);
    }

    #[test]
    fn a_broken_line_is_an_error_and_the_last_one() {
        for text in [
            "from",
            "from 3:ab\n",
            "from 3:abcd\n",
            "from x:a\n",
            "from -1:a\n",
            "fr om 1:a\n",
            " 1:a\n",
            "a 99999999999999999999999:\n",
        ] {
            let lines: Vec<_> = Lines(text.as_bytes()).collect();
            assert!(matches!(lines.as_slice(), [Err(Flaw::Damaged(_))]), "{text}: {lines:?}");
        }
    }
}
