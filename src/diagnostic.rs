//! What a person reads when something fails: what failed, on what, the cause as received, what to do next.
//! Each error type decides its own exit status and hints, beside its variants; this file only lays them out.

use crate::exit::Exit;
use std::error::Error;
use std::fmt::Write;

/// An error that knows its exit status and what the reader can do about it.
pub trait Explain: Error {
    /// The status the process ends with when this error ends it.
    fn exit(&self) -> Exit;

    /// What to do next, one sentence each; empty when there is nothing to do.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Lays out an error, its causes and its hints, every line prefixed with `mailchute: ` and ended with a line feed.
/// Control bytes are shown escaped, so that nothing received can move a terminal's cursor or forge a log line.
pub fn render(error: &dyn Explain) -> String {
    let mut text = String::new();
    let mut said = error.to_string();
    line(&mut text, "", &said);
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !said.contains(&words) {
            line(&mut text, "  ", &words);
            said = words;
        }
        cause = error.source();
    }
    for hint in error.hints() {
        line(&mut text, "  hint: ", &hint);
    }
    text
}

/// An error and its causes on one line, for logs and for telling it beside another.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

/// A warning: something was understood differently than it was written, and the work goes on.
pub fn warning(text: &str) -> String {
    let mut lines = String::new();
    line(&mut lines, "warning: ", text);
    lines
}

fn line(text: &mut String, lead: &str, words: &str) {
    for words in words.lines() {
        let _ = writeln!(text, "mailchute: {lead}{}", printable(words));
    }
}

/// The longest text shown of one foreign value, in bytes.
const SHOWN: usize = 1024;

/// Shows a foreign text on one line: control characters (C0, DEL, C1, line and paragraph separators, bidirectional
/// overrides) as `\xNN` or `\u{N}`, at most 1 KiB.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if shown.len() >= SHOWN {
            shown.push_str("...");
            break;
        }
        match c {
            '\0'..='\x1f' | '\x7f' => {
                let _ = write!(shown, "\\x{:02x}", c as u32);
            }
            '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(shown, "\\u{{{:x}}}", c as u32);
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Refused;

    impl fmt::Display for Refused {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "login refused\n535 5.7.8 \x1b[31mno")
        }
    }

    impl Error for Refused {}

    impl Explain for Refused {
        fn exit(&self) -> Exit {
            Exit::NoPerm
        }

        fn hints(&self) -> Vec<String> {
            vec!["make an App Password".into()]
        }
    }

    #[test]
    fn every_line_is_prefixed_and_no_control_byte_survives() {
        assert_eq!(
            render(&Refused),
            "mailchute: login refused\nmailchute: 535 5.7.8 \\x1b[31mno\nmailchute:   hint: make an App Password\n"
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(printable(&"x".repeat(5000)).len(), SHOWN + 3);
    }
}
