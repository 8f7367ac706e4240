//! What is wrong with a configuration, where, and what to type instead.

use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::fmt;
use std::path::{Path, PathBuf};

/// What is wrong with a configuration, and where: `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub file: PathBuf,
    /// From 1; `None` when the file as a whole is meant.
    pub line: Option<usize>,
    pub problem: String,
    pub hints: Vec<String>,
}

impl ConfigError {
    pub(super) fn of_file(file: &Path, problem: impl Into<String>) -> ConfigError {
        ConfigError { file: file.to_path_buf(), line: None, problem: problem.into(), hints: Vec::new() }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> ConfigError {
        self.hints.push(hint.into());
        self
    }

    /// Adds `did you mean` when one of the words is near.
    pub(super) fn with_nearest<'a>(self, word: &str, words: impl IntoIterator<Item = &'a str>) -> ConfigError {
        match nearest(word, words) {
            Some(near) => self.with_hint(format!("did you mean \"{near}\"?")),
            None => self,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for ConfigError {}

impl Explain for ConfigError {
    fn exit(&self) -> Exit {
        Exit::Config
    }

    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }
}

/// The word that was probably meant: the one with the fewest edits, if it is near; else one that begins the same way.
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    let near = |other: &&str| {
        let edits = distance(&word, other);
        let begins = word.len() >= 3 && other.len() >= 3 && (word.starts_with(*other) || other.starts_with(&*word));
        (edits <= 1 + word.len() / 4 || begins).then_some(edits)
    };
    words.into_iter().filter_map(|other| near(&other).map(|edits| (edits, other))).min().map(|(_, other)| other)
}

/// Levenshtein's distance in characters, two neighbours swapped counting as one edit.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let changed = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut edits = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                edits = edits.min(rows[i - 2][j - 2] + 1);
            }
            row.push(edits);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word_that_was_meant() {
        let words = ["password", "password-file", "password-command", "user", "host", "port", "ports"];
        for (typed, meant) in [
            ("passwrd", Some("password")),
            ("Password", Some("password")),
            ("password_file", Some("password-file")),
            ("username", Some("user")),
            ("hsot", Some("host")),
            ("prot", Some("port")),
            ("pass", Some("password")),
            ("colour", None),
        ] {
            assert_eq!(nearest(typed, words), meant, "{typed}");
        }
    }

    #[test]
    fn an_error_says_file_and_line() {
        let mut error = ConfigError::of_file(Path::new("/etc/m.toml"), "is a folder");
        assert_eq!(error.to_string(), "/etc/m.toml: is a folder");
        error.line = Some(3);
        assert_eq!(error.to_string(), "/etc/m.toml:3: is a folder");
    }
}
