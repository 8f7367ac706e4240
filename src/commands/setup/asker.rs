//! Questions to a person at a terminal, or the answers that must do when there is none. A line each, in the terminal's
//! own way of editing it; a password is not shown.

use crate::diagnostic::{Explain, printable};
use crate::exit::Exit;
use crate::process;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::fmt;
use std::io::{self, BufRead, IsTerminal, Stdin};
use zeroize::Zeroizing;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Person,
    /// Standard input is no terminal, or holds the password: what was not said is missing.
    Nobody,
}

/// What kept a question from being answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Nobody is there to say it; the option that does.
    Missing(&'static str, &'static str),
    /// The person went away.
    Ended,
    /// What was said cannot be used.
    Unusable(String),
    /// It would overwrite something.
    Declined(String),
}

impl Asker {
    /// Somebody, when standard input is a terminal and is not wanted for something else.
    pub fn new(stdin_is_taken: bool) -> Asker {
        if !stdin_is_taken && io::stdin().is_terminal() { Asker::Person } else { Asker::Nobody }
    }

    /// Tells a person something; nobody is told nothing.
    pub fn say(self, text: &str) {
        if self == Asker::Person {
            process::say(&format!("{}\n", printable(text)));
        }
    }

    /// Asks for a line. Nothing typed is the suggestion; `option` says it in a script.
    pub fn ask(
        self,
        question: &'static str,
        suggestion: Option<&str>,
        option: &'static str,
    ) -> Result<String, Unanswered> {
        if self == Asker::Nobody {
            return suggestion.map(str::to_owned).ok_or(Unanswered::Missing(question, option));
        }
        loop {
            match suggestion {
                Some(suggestion) => process::say(&format!("{question} [{}]: ", printable(suggestion))),
                None => process::say(&format!("{question}: ")),
            }
            let line = read_line()?;
            match (line.trim(), suggestion) {
                ("", Some(suggestion)) => return Ok(suggestion.to_owned()),
                ("", None) => {}
                (line, _) => return Ok(line.to_owned()),
            }
        }
    }

    /// Asks for a password, which is not shown. Its blanks are kept.
    pub fn ask_secret(self, question: &'static str, option: &'static str) -> Result<Zeroizing<String>, Unanswered> {
        if self == Asker::Nobody {
            return Err(Unanswered::Missing(question, option));
        }
        loop {
            let line = {
                // Before the question, so that nobody can answer it too soon.
                let _hidden = Hidden::begin();
                process::say(&format!("{question} (not shown): "));
                read_line()
            };
            process::say("\n");
            let line = line?;
            if !line.is_empty() {
                return Ok(line);
            }
        }
    }

    /// Asks yes or no. Nobody says `unasked`.
    pub fn confirm(self, question: &str, unasked: bool) -> Result<bool, Unanswered> {
        if self == Asker::Nobody {
            return Ok(unasked);
        }
        let choice = if unasked { "Y/n" } else { "y/N" };
        loop {
            process::say(&format!("{} [{choice}]: ", printable(question)));
            match read_line()?.trim().to_lowercase().as_str() {
                "" => return Ok(unasked),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => {}
            }
        }
    }
}

/// The password on standard input: its first line.
pub fn secret_from_stdin() -> Result<Zeroizing<String>, Unanswered> {
    let line = read_line().map_err(|_| Unanswered::Missing("Password", "--password-stdin"))?;
    if line.is_empty() { Err(Unanswered::Unusable("the password on standard input is empty".into())) } else { Ok(line) }
}

/// One line without its end.
fn read_line() -> Result<Zeroizing<String>, Unanswered> {
    // Large enough for any answer: a buffer that grows leaves a copy of a password behind.
    let mut line = Zeroizing::new(String::with_capacity(4096));
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err(Unanswered::Ended),
        Ok(_) => {
            let length = line.trim_end_matches(['\n', '\r']).len();
            line.truncate(length);
            Ok(line)
        }
        Err(error) => Err(Unanswered::Unusable(format!("standard input: {error}"))),
    }
}

/// A terminal that does not show what is typed, until dropped.
struct Hidden {
    terminal: Stdin,
    before: Termios,
}

impl Hidden {
    fn begin() -> Option<Hidden> {
        let terminal = io::stdin();
        let before = tcgetattr(&terminal).ok()?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &hidden).ok()?;
        Some(Hidden { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Missing(question, _) => write!(f, "not said, and nobody to ask: {}", question.to_lowercase()),
            Unanswered::Ended => f.write_str("standard input has ended; nothing was written"),
            Unanswered::Unusable(words) | Unanswered::Declined(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Unanswered {}

impl Explain for Unanswered {
    fn exit(&self) -> Exit {
        match self {
            Unanswered::Missing(..) => Exit::Usage,
            Unanswered::Ended => Exit::NoInput,
            Unanswered::Unusable(_) => Exit::DataErr,
            Unanswered::Declined(_) => Exit::Config,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Unanswered::Missing(_, option) => vec![format!("say it with {option}, or run it at a terminal")],
            Unanswered::Declined(_) => vec!["--replace, or another name with --account".into()],
            Unanswered::Ended | Unanswered::Unusable(_) => Vec::new(),
        }
    }
}
