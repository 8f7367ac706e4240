//! A TOML file read key by key, so that whatever is wrong is said with its line, its key and its section. Knows the
//! shapes of values, not their meaning.

use super::duration;
use super::error::ConfigError;
use super::fragments::{self, Fragment};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Names and texts of files: what an error needs to say where it is. Positions count through all of them.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
    /// What is laid over the file, in order.
    pub over: &'a [Fragment],
}

/// A string and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub value: &'a str,
    pub at: usize,
}

/// One table.
pub(super) struct Section<'a> {
    pub source: Source<'a>,
    /// As its header writes it, without brackets; empty outside any section.
    pub name: String,
    /// Where it begins.
    pub at: usize,
    table: &'a DeTable<'a>,
}

impl<'a> Source<'a> {
    /// One file alone.
    pub fn one(file: &'a Path, text: &'a str) -> Source<'a> {
        Source { file, text, over: &[] }
    }

    /// Parses the texts, laid one over the other; the error is TOML's own words at their line.
    pub fn parse(&self) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        let mut whole = self.parse_text(self.text, 0)?;
        for fragment in self.over {
            let table = self.parse_text(&fragment.text, fragment.start)?;
            fragments::lay_over(whole.get_mut(), table.into_inner());
        }
        Ok(whole)
    }

    fn parse_text(&self, text: &'a str, start: usize) -> Result<Spanned<DeTable<'a>>, ConfigError> {
        DeTable::parse(text)
            .map_err(|error| self.error(error.span().map_or(start, |span| span.start), error.message().to_string()))
    }

    /// The file that a position is in.
    pub fn file_at(&self, at: usize) -> &'a Path {
        self.fragment_at(at).map_or(self.file, |fragment| &fragment.file)
    }

    fn fragment_at(&self, at: usize) -> Option<&'a Fragment> {
        self.over.iter().rev().find(|fragment| fragment.start <= at)
    }

    /// An error at a position.
    pub fn error(&self, at: usize, problem: impl Into<String>) -> ConfigError {
        let (text, start) = self.fragment_at(at).map_or((self.text, 0), |fragment| (&fragment.text, fragment.start));
        let before = text.as_bytes().iter().take(at).skip(start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        ConfigError { line: Some(line), ..ConfigError::of_file(self.file_at(at), problem) }
    }
}

impl<'a> Section<'a> {
    /// The whole file, which may have these keys.
    pub fn whole(source: Source<'a>, table: &'a DeTable<'a>, keys: &[&str]) -> Result<Section<'a>, ConfigError> {
        Section { source, name: String::new(), at: 0, table }.only(keys)
    }

    /// The table under a key, which may have these keys.
    pub fn section(&self, key: &str, keys: &[&str]) -> Result<Option<Section<'a>>, ConfigError> {
        self.free_section(key)?.map(|section| section.only(keys)).transpose()
    }

    /// The table under a key, whose keys are names.
    pub fn free_section(&self, key: &str) -> Result<Option<Section<'a>>, ConfigError> {
        let Some((at, value)) = self.entry(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(table) => {
                let name = if self.name.is_empty() { key.to_string() } else { format!("{}.{key}", self.name) };
                Ok(Some(Section { source: self.source, name, at, table }))
            }
            _ => Err(self.mismatch(key, value, "a table")),
        }
    }

    fn only(self, keys: &[&str]) -> Result<Section<'a>, ConfigError> {
        match self.names().into_iter().find(|name| !keys.contains(&name.value)) {
            None => Ok(self),
            Some(name) => {
                let problem = format!("unknown key {}", self.place(name.value));
                Err(self.source.error(name.at, problem).with_nearest(name.value, keys.iter().copied()))
            }
        }
    }

    /// The keys in the order of the file.
    pub fn names(&self) -> Vec<Text<'a>> {
        let key =
            |(key, _): (&'a Spanned<_>, _)| Text { value: AsRef::<str>::as_ref(key.get_ref()), at: key.span().start };
        let mut names: Vec<Text<'a>> = self.table.iter().map(key).collect();
        names.sort_by_key(|name| name.at);
        names
    }

    /// The file that a key stands in, where it stands at all.
    pub fn file_of(&self, key: &str) -> &'a Path {
        self.source.file_at(self.entry(key).map_or(self.at, |(at, _)| at))
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the key has an array.
    pub fn is_array(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|(_, value)| value.get_ref().is_array())
    }

    pub fn string(&self, key: &str) -> Result<Option<Text<'a>>, ConfigError> {
        let Some((_, value)) = self.entry(key) else { return Ok(None) };
        self.text_of(key, value, "a string").map(Some)
    }

    /// A string or an array of strings.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<Text<'a>>>, ConfigError> {
        let Some((_, value)) = self.entry(key) else { return Ok(None) };
        let wanted = "a string or an array of strings";
        match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| self.text_of(key, item, wanted)).collect(),
            _ => self.text_of(key, value, wanted).map(|text| vec![text]),
        }
        .map(Some)
    }

    /// The elements of an array, tables and others apart; for `ports`.
    pub fn elements(&self, key: &str) -> Result<Option<Vec<&'a Spanned<DeValue<'a>>>>, ConfigError> {
        let Some((_, value)) = self.entry(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Array(items) => Ok(Some(items.iter().collect())),
            _ => Err(self.mismatch(key, value, "an array")),
        }
    }

    /// An element of an array as a table, which may have these keys.
    pub fn inner(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
        keys: &[&str],
    ) -> Result<Option<Section<'a>>, ConfigError> {
        let DeValue::Table(table) = value.get_ref() else { return Ok(None) };
        let name = if self.name.is_empty() { key.to_string() } else { format!("{}.{key}", self.name) };
        Section { source: self.source, name, at: value.span().start, table }.only(keys).map(Some)
    }

    pub fn number(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ConfigError> {
        let Some((_, value)) = self.entry(key) else { return Ok(None) };
        self.number_of(key, value, range).map(Some)
    }

    /// A value as a whole number within bounds.
    pub fn number_of(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        range: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let DeValue::Integer(number) = value.get_ref() else {
            return Err(self.mismatch(key, value, "a whole number"));
        };
        let digits = number.as_str().replace('_', "");
        let parsed = u64::from_str_radix(&digits, number.radix()).ok().filter(|number| range.contains(number));
        parsed.ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            let problem = format!("{} is {digits}, not between {least} and {most}", self.place(key));
            self.source.error(value.span().start, problem)
        })
    }

    pub fn truth(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        let Some((_, value)) = self.entry(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Boolean(truth) => Ok(Some(*truth)),
            _ => Err(self.mismatch(key, value, "true or false")),
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.value) {
            return Ok(Some(*meaning));
        }
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let problem = format!("{} is {:?}, not one of {}", self.place(key), text.value, known.join(", "));
        Err(self.source.error(text.at, problem).with_nearest(text.value, words.iter().map(|(word, _)| *word)))
    }

    pub fn duration(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        let Some((_, value)) = self.entry(key) else { return Ok(None) };
        let wanted = "a span of time such as \"30s\", \"10m\", \"4h\" or \"5d\"";
        let text = self.text_of(key, value, wanted)?;
        duration::parse(text.value)
            .map(Some)
            .ok_or_else(|| self.source.error(text.at, format!("{} is {:?}, not {wanted}", self.place(key), text.value)))
    }

    /// An error at a text of this section: `"port" in [accounts.gmail] <problem>`.
    pub fn error(&self, key: &str, at: usize, problem: impl fmt::Display) -> ConfigError {
        self.source.error(at, format!("{} {problem}", self.place(key)))
    }

    /// An error about the section: `[accounts.gmail] <problem>`.
    pub fn error_here(&self, problem: impl fmt::Display) -> ConfigError {
        self.source.error(self.at, format!("[{}] {problem}", self.name))
    }

    /// An error at a key, wherever its value stands.
    pub fn error_at(&self, key: &str, problem: impl fmt::Display) -> ConfigError {
        self.error(key, self.entry(key).map_or(self.at, |(at, _)| at), problem)
    }

    fn entry(&self, key: &str) -> Option<(usize, &'a Spanned<DeValue<'a>>)> {
        self.table.get_key_value(key).map(|(key, value)| (key.span().start, value))
    }

    fn text_of(&self, key: &str, value: &'a Spanned<DeValue<'a>>, wanted: &str) -> Result<Text<'a>, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(Text { value: text, at: value.span().start }),
            _ => Err(self.mismatch(key, value, wanted)),
        }
    }

    fn mismatch(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> ConfigError {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "a truth value",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.error(key, value.span().start, format!("is {found}, not {wanted}"))
    }

    fn place(&self, key: &str) -> String {
        if self.name.is_empty() { format!("\"{key}\"") } else { format!("\"{key}\" in [{}]", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str, read: impl Fn(&Section) -> Result<(), ConfigError>) -> String {
        let source = Source::one(Path::new("c"), text);
        let outcome = source.parse().and_then(|table| {
            Section::whole(source, table.get_ref(), &["a", "b", "queue"]).and_then(|section| read(&section))
        });
        match outcome {
            Ok(()) => String::new(),
            Err(error) => [vec![error.to_string()], error.hints].concat().join("; "),
        }
    }

    #[test]
    fn whatever_is_wrong_is_said_with_line_key_and_section() {
        let read = |section: &Section| {
            section.string("a")?;
            section.number("b", 1..=9)?;
            let Some(queue) = section.section("queue", &["expire", "delivery"])? else { return Ok(()) };
            queue.duration("expire")?;
            queue.word("delivery", &[("now", 1), ("later", 2)])?;
            Ok(())
        };
        for (text, wanted) in [
            ("a = \"x\"\nb = 3\n[queue]\nexpire = \"5d\"\ndelivery = \"now\"", ""),
            ("a = 1", "c:1: \"a\" is a number, not a string"),
            ("\n\nb = \"1\"", "c:3: \"b\" is a string, not a whole number"),
            ("b = 10", "c:1: \"b\" is 10, not between 1 and 9"),
            ("b = -1", "c:1: \"b\" is -1, not between 1 and 9"),
            ("queue = 1", "c:1: \"queue\" is a number, not a table"),
            ("[queue]\nexpir = 1", "c:2: unknown key \"expir\" in [queue]; did you mean \"expire\"?"),
            (
                "[queue]\nexpire = \"5\"",
                "c:2: \"expire\" in [queue] is \"5\", not a span of time such as \"30s\", \"10m\", \"4h\" or \"5d\"",
            ),
            (
                "[queue]\ndelivery = \"latr\"",
                "c:2: \"delivery\" in [queue] is \"latr\", not one of \"now\", \"later\"; did you mean \"later\"?",
            ),
            ("zebra = 1", "c:1: unknown key \"zebra\""),
            ("a = 1\na = 2", "c:2: duplicate key"),
        ] {
            assert_eq!(complaint(text, read), wanted, "{text}");
        }
    }
}
