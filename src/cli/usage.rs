//! What can be wrong with a command line, and what to type instead.

use super::options::{Argument, OPTIONS, Row, Verdict};
use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::error::Error;
use std::fmt;

/// A command line that cannot be understood. Nothing was read, kept or sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// An option nobody knows, with its dashes, and the one that may have been meant.
    UnknownOption { option: String, nearest: Option<String> },
    /// An option we know and do not do.
    RefusedOption { option: String, because: &'static str },
    /// A value of `-b` we know and do not do, or nobody knows.
    Mode { value: String, because: &'static str },
    /// An option that needs an argument ends the line.
    MissingArgument(String),
    /// An option that takes no argument was given one.
    UnwantedArgument(String),
    /// An argument that means nothing to its option.
    BadArgument { option: String, value: String, expected: &'static str },
    /// Operands where nothing takes them: `-q`, `-bs`.
    UnwantedOperand { operand: String, behind: String },
    /// `--help` or `--version` among other words.
    NotAlone(String),
    /// An operand that looks like an option and does not stand behind `--`.
    LateOption(String),
    /// A lone dash.
    LoneDash,
    /// Neither operands nor `-t`.
    NoRecipients,
    /// `mailchute` with nothing behind it.
    NoCommand,
    /// Not one of mailchute's own commands.
    UnknownCommand { command: String, nearest: Option<String> },
    /// One of mailchute's own commands without its operand, or with too many.
    Operands { usage: String, help: &'static str },
    /// Called by the name of a daemon.
    Daemon(String),
    /// A control character in an address.
    Control { what: &'static str, text: String },
    /// An address that is not UTF-8.
    NotUtf8 { what: &'static str, text: String },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsageError::UnknownOption { option, .. } => write!(f, "unknown option {option}"),
            UsageError::RefusedOption { option, because } => write!(f, "option {option}: {because}"),
            UsageError::Mode { value, because } => write!(f, "mode -b{value}: {because}"),
            UsageError::MissingArgument(option) => write!(f, "option {option} needs an argument"),
            UsageError::UnwantedArgument(option) => write!(f, "option {option} takes no argument"),
            UsageError::BadArgument { option, value, expected } => {
                write!(f, "option {option}: {value:?} is not {expected}")
            }
            UsageError::UnwantedOperand { operand, behind } => write!(f, "unexpected {operand:?} behind {behind}"),
            UsageError::NotAlone(option) => write!(f, "option {option} stands alone"),
            UsageError::LateOption(operand) => write!(f, "{operand:?} stands behind a recipient"),
            UsageError::LoneDash => f.write_str("\"-\" is not an address"),
            UsageError::NoRecipients => f.write_str("no recipients"),
            UsageError::NoCommand => f.write_str("no command"),
            UsageError::UnknownCommand { command, .. } => write!(f, "unknown command {command:?}"),
            UsageError::Operands { usage, .. } => write!(f, "usage: {usage}"),
            UsageError::Daemon(name) => write!(f, "{name}: not a daemon"),
            UsageError::Control { what, text } => write!(f, "control character in {what} {text:?}"),
            UsageError::NotUtf8 { what, text } => write!(f, "{what} {text:?} is not UTF-8"),
        }
    }
}

impl Error for UsageError {}

impl Explain for UsageError {
    fn exit(&self) -> Exit {
        match self {
            UsageError::LoneDash | UsageError::Control { .. } | UsageError::NotUtf8 { .. } => Exit::DataErr,
            UsageError::UnknownOption { .. }
            | UsageError::RefusedOption { .. }
            | UsageError::Mode { .. }
            | UsageError::MissingArgument(_)
            | UsageError::UnwantedArgument(_)
            | UsageError::BadArgument { .. }
            | UsageError::UnwantedOperand { .. }
            | UsageError::NotAlone(_)
            | UsageError::LateOption(_)
            | UsageError::NoRecipients
            | UsageError::NoCommand
            | UsageError::UnknownCommand { .. }
            | UsageError::Operands { .. }
            | UsageError::Daemon(_) => Exit::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            UsageError::UnknownOption { nearest: Some(nearest), .. }
            | UsageError::UnknownCommand { nearest: Some(nearest), .. } => vec![format!("did you mean {nearest}?")],
            UsageError::UnknownOption { nearest: None, .. } | UsageError::NoCommand => {
                vec!["--help, alone, lists what there is".into()]
            }
            UsageError::UnknownCommand { nearest: None, .. } => {
                vec!["mailchute --help lists the commands; a recipient has an @ or stands behind --".into()]
            }
            UsageError::NoRecipients => {
                vec!["name them behind the options, or take them from the header with -t".into()]
            }
            UsageError::LateOption(_) => vec!["options come first; an address with a leading dash, behind --".into()],
            UsageError::Operands { help, .. } => vec![(*help).to_owned()],
            UsageError::Daemon(_) => vec!["use mailchute serve, or sendmail -q from a timer".into()],
            UsageError::RefusedOption { .. }
            | UsageError::Mode { .. }
            | UsageError::MissingArgument(_)
            | UsageError::UnwantedArgument(_)
            | UsageError::BadArgument { .. }
            | UsageError::UnwantedOperand { .. }
            | UsageError::NotAlone(_)
            | UsageError::LoneDash
            | UsageError::Control { .. }
            | UsageError::NotUtf8 { .. } => Vec::new(),
        }
    }
}

impl UsageError {
    /// An unknown option letter; the other case of it may have been meant.
    pub(super) fn unknown_letter(letter: char) -> UsageError {
        let other = if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        let nearest =
            OPTIONS.iter().find(|row| row.letter == other && !matches!(row.verdict, Verdict::Refused(_))).map(written);
        UsageError::UnknownOption { option: format!("-{letter}"), nearest }
    }

    /// An unknown option in words, where `known` would have been understood.
    pub(super) fn unknown_words<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> UsageError {
        UsageError::UnknownOption {
            option: format!("--{name}"),
            nearest: nearest(name, known).map(|n| format!("--{n}")),
        }
    }
}

/// The lexer's two complaints in our words.
pub(super) fn lexing(error: lexopt::Error) -> UsageError {
    match error {
        lexopt::Error::MissingValue { option } => UsageError::MissingArgument(option.unwrap_or_default()),
        lexopt::Error::UnexpectedValue { option, .. } => UsageError::UnwantedArgument(option),
        other => UsageError::UnknownOption { option: other.to_string(), nearest: None },
    }
}

fn written(row: &Row) -> String {
    match row.argument {
        Argument::None | Argument::Attached(_) => format!("-{}", row.letter),
        Argument::Required(name) => format!("-{} {name}", row.letter),
    }
}

/// The word nearest to a mistyped one: at most a third of its letters differ.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = word.chars().count().div_ceil(3);
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, dropped or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["account", "config", "help", "version"];
        assert_eq!(nearest("acount", known.into_iter()), Some("account"));
        assert_eq!(nearest("confg", known.into_iter()), Some("config"));
        assert_eq!(nearest("subject", known.into_iter()), None);
    }

    #[test]
    fn an_unknown_letter_is_told_in_its_other_case() {
        let UsageError::UnknownOption { nearest, .. } = UsageError::unknown_letter('g') else { panic!() };
        assert_eq!(nearest.as_deref(), Some("-G"));
        let UsageError::UnknownOption { nearest, .. } = UsageError::unknown_letter('1') else { panic!() };
        assert_eq!(nearest, None);
    }
}
