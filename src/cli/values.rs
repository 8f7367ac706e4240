//! What the values of sendmail's options mean: addresses, names, ids, what `-q` chooses.

use super::{Selection, UsageError, age, usage};
use lexopt::Parser;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// An address as typed: any text without control characters. One with a line feed could otherwise become a command
/// to the relay or a header field.
pub(super) fn address(what: &'static str, value: &OsStr) -> Result<String, UsageError> {
    let shown = || value.to_string_lossy().into_owned();
    if value.as_bytes().iter().any(u8::is_ascii_control) {
        return Err(UsageError::Control { what, text: shown() });
    }
    value.to_str().map(str::to_owned).ok_or_else(|| UsageError::NotUtf8 { what, text: shown() })
}

/// A name in UTF-8, else taken for Latin-1, with blanks for control characters.
pub(super) fn full_name(value: &OsStr) -> String {
    let text = match value.to_str() {
        Some(text) => text.to_owned(),
        None => value.as_bytes().iter().map(|&byte| char::from(byte)).collect(),
    };
    text.replace(char::is_control, " ")
}

/// The longest ENVID, in octets as xtext writes them (RFC 3461 section 4.4).
const LONGEST_ENVID: usize = 100;

/// An ENVID before xtext.
pub(super) fn envelope_id(value: &str) -> Result<String, UsageError> {
    let printable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let as_xtext: usize = value.bytes().map(|byte| if matches!(byte, b'+' | b'=' | b' ') { 3 } else { 1 }).sum();
    if printable && !value.is_empty() && as_xtext <= LONGEST_ENVID {
        return Ok(value.to_owned());
    }
    let expected = "printable ASCII of 1 to 100 octets";
    Err(UsageError::BadArgument { option: "-V".into(), value: value.to_owned(), expected })
}

/// What `-q` chooses. An interval asks for a daemon that we are not: the queue is tried once.
pub(super) fn selection(value: &str, lexer: &mut Parser) -> Result<Selection, UsageError> {
    let mut letters = value.chars();
    match (letters.next(), letters.as_str()) {
        (None, _) => {
            if let Some(mut rest) = lexer.try_raw_args()
                && rest.peek().and_then(OsStr::to_str).is_some_and(is_interval)
            {
                rest.next();
            }
            Ok(Selection::All)
        }
        (Some('I'), text) => Ok(Selection::Id(chosen(text, lexer)?)),
        (Some('R'), text) => Ok(Selection::Recipient(chosen(text, lexer)?)),
        (Some('S'), text) => Ok(Selection::Sender(chosen(text, lexer)?)),
        (Some('f'), "") => Ok(Selection::All),
        (Some('p'), interval) if interval.is_empty() || is_interval(interval) => Ok(Selection::All),
        _ if is_interval(value) => Ok(Selection::All),
        _ => Err(UsageError::BadArgument {
            option: "-q".into(),
            value: value.to_owned(),
            expected: "an interval, or one of I, R and S with a text",
        }),
    }
}

fn chosen(attached: &str, lexer: &mut Parser) -> Result<String, UsageError> {
    match attached {
        "" => Ok(lexer.value().map_err(usage::lexing)?.to_string_lossy().into_owned()),
        attached => Ok(attached.to_owned()),
    }
}

/// Numbers, each with a unit, or one without: `30m`, `1h30m`, `15`.
fn is_interval(text: &str) -> bool {
    age::parse(text).is_some() || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_name_that_is_not_utf8_is_taken_for_latin() {
        let latin = std::ffi::OsString::from_vec(b"J\xf6rg\n".to_vec());
        assert_eq!(full_name(&latin), "Jörg ");
        assert_eq!(full_name(OsStr::new("Jörg")), "Jörg");
    }

    #[test]
    fn an_envelope_id_fits_in_a_hundred_octets_of_xtext() {
        for text in ["x", "a b=c", "+=", &"x".repeat(100), &"+".repeat(33)] {
            assert_eq!(envelope_id(text).as_deref(), Ok(text));
        }
        for text in ["", "é", "a\tb", "a\u{7f}", &"x".repeat(101), &"+".repeat(34)] {
            assert!(envelope_id(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_interval_is_numbers_and_units() {
        for text in ["30m", "1h30m", "15", "0", "1w"] {
            assert!(is_interval(text), "{text}");
        }
        for text in ["", "m", "15x", "bob@x", "-1", "1h30"] {
            assert!(!is_interval(text), "{text}");
        }
    }
}
