//! One line for each thing that happens to a message, to the journal with fields, else to syslog, else nowhere; and to
//! a file when the configuration names one. Nothing here fails: a log that cannot be written changes no delivery.
//!
//! Values come from strangers (relays, header fields), so each is shown escaped and cut, and quoted where it could be
//! mistaken for the next field.

use crate::clock::Moment;
use crate::diagnostic::printable;
use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Durable in the spool.
    Queued,
    /// The relay has it.
    Accepted,
    /// To be tried again.
    Deferred,
    /// The relay will never take it.
    Rejected,
    /// Given up after `expire`.
    Expired,
    /// The sender has been told, or the message lies in `dead/`.
    Bounced,
    /// The account waits for a person.
    Held,
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Happening::Queued => "queued",
            Happening::Accepted => "accepted",
            Happening::Deferred => "deferred",
            Happening::Rejected => "rejected",
            Happening::Expired => "expired",
            Happening::Bounced => "bounced",
            Happening::Held => "held",
        })
    }
}

/// One line; fields that are `None` are left out.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub happening: Happening,
    /// The queue id.
    pub id: Option<&'a str>,
    pub message_id: Option<&'a str>,
    /// Who handed it to the spooler, his process, and the program in it.
    pub uid: Option<&'a str>,
    pub pid: Option<&'a str>,
    pub program: Option<&'a str>,
    pub account: Option<&'a str>,
    /// The relay as `host[address]:port`.
    pub relay: Option<&'a str>,
    pub recipient: Option<&'a str>,
    /// The relay's words, or what happened instead.
    pub reply: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// An event about nothing yet.
    pub fn new(happening: Happening) -> Event<'a> {
        let (id, message_id, account, relay, recipient, reply) = (None, None, None, None, None, None);
        let (uid, pid, program) = (None, None, None);
        Event { happening, id, message_id, uid, pid, program, account, relay, recipient, reply }
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        [
            ("id", self.id),
            ("message-id", self.message_id),
            ("uid", self.uid),
            ("pid", self.pid),
            ("program", self.program),
            ("account", self.account),
            ("relay", self.relay),
            ("recipient", self.recipient),
            ("reply", self.reply),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
    }

    fn severity(&self) -> Severity {
        match self.happening {
            Happening::Queued | Happening::Accepted => Severity::Information,
            Happening::Deferred => Severity::Notice,
            Happening::Rejected | Happening::Expired | Happening::Bounced | Happening::Held => Severity::Warning,
        }
    }
}

/// `accepted id=... recipient=bob@example.org reply="250 2.0.0 ok"`
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.happening.fmt(f)?;
        self.fields().try_for_each(|(key, value)| write!(f, " {key}={}", quoted(&cut(value))))
    }
}

/// How often each thing has happened, since somebody last asked.
#[derive(Debug, Default)]
struct Counts([AtomicU64; Happening::Held as usize + 1]);

/// Where the lines go.
#[derive(Debug)]
pub struct Log {
    counts: Counts,
    ident: String,
    socket: Option<UnixDatagram>,
    journal: PathBuf,
    syslog: PathBuf,
    file: Option<PathBuf>,
}

impl Log {
    /// A log under the name `ident` (`sendmail`, `mailchute`), and also in `file` when there is one.
    pub fn open(file: Option<&Path>, ident: &str) -> Log {
        Log::at("/run/systemd/journal/socket".as_ref(), "/dev/log".as_ref(), file, ident)
    }

    /// A log that goes nowhere.
    pub fn silent() -> Log {
        Log { socket: None, ..Log::at("".as_ref(), "".as_ref(), None, "") }
    }

    fn at(journal: &Path, syslog: &Path, file: Option<&Path>, ident: &str) -> Log {
        let socket = UnixDatagram::unbound().ok().filter(|socket| socket.set_nonblocking(true).is_ok());
        Log {
            counts: Counts::default(),
            ident: printable(ident),
            socket,
            journal: journal.into(),
            syslog: syslog.into(),
            file: file.map(Path::to_path_buf),
        }
    }

    /// The file that lines go to, made if it is missing: for who can open files later, but make none.
    pub fn ready_file(&self) -> Option<&Path> {
        self.file.as_deref().inspect(|path| append(path, b""))
    }

    /// Writes one event.
    pub fn event(&self, event: &Event) {
        self.counts.0[event.happening as usize].fetch_add(1, Ordering::Relaxed);
        let mut fields = format!("MAILCHUTE_EVENT={}\n", event.happening);
        for (key, value) in event.fields() {
            let key = key.to_uppercase().replace('-', "_");
            let _ = writeln!(fields, "MAILCHUTE_{key}={}", cut(value));
        }
        self.line(event.severity(), &event.to_string(), &fields);
    }

    /// How often that has happened since this was last asked.
    pub fn take_count(&self, happening: Happening) -> u64 {
        self.counts.0[happening as usize].swap(0, Ordering::Relaxed)
    }

    /// Writes a line about something that is no event of a message: a setting ignored, an entry set aside.
    pub fn note(&self, text: &str) {
        self.line(Severity::Notice, &printable(text), "");
    }

    /// `fields` are ready for the journal, each ended by a line feed.
    fn line(&self, severity: Severity, text: &str, fields: &str) {
        if let Some(socket) = &self.socket {
            let in_journal = socket.send_to(&self.journal_datagram(severity, text, fields), &self.journal);
            if in_journal.is_err() {
                let _ = socket.send_to(self.syslog_datagram(severity, text, Moment::now()).as_bytes(), &self.syslog);
            }
        }
        if let Some(path) = &self.file {
            let line = format!("{} {}[{}]: {text}\n", Moment::now().rfc3339(), self.ident, std::process::id());
            append(path, line.as_bytes());
        }
    }

    /// The journal's native protocol: one field a line. Values hold no line feed, so none needs the binary form.
    fn journal_datagram(&self, severity: Severity, text: &str, fields: &str) -> Vec<u8> {
        let (level, ident) = (severity as u8, &self.ident);
        format!("MESSAGE={text}\nPRIORITY={level}\nSYSLOG_FACILITY={MAIL}\nSYSLOG_IDENTIFIER={ident}\n{fields}")
            .into_bytes()
    }

    /// The form syslog(3) sends to /dev/log.
    fn syslog_datagram(&self, severity: Severity, text: &str, now: Moment) -> String {
        let priority = MAIL * 8 + severity as u8;
        let stamp = now.listing();
        // A listing's time is syslog's with the day of the week in front.
        let stamp = stamp.get(4..).unwrap_or_default();
        format!("<{priority}>{stamp} {}[{}]: {text}", self.ident, std::process::id())
    }
}

/// syslog's number for the mail facility.
const MAIL: u8 = 2;

/// syslog's levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Warning = 4,
    Notice = 5,
    Information = 6,
}

/// The longest value of one field, in octets.
const FIELD: usize = 512;

fn cut(value: &str) -> String {
    let mut shown = printable(value);
    if shown.len() > FIELD {
        let end = (0..=FIELD - 3).rev().find(|end| shown.is_char_boundary(*end)).unwrap_or(0);
        shown.truncate(end);
        shown.push_str("...");
    }
    shown
}

/// A value that holds a blank, a quote or an equals sign, or nothing, stands in quotes.
fn quoted(value: &str) -> String {
    if value.is_empty() || value.contains([' ', '"', '=']) {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        value.to_string()
    }
}

/// Opened for each line, so that a rotated file is left behind; a FIFO without a reader does not stop us.
fn append(path: &Path, line: &[u8]) {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    if let Ok(mut file) = opened {
        let _ = file.write_all(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn accepted() -> Event<'static> {
        Event {
            id: Some("064D1A2B3C4D5E6F01234567"),
            message_id: Some("<1@web1>"),
            account: Some("gmail"),
            relay: Some("smtp.gmail.com[192.0.2.1]:587"),
            recipient: Some("bob@example.org"),
            reply: Some("250 2.0.0 OK"),
            ..Event::new(Happening::Accepted)
        }
    }

    #[test]
    fn an_event_is_one_line_of_keys_and_values() {
        assert_eq!(
            accepted().to_string(),
            "accepted id=064D1A2B3C4D5E6F01234567 message-id=<1@web1> account=gmail \
             relay=smtp.gmail.com[192.0.2.1]:587 recipient=bob@example.org reply=\"250 2.0.0 OK\""
        );
    }

    #[test]
    fn a_value_cannot_forge_a_line_or_a_field() {
        let cases = [
            ("a\nb", "message-id=a\\x0ab"),
            ("x recipient=evil", "message-id=\"x recipient=evil\""),
            ("a\" b", "message-id=\"a\\\" b\""),
            ("a\\\" b", "message-id=\"a\\\\\\\" b\""),
            ("", "message-id=\"\""),
            ("\u{2028}\u{1b}[2J", "message-id=\\u{2028}\\x1b[2J"),
        ];
        for (value, shown) in cases {
            let event = Event { message_id: Some(value), ..Event::new(Happening::Queued) };
            assert_eq!(event.to_string(), format!("queued {shown}"));
        }
    }

    #[test]
    fn a_long_value_is_cut_between_letters() {
        let shown = cut(&"é".repeat(600));
        assert!(shown.len() <= FIELD && shown.ends_with("é..."), "{}", shown.len());
    }

    #[test]
    fn the_journal_gets_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = UnixDatagram::bind(&path).unwrap();
        let log = Log::at(&path, "/nowhere".as_ref(), None, "sendmail");
        log.event(&Event { recipient: None, relay: None, ..accepted() });
        let mut buffer = [0; 4096];
        let size = journal.recv(&mut buffer).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&buffer[..size]),
            "MESSAGE=accepted id=064D1A2B3C4D5E6F01234567 message-id=<1@web1> account=gmail reply=\"250 2.0.0 OK\"\n\
             PRIORITY=6\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=sendmail\nMAILCHUTE_EVENT=accepted\n\
             MAILCHUTE_ID=064D1A2B3C4D5E6F01234567\nMAILCHUTE_MESSAGE_ID=<1@web1>\nMAILCHUTE_ACCOUNT=gmail\n\
             MAILCHUTE_REPLY=250 2.0.0 OK\n"
        );
    }

    #[test]
    fn syslog_gets_the_line_when_there_is_no_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let syslog = UnixDatagram::bind(&path).unwrap();
        let log = Log::at("/nowhere".as_ref(), &path, None, "sendmail");
        log.event(&Event { reply: Some("535 no"), ..Event::new(Happening::Held) });
        let mut buffer = [0; 4096];
        let size = syslog.recv(&mut buffer).unwrap();
        let line = String::from_utf8_lossy(&buffer[..size]).into_owned();
        let end = format!(" sendmail[{}]: held reply=\"535 no\"", std::process::id());
        assert!(line.starts_with("<20>") && line.ends_with(&end), "{line}");
        assert_eq!(line.len(), "<20>Nov 24 15:04:05".len() + end.len());
    }

    #[test]
    fn the_file_is_private_and_grows_by_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.log");
        let log = Log::at("/nowhere".as_ref(), "/nowhere".as_ref(), Some(&path), "mailchute");
        log.event(&Event::new(Happening::Queued));
        log.note("alias root: a pipe is not run\nforged");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once(": ").unwrap().1).collect();
        assert_eq!(lines, ["queued", "alias root: a pipe is not run\\x0aforged"]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_no_error() {
        let log = Log::at("/nowhere".as_ref(), "/nowhere".as_ref(), Some("/nowhere/at/all".as_ref()), "x");
        log.event(&accepted());
        Log::silent().event(&accepted());
    }
}
