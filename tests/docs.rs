//! The man pages against the tables of the program, both ways: what is there is explained, and what is explained is
//! there.
#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "a test program")]

use mailchute::cli::options::{Argument, MODES, ModeVerdict, OPTIONS, Verdict};
use mailchute::cli::own::COMMANDS;
use mailchute::config::KEYS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn sendmail_explains_every_option_as_the_table_has_it() {
    let page = page("sendmail.8");
    let items = items(&page, ".It Fl ").into_iter().filter(|(line, _)| !line.starts_with(".It Fl b Ns"));
    let explained: BTreeSet<(String, &str)> = items.map(|(line, text)| (line.to_owned(), verdict_of(text))).collect();
    let table = OPTIONS.iter().map(|row| {
        let argument = |dashes: &str| match row.argument {
            Argument::None => format!("Fl {dashes}"),
            Argument::Required(name) => format!("Fl {dashes} Ar {name}"),
            Argument::Attached(name) => format!("Fl {dashes} Ns Op Ar {name}"),
        };
        let words = row.long.map(|long| format!(" , {}", argument(&format!("-{long}")))).unwrap_or_default();
        let verdict = match row.verdict {
            Verdict::Honoured(_) => "honoured",
            Verdict::Ignored(_) => "ignored",
            Verdict::Refused(_) => "refused",
        };
        (format!(".It {}{words}", argument(&row.letter.to_string())), verdict)
    });
    same(explained, table.collect());
}

#[test]
fn sendmail_explains_every_mode_as_the_table_has_it() {
    let page = page("sendmail.8");
    let items = items(&page, ".It Fl b Ns Cm ");
    let explained: BTreeSet<(String, &str)> =
        items.iter().map(|(line, text)| (line.to_string(), verdict_of(text))).collect();
    let table = MODES.iter().map(|mode| {
        let verdict = match mode.verdict {
            ModeVerdict::Honoured(_) => "honoured",
            ModeVerdict::Refused(_) => "refused",
        };
        (format!(".It Fl b Ns Cm {}", mode.letter), verdict)
    });
    same(explained, table.collect());
}

#[test]
fn sendmail_explains_every_exit_status() {
    let source = fs::read_to_string("src/exit.rs").unwrap();
    let statuses = source.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "));
    // Those below sysexits' are monitoring's, of one command.
    let ours = statuses.filter(|(_, number)| !["1", "2"].contains(number));
    let statuses = ours.map(|(name, number)| format!(".It Dv EX_{} Pq {number}", name.to_uppercase()));
    let page = page("sendmail.8");
    same(items(&page, ".It Dv EX_").into_iter().map(|(line, _)| line.to_owned()).collect(), statuses.collect());
}

#[test]
fn sendmail_explains_every_environment_variable() {
    let mut read = BTreeSet::new();
    for file in sources(Path::new("src")) {
        let text = fs::read_to_string(file).unwrap();
        for ask in ["variable(\"", "own_folder(\"", "OsStr::new(\"", "\"XDG_"] {
            let whole = if ask == "\"XDG_" { "XDG_" } else { "" };
            let names = text
                .split(ask)
                .skip(1)
                .filter_map(|rest| rest.split_once('"'))
                .map(|(name, _)| format!("{whole}{name}"));
            read.extend(names.filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')));
        }
    }
    let page = page("sendmail.8");
    let items = items(&page, ".It Ev ");
    let explained = items.iter().flat_map(|(line, _)| line[".It Ev ".len()..].split(" , ")).map(str::to_owned);
    same(explained.collect(), read);
}

#[test]
fn mailchute_explains_every_command() {
    let page = page("mailchute.1");
    let explained = items(&page, ".It Cm ").into_iter().map(|(line, _)| line.to_owned());
    let table = COMMANDS.iter().map(|command| format!(".It Cm {}{}", command.name, macros(command.arguments)));
    same(explained.collect(), table.collect());
}

#[test]
fn mailchute_explains_the_options_of_its_commands() {
    let page = page("mailchute.1");
    let option = |line: &str| line[".It Fl -".len()..].split(' ').next().unwrap().to_owned();
    let explained = items(&page, ".It Fl -").into_iter().map(|(line, _)| option(line));
    let with_options = COMMANDS.iter().filter(|command| command.arguments.ends_with("[options]"));
    let table = with_options.flat_map(|command| command.options).map(|(name, _)| name.trim_end_matches('=').to_owned());
    same(explained.collect(), table.collect());
}

/// The arguments of a synopsis as mdoc has them. What is optional is `Op` at the end of the line, which that macro takes
/// whole, else it stands between `Oo` and `Oc`.
fn macros(arguments: &str) -> String {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let word = |(place, word): (usize, &&str)| {
        let inner = word.trim_matches(['[', ']']);
        let (opens, closes) = (word.starts_with('['), word.ends_with(']'));
        let (before, behind) = match (opens, closes) {
            (true, true) if place + 1 == words.len() => (" Op", ""),
            _ => (if opens { " Oo" } else { "" }, if closes { " Oc" } else { "" }),
        };
        match (inner, inner.strip_prefix('-')) {
            ("|" | "...", _) => format!("{before} {inner}{behind}"),
            (_, Some(option)) => format!("{before} Fl {option}{behind}"),
            (_, None) => format!("{before} Ar {inner}{behind}"),
        }
    };
    words.iter().enumerate().map(word).collect()
}

#[test]
fn the_configuration_page_explains_every_key() {
    let page = page("mailchute.toml.5");
    let explained: BTreeSet<String> = items(&page, ".It Ic ")
        .into_iter()
        .map(|(line, _)| line[".It Ic ".len()..].split(' ').next().unwrap().to_owned())
        .collect();
    let keys = KEYS.iter().flat_map(|(_, keys)| keys.iter()).map(|key| (*key).to_owned());
    same(explained, keys.collect());
}

#[test]
fn man_pages_have_no_faults() {
    for entry in fs::read_dir("man").unwrap() {
        let path = entry.unwrap().path();
        let Ok(lint) = Command::new("mandoc").args(["-T", "lint"]).arg(&path).output() else {
            eprintln!("note: mandoc is not installed, man pages are not checked");
            return;
        };
        let text = String::from_utf8_lossy(&lint.stdout).into_owned() + &String::from_utf8_lossy(&lint.stderr);
        // Which pages are installed on this machine says nothing about ours.
        let of_this_machine = ["referenced manual not found", "outdated mandoc.db"];
        let faults: Vec<&str> =
            text.lines().filter(|line| !of_this_machine.iter().any(|other| line.contains(other))).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new("man").join(name)).unwrap()
}

/// The items of lists that begin so, each with its first line of text.
fn items<'a>(page: &'a str, start: &str) -> Vec<(&'a str, &'a str)> {
    let lines: Vec<&str> = page.lines().collect();
    lines.windows(2).filter(|pair| pair[0].starts_with(start)).map(|pair| (pair[0], pair[1])).collect()
}

fn verdict_of(text: &str) -> &'static str {
    match text.split_once(':') {
        Some(("Ignored", _)) => "ignored",
        Some(("Refused", _)) => "refused",
        _ => "honoured",
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

fn same<T: Ord + std::fmt::Debug>(explained: BTreeSet<T>, there: BTreeSet<T>) {
    let missing: Vec<&T> = there.difference(&explained).collect();
    let extra: Vec<&T> = explained.difference(&there).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "not explained: {missing:#?}\nexplained, and not there: {extra:#?}"
    );
}
