//! `--help`, written from the tables.

use super::options::{Argument, MODES, ModeVerdict, OPTIONS, Row, Verdict};
use super::own::{COMMANDS, Command};
use std::fmt::Write;

/// Help of a program that speaks sendmail's language.
pub(super) fn sendmail(program: &str) -> String {
    let usage = match program {
        "mailq" => "usage: mailq [-v] [-C file]\n\nLists the queue, as sendmail -bp does.\n".to_owned(),
        "newaliases" => "usage: newaliases [-C file]\n\nChecks the aliases, as sendmail -bi does.\n".to_owned(),
        program => format!(
            "usage: {program} [options] [--] recipient ...\n       {program} [options] -t\n\n\
             Sends the message on standard input.\n"
        ),
    };
    format!("{usage}{}", sendmail_options())
}

/// Help of `mailchute` itself.
pub(super) fn mailchute() -> String {
    let mut text = String::from(
        "usage: mailchute [--config file] [--account name] [-v] command\n       \
         mailchute [sendmail options] [--] recipient ...\n\ncommands:\n",
    );
    commands(&mut text, COMMANDS.iter());
    row(&mut text, "help [command]", "show the help of a command, or of sendmail");
    text.push_str("\nsendmail(8) has every option and exit status, mailchute.toml(5) the configuration.\n");
    text
}

/// Help of the commands whose names begin with these words, or of the one that the words begin with.
pub(super) fn command(words: &[String]) -> String {
    let matches = |command: &&Command| {
        let mut name = command.name.split(' ');
        words.iter().map_while(|word| name.next().map(|part| part == word)).all(|same| same)
    };
    let mut text = String::from("usage:\n");
    commands(&mut text, COMMANDS.iter().filter(matches));
    for command in COMMANDS.iter().filter(matches).filter(|command| command.arguments.ends_with("[options]")) {
        text.push_str("\noptions:\n");
        for (option, help) in command.options {
            row(&mut text, &format!("--{}", option.replace('=', " x")), help);
        }
    }
    text
}

fn commands<'a>(text: &mut String, rows: impl Iterator<Item = &'a Command>) {
    for command in rows {
        row(text, format!("{} {}", command.name, command.arguments).trim_end(), command.help);
    }
}

fn sendmail_options() -> String {
    let mut text = String::from("\noptions:\n");
    let honoured = |row: &&Row| matches!(row.verdict, Verdict::Honoured(_));
    for option in OPTIONS.iter().filter(honoured) {
        row(&mut text, &written(option), option.help);
    }
    row(&mut text, "--help", "show this and end; only alone");
    row(&mut text, "--version", "show the version and end; only alone");
    text.push_str("\nmodes (-b):\n");
    for mode in MODES.iter().filter(|mode| matches!(mode.verdict, ModeVerdict::Honoured(_))) {
        row(&mut text, &format!("-b{}", mode.letter), mode.help);
    }
    let letters = |chosen: fn(&Verdict) -> bool| -> String {
        let letters: Vec<String> =
            OPTIONS.iter().filter(|row| chosen(&row.verdict)).map(|row| format!("-{}", row.letter)).collect();
        letters.join(" ")
    };
    let _ = writeln!(text, "\naccepted and ignored: {}", letters(|verdict| matches!(verdict, Verdict::Ignored(_))));
    let _ = writeln!(text, "refused: {}", letters(|verdict| matches!(verdict, Verdict::Refused(_))));
    text.push_str("sendmail(8) says why.\n");
    text
}

fn written(option: &Row) -> String {
    let mut text = format!("-{}", option.letter);
    if let Some(long) = option.long {
        let _ = write!(text, ", --{long}");
    }
    match option.argument {
        Argument::None => {}
        Argument::Required(name) => text = format!("{text} {name}"),
        Argument::Attached(name) => text = format!("{text}[{name}]"),
    }
    text
}

/// Where the second column begins.
const COLUMN: usize = 30;

fn row(text: &mut String, left: &str, right: &str) {
    if left.len() + 4 > COLUMN {
        let _ = writeln!(text, "  {left}\n{:COLUMN$}{right}", "");
    } else {
        let _ = writeln!(text, "  {left:width$}{right}", width = COLUMN - 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_option_mode_and_command() {
        let text = sendmail("sendmail");
        for row in OPTIONS {
            assert!(text.contains(&format!("-{}", row.letter)), "-{}", row.letter);
        }
        for mode in MODES.iter().filter(|mode| matches!(mode.verdict, ModeVerdict::Honoured(_))) {
            assert!(text.contains(&format!("\n  -b{} ", mode.letter)), "-b{}", mode.letter);
        }
        for command in COMMANDS {
            assert!(mailchute().contains(&format!("\n  {}", command.name)), "{}", command.name);
        }
    }

    #[test]
    fn help_fits_in_a_hundred_columns() {
        for text in [sendmail("sendmail"), sendmail("mailq"), sendmail("newaliases"), mailchute()] {
            assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        }
    }
}
