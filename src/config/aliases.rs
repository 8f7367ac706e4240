//! Local names and the addresses they stand for: the text of aliases(5), as every mailer on the host reads it.
//! Nothing is run, written or included here, so programs, files and includes are refused, one by one.

use crate::mail::address::{Addressee, parse_list};
use std::collections::BTreeMap;
use std::io::ErrorKind;

const SYSTEM_ALIASES: &str = "/etc/aliases";

/// What an aliases file says, and what of it was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aliases {
    /// Names in lower case. A name whose every entry was refused has no addressees.
    pub names: BTreeMap<String, Vec<Addressee>>,
    /// One sentence each, with `/etc/aliases:line`.
    pub warnings: Vec<String>,
}

/// Reads /etc/aliases; a host without one has no aliases.
pub fn read_system() -> Aliases {
    match std::fs::read(SYSTEM_ALIASES) {
        Ok(bytes) => parse(&String::from_utf8_lossy(&bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Aliases::default(),
        Err(error) => Aliases { warnings: vec![format!("{SYSTEM_ALIASES}: {error}")], ..Aliases::default() },
    }
}

/// Reads the text of an aliases file: `name: addressee, addressee`, names perhaps quoted, `#` as a line's first character
/// for comments, lines that begin with white space continue the one before.
pub fn parse(text: &str) -> Aliases {
    let mut aliases = Aliases::default();
    for (line, entry) in logical_lines(text) {
        let Some((name, value)) = split_name(&entry) else {
            aliases.warn(line, "no \"name:\" here");
            continue;
        };
        let mut addressees = Vec::new();
        for item in items(value) {
            match parse_list(item.as_bytes()) {
                Ok(found) => addressees.extend(found),
                Err(error) => aliases.warn(line, &format!("{name}: {error}")),
            }
        }
        aliases.names.entry(name).or_default().extend(addressees);
    }
    aliases
}

impl Aliases {
    fn warn(&mut self, line: usize, problem: &str) {
        self.warnings.push(format!("{SYSTEM_ALIASES}:{line}: {problem}"));
    }
}

/// Lines with their continuations, each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, entry)) if line.starts_with([' ', '\t']) => entry.push_str(line),
            _ => lines.push((number + 1, line.to_string())),
        }
    }
    lines
}

/// The name in lower case and what is behind its colon.
fn split_name(entry: &str) -> Option<(String, &str)> {
    let entry = entry.trim_start();
    let (name, rest) = match entry.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => entry.split_at(entry.find(':')?),
    };
    let value = rest.trim_start().strip_prefix(':')?;
    let name = name.trim().to_lowercase();
    (!name.is_empty()).then_some((name, value))
}

/// The entries between commas that stand outside quotes.
fn items(value: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let outside = |c: char| {
        let splits = c == ',' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        splits
    };
    value.split(outside).map(str::trim).filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(aliases: &Aliases) -> Vec<String> {
        let names = aliases.names.iter();
        names
            .map(|(name, to)| format!("{name}={}", to.iter().map(Addressee::to_string).collect::<Vec<_>>().join("+")))
            .collect()
    }

    #[test]
    fn an_aliases_file_is_read_as_every_mailer_reads_it() {
        for (text, wanted) in [
            ("", vec![]),
            ("# root: x@y.org\n\n", vec![]),
            ("root: me@x.org", vec!["root=me@x.org"]),
            ("Root :me@x.org,  you@x.org", vec!["root=me@x.org+you@x.org"]),
            ("postmaster:\troot\nroot: me@x.org\n", vec!["postmaster=root", "root=me@x.org"]),
            ("all: a@x.org,\n  b@x.org\n\tc@x.org, d@x.org\n", vec!["all=a@x.org+b@x.org+c@x.org+d@x.org"]),
            ("\"web master\": me@x.org", vec!["web master=me@x.org"]),
            ("\"a:b\": me@x.org", vec!["a:b=me@x.org"]),
            ("root: me@x.org\nroot: you@x.org", vec!["root=me@x.org+you@x.org"]),
        ] {
            let aliases = parse(text);
            assert_eq!(shown(&aliases), wanted, "{text:?}");
            assert!(aliases.warnings.is_empty(), "{text:?}: {:?}", aliases.warnings);
        }
    }

    #[test]
    fn programs_files_and_includes_are_refused_with_a_warning_and_the_rest_is_kept() {
        let text = "a: \"|/usr/bin/x, y\", me@x.org\nb: /dev/null\nc: :include:/etc/list\nd: |prog\nnonsense\n";
        let aliases = parse(text);
        assert_eq!(shown(&aliases), ["a=me@x.org", "b=", "c=", "d="]);
        assert_eq!(
            aliases.warnings,
            [
                "/etc/aliases:1: a: address \"\\\"|/usr/bin/x, y\\\"\": a program is not an address",
                "/etc/aliases:2: b: address \"/dev/null\": a file is not an address",
                "/etc/aliases:3: c: address \":include:/etc/list\": : without the name of a group",
                "/etc/aliases:4: d: address \"|prog\": a program is not an address",
                "/etc/aliases:5: no \"name:\" here",
            ]
        );
    }
}
