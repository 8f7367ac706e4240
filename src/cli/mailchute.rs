//! How mailchute's own command line is read: the global options, then a command of ours or else sendmail's language. A
//! command of several words is a row with a name of several words; the beginning of such a name alone means its `list`.

use super::options::{self, Meaning, Task, Verdict};
use super::own::{COMMANDS, Command, Given};
use super::{Global, Invocation, UsageError, Verbosity, age, help, sendmail, usage};
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

/// Reads the arguments of `mailchute`: a command of ours, or else sendmail's options and operands.
pub(super) fn parse(arguments: &[OsString]) -> Result<Invocation, UsageError> {
    match arguments.first().and_then(|word| word.to_str()) {
        None if arguments.is_empty() => return Err(UsageError::NoCommand),
        Some("--help") if arguments.len() == 1 => return Ok(Invocation::Help(help::mailchute())),
        Some("help") => return help_for(&arguments[1..]),
        _ => {}
    }
    let mut global = Global::default();
    let mut lexer = Parser::from_args(arguments);
    lexer.set_short_equals(false);
    match first_word(&mut lexer, &mut global)? {
        First::Word(word) if names().any(|name| starts_with(name, &[&word])) => command(word, lexer, global),
        First::Word(word) if !word.contains('@') => Err(unknown(&word)),
        First::Word(_) | First::Sendmail => sendmail::parse("mailchute", arguments, sendmail::Start::At(Task::Deliver)),
    }
}

/// What stands behind the global options.
enum First {
    Word(String),
    /// An option of sendmail's, `--`, or nothing.
    Sendmail,
}

fn first_word(lexer: &mut Parser, global: &mut Global) -> Result<First, UsageError> {
    loop {
        if lexer.try_raw_args().is_some_and(|rest| rest.peek().is_some_and(|word| word == "--")) {
            return Ok(First::Sendmail);
        }
        let Some(argument) = lexer.next().map_err(usage::lexing)? else { return Ok(First::Sendmail) };
        match Global::meaning(&argument) {
            Some(meaning) => global.set(meaning, lexer)?,
            None => {
                let Arg::Value(word) = argument else { return Ok(First::Sendmail) };
                return Ok(First::Word(word.to_string_lossy().into_owned()));
            }
        }
    }
}

impl Global {
    /// What an option means that every command knows; `None` when it is another one.
    fn meaning(argument: &Arg) -> Option<Meaning> {
        let row = match argument {
            Arg::Short(letter) => options::find(*letter)?,
            Arg::Long(name) => options::find_long(name)?,
            Arg::Value(_) => return None,
        };
        match row.verdict {
            Verdict::Honoured(meaning @ (Meaning::Account | Meaning::Config | Meaning::Verbose)) => Some(meaning),
            _ => None,
        }
    }

    fn set(&mut self, meaning: Meaning, lexer: &mut Parser) -> Result<(), UsageError> {
        match meaning {
            Meaning::Verbose => self.verbose = Verbosity::Dialogue,
            Meaning::Config => self.config = Some(PathBuf::from(lexer.value().map_err(usage::lexing)?)),
            _ => self.account = Some(lexer.value().map_err(usage::lexing)?.to_string_lossy().into_owned()),
        }
        Ok(())
    }
}

fn command(first: String, mut lexer: Parser, mut global: Global) -> Result<Invocation, UsageError> {
    let mut given = Given { words: vec![first], options: Vec::new() };
    let mut found = None;
    while let Some(argument) = lexer.next().map_err(usage::lexing)? {
        if let Some(meaning) = Global::meaning(&argument) {
            global.set(meaning, &mut lexer)?;
            continue;
        }
        match argument {
            Arg::Value(word) => given.words.push(word.to_string_lossy().into_owned()),
            Arg::Short(letter) => return Err(UsageError::unknown_letter(letter)),
            Arg::Long("help") => return Ok(Invocation::Help(help::command(&given.words))),
            Arg::Long(name) => {
                let row = found.map_or_else(|| take_row(&mut given.words), Ok)?;
                let option = option(row, name)?;
                let value = if option.ends_with('=') { lexer.value().map_err(usage::lexing)? } else { OsString::new() };
                let value = value.to_string_lossy().into_owned();
                check(option, &value)?;
                given.options.push((option, value));
                found = Some(row);
            }
        }
    }
    let row = found.map_or_else(|| take_row(&mut given.words), Ok)?;
    let usage = || UsageError::Operands { usage: row.synopsis(), help: row.help };
    (row.make)(given).ok_or_else(usage).map(|own| Invocation::Own(own, global))
}

/// Takes the words of a command's name from the front.
fn take_row(words: &mut Vec<String>) -> Result<&'static Command, UsageError> {
    for length in (1..=words.len()).rev() {
        let named: Vec<&str> = words[..length].iter().map(String::as_str).collect();
        let is = |command: &&Command, more: &[&str]| command.name.split(' ').eq(named.iter().chain(more).copied());
        if let Some(row) = COMMANDS.iter().find(|command| is(command, &[])) {
            words.drain(..length);
            return Ok(row);
        }
        if length == words.len()
            && let Some(row) = COMMANDS.iter().find(|command| is(command, &["list"]))
        {
            words.clear();
            return Ok(row);
        }
    }
    Err(unknown(&words.join(" ")))
}

/// An option of a command, as its row writes it.
fn option(row: &Command, name: &str) -> Result<&'static str, UsageError> {
    let bare = |option: &'static str| option.trim_end_matches('=');
    let options = || row.options.iter().map(|(option, _)| *option);
    let found = options().find(|option| bare(option) == name);
    let known = options().map(bare).chain(["account", "config", "help"]);
    found.ok_or_else(|| UsageError::unknown_words(name, known))
}

/// Whether a value is what its option takes, where that is not any text.
fn check(option: &'static str, value: &str) -> Result<(), UsageError> {
    let (fits, expected) = match option {
        "port=" => (value.parse().is_ok_and(|port: u16| port > 0), "a number from 1 to 65535"),
        "older-than=" | "warn-age=" | "crit-age=" => (age::parse(value).is_some(), "an age, as in 30m, 12h or 5d"),
        "warn-queued=" | "crit-queued=" => (value.parse::<u64>().is_ok(), "a number"),
        _ => return Ok(()),
    };
    let option = format!("--{}", option.trim_end_matches('='));
    if fits { Ok(()) } else { Err(UsageError::BadArgument { option, value: value.to_owned(), expected }) }
}

fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

fn starts_with(name: &str, words: &[&str]) -> bool {
    let mut name = name.split(' ');
    words.iter().all(|word| name.next() == Some(word))
}

fn unknown(command: &str) -> UsageError {
    let first_words = names().filter_map(|name| name.split(' ').next());
    let nearest = usage::nearest(command, names().chain(first_words).chain(["help"]));
    UsageError::UnknownCommand { command: command.to_owned(), nearest: nearest.map(|name| format!("mailchute {name}")) }
}

fn help_for(words: &[OsString]) -> Result<Invocation, UsageError> {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let borrowed: Vec<&str> = words.iter().map(String::as_str).collect();
    match borrowed.as_slice() {
        [] => Ok(Invocation::Help(help::mailchute())),
        ["sendmail" | "mailq" | "newaliases"] => Ok(Invocation::Help(help::sendmail(&words[0]))),
        borrowed if names().any(|name| starts_with(name, borrowed)) => Ok(Invocation::Help(help::command(&words))),
        _ => Err(unknown(&words.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DeadCommand, Listing, Own, PasswordFrom, QueueCommand, Removal, Role, Setup, Waiting};
    use super::*;
    use std::time::Duration;

    fn asked(line: &str) -> Result<Invocation, UsageError> {
        parse(&line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect::<Vec<_>>())
    }

    fn own(line: &str) -> Own {
        match asked(line) {
            Ok(Invocation::Own(own, _)) => own,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_command_is_understood() {
        let ids = || vec!["a".to_owned(), "b".to_owned()];
        let cases = [
            ("queue", QueueCommand::List(Listing::Text)),
            ("queue --json", QueueCommand::List(Listing::Json)),
            ("queue list", QueueCommand::List(Listing::Text)),
            ("queue list --json", QueueCommand::List(Listing::Json)),
            ("queue show a", QueueCommand::Show("a".into())),
            ("queue flush", QueueCommand::Flush(Waiting::All)),
            ("queue flush --due", QueueCommand::Flush(Waiting::Due)),
            ("queue retry a b", QueueCommand::Retry(ids())),
            ("queue hold a b", QueueCommand::Hold(ids())),
            ("queue release -- a b", QueueCommand::Release(ids())),
            ("queue remove a b", QueueCommand::Remove(Removal::Ids(ids()))),
            ("queue remove --all", QueueCommand::Remove(Removal::All)),
            ("queue remove --older-than 5d", QueueCommand::Remove(Removal::OlderThan(Duration::from_secs(432_000)))),
            ("queue remove --older-than=1h", QueueCommand::Remove(Removal::OlderThan(Duration::from_secs(3600)))),
            ("queue dead", QueueCommand::Dead(DeadCommand::List(Listing::Text))),
            ("queue dead list --json", QueueCommand::Dead(DeadCommand::List(Listing::Json))),
            ("queue dead retry a b", QueueCommand::Dead(DeadCommand::Retry(ids()))),
            ("queue dead remove a b", QueueCommand::Dead(DeadCommand::Remove(ids()))),
        ];
        for (line, expected) in cases {
            assert_eq!(own(line), Own::Queue(expected), "{line}");
        }
        assert_eq!(own("doctor --json"), Own::Doctor(Listing::Json));
        assert_eq!(own("setup"), Own::Setup(Box::default()));
        let wishes = Setup {
            address: Some("me@x.org".into()),
            port: Some(465),
            password: PasswordFrom::Stdin,
            ..Setup::default()
        };
        assert_eq!(own("setup me@x.org --port 465 --password-stdin"), Own::Setup(Box::new(wishes)));
        assert_eq!(own("providers"), Own::Providers(None));
        let roles = [("serve", Role::Both), ("serve --accept", Role::Accept), ("serve --send", Role::Send)];
        for (line, role) in roles {
            assert_eq!(own(line), Own::Serve(role));
        }
        assert_eq!(own("providers gmail"), Own::Providers(Some("gmail".into())));
    }

    #[test]
    fn global_options_stand_anywhere() {
        let global = Global { config: Some("/x".into()), account: Some("work".into()), verbose: Verbosity::Dialogue };
        for line in [
            "--config /x --account work -v queue",
            "queue -v -C /x -awork",
            "-v queue --config=/x list --account=work",
            "queue flush -vC/x -a work",
        ] {
            let Ok(Invocation::Own(_, found)) = asked(line) else { panic!("{line}") };
            assert_eq!(found, global, "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_told_so() {
        let cases = [
            ("", "no command"),
            ("qeue", "unknown command \"qeue\""),
            ("serve --accept --send", "usage: mailchute serve [--accept | --send]"),
            ("serve now", "usage: mailchute serve [--accept | --send]"),
            ("queue frobnicate", "unknown command \"queue frobnicate\""),
            ("queue show", "usage: mailchute queue show id"),
            ("queue show a b", "usage: mailchute queue show id"),
            ("queue flush a", "usage: mailchute queue flush [--due]"),
            ("queue retry", "usage: mailchute queue retry id ..."),
            ("queue remove", "usage: mailchute queue remove id ... | --all | --older-than age"),
            ("queue remove a --all", "usage: mailchute queue remove id ... | --all | --older-than age"),
            ("queue remove --older-than 5", "option --older-than: \"5\" is not an age, as in 30m, 12h or 5d"),
            ("setup a@x.org --port abc", "option --port: \"abc\" is not a number from 1 to 65535"),
            ("queue remove --older-than", "option --older-than needs an argument"),
            ("queue list --jsno", "unknown option --jsno"),
            ("queue list --json=1", "option --json takes no argument"),
            ("queue flush --all", "unknown option --all"),
            ("queue -x", "unknown option -x"),
            ("help frobnicate", "unknown command \"frobnicate\""),
            ("-v root", "unknown command \"root\""),
        ];
        for (line, expected) in cases {
            assert_eq!(asked(line).unwrap_err().to_string(), expected, "{line}");
        }
    }

    #[test]
    fn a_mistyped_command_is_told_the_right_one() {
        let Err(UsageError::UnknownCommand { nearest, .. }) = asked("qeue list") else { panic!() };
        assert_eq!(nearest.as_deref(), Some("mailchute queue"));
        let Err(UsageError::UnknownCommand { nearest, .. }) = asked("queue lst") else { panic!() };
        assert_eq!(nearest.as_deref(), Some("mailchute queue list"));
    }

    #[test]
    fn sendmail_is_spoken_too() {
        for line in ["-t", "-t -i", "-i bob@example.org", "bob@example.org", "-oi -- queue", "-- queue", "-v bob@x"] {
            assert!(matches!(asked(line), Ok(Invocation::Deliver(_))), "{line}");
        }
        assert_eq!(asked("-v"), Err(UsageError::NoRecipients));
    }

    #[test]
    fn help_is_found_by_any_door() {
        for line in
            ["--help", "help", "help queue", "help queue list", "queue --help", "queue remove --help", "help sendmail"]
        {
            assert!(matches!(asked(line), Ok(Invocation::Help(_))), "{line}");
        }
        let Ok(Invocation::Help(text)) = asked("queue remove --help") else { panic!() };
        let expected = "usage:\n  queue remove id ... | --all | --older-than age\n                              \
                        remove entries without sending them; an age is 5d, 12h, 30m\n";
        assert_eq!(text, expected);
    }
}
