//! How a sendmail command line is read: POSIX order (options end at the first operand or `--`), clusters, arguments
//! attached or not. What each option is, the table in `options.rs` says; what its value means stands here.
//!
//! Options end at the first operand so that a recipient from a web form can never become one.

use super::options::{self, Argument, MODES, Meaning, ModeVerdict, OPTIONS, Row, Task, Verdict};
use super::{
    Delivering, DeliveryMode, ErrorMode, Global, Invocation, Selection, UsageError, Verbosity, age, help, usage,
};
use crate::mail::envelope::{Notify, Return};
use crate::mail::message::Dots;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};
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
            Meaning::EnvelopeId => asked.envid = Some(envelope_id(&text)?),
            Meaning::ErrorMode => self.error_mode(&text),
            Meaning::FullName => asked.full_name = Some(full_name(&value)),
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
                let selection = selection(&text, lexer)?;
                self.turn_to(Task::Flush);
                self.selection = selection;
            }
            Meaning::Return => match Return::parse(&text) {
                Some(ret) => asked.ret = Some(ret),
                None => self.warn(format!("-R {text}: neither full nor hdrs; ignored")),
            },
            Meaning::Sender => asked.sender = Some(address("sender", &value)?),
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
                _ => address("recipient", word),
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

/// An address as typed: any text without control characters. One with a line feed could otherwise become a command
/// to the relay or a header field.
fn address(what: &'static str, value: &OsStr) -> Result<String, UsageError> {
    let shown = || value.to_string_lossy().into_owned();
    if value.as_bytes().iter().any(u8::is_ascii_control) {
        return Err(UsageError::Control { what, text: shown() });
    }
    value.to_str().map(str::to_owned).ok_or_else(|| UsageError::NotUtf8 { what, text: shown() })
}

/// A name in UTF-8, else taken for Latin-1, with blanks for control characters.
fn full_name(value: &OsStr) -> String {
    let text = match value.to_str() {
        Some(text) => text.to_owned(),
        None => value.as_bytes().iter().map(|&byte| char::from(byte)).collect(),
    };
    text.replace(char::is_control, " ")
}

/// The longest ENVID, in octets as xtext writes them (RFC 3461 section 4.4).
const LONGEST_ENVID: usize = 100;

fn envelope_id(value: &str) -> Result<String, UsageError> {
    let printable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let as_xtext: usize = value.bytes().map(|byte| if matches!(byte, b'+' | b'=' | b' ') { 3 } else { 1 }).sum();
    if printable && !value.is_empty() && as_xtext <= LONGEST_ENVID {
        return Ok(value.to_owned());
    }
    let expected = "printable ASCII of 1 to 100 octets";
    Err(UsageError::BadArgument { option: "-V".into(), value: value.to_owned(), expected })
}

/// What `-q` chooses. An interval asks for a daemon that we are not: the queue is tried once.
fn selection(value: &str, lexer: &mut Parser) -> Result<Selection, UsageError> {
    let mut letters = value.chars();
    match (letters.next(), letters.as_str()) {
        (None, _) => {
            if let Some(mut rest) = lexer.try_raw_args()
                && rest.peek().and_then(OsStr::to_str).is_some_and(is_interval)
            {
                rest.next();
            }
            Ok(Selection::All)
        }
        (Some('I'), text) => Ok(Selection::Id(chosen(text, lexer)?)),
        (Some('R'), text) => Ok(Selection::Recipient(chosen(text, lexer)?)),
        (Some('S'), text) => Ok(Selection::Sender(chosen(text, lexer)?)),
        (Some('f'), "") => Ok(Selection::All),
        (Some('p'), interval) if interval.is_empty() || is_interval(interval) => Ok(Selection::All),
        _ if is_interval(value) => Ok(Selection::All),
        _ => Err(UsageError::BadArgument {
            option: "-q".into(),
            value: value.to_owned(),
            expected: "an interval, or one of I, R and S with a text",
        }),
    }
}

fn chosen(attached: &str, lexer: &mut Parser) -> Result<String, UsageError> {
    match attached {
        "" => Ok(lexer.value().map_err(usage::lexing)?.to_string_lossy().into_owned()),
        attached => Ok(attached.to_owned()),
    }
}

/// Numbers, each with a unit, or one without: `30m`, `1h30m`, `15`.
fn is_interval(text: &str) -> bool {
    age::parse(text).is_some() || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Explain, render};
    use crate::exit::Exit;
    use std::os::unix::ffi::OsStringExt;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(|word| OsString::from(if word == "''" { "" } else { word })).collect()
    }

    fn asked(line: &str) -> Result<Invocation, UsageError> {
        parse("sendmail", &words(line), Start::At(Task::Deliver))
    }

    fn delivering(line: &str) -> Delivering {
        match asked(line) {
            Ok(Invocation::Deliver(delivering)) => delivering,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn plain(recipients: &[&str]) -> Delivering {
        let recipients = recipients.iter().map(|&text| text.to_owned()).collect();
        Delivering { recipients, ..Asked::new(Start::At(Task::Deliver)).delivering }
    }

    #[test]
    fn what_is_accepted_and_ignored_changes_nothing() {
        let ignored = "-h5 -h_5 -h_x -h_99 -B8BITMIME -B_7BIT -B_8bitmime -Bbinarymime -d0.1 -d -X_/tmp/xlog -XV -L_tag \
                       -Ltag -O_NoSuchOption=1 -p_esmtp:host -pUUCP -m -om -U -Ac -Am -A_x -oQ/tmp/q -o7 -o8 -oo -os \
                       -ov -oA/etc/aliases -oL9 -oT3d -oMrlocal -oX9 -or5m -x -c -bm -b_m -O_TimeOut.queuereturn=5d";
        for option in ignored.split_whitespace() {
            let line = format!("{} bob@example.org", option.replace('_', " "));
            assert_eq!(delivering(&line), plain(&["bob@example.org"]), "{line}");
        }
    }

    #[test]
    fn what_is_honoured_is_read_in_every_form() {
        let base = || plain(&["b@x"]);
        let sender = |text: &str| Delivering { sender: Some(text.into()), ..base() };
        let dots = || Delivering { dots: Dots::Keep, ..base() };
        let header = || Delivering { from_header: true, ..base() };
        let errors = |errors| Delivering { errors, ..base() };
        let mode = |mode| Delivering { delivery: Some(mode), ..base() };
        let cases = [
            (
                vec![
                    "-i",
                    "-oi",
                    "-o i",
                    "-oitrue",
                    "-O IgnoreDots",
                    "-OIgnoreDots=True",
                    "-O ignoredots=y",
                    "-oif -i",
                ],
                dots(),
            ),
            (vec!["-oifalse", "-i -oin", "-i -OIgnoreDots=false"], base()),
            (
                vec!["-ti", "-it", "-toi", "-t -i -oi", "-t -t -i", "-toitrue"],
                Delivering { dots: Dots::Keep, ..header() },
            ),
            (vec!["-f s@x", "-fs@x", "-r s@x", "-rs@x", "-f a@x -f s@x", "-f a@x -r s@x"], sender("s@x")),
            (vec!["-f ''", "-r ''"], sender("")),
            (vec!["-f<>", "-f <>"], sender("<>")),
            (vec!["-f=s@x"], sender("=s@x")),
            (vec!["-f -t"], sender("-t")),
            (vec!["-tf s@x"], Delivering { sender: Some("s@x".into()), ..header() }),
            (vec!["-FCronDaemon", "-F CronDaemon"], Delivering { full_name: Some("CronDaemon".into()), ..base() }),
            (vec!["-F ''"], Delivering { full_name: Some(String::new()), ..base() }),
            (vec!["-oem", "-em", "-e m", "-ew", "-oew", "-O ErrorMode=m", "-OErrorMode=mail"], errors(ErrorMode::Mail)),
            (vec!["-oee", "-ee"], errors(ErrorMode::MailOnly)),
            (vec!["-oeq", "-eq", "-o eq"], errors(ErrorMode::Quiet)),
            (vec!["-oep", "-ep", "-oeq -oep", "-oe"], base()),
            (vec!["-odi", "-odf", "-O DeliveryMode=i", "-ODeliveryMode=interactive"], mode(DeliveryMode::Foreground)),
            (vec!["-odb", "-ODeliveryMode=b", "-ODeliveryMode=background"], mode(DeliveryMode::Background)),
            (vec!["-odq", "-odd", "-O DeliveryMode=q"], mode(DeliveryMode::Queue)),
            (vec!["-G"], Delivering { keep_bare_names: true, ..base() }),
            (vec!["-n"], Delivering { no_aliases: true, ..base() }),
            (vec!["-N never", "-Nnever", "-N NEVER"], Delivering { notify: Some(Notify::NEVER), ..base() }),
            (
                vec!["-N success,delay", "-NDelay,Success"],
                Delivering { notify: Some(Notify { success: true, failure: false, delay: true }), ..base() },
            ),
            (vec!["-R full", "-RFULL"], Delivering { ret: Some(Return::Full), ..base() }),
            (vec!["-R hdrs", "-Rhdrs"], Delivering { ret: Some(Return::Headers), ..base() }),
            (vec!["-V env-id-1", "-Venv-id-1"], Delivering { envid: Some("env-id-1".into()), ..base() }),
            (vec!["-V+="], Delivering { envid: Some("+=".into()), ..base() }),
        ];
        for (lines, expected) in cases {
            for line in lines {
                assert_eq!(delivering(&format!("{line} b@x")), expected, "{line}");
            }
        }
    }

    #[test]
    fn account_and_config_are_read_in_every_form() {
        let global = Global { config: Some("/x".into()), account: Some("work".into()), verbose: Verbosity::Quiet };
        for line in ["-a work -C /x", "-awork -C/x", "--account work --config /x", "--account=work --config=/x"] {
            assert_eq!(delivering(&format!("{line} b@x")).global, global, "{line}");
            assert_eq!(asked(&format!("{line} -bp")), Ok(Invocation::ListQueue(global.clone())), "{line}");
        }
    }

    #[test]
    fn options_end_at_the_first_operand_or_at_two_dashes() {
        assert_eq!(delivering("-i -- -dash@example.org b@x").recipients, ["-dash@example.org", "b@x"]);
        assert_eq!(delivering("-t --").recipients, [""; 0]);
        assert_eq!(delivering("-d 1 b@x").recipients, ["1", "b@x"]);
        assert_eq!(delivering("-oMa 1.2.3.4 b@x").recipients, ["1.2.3.4", "b@x"]);
        assert_eq!(delivering("-- -- b@x").recipients, ["--", "b@x"]);
        for line in ["b@x -i", "b@x -X/tmp/x", "b@x --", "b@x -- -i"] {
            let error = asked(line).unwrap_err();
            assert!(matches!(error, UsageError::LateOption(_)), "{line}: {error:?}");
        }
        assert_eq!(asked("-i -"), Err(UsageError::LoneDash));
        assert_eq!(asked("-- -"), Err(UsageError::LoneDash));
    }

    #[test]
    fn a_line_that_cannot_be_meant_sends_nothing() {
        let cases = [
            "-Z b@x",
            "-1 b@x",
            "-z b@x",
            "-W b@x",
            "-s subject b@x",
            "-S b@x",
            "-T b@x",
            "-Qfoo b@x",
            "-Mxfoo b@x",
            "-E b@x",
            "-J b@x",
            "-P b@x",
            "-D /tmp/dlog b@x",
            "-ti -f",
            "-N",
            "-V",
            "-o",
            "--account",
            "--frob b@x",
            "-bt b@x",
            "-bd",
            "-bD",
            "-bl",
            "-bd -q30m",
            "-ba",
            "-bP",
            "-bC",
            "-bz b@x",
            "-bx b@x",
            "-bmm b@x",
            "-b",
            "-bs b@x",
            "-q b@x",
            "-q15x b@x",
            "-qx",
            "-qGa",
            "-qQ",
            "-qL",
            "-q!Ia",
            "-qI",
            "-Va\u{1}b b@x",
            "-Vé b@x",
            "-V '' b@x",
            "--help b@x",
            "-t --version",
            "-i",
            "-bv",
            "--",
            "-q 15m b@x",
            "-q 15q",
        ];
        for line in cases {
            let error = asked(line).expect_err(line);
            assert_eq!(error.exit(), Exit::Usage, "{line}: {error}");
            assert!(render(&error).starts_with("mailchute: "), "{line}");
        }
        let long = "x".repeat(101);
        assert!(asked(&format!("-V {long} b@x")).is_err());
    }

    #[test]
    fn modes_are_what_they_say() {
        let global = Global::default();
        let watching = Global { verbose: Verbosity::Dialogue, ..Global::default() };
        let flush = |selection| Invocation::Flush(selection, Global::default());
        let cases = [
            ("-bp", Invocation::ListQueue(global.clone())),
            ("-bp b@x", Invocation::ListQueue(global.clone())),
            ("-v -bp", Invocation::ListQueue(watching.clone())),
            ("-bi", Invocation::NewAliases(global.clone())),
            ("-I", Invocation::NewAliases(global)),
            ("-bh", Invocation::Nothing),
            ("-bH", Invocation::Nothing),
            ("-q", flush(Selection::All)),
            ("-q30m", flush(Selection::All)),
            ("-q1h30m", flush(Selection::All)),
            ("-q15", flush(Selection::All)),
            ("-qp30m", flush(Selection::All)),
            ("-qf", flush(Selection::All)),
            ("-q 15m", flush(Selection::All)),
            ("-q 15m -v", Invocation::Flush(Selection::All, watching.clone())),
            ("-vq", Invocation::Flush(Selection::All, watching)),
            ("-qIabc", flush(Selection::Id("abc".into()))),
            ("-qI abc", flush(Selection::Id("abc".into()))),
            ("-qRexample.org", flush(Selection::Recipient("example.org".into()))),
            ("-qS me", flush(Selection::Sender("me".into()))),
            ("-bm -q", flush(Selection::All)),
        ];
        for (line, expected) in cases {
            assert_eq!(asked(line), Ok(expected), "{line}");
        }
        let Ok(Invocation::Smtp(smtp)) = asked("-bs -t -odb -oem") else { panic!() };
        let expected = Delivering { delivery: Some(DeliveryMode::Background), errors: ErrorMode::Mail, ..plain(&[]) };
        assert_eq!(smtp, expected);
        assert_eq!(asked("-bv b@x"), Ok(Invocation::Verify(plain(&["b@x"]))));
        assert!(matches!(asked("--help"), Ok(Invocation::Help(_))));
    }

    #[test]
    fn who_watches_waits_unless_the_message_is_to_stay() {
        let cases = [
            ("-v", Some(DeliveryMode::Foreground)),
            ("-v -odb", Some(DeliveryMode::Foreground)),
            ("-odq -v", Some(DeliveryMode::Queue)),
            ("-odb", Some(DeliveryMode::Background)),
            ("-i", None),
        ];
        for (line, expected) in cases {
            assert_eq!(delivering(&format!("{line} b@x")).delivery, expected, "{line}");
        }
    }

    #[test]
    fn what_means_nothing_is_warned_of_and_ignored() {
        let cases = [
            ("-B bogus", "-B bogus: neither 7BIT nor 8BITMIME; ignored"),
            ("-N bogus", "-N bogus: not never, nor success, failure and delay; ignored"),
            ("-N never,success", "-N never,success: not never, nor success, failure and delay; ignored"),
            ("-R bogus", "-R bogus: neither full nor hdrs; ignored"),
            ("-ex", "error mode x: not p, m, w, e or q; ignored"),
            ("-odx", "delivery mode x: not i, f, b, q or d; ignored"),
        ];
        for (line, warning) in cases {
            let expected = Delivering { warnings: vec![warning.to_owned()], ..plain(&["b@x"]) };
            assert_eq!(delivering(&format!("{line} b@x")), expected, "{line}");
        }
    }

    #[test]
    fn no_control_byte_passes_in_an_address_and_none_stays_in_a_name() {
        for byte in (0..32).chain([127]) {
            let odd = OsString::from_vec(vec![b'a', byte, b'@', b'x']);
            for arguments in [vec![odd.clone()], vec!["-f".into(), odd.clone(), "b@x".into()]] {
                let error = parse("sendmail", &arguments, Start::At(Task::Deliver)).unwrap_err();
                assert_eq!(error.exit(), Exit::DataErr, "{byte:#x}");
            }
            let Ok(Invocation::Deliver(asked)) =
                parse("sendmail", &["-F".into(), odd, "b@x".into()], Start::At(Task::Deliver))
            else {
                panic!("{byte:#x}")
            };
            assert_eq!(asked.full_name.as_deref(), Some("a @x"));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_address_and_a_latin_name() {
        let latin = || OsString::from_vec(b"J\xf6rg".to_vec());
        for arguments in [vec![latin()], vec!["-f".into(), latin(), "b@x".into()]] {
            let error = parse("sendmail", &arguments, Start::At(Task::Deliver)).unwrap_err();
            assert_eq!(error.exit(), Exit::DataErr);
        }
        assert_eq!(full_name(&latin()), "Jörg");
        assert_eq!(full_name(OsStr::new("Jörg")), "Jörg");
    }

    #[test]
    fn a_subject_option_is_answered_with_the_program_that_has_it() {
        let text = render(&asked("-s hello b@x").unwrap_err());
        assert_eq!(text, "mailchute: option -s: there is no -s; use mail(1) to give a subject\n");
    }
}
