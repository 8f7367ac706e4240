//! Display names as they may stand in a field: plain, quoted (RFC 5322 section 3.2.4) or encoded (RFC 2047).

use std::fmt::Write;

/// The longest encoded word, in octets (RFC 2047 section 2).
const LONGEST_WORD: usize = 75;

const OPENING: &str = "=?UTF-8?Q?";
const CLOSING: &str = "?=";

/// An address with a display name, as an address field has it: `Joe <a@b>`, `"O'Brien, Joe" <a@b>`,
/// `=?UTF-8?Q?J=C3=B6rg?= <a@b>`; the bare address when there is no name. Control characters become blanks.
pub fn display_name(name: &str, address: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let name = name.trim();
    if name.is_empty() {
        return address.to_owned();
    }
    let special = |c: char| "()<>[]:;@\\,.\"".contains(c);
    let phrase = if !name.is_ascii() {
        encoded(name)
    } else if name.contains(special) || name.contains("=?") {
        quoted(name)
    } else {
        name.to_owned()
    };
    format!("{phrase} <{address}>")
}

fn quoted(name: &str) -> String {
    let mut quoted = String::from("\"");
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// As many encoded words as it takes, none of which cuts a character (RFC 2047 section 5 (3)).
fn encoded(name: &str) -> String {
    let mut words = String::from(OPENING);
    let mut start = 0;
    for c in name.chars() {
        let mut piece = String::new();
        match c {
            ' ' => piece.push('_'),
            c if c.is_ascii_alphanumeric() || "!*+-/".contains(c) => piece.push(c),
            c => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                let _ = write!(piece, "={byte:02X}");
            }),
        }
        if words.len() - start + piece.len() + CLOSING.len() > LONGEST_WORD {
            words.push_str(CLOSING);
            words.push(' ');
            start = words.len();
            words.push_str(OPENING);
        }
        words.push_str(&piece);
    }
    words.push_str(CLOSING);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header::Field;

    #[test]
    fn a_name_is_quoted_or_encoded_only_when_it_must() {
        let cases = [
            ("", "a@b"),
            (" \r\n", "a@b"),
            ("Joe User", "Joe User <a@b>"),
            ("O'Brien, Joe (x) \"q\"", "\"O'Brien, Joe (x) \\\"q\\\"\" <a@b>"),
            ("root@web1", "\"root@web1\" <a@b>"),
            ("J. Doe", "\"J. Doe\" <a@b>"),
            ("a\\b", "\"a\\\\b\" <a@b>"),
            ("Jörg", "=?UTF-8?Q?J=C3=B6rg?= <a@b>"),
            ("Jörg \"x\" <y>", "=?UTF-8?Q?J=C3=B6rg_=22x=22_=3Cy=3E?= <a@b>"),
            ("a\r\nBcc: evil@x", "\"a  Bcc: evil@x\" <a@b>"),
            ("a\u{85}b\0", "a b <a@b>"),
            ("=?utf-8?q?x?=", "\"=?utf-8?q?x?=\" <a@b>"),
        ];
        for (name, expected) in cases {
            assert_eq!(display_name(name, "a@b"), expected);
        }
    }

    #[test]
    fn a_long_name_is_many_short_words_that_read_as_one() {
        let name = "日本語 ".repeat(30);
        let shown = display_name(&name, "a@b");
        assert!(shown.split(' ').all(|word| word.len() <= LONGEST_WORD));
        assert_eq!(Field::new("From", &shown).text(), format!("{} <a@b>", name.trim()));
    }
}
