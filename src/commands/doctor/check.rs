//! One thing looked at: what it is, how it stands, why, and what to do. A value; nothing here looks at anything.

use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::mail::outcome::Failure;
use std::fmt;

/// One line of the report, and the lines that explain it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub group: Group,
    /// What was looked at; empty when the group says it.
    pub subject: String,
    pub mark: Mark,
    pub found: String,
    pub cause: Option<String>,
    /// What to do, the most promising first.
    pub fixes: Vec<String>,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Good,
    /// Mail goes, but a person should know.
    Warning,
    /// Mail does not go; the status says whose fault it is.
    Bad(Exit),
}

/// What a check belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Config,
    File,
    Clock,
    Spool,
    Sandbox,
    Spooler,
    Program,
    Dns,
    Port,
    Login,
    Sender,
    Alias,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Config => "config",
            Group::File => "file",
            Group::Clock => "clock",
            Group::Spool => "spool",
            Group::Sandbox => "sandbox",
            Group::Spooler => "spooler",
            Group::Program => "program",
            Group::Dns => "DNS",
            Group::Port => "port",
            Group::Login => "login",
            Group::Sender => "sender",
            Group::Alias => "alias",
        })
    }
}

impl Check {
    /// Something that is as it should be.
    pub fn good(group: Group, subject: impl Into<String>, found: impl Into<String>) -> Check {
        let (subject, found) = (subject.into(), found.into());
        Check { group, subject, mark: Mark::Good, found, cause: None, fixes: Vec::new() }
    }

    pub fn warning(group: Group, subject: impl Into<String>, found: impl Into<String>) -> Check {
        Check { mark: Mark::Warning, ..Check::good(group, subject, found) }
    }

    pub fn bad(group: Group, subject: impl Into<String>, found: impl Into<String>, exit: Exit) -> Check {
        Check { mark: Mark::Bad(exit), ..Check::good(group, subject, found) }
    }

    /// Any room's error.
    pub fn of(group: Group, error: &dyn Explain) -> Check {
        let check = Check::bad(group, "", error.to_string(), error.exit());
        error.hints().into_iter().fold(check, Check::fix)
    }

    /// A failure on the way to a relay.
    pub fn failed(group: Group, subject: impl Into<String>, failure: &Failure, exit: Exit) -> Check {
        let found = match &failure.reply {
            Some(reply) => format!("the relay said {reply}"),
            None => failure.cause.clone(),
        };
        failure.hint.clone().into_iter().fold(Check::bad(group, subject, found, exit), Check::fix)
    }

    pub fn because(self, cause: impl Into<String>) -> Check {
        Check { cause: Some(cause.into()), ..self }
    }

    pub fn fix(mut self, what: impl Into<String>) -> Check {
        self.fixes.push(what.into());
        self
    }

    /// The same as something that does not keep mail from going.
    pub fn mild(self) -> Check {
        if self.is_bad() { self.warned() } else { self }
    }

    /// The same as a warning.
    pub fn warned(self) -> Check {
        Check { mark: Mark::Warning, ..self }
    }

    /// The same as something that is as it should be.
    pub fn praised(self) -> Check {
        Check { mark: Mark::Good, fixes: Vec::new(), ..self }
    }

    pub fn is_bad(&self) -> bool {
        matches!(self.mark, Mark::Bad(_))
    }
}

/// The status of the first thing that keeps mail from going: what is nearer comes first, and what is wrong there makes
/// the rest fail.
pub fn worst<'a>(checks: impl Iterator<Item = &'a Check>) -> Exit {
    let exits = checks.filter_map(|check| match check.mark {
        Mark::Bad(exit) => Some(exit),
        Mark::Good | Mark::Warning => None,
    });
    exits.into_iter().next().unwrap_or(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_do_not_count_and_the_first_fault_decides() {
        let good = Check::good(Group::Clock, "", "");
        let warning = Check::warning(Group::Spool, "", "");
        let login = Check::bad(Group::Login, "", "", Exit::Config);
        let port = Check::bad(Group::Port, "", "", Exit::Unavailable);
        assert_eq!(worst([&good, &warning].into_iter()), Exit::Ok);
        assert_eq!(worst([&warning, &port, &login].into_iter()), Exit::Unavailable);
        assert_eq!(worst([&port.clone().mild(), &login].into_iter()), Exit::Config);
    }
}
