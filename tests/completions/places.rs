//! What may stand where on a command line, from the tables of the program.

use mailchute::cli::options::{Argument, Meaning, OPTIONS, Verdict};
use mailchute::cli::own::{COMMANDS, Command, FOREIGN};

/// What may stand in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Something that nobody can guess.
    Free,
    Words(Vec<&'static str>),
    Accounts,
    Providers,
    /// The ids that this command lists.
    Entries(&'static str),
    Files,
    Hosts,
    Programs,
    /// One of these words, and files behind it.
    WordsThenFiles(Vec<&'static str>),
}

/// One option, in all its spellings.
#[derive(Clone, Debug)]
pub struct Choice {
    /// With their dashes.
    pub spellings: Vec<String>,
    /// `None` when it takes no argument.
    pub value: Option<Value>,
    pub help: &'static str,
}

/// What may follow some words.
#[derive(Clone, Debug)]
pub struct Place {
    /// The words of the command, or of the beginning of several: `queue dead`; empty at the very front.
    pub path: String,
    /// The words that go on from here, each with its help.
    pub words: Vec<(&'static str, String)>,
    /// Besides the [`global`] ones.
    pub options: Vec<Choice>,
    pub operands: Value,
}

/// Every place, longer paths first.
pub fn places() -> Vec<Place> {
    let mut paths: Vec<Vec<&str>> = vec![vec![], vec!["help"]];
    for command in COMMANDS {
        let words: Vec<&str> = command.name.split(' ').collect();
        paths.extend((1..=words.len()).map(|length| words[..length].to_vec()));
    }
    paths.sort_by_key(|path| std::cmp::Reverse(path.len()));
    let mut places: Vec<Place> = Vec::new();
    for path in paths {
        let path = path.join(" ");
        if places.iter().all(|place| place.path != path) {
            places.push(place(&path));
        }
    }
    places
}

/// The options that take an argument, in all spellings: the word behind is no operand.
pub fn valued(places: &[Place]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (spellings, _) in arguments(places) {
        found.extend(spellings);
    }
    found
}

/// What the options that take an argument take: each once, those of the same kind together.
pub fn arguments(places: &[Place]) -> Vec<(Vec<String>, Value)> {
    let mut found: Vec<(Vec<String>, Value)> = Vec::new();
    let global = global();
    for choice in global.iter().chain(places.iter().rev().flat_map(|place| &place.options)) {
        let Some(value) = &choice.value else { continue };
        let new = |spelling: &&String| found.iter().all(|(known, _)| !known.contains(spelling));
        let spellings: Vec<String> = choice.spellings.iter().filter(new).cloned().collect();
        match found.iter_mut().find(|(_, known)| known == value) {
            Some((known, _)) => known.extend(spellings),
            None => found.push((spellings, value.clone())),
        }
    }
    found
}

fn place(path: &str) -> Place {
    let lead = if path.is_empty() { String::new() } else { format!("{path} ") };
    // The beginning of a name alone means its `list`.
    let listing = format!("{lead}list");
    let row = COMMANDS.iter().find(|row| row.name == path).or_else(|| COMMANDS.iter().find(|row| row.name == listing));
    let mut words: Vec<(&'static str, String)> = Vec::new();
    for row in COMMANDS {
        let Some(next) = row.name.strip_prefix(&lead).and_then(|rest| rest.split(' ').next()) else { continue };
        if words.iter().all(|(word, _)| *word != next) {
            words.push((next, help_of(&format!("{lead}{next}"))));
        }
    }
    let mut options = Vec::new();
    match path {
        "" => {
            words.push(("help", "show the help of a command, or of sendmail".into()));
            options.extend(sendmail());
            options.push(Choice { spellings: vec!["--version".into()], value: None, help: "show the version" });
        }
        "help" => words = place("").words,
        _ => {}
    }
    options.extend(row.into_iter().flat_map(|row| row.options).map(own));
    let operands = row.filter(|row| row.name == path).map_or(Value::Free, operands);
    Place { path: path.to_owned(), words, options, operands }
}

/// The help of a command; of several with the same beginning, their further words.
fn help_of(path: &str) -> String {
    if let Some(row) = COMMANDS.iter().find(|row| row.name == path) {
        return row.help.to_owned();
    }
    let lead = format!("{path} ");
    let mut words: Vec<&str> = Vec::new();
    for next in COMMANDS.iter().filter_map(|row| row.name.strip_prefix(&lead)?.split(' ').next()) {
        if !words.contains(&next) {
            words.push(next);
        }
    }
    words.join(", ")
}

fn own((name, help): &(&'static str, &'static str)) -> Choice {
    let value = name.ends_with('=').then(|| match name.trim_end_matches('=') {
        "provider" => Value::Providers,
        "host" => Value::Hosts,
        "port" => Value::Words(vec!["587", "465"]),
        word if word.ends_with("-command") => Value::Programs,
        word if word.ends_with("-file") => Value::Files,
        _ => Value::Free,
    });
    Choice { spellings: vec![format!("--{}", name.trim_end_matches('='))], value, help }
}

fn operands(row: &Command) -> Value {
    match row.arguments.split_whitespace().next() {
        Some("id") if row.name.starts_with("queue dead ") => Value::Entries("queue dead list"),
        Some("id") => Value::Entries("queue list"),
        Some("program") => Value::WordsThenFiles(FOREIGN.iter().map(|(name, _)| *name).collect()),
        Some("[name]") => Value::Providers,
        Some("[account]") => Value::Accounts,
        _ => Value::Free,
    }
}

fn is_global(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::Account | Meaning::Config | Meaning::Verbose)
}

/// The options that stand anywhere.
pub fn global() -> Vec<Choice> {
    let mut found = of_sendmail(is_global);
    found.push(Choice { spellings: vec!["--help".into()], value: None, help: "show a summary" });
    found
}

fn sendmail() -> Vec<Choice> {
    of_sendmail(|meaning| !is_global(meaning))
}

fn of_sendmail(wanted: fn(Meaning) -> bool) -> Vec<Choice> {
    let rows = OPTIONS.iter().filter(|row| matches!(row.verdict, Verdict::Honoured(meaning) if wanted(meaning)));
    rows.map(|row| {
        let mut spellings = vec![format!("-{}", row.letter)];
        spellings.extend(row.long.map(|long| format!("--{long}")));
        let value = match row.argument {
            Argument::Required("name") if row.long == Some("account") => Some(Value::Accounts),
            Argument::Required("file") => Some(Value::Files),
            Argument::Required(_) => Some(Value::Free),
            Argument::None | Argument::Attached(_) => None,
        };
        Choice { spellings, value, help: row.help }
    })
    .collect()
}
