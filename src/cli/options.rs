//! Which options? This table: a row for every option letter that any sendmail has had, what it takes, and whether it
//! is honoured, ignored or refused. The parser, `--help` and the man page's test read it; how values are understood is
//! in `sendmail.rs`.

/// One option.
pub struct Row {
    pub letter: char,
    /// The same option in words, without its dashes.
    pub long: Option<&'static str>,
    pub argument: Argument,
    pub verdict: Verdict,
    /// One line for `--help`: what it does, or would do.
    pub help: &'static str,
}

/// What an option takes, with the name that help and man page give to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    None,
    /// Attached (`-fjoe`) or the next word (`-f joe`), whatever that word looks like.
    Required(&'static str),
    /// Attached or left out, never the next word.
    Attached(&'static str),
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Honoured(Meaning),
    Ignored(&'static str),
    Refused(&'static str),
}

/// What an honoured option asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Account,
    Body,
    Config,
    EnvelopeId,
    ErrorMode,
    FullName,
    HeaderRecipients,
    IgnoreDots,
    KeepBareNames,
    LongSetting,
    Mode,
    NewAliases,
    NoAliases,
    Notify,
    Queue,
    Return,
    Sender,
    ShortSetting,
    Verbose,
}

/// One value of `-b`.
pub struct Mode {
    pub letter: char,
    pub verdict: ModeVerdict,
    pub help: &'static str,
}

/// What becomes of a value of `-b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeVerdict {
    Honoured(Task),
    Refused(&'static str),
}

/// What a sendmail command line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Deliver,
    Smtp,
    Verify,
    ListQueue,
    NewAliases,
    Flush,
    Nothing,
}

/// The row of a letter.
pub fn find(letter: char) -> Option<&'static Row> {
    OPTIONS.iter().find(|row| row.letter == letter)
}

/// The row of an option in words.
pub fn find_long(name: &str) -> Option<&'static Row> {
    OPTIONS.iter().find(|row| row.long == Some(name))
}

const fn row(letter: char, argument: Argument, verdict: Verdict, help: &'static str) -> Row {
    Row { letter, long: None, argument, verdict, help }
}

use Argument::{Attached, None as Bare, Required};
use Meaning as M;
use Verdict::{Honoured, Ignored, Refused};

/// Every option letter, in the order of sendmail(8): upper case before lower case of the same letter.
#[rustfmt::skip]
pub const OPTIONS: &[Row] = &[
    row('A', Required("c|m"), Ignored("there is one configuration"), "use the submission (c) or the daemon (m) configuration"),
    Row { letter: 'a', long: Some("account"), argument: Required("name"), verdict: Honoured(M::Account), help: "submit through this account" },
    row('B', Required("type"), Honoured(M::Body), "body type, 7BIT or 8BITMIME; the body itself decides"),
    row('b', Required("mode"), Honoured(M::Mode), "mode of operation, see below"),
    Row { letter: 'C', long: Some("config"), argument: Required("file"), verdict: Honoured(M::Config), help: "read this configuration file and no other" },
    row('c', Bare, Ignored("there is one relay for an account, and nothing is expensive"), "hold mail for expensive mailers"),
    row('D', Required("file"), Refused("would write to a file; use -v"), "write debugging output to a file"),
    row('d', Attached("level"), Ignored("use -v, or mailchute doctor"), "debug"),
    row('E', Bare, Refused("means nothing outside Sony's sendmail and Exim"), "Sony NEWS, or internal to Exim"),
    row('e', Required("mode"), Honoured(M::ErrorMode), "how errors are told: p, m, w, e or q; the same as -oe"),
    row('F', Required("name"), Honoured(M::FullName), "full name for a From field that has to be made"),
    row('f', Required("address"), Honoured(M::Sender), "reverse-path: where bounces go; the last one counts"),
    row('G', Bare, Honoured(M::KeepBareNames), "relayed mail: leave bare names in header fields as they are"),
    row('h', Required("hops"), Ignored("the relay counts Received fields"), "hop count"),
    row('I', Bare, Honoured(M::NewAliases), "the same as -bi"),
    row('i', Bare, Honoured(M::IgnoreDots), "a line with a single dot does not end the message"),
    row('J', Attached("level"), Refused("means nothing outside Sony's sendmail and OpenSMTPD"), "Sony NEWS"),
    row('L', Required("tag"), Ignored("log lines carry mailchute's own name"), "tag for log lines"),
    row('M', Required("macro"), Refused("there are no macros, and mailchute queue retry forces an entry"), "define a macro"),
    row('m', Bare, Ignored("the sender is never taken out of a list"), "send to the sender too"),
    row('N', Required("conditions"), Honoured(M::Notify), "delivery status notification: never, or success,failure,delay"),
    row('n', Bare, Honoured(M::NoAliases), "do not look up aliases"),
    row('O', Required("name=value"), Honoured(M::LongSetting), "IgnoreDots, DeliveryMode or ErrorMode; others are ignored"),
    row('o', Required("setting"), Honoured(M::ShortSetting), "i, d or e with its value; others are ignored"),
    row('P', Bare, Refused("would send nothing and say it had"), "pretend"),
    row('p', Required("protocol"), Ignored("no Received field is added"), "protocol and host the message came by"),
    row('Q', Attached("reason"), Refused("there is no quarantine; use mailchute queue hold"), "quarantine"),
    row('q', Attached("what"), Honoured(M::Queue), "try the queue now; with I, R or S and a text, by id, recipient, sender"),
    row('R', Required("full|hdrs"), Honoured(M::Return), "how much of the message a bounce carries"),
    row('r', Required("address"), Honoured(M::Sender), "the same as -f"),
    row('S', Bare, Refused("means nothing outside Exim and OpenSMTPD"), "queue operation of Exim"),
    row('s', Bare, Refused("there is no -s; use mail(1) to give a subject"), "keep a leading From_ line"),
    row('T', Required("time"), Refused("means nothing outside OSF; expire in the configuration limits the time in the queue"), "timeout of the queue"),
    row('t', Bare, Honoured(M::HeaderRecipients), "take recipients from To, Cc and Bcc"),
    row('U', Bare, Ignored("SMTPUTF8 is used when an address needs it"), "initial submission, or SMTPUTF8"),
    row('V', Required("id"), Honoured(M::EnvelopeId), "envelope id for delivery status notifications"),
    row('v', Bare, Honoured(M::Verbose), "show the dialogue, submit in the foreground"),
    row('W', Required("limit"), Refused("means nothing to sendmail"), "limit"),
    row('X', Required("file"), Ignored("the file is never opened, whatever the caller was talked into"), "log all traffic to a file"),
    row('x', Bare, Ignored("means nothing outside AIX"), "national language support of AIX"),
    row('z', Bare, Refused("means nothing to sendmail"), "compress"),
];

const fn mode(letter: char, verdict: ModeVerdict, help: &'static str) -> Mode {
    Mode { letter, verdict, help }
}

use ModeVerdict as V;

/// Every value of `-b`. What is not here is refused: an unknown mode must never fall through to sending.
#[rustfmt::skip]
pub const MODES: &[Mode] = &[
    mode('m', V::Honoured(Task::Deliver), "send the message on standard input (the default)"),
    mode('s', V::Honoured(Task::Smtp), "speak SMTP on standard input and output"),
    mode('p', V::Honoured(Task::ListQueue), "list the queue, as mailq does"),
    mode('v', V::Honoured(Task::Verify), "say what would be done for each address, send nothing"),
    mode('i', V::Honoured(Task::NewAliases), "check the aliases, as newaliases does"),
    mode('h', V::Honoured(Task::Nothing), "host status: nothing to tell"),
    mode('H', V::Honoured(Task::Nothing), "purge host status: nothing to do"),
    mode('a', V::Refused("ARPANET mode is history; use -bs"), "ARPANET mode"),
    mode('C', V::Refused("there is no sendmail.cf; use mailchute doctor"), "check the configuration"),
    mode('D', V::Refused("not a daemon; use mailchute serve, or sendmail -q from a timer"), "daemon in the foreground"),
    mode('d', V::Refused("not a daemon; use mailchute serve, or sendmail -q from a timer"), "daemon"),
    mode('l', V::Refused("not a daemon; use mailchute serve, or sendmail -q from a timer"), "daemon for local connections"),
    mode('P', V::Refused("use mailq"), "number of entries"),
    mode('t', V::Refused("use -bv ADDRESS"), "address test"),
    mode('z', V::Refused("there is no frozen configuration"), "freeze the configuration"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_one_row_in_order() {
        let key = |letter: char| (letter.to_ascii_lowercase(), letter);
        for pair in OPTIONS.windows(2) {
            assert!(key(pair[0].letter) < key(pair[1].letter), "{} {}", pair[0].letter, pair[1].letter);
        }
    }

    #[test]
    fn every_mode_has_one_row() {
        for (place, mode) in MODES.iter().enumerate() {
            assert!(MODES[..place].iter().all(|other| other.letter != mode.letter), "-b{}", mode.letter);
        }
    }

    #[test]
    fn every_letter_that_a_sendmail_has_had_is_here() {
        let sendmail = "ABbCcDdEeFfGhIiJLMmNnOopQqRrstTUVvXxz";
        let others = "PSWa";
        for letter in sendmail.chars().chain(others.chars()) {
            assert!(find(letter).is_some(), "-{letter}");
        }
        assert_eq!(OPTIONS.len(), sendmail.len() + others.len());
    }
}
