//! How a sendmail command line is read: POSIX order (options end at the first operand or `--`), clusters, arguments
//! attached or not. What each option is, the table in `options.rs` says; what its value means stands here.
//!
//! Options end at the first operand so that a recipient from a web form can never become one.

use super::options::{self, Argument, MODES, Meaning, ModeVerdict, OPTIONS, Row, Task, Verdict};
use super::{
    Delivering, DeliveryMode, ErrorMode, Global, Invocation, Selection, UsageError, Verbosity, help, usage, values,
};
use crate::mail::envelope::{Notify, Return};
use crate::mail::message::Dots;
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What a command line is about before its options are read.
#[derive(Clone, Copy)]
pub(super) enum Start {
    /// This, and options may change it.
    At(Task),
    /// This, whatever the options say: `mailq` never sends.
    Only(Task),
}

/// Reads the arguments of a program that speaks sendmail's language.
pub(super) fn parse(program: &str, arguments: &[OsString], start: Start) -> Result<Invocation, UsageError> {
    if let [only] = arguments {
        if only == "--help" {
            return Ok(Invocation::Help(help::sendmail(program)));
        }
        if only == "--version" {
            return Ok(Invocation::Version);
        }
    }
    let mut asked = Asked::new(start);
    let operands = asked.read(arguments)?;
    asked.conclude(operands)
}

/// What has been read so far.
struct Asked {
    task: Task,
    changeable: bool,
    selection: Selection,
    delivering: Delivering,
}

/// The words behind the options, and whether `--` vouches for them.
struct Operands {
    words: Vec<OsString>,
    behind_dashes: bool,
}

impl Asked {
    fn new(start: Start) -> Asked {
        let (task, changeable) = match start {
            Start::At(task) => (task, true),
            Start::Only(task) => (task, false),
        };
        let delivering = Delivering {
            global: Global::default(),
            recipients: Vec::new(),
            from_header: false,
            sender: None,
            full_name: None,
            dots: Dots::End,
            delivery: None,
            errors: ErrorMode::default(),
            notify: None,
            ret: None,
            envid: None,
            keep_bare_names: false,
            no_aliases: false,
            warnings: Vec::new(),
        };
        Asked { task, changeable, selection: Selection::All, delivering }
    }

    fn read(&mut self, arguments: &[OsString]) -> Result<Operands, UsageError> {
        let mut lexer = Parser::from_args(arguments);
        lexer.set_short_equals(false);
        loop {
            if let Some(rest) = lexer.try_raw_args()
                && rest.peek().is_some_and(|word| word == "--")
            {
                return Ok(Operands { words: rest.skip(1).collect(), behind_dashes: true });
            }
            let row = match lexer.next().map_err(usage::lexing)? {
                Some(Arg::Short(letter)) => options::find(letter).ok_or_else(|| UsageError::unknown_letter(letter))?,
                Some(Arg::Long(name)) => long_row(name)?,
                Some(Arg::Value(first)) => {
                    let rest = lexer.raw_args().map_err(usage::lexing)?;
                    return Ok(Operands { words: std::iter::once(first).chain(rest).collect(), behind_dashes: false });
                }
                None => return Ok(Operands { words: Vec::new(), behind_dashes: false }),
            };
            self.option(row, &mut lexer)?;
        }
    }

    fn option(&mut self, row: &Row, lexer: &mut Parser) -> Result<(), UsageError> {
        if let Verdict::Refused(because) = row.verdict {
            return Err(UsageError::RefusedOption { option: format!("-{}", row.letter), because });
        }
        let value = match row.argument {
            Argument::None => OsString::new(),
            Argument::Required(_) => lexer.value().map_err(usage::lexing)?,
            Argument::Attached(_) => lexer.optional_value().unwrap_or_default(),
        };
        match row.verdict {
            Verdict::Honoured(meaning) => self.honour(meaning, value, lexer),
            Verdict::Ignored(_) | Verdict::Refused(_) => Ok(()),
        }
    }

    fn honour(&mut self, meaning: Meaning, value: OsString, lexer: &mut Parser) -> Result<(), UsageError> {
        let text = value.to_string_lossy();
        let asked = &mut self.delivering;
        match meaning {
            Meaning::Account => asked.global.account = Some(text.into_owned()),
            Meaning::Body => self.check_body(&text),
            Meaning::Config => asked.global.config = Some(PathBuf::from(value)),
            Meaning::EnvelopeId => asked.envid = Some(values::envelope_id(&text)?),
            Meaning::ErrorMode => self.error_mode(&text),
            Meaning::FullName => asked.full_name = Some(values::full_name(&value)),
            Meaning::HeaderRecipients => asked.from_header = true,
            Meaning::IgnoreDots => asked.dots = Dots::Keep,
            Meaning::KeepBareNames => asked.keep_bare_names = true,
            Meaning::LongSetting => self.long_setting(&text),
            Meaning::Mode => self.mode(&text)?,
            Meaning::NewAliases => self.turn_to(Task::NewAliases),
            Meaning::NoAliases => asked.no_aliases = true,
            Meaning::Notify => match Notify::parse(&text) {
                Some(notify) => asked.notify = Some(notify),
                None => self.warn(format!("-N {text}: not never, nor success, failure and delay; ignored")),
            },
            Meaning::Queue => {
                let selection = values::selection(&text, lexer)?;
                self.turn_to(Task::Flush);
                self.selection = selection;
            }
            Meaning::Return => match Return::parse(&text) {
                Some(ret) => asked.ret = Some(ret),
                None => self.warn(format!("-R {text}: neither full nor hdrs; ignored")),
            },
            Meaning::Sender => asked.sender = Some(values::address("sender", &value)?),
            Meaning::ShortSetting => self.short_setting(&text),
            Meaning::Verbose => asked.global.verbose = Verbosity::Dialogue,
        }
        Ok(())
    }

    fn turn_to(&mut self, task: Task) {
        if self.changeable {
            self.task = task;
        }
    }

    fn warn(&mut self, text: String) {
        self.delivering.warnings.push(text);
    }

    fn mode(&mut self, value: &str) -> Result<(), UsageError> {
        let known = MODES.iter().find(|mode| value.chars().eq([mode.letter]));
        match known.map(|mode| mode.verdict) {
            Some(ModeVerdict::Honoured(task)) => {
                self.turn_to(task);
                Ok(())
            }
            Some(ModeVerdict::Refused(because)) => Err(UsageError::Mode { value: value.to_owned(), because }),
            None => Err(UsageError::Mode { value: value.to_owned(), because: "unknown" }),
        }
    }

    /// What the body is, the body shows; a wrong word is worth a warning, as it is to Postfix.
    fn check_body(&mut self, value: &str) {
        if !["7bit", "8bitmime", "binarymime"].contains(&value.to_ascii_lowercase().as_str()) {
            self.warn(format!("-B {value}: neither 7BIT nor 8BITMIME; ignored"));
        }
    }

    fn short_setting(&mut self, setting: &str) {
        let mut letters = setting.chars();
        match (letters.next(), letters.as_str()) {
            (Some('i'), value) => self.ignore_dots(value),
            (Some('d'), value) => self.delivery_mode(value),
            (Some('e'), value) => self.error_mode(value),
            _ => {}
        }
    }

    fn long_setting(&mut self, setting: &str) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "ignoredots" => self.ignore_dots(value.trim()),
            "deliverymode" => self.delivery_mode(value.trim()),
            "errormode" => self.error_mode(value.trim()),
            _ => {}
        }
    }

    /// Only a plain "no" is no: a dot taken for the end loses the rest of a message.
    fn ignore_dots(&mut self, value: &str) {
        let no = matches!(value.to_ascii_lowercase().as_str(), "f" | "false" | "n" | "no" | "0");
        self.delivering.dots = if no { Dots::End } else { Dots::Keep };
    }

    fn delivery_mode(&mut self, value: &str) {
        match value.chars().next() {
            Some('i' | 'f') => self.delivering.delivery = Some(DeliveryMode::Foreground),
            Some('b') => self.delivering.delivery = Some(DeliveryMode::Background),
            Some('q' | 'd') => self.delivering.delivery = Some(DeliveryMode::Queue),
            Some(_) => self.warn(format!("delivery mode {value}: not i, f, b, q or d; ignored")),
            None => {}
        }
    }

    fn error_mode(&mut self, value: &str) {
        match value.chars().next() {
            Some('p') => self.delivering.errors = ErrorMode::Print,
            Some('m' | 'w') => self.delivering.errors = ErrorMode::Mail,
            Some('e') => self.delivering.errors = ErrorMode::MailOnly,
            Some('q') => self.delivering.errors = ErrorMode::Quiet,
            Some(_) => self.warn(format!("error mode {value}: not p, m, w, e or q; ignored")),
            None => {}
        }
    }

    fn conclude(self, operands: Operands) -> Result<Invocation, UsageError> {
        match self.task {
            Task::Deliver => Ok(Invocation::Deliver(self.recipients(operands)?)),
            Task::Verify => Ok(Invocation::Verify(self.recipients(operands)?)),
            Task::Smtp => {
                operands.none("-bs")?;
                Ok(Invocation::Smtp(Delivering { from_header: false, ..self.in_its_mode() }))
            }
            Task::Flush => {
                operands.none("-q")?;
                Ok(Invocation::Flush(self.selection, self.delivering.global))
            }
            Task::ListQueue => Ok(Invocation::ListQueue(self.delivering.global)),
            Task::NewAliases => Ok(Invocation::NewAliases(self.delivering.global)),
            Task::Nothing => Ok(Invocation::Nothing),
        }
    }

    fn recipients(self, operands: Operands) -> Result<Delivering, UsageError> {
        if operands.words.is_empty() && !self.delivering.from_header {
            return Err(UsageError::NoRecipients);
        }
        let recipients = operands.addresses()?;
        Ok(Delivering { recipients, ..self.in_its_mode() })
    }

    /// Who asks to watch, waits; unless the message is to stay in the queue.
    fn in_its_mode(self) -> Delivering {
        let delivery = match (self.delivering.global.verbose, self.delivering.delivery) {
            (_, Some(DeliveryMode::Queue)) => Some(DeliveryMode::Queue),
            (Verbosity::Dialogue, _) => Some(DeliveryMode::Foreground),
            (Verbosity::Quiet, delivery) => delivery,
        };
        Delivering { delivery, ..self.delivering }
    }
}

impl Operands {
    fn none(&self, behind: &str) -> Result<(), UsageError> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(UsageError::UnwantedOperand {
                operand: word.to_string_lossy().into_owned(),
                behind: behind.to_owned(),
            }),
        }
    }

    fn addresses(&self) -> Result<Vec<String>, UsageError> {
        self.words
            .iter()
            .map(|word| match word.as_bytes() {
                b"-" => Err(UsageError::LoneDash),
                [b'-', ..] if !self.behind_dashes => Err(UsageError::LateOption(word.to_string_lossy().into_owned())),
                _ => values::address("recipient", word),
            })
            .collect()
    }
}

fn long_row(name: &str) -> Result<&'static Row, UsageError> {
    let alone = ["help", "version"];
    if alone.contains(&name) {
        return Err(UsageError::NotAlone(format!("--{name}")));
    }
    let known = OPTIONS.iter().filter_map(|row| row.long).chain(alone);
    options::find_long(name).ok_or_else(|| UsageError::unknown_words(name, known))
}

#[cfg(test)]
mod tests;
