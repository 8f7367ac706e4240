//! `mailchute import`: accounts that another program has, as ours. Prints or writes them, and says what it could not
//! carry over. The readers are pure; here are the files.

mod dma;
mod git;
mod msmtp;
mod nullmailer;
mod postfix;
mod relay;
mod ssmtp;

use super::Failed;
use super::context::warn;
use super::setup;
use super::setup::asker::Unanswered;
use crate::cli::{Foreign, Global, Import};
use crate::config::editor::Editor;
use crate::config::keeper::Keeper;
use crate::diagnostic;
use crate::exit::Exit;
use crate::process::{self, Process};
use relay::Found;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Reads, converts, checks, then prints or writes.
///
/// # Errors
/// There is no such file, nothing in it is an account, it would overwrite one, or the result cannot be used.
pub fn import(process: &Process, global: &Global, wishes: &Import) -> Result<Exit, Failed> {
    let mut found = find(process, wishes)?;
    if let (Some(name), [only]) = (&global.account, found.accounts.as_mut_slice()) {
        only.0.clone_from(name);
        found.default = None;
    }
    found.settle();
    found.lost.iter().for_each(|lost| warn(lost));
    if found.accounts.is_empty() {
        return Err(Unanswered::Unusable("no account was found".into()).into());
    }
    let ours = Editor::open(&setup::target(process, global)?)?;
    if !wishes.write {
        let mut editor = ours.emptied();
        put(&found, &mut editor);
        process::say(&shown(&editor, &found));
        if let Err(error) = editor.config(process) {
            warn(&format!("not complete: {}", diagnostic::chain(&error)));
        }
        return Ok(Exit::Ok);
    }
    let mut editor = ours;
    for (name, _) in &found.accounts {
        if editor.has_account(name) && !wishes.replace {
            return Err(Unanswered::Declined(format!("there is an account {name} already; nothing was written")).into());
        }
    }
    put(&found, &mut editor);
    let keeper = Keeper::of(process, &editor.config(process)?.spool);
    editor.write(keeper)?;
    let names: Vec<&str> = found.accounts.iter().map(|(name, _)| name.as_str()).collect();
    process::say(&format!("{} in {}\n", names.join(", "), editor.path().display()));
    setup::say_who_keeps(keeper);
    Ok(Exit::Ok)
}

fn put(found: &Found, editor: &mut Editor) {
    for (name, relay) in &found.accounts {
        editor.set_account(name, &relay.entries());
    }
    if let Some(default) = &found.default {
        editor.set_default(default);
    }
    if let Some(domain) = &found.domain {
        editor.set_top("domain", domain);
    }
    for (name, address) in &found.aliases {
        if !editor.has_alias(name) {
            editor.set_alias(name, address);
        }
    }
}

/// The file as text. A terminal is no place for passwords.
fn shown(editor: &Editor, found: &Found) -> String {
    let mut text = editor.text().to_string();
    if io::stdout().is_terminal() {
        for (_, relay) in &found.accounts {
            if let Some(relay::Kept::Password(password)) = &relay.secret {
                text = text.replace(password.as_str(), "****");
            }
        }
    }
    text
}

fn find(process: &Process, wishes: &Import) -> Result<Found, Failed> {
    if wishes.program == Foreign::Git {
        return Ok(git::read(&git_config(wishes.file.as_deref())?));
    }
    let path = match &wishes.file {
        Some(path) => path.clone(),
        None => usual(process, wishes.program)?,
    };
    let text =
        std::fs::read_to_string(&path).map_err(|error| Unanswered::Unusable(format!("{}: {error}", path.display())))?;
    let file = path.display().to_string();
    let home = process.home();
    let named = |name: &str| {
        let whole = match (name.strip_prefix("~/"), &home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => path.parent().unwrap_or(Path::new("/")).join(name),
        };
        std::fs::read_to_string(whole).ok()
    };
    let line = |name: &str| {
        let text = named(name)?;
        text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
    };
    Ok(match wishes.program {
        Foreign::Msmtp => msmtp::read(&text, &file, &named),
        Foreign::Ssmtp => ssmtp::read(&text, &file, named("revaliases").as_deref()),
        Foreign::Nullmailer => nullmailer::read(&text, &file, &line),
        Foreign::Dma => dma::read(&text, &file, &named),
        Foreign::Postfix => postfix::read(&text, &file, &named),
        Foreign::Git => Found::default(),
    })
}

/// Where a program has its file; the first that is there, else the first.
fn usual(process: &Process, program: Foreign) -> Result<PathBuf, Unanswered> {
    let home = |rest: &str| process.home().map(|home| home.join(rest));
    let system = |path: &str| Some(PathBuf::from(path));
    let places = match program {
        Foreign::Msmtp => vec![home(".msmtprc"), home(".config/msmtp/config"), system("/etc/msmtprc")],
        Foreign::Ssmtp => vec![system("/etc/ssmtp/ssmtp.conf")],
        Foreign::Nullmailer => vec![system("/etc/nullmailer/remotes")],
        Foreign::Dma => vec![system("/etc/dma/dma.conf")],
        Foreign::Postfix => vec![system("/etc/postfix/main.cf")],
        Foreign::Git => Vec::new(),
    };
    let places: Vec<PathBuf> = places.into_iter().flatten().collect();
    let there = places.iter().find(|path| path.is_file()).or(places.first());
    there.cloned().ok_or_else(|| Unanswered::Unusable("name the file to read".into()))
}

/// git knows best where its settings are.
fn git_config(file: Option<&Path>) -> Result<String, Unanswered> {
    let mut command = Command::new("git");
    command.args(["config", "--list", "--null"]).stdin(Stdio::null());
    if let Some(file) = file {
        command.arg("--file").arg(file);
    }
    let output = command.output().map_err(|error| Unanswered::Unusable(format!("git: {error}")))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Unanswered::Unusable(format!("git config: {}", words.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One `key = value` of a file.
struct Line {
    key: String,
    value: String,
    /// `file:line`.
    place: String,
}

/// The lines `key = value`; comments begin with `#`.
fn assignments(text: &str, file: &str) -> Vec<Line> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    lines
        .filter_map(|(number, line)| {
            let (key, value) = line.split_once('=')?;
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            Some(Line { key, value, place: format!("{file}:{}", number + 1) })
        })
        .collect()
}

#[cfg(test)]
mod tests;
