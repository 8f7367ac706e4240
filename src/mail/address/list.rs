//! Who stands in an address list, and where. Lenient as sendmail is: everybody who can be meant is found, and what
//! can be nobody fails the whole list, so that nobody is silently left out.

use super::mailbox::{Mailbox, local_name};
use super::token::{Kind, Token, Tokens};
use super::{AddressError, Addressee};
use std::ops::Range;

/// An addressee and the place of its address in the text, without display name and angle brackets.
#[derive(Debug)]
pub struct Found {
    pub addressee: Addressee,
    pub span: Range<usize>,
    /// Whether blanks or comments stand inside the address.
    pub blanks: bool,
}

/// Finds all addressees in order. Folding counts as blank. Display names and comments may hold any byte, since
/// programs put raw bytes of any charset there.
pub fn find(text: &[u8]) -> Result<Vec<Found>, AddressError> {
    let mut list = List { text, found: Vec::new(), words: Vec::new() };
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next()? {
        match token.kind {
            Kind::Special(b',' | b';') => list.end_of_words()?,
            Kind::Special(b':') => list.group_name(token.span.start)?,
            Kind::Special(b'<') => {
                list.words.clear();
                list.angle(token.span.start, &mut tokens)?;
            }
            Kind::Special(b'>') => return Err(list.error(token.span, "> without <")),
            Kind::Special(_) | Kind::Atom | Kind::Quoted | Kind::Literal => list.words.push(token),
        }
    }
    list.end_of_words()?;
    Ok(list.found)
}

struct List<'a> {
    text: &'a [u8],
    found: Vec<Found>,
    /// Words whose meaning the next separator tells: addresses, a display name or the name of a group.
    words: Vec<Token>,
}

impl List<'_> {
    /// The words before a separator are addresses, one or many: `b@x c@x`.
    fn end_of_words(&mut self) -> Result<(), AddressError> {
        let words = std::mem::take(&mut self.words);
        let mut rest = words.as_slice();
        while !rest.is_empty() {
            let (found, behind) = self.address(rest)?;
            self.found.push(found);
            rest = behind;
        }
        Ok(())
    }

    /// The words before a colon name a group, whose members follow as if they stood alone. A group left open is
    /// tolerated: `undisclosed-recipients:`.
    fn group_name(&mut self, colon: usize) -> Result<(), AddressError> {
        let words = std::mem::take(&mut self.words);
        let start = words.first().map_or(colon, |word| word.span.start);
        let span = start..self.text.len();
        match words.as_slice() {
            [] => Err(self.error(span, ": without the name of a group")),
            [word] if self.text[word.span.clone()].eq_ignore_ascii_case(b"mailto") => {
                Err(self.error(span, "a link is not an address"))
            }
            words if words.iter().any(|word| word.kind == Kind::Special(b'@')) => {
                Err(self.error(span, "an address is not the name of a group"))
            }
            _ => Ok(()),
        }
    }

    /// What stands between angle brackets is one address, perhaps behind a source route, which is dropped
    /// (RFC 5321 section 4.1.1.3).
    fn angle(&mut self, start: usize, tokens: &mut Tokens) -> Result<(), AddressError> {
        let mut words = Vec::new();
        let mut end = self.text.len();
        while let Some(token) = tokens.next()? {
            end = token.span.end;
            let routing = words.first().is_some_and(|word: &Token| word.kind == Kind::Special(b'@'));
            match token.kind {
                Kind::Special(b'>') => {
                    let span = start..end;
                    if words.is_empty() {
                        return Err(self.error(span, "no address in it"));
                    }
                    let (found, behind) = self.address(&words)?;
                    if !behind.is_empty() {
                        return Err(self.error(span, "more than one address between < and >"));
                    }
                    self.found.push(found);
                    return Ok(());
                }
                Kind::Special(b':') if routing => words.clear(),
                Kind::Special(b',') if routing => {}
                Kind::Special(byte) if byte != b'@' => {
                    return Err(self.error(start..end, "not an address between < and >"));
                }
                _ => words.push(token),
            }
        }
        Err(self.error(start..end, "< without >"))
    }

    /// Reads one address from the front of `words`, which is not empty.
    fn address<'w>(&self, words: &'w [Token]) -> Result<(Found, &'w [Token]), AddressError> {
        let (local, rest) = split_dotted(self.text, words);
        let (domain, rest) = match rest.split_first() {
            Some((at, rest)) if at.kind == Kind::Special(b'@') => {
                let (domain, rest) = match rest.split_first() {
                    Some((literal, behind)) if literal.kind == Kind::Literal => (&rest[..1], behind),
                    _ => split_dotted(self.text, rest),
                };
                (Some(domain), rest)
            }
            _ => (None, rest),
        };
        let used = &words[..words.len() - rest.len()];
        let span = used.first().map_or(0, |word| word.span.start)..used.last().map_or(0, |word| word.span.end);
        let blanks = used.windows(2).any(|pair| pair[0].span.end != pair[1].span.start);
        let around = span.start..rest.first().map_or(span.end, |word| word.span.end);
        if local.is_empty() {
            let reason = if domain.is_some() { "nothing before the @" } else { "an address literal alone" };
            return Err(self.error(around, reason));
        }
        if domain.is_some_and(<[Token]>::is_empty) {
            return Err(self.error(around, "nothing behind the @"));
        }
        match rest.first() {
            Some(next) if next.kind == Kind::Special(b'@') => return Err(self.error(around, "two @ in it")),
            Some(next) if next.span.start == span.end => {
                return Err(self.error(around, "quotes or brackets inside a word"));
            }
            _ => {}
        }
        let addressee = self.meaning(local, domain).map_err(|reason| self.error(span.clone(), reason))?;
        Ok((Found { addressee, span, blanks }, rest))
    }

    fn meaning(&self, local: &[Token], domain: Option<&[Token]>) -> Result<Addressee, &'static str> {
        let local = self.unquoted(local)?;
        // A display name that lost its address; decoding it could only bring forth somebody nobody wrote to.
        if local.starts_with("=?") && local.ends_with("?=") {
            return Err("an encoded word is not an address");
        }
        match domain {
            None => Ok(Addressee::Local(local_name(&local)?)),
            Some(domain) => {
                if domain.iter().any(|word| word.kind == Kind::Quoted) {
                    return Err("quotes in the domain");
                }
                let domain: Vec<u8> = domain.iter().flat_map(|word| &self.text[word.span.clone()]).copied().collect();
                let domain = readable(domain)?;
                Ok(Addressee::Mailbox(Mailbox::new(&local, &domain)?))
            }
        }
    }

    /// What a local part means: without quotes and backslashes. `\root`, which asks for no alias, is `root`; any other
    /// backslash outside quotes is refused, lest `DOMAIN\user` become somebody else.
    fn unquoted(&self, words: &[Token]) -> Result<String, &'static str> {
        let mut meaning = Vec::new();
        for word in words {
            let text = &self.text[word.span.clone()];
            if word.kind == Kind::Quoted {
                let mut bytes = text[1..text.len() - 1].iter();
                while let Some(&byte) = bytes.next() {
                    meaning.push(if byte == b'\\' { bytes.next().copied().unwrap_or(byte) } else { byte });
                }
            } else {
                let text = text.strip_prefix(b"\\").unwrap_or(text);
                if text.contains(&b'\\') {
                    return Err("backslash in it");
                }
                meaning.extend_from_slice(text);
            }
        }
        readable(meaning)
    }

    fn error(&self, span: Range<usize>, reason: &'static str) -> AddressError {
        AddressError::new(&self.text[span], reason)
    }
}

/// Splits off the words that dots join into one, with blanks around the dots or without (RFC 5322 section 4.4).
fn split_dotted<'w>(text: &[u8], words: &'w [Token]) -> (&'w [Token], &'w [Token]) {
    let part = |token: &Token| matches!(token.kind, Kind::Atom | Kind::Quoted);
    let dot_at = |at: usize| text.get(at) == Some(&b'.');
    let mut length = 0;
    while let Some(word) = words.get(length).filter(|word| part(word)) {
        let joined = match length.checked_sub(1).and_then(|before| words.get(before)) {
            Some(before) => dot_at(before.span.end - 1) || dot_at(word.span.start),
            None => true,
        };
        if !joined {
            break;
        }
        length += 1;
    }
    words.split_at(length)
}

/// Text that can stand in an address: UTF-8 without controls, blanks beyond ASCII, or marks that change the reading
/// direction.
fn readable(bytes: Vec<u8>) -> Result<String, &'static str> {
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8")?;
    let hidden = |c: char| {
        c.is_control()
            || (c != ' ' && c.is_whitespace())
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(hidden) { Err("unprintable character in it") } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<String>, AddressError> {
        Ok(find(text)?.into_iter().map(|found| found.addressee.to_string()).collect())
    }

    #[test]
    fn between_brackets_stands_an_address_alone() {
        for text in ["<b@x,>", "<,b@x>", "<b,c@x>", "<b@x;>", "<b@x:>", "<b:c@x>"] {
            let error = find(text.as_bytes()).unwrap_err();
            assert_eq!(error.reason, "not an address between < and >", "{text}");
        }
    }

    /// Values and who is meant by them, as Postfix reads them where Postfix, Sendmail and Exim differ.
    #[test]
    fn everybody_who_is_meant_is_found() {
        let cases: [(&str, &[&str]); 50] = [
            ("", &[]),
            ("  ", &[]),
            ("(nobody)", &[]),
            (",, ;", &[]),
            ("b@x,c@x", &["b@x", "c@x"]),
            ("b@x, c@x", &["b@x", "c@x"]),
            ("b@x c@x", &["b@x", "c@x"]),
            ("b@x;c@x", &["b@x", "c@x"]),
            ("a; b", &["a", "b"]),
            ("a b", &["a", "b"]),
            ("a, ,b,", &["a", "b"]),
            ("Bob B <b@x>", &["b@x"]),
            ("b@x (Bob)", &["b@x"]),
            ("grp: b@x, c@x;", &["b@x", "c@x"]),
            ("team: x@o, Y <y@o>; , z@o", &["x@o", "y@o", "z@o"]),
            ("undisclosed-recipients:;", &[]),
            ("undisclosed-recipients:", &[]),
            ("\"Undisclosed: recipients\":;, b@x", &["b@x"]),
            ("A: a@x, B: b@x;", &["a@x", "b@x"]),
            ("root", &["root"]),
            ("\\root", &["root"]),
            ("\"root\"", &["root"]),
            ("\"bob b\"@x", &["\"bob b\"@x"]),
            ("bob+tag@x", &["bob+tag@x"]),
            ("bob%x@x", &["bob%x@x"]),
            ("<@a,@b:bob@x>", &["bob@x"]),
            ("<@a.example:b@o>", &["b@o"]),
            ("bob@[127.0.0.1]", &["bob@[127.0.0.1]"]),
            ("bob@x.", &["bob@x"]),
            ("jörg@x, bob@exämple.org", &["jörg@x", "bob@exämple.org"]),
            ("b1@x, \"Doe, J.\" <b2@x>,\r\n b3@x (c, d)", &["b1@x", "b2@x", "b3@x"]),
            ("=?utf-8?Q?Bj=C3=B6rn=2C_x?= <b@o>", &["b@o"]),
            ("=?utf-8?Q?a=40b.example?= <b@o>", &["b@o"]),
            ("Björn <b@o>, \"Björn, x\" <c@o>", &["b@o", "c@o"]),
            ("J. Doe <b@o>", &["b@o"]),
            ("foo@bar.example <b@o>", &["b@o"]),
            ("A <b1@o> B <b2@o>", &["b1@o", "b2@o"]),
            ("<b1@o><b2@o>", &["b1@o", "b2@o"]),
            ("<b1@o> b2@o", &["b1@o", "b2@o"]),
            ("b1@o; b2@o", &["b1@o", "b2@o"]),
            ("bob @ example . org", &["bob@example.org"]),
            ("< bob (c) @ example.org >", &["bob@example.org"]),
            ("(a (b) c) b@o (d \\) e)", &["b@o"]),
            ("john . \"q\" . doe@o", &["john.q.doe@o"]),
            ("b1@o,\r\n\tb2@o\r\n b3@o", &["b1@o", "b2@o", "b3@o"]),
            ("root, \"a b\"@x.org, G: c@d;, e@f,,g@h", &["root", "\"a b\"@x.org", "c@d", "e@f", "g@h"]),
            ("a@x,,b@y", &["a@x", "b@y"]),
            ("\\\"Bob\\\" <b@x>", &["b@x"]),
            ("Foo \\ Bar <b@x>", &["b@x"]),
            ("<root>, Cron <root>", &["root", "root"]),
        ];
        for (text, expected) in cases {
            assert_eq!(all(text.as_bytes()).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_can_be_nobody_fails_the_whole_list() {
        let cases = [
            "<>",
            "b@x, <>",
            "@x",
            "bob@",
            "a@b@x",
            "<bob@x",
            "bob@x>",
            "<a b@x>",
            "<a@x, b@x>",
            "<<b@x>>",
            "|/bin/true",
            "\"|/bin/true\"",
            "/tmp/file",
            ":include:/f",
            "\":include:/f\"",
            "\"/tmp/f\"",
            "mailto:b@o",
            "MAILTO:b@o",
            "=?utf-8?Q?bob=40x?=",
            "=?utf-8?Q?bob?=@x",
            "<=?utf-8?Q?bob?=>",
            "foo bar <",
            "\"bob <bob@o>",
            "bob) b@x",
            "[1.2.3.4]",
            "bob@[1.2.3.4",
            "bob@[1.2.3.4]x",
            "\"a\"b@x",
            "a\"b\"@x",
            "b@x: c@x;",
            "@a,@b:bob@x",
            "<@a,@b>",
            "<b@x:c>",
            "host!bob",
            "CORP\\bob",
            "CORP\\bob@x",
            "\"bob@x\"",
            "host::user",
            ".",
            "b@\u{a0}x",
            "b\u{202e}@x",
            "b@x\0",
            "a\u{85}b",
        ];
        for text in cases {
            assert!(all(text.as_bytes()).is_err(), "{text:?} gives {:?}", all(text.as_bytes()));
            let among_good = format!("good@x, {text}");
            assert!(all(among_good.as_bytes()).is_err(), "{among_good:?}");
        }
    }

    #[test]
    fn bytes_beyond_utf8_are_fine_in_a_name_only() {
        assert_eq!(all(b"J\xf6rg (\xe4) <j@x>").unwrap(), ["j@x"]);
        assert!(all(b"j\xf6rg@x").is_err());
        assert!(all(b"jorg@\xf6").is_err());
    }

    #[test]
    fn the_place_of_an_address_is_known() {
        let text = b"Cron <root>, (x) bob @ x (Bob), \"a b\"";
        let places: Vec<_> = find(text).unwrap().into_iter().map(|found| (found.span, found.blanks)).collect();
        assert_eq!(places, [(6..10, false), (17..24, true), (32..37, false)]);
    }

    /// Each would take minutes if anything here were quadratic.
    #[test]
    fn a_hostile_list_is_read_in_one_pass() {
        for piece in
            ["a ", "<", "a,", "a.", "(", "\"", "\\", ":", "a:", "@", "a@b ", "<a>", "<@a,", "\"a\".", "=?", ". ", "é"]
        {
            let _ = all(piece.repeat((1 << 18) / piece.len()).as_bytes());
        }
    }
}
