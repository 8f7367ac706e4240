//! The words of an address list: atoms, quoted strings, domain literals, specials. Comments and blanks are left out;
//! what the words mean is for `list`. One pass, no recursion, whatever the nesting.

use super::AddressError;
use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything but blanks, specials and quotes; dots and backslashes are part of it. Not checked any further, since
    /// in a display name everything goes.
    Atom,
    /// With its quotes.
    Quoted,
    /// With its brackets.
    Literal,
    /// One of `< > , ; : @`.
    Special(u8),
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub span: Range<usize>,
}

/// Reads tokens one by one.
pub struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a [u8]) -> Tokens<'a> {
        Tokens { text, at: 0 }
    }

    /// The next token; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Token>, AddressError> {
        loop {
            let start = self.at;
            let Some(&byte) = self.text.get(start) else { return Ok(None) };
            self.at += 1;
            let kind = match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'(' => {
                    self.skip_comment(start)?;
                    continue;
                }
                b'"' => {
                    self.close(start, b'"', "quote without an end")?;
                    Kind::Quoted
                }
                b'[' => {
                    self.close(start, b']', "[ without ]")?;
                    Kind::Literal
                }
                b')' => return Err(self.error(start, ") without (")),
                b']' => return Err(self.error(start, "] without [")),
                b'<' | b'>' | b',' | b';' | b':' | b'@' => Kind::Special(byte),
                _ => {
                    self.at = start;
                    self.skip_atom();
                    Kind::Atom
                }
            };
            return Ok(Some(Token { kind, span: start..self.at }));
        }
    }

    fn skip_comment(&mut self, start: usize) -> Result<(), AddressError> {
        let mut depth = 1usize;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.error(start, "( without )"))
    }

    fn close(&mut self, start: usize, end: u8, reason: &'static str) -> Result<(), AddressError> {
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                _ if byte == end => return Ok(()),
                _ => {}
            }
        }
        Err(self.error(start, reason))
    }

    /// A backslash takes the next byte with it, so that `\"Bob\" <b@x>`, as careless programs escape, is a display name.
    fn skip_atom(&mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b'"' | b'[' | b']' => return,
                b'<' | b'>' | b',' | b';' | b':' | b'@' => return,
                b'\\' => self.at = (self.at + 2).min(self.text.len()),
                _ => self.at += 1,
            }
        }
    }

    fn error(&self, start: usize, reason: &'static str) -> AddressError {
        AddressError::new(&self.text[start..], reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut tokens = Tokens::new(text.as_bytes());
        let mut words = Vec::new();
        while let Some(token) = tokens.next().unwrap() {
            words.push(&text[token.span]);
        }
        words
    }

    #[test]
    fn comments_and_blanks_are_left_out() {
        assert_eq!(words("(a (b) c) b@o (d \\) e)"), ["b", "@", "o"]);
        assert_eq!(words("\"a, b\" <c . d@[1.2.3.4]>;"), ["\"a, b\"", "<", "c", ".", "d", "@", "[1.2.3.4]", ">", ";"]);
        assert_eq!(words("\\\"Bob\\\" <b@x>"), ["\\\"Bob\\\"", "<", "b", "@", "x", ">"]);
    }

    #[test]
    fn what_is_opened_must_be_closed_whatever_the_depth() {
        for text in ["(", "\"", "[", "(()", "\"\\\"", ")", "]", "(\\", "\"\\"] {
            assert!(Tokens::new(text.as_bytes()).next().is_err(), "{text}");
        }
        let deep = "(".repeat(1 << 20) + &")".repeat(1 << 20);
        assert_eq!(words(&deep), Vec::<&str>::new());
    }
}
