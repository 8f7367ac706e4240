//! The command line: what the caller asked, as one value. Which name we were called by decides which language it is
//! read in: sendmail's options, or our own commands. Nothing here is looked up, opened or sent.
//!
//! ```text
//! argv -> by name: sendmail, mailq, newaliases ... -> options (table) + sendmail -> Invocation
//!                  mailchute                       -> own (table) + mailchute    -> Invocation
//! ```

mod age;
mod help;
mod mailchute;
pub mod options;
pub mod own;
mod sendmail;
mod usage;
mod values;

pub use own::{
    DeadCommand, Foreign, Health, Import, Listing, Login, Own, PasswordFrom, QueueCommand, Removal, Role, Setup,
    Waiting,
};
pub use usage::UsageError;

use crate::mail::envelope::{Notify, Return};
use crate::mail::message::Dots;
use options::Task;
use std::ffi::OsString;
use std::path::PathBuf;

/// What the caller asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Send the message on standard input.
    Deliver(Delivering),
    /// `-bs`: speak SMTP on standard input and output. Has no recipients and never takes them from the header.
    Smtp(Delivering),
    /// `-bv`: say what would be done for each recipient.
    Verify(Delivering),
    /// `mailq`, `-bp`.
    ListQueue(Global),
    /// `newaliases`, `-bi`, `-I`.
    NewAliases(Global),
    /// `-q`: try these entries now.
    Flush(Selection, Global),
    /// `-bh`, `-bH`, hoststat, purgestat: end with success, in silence.
    Nothing,
    /// One of mailchute's own commands.
    Own(Own, Global),
    /// This text is to be written to standard output.
    Help(String),
    /// Name and version are to be written to standard output.
    Version,
}

/// What every mode that reads a configuration is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Global {
    /// `-C`, `--config`: this file and no other.
    pub config: Option<PathBuf>,
    /// `-a`, `--account`.
    pub account: Option<String>,
    /// `-v`.
    pub verbose: Verbosity,
}

/// Whether the caller wants to watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Success, and waiting for the network, say nothing.
    #[default]
    Quiet,
    /// `-v`: the dialogue goes to standard output.
    Dialogue,
}

/// How a message is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivering {
    pub global: Global,
    /// The operands as typed: UTF-8 without control characters, not yet parsed; one may hold a list.
    pub recipients: Vec<String>,
    /// `-t`: recipients also come from the header.
    pub from_header: bool,
    /// `-f`, `-r` as typed: UTF-8 without control characters, not yet parsed, empty for the null reverse-path.
    pub sender: Option<String>,
    /// `-F`, control characters replaced by blanks; empty when the caller wants no name at all.
    pub full_name: Option<String>,
    /// `-i`.
    pub dots: Dots,
    /// `-od`; `None` leaves it to the configuration.
    pub delivery: Option<DeliveryMode>,
    /// `-oe`.
    pub errors: ErrorMode,
    /// `-N`, for every recipient.
    pub notify: Option<Notify>,
    /// `-R`.
    pub ret: Option<Return>,
    /// `-V`, not yet xtext: printable ASCII, not empty.
    pub envid: Option<String>,
    /// `-G`: bare names in header fields stay as they are.
    pub keep_bare_names: bool,
    /// `-n`: aliases are not looked up.
    pub no_aliases: bool,
    /// What was understood differently than it was written, one sentence each, without prefix.
    pub warnings: Vec<String>,
}

/// When the message is submitted; it is in the spool before in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// `-odi`, `-odf`, `-v`: while the caller waits.
    Foreground,
    /// `-odb`: by a detached child.
    Background,
    /// `-odq`, `-odd`: by the next queue run.
    Queue,
}

/// How a failure that the caller can still be told is told. One that is found later is always told by a bounce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorMode {
    /// `-oep`: text on standard error and an exit status.
    #[default]
    Print,
    /// `-oem`, `-oew`: as `Print`; callers that ask for mail still look at the status.
    Mail,
    /// `-oee`: as `Mail`, but the status is 0 when a bounce is in the queue.
    MailOnly,
    /// `-oeq`: the exit status and no text.
    Quiet,
}

/// Which entries of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    All,
    /// `-qI`: this queue id.
    Id(String),
    /// `-qR`: some recipient's address contains this text, in any case.
    Recipient(String),
    /// `-qS`: the reverse-path contains this text, in any case.
    Sender(String),
}

/// Reads a command line. `program` is the last part of argv[0] without a leading dash, `arguments` what stands behind
/// it.
///
/// # Errors
/// [`UsageError`], most with EX_USAGE; bytes that no address can hold with EX_DATAERR.
pub fn parse(program: &str, arguments: &[OsString]) -> Result<Invocation, UsageError> {
    match program {
        "sendmail" | "send-mail" => sendmail::parse(program, arguments, sendmail::Start::At(Task::Deliver)),
        "mailq" => sendmail::parse(program, arguments, sendmail::Start::Only(Task::ListQueue)),
        "newaliases" => sendmail::parse(program, arguments, sendmail::Start::Only(Task::NewAliases)),
        "runq" => sendmail::parse(program, arguments, sendmail::Start::At(Task::Flush)),
        "hoststat" | "purgestat" => Ok(Invocation::Nothing),
        "smtpd" => Err(UsageError::Daemon(program.to_owned())),
        _ => mailchute::parse(arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Explain;
    use crate::exit::Exit;

    fn asked(program: &str, line: &str) -> Result<Invocation, UsageError> {
        let arguments: Vec<OsString> = line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect();
        parse(program, &arguments)
    }

    #[test]
    fn the_name_decides_what_is_asked() {
        let global = Global::default();
        let cases = [
            ("mailq", "", Invocation::ListQueue(global.clone())),
            ("mailq", "-Ac", Invocation::ListQueue(global.clone())),
            ("mailq", "-q -bm bob@example.org", Invocation::ListQueue(global.clone())),
            ("newaliases", "", Invocation::NewAliases(global.clone())),
            ("runq", "", Invocation::Flush(Selection::All, global.clone())),
            ("runq", "-qIabc", Invocation::Flush(Selection::Id("abc".into()), global.clone())),
            ("hoststat", "-v", Invocation::Nothing),
            ("purgestat", "", Invocation::Nothing),
            ("send-mail", "-bp", Invocation::ListQueue(global.clone())),
            ("sendmail", "--version", Invocation::Version),
            ("mailchute", "--version", Invocation::Version),
            ("mailchute", "-bp", Invocation::ListQueue(global)),
        ];
        for (program, line, expected) in cases {
            assert_eq!(asked(program, line), Ok(expected), "{program} {line}");
        }
    }

    #[test]
    fn nobody_starts_a_daemon_by_name() {
        assert_eq!(asked("smtpd", "").unwrap_err().exit(), Exit::Usage);
    }
}
