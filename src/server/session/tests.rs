//! Dialogues as text: `C:` is what the client sends (a line end is added), `S:` a reply, `*` an event.

use super::*;

mod limits;
mod messages;

const MAX: u64 = 100;

/// What the driver of a dialogue says to an event.
type Driver = fn(&mut Session, &Event);

fn takes_all(session: &mut Session, event: &Event) {
    if let Event::End = event {
        session.accepted("ID1");
    }
}

/// Runs a session over pieces of input and writes down what happens; what one piece brings stands behind its name.
fn run<'a>(pieces: impl Iterator<Item = (Option<&'a str>, &'a [u8])>, driver: Driver) -> String {
    let mut session = Session::new(Settings::standard("host.example".into(), Some(MAX)));
    let mut log = Log::default();
    log.replies(&mut session);
    for (name, mut octets) in pieces {
        if let Some(name) = name {
            log.line(&format!("C: {name}"));
        }
        while let Some(event) = session.next(&mut octets) {
            driver(&mut session, &event);
            log.event(&event);
        }
        assert!(octets.is_empty() || matches!(session.phase, Phase::Closed));
        log.replies(&mut session);
    }
    if let Some(event) = session.end_of_input() {
        log.event(&event);
    }
    log.finish()
}

#[derive(Default)]
struct Log {
    text: String,
    data: Vec<u8>,
}

impl Log {
    fn line(&mut self, line: &str) {
        self.flush();
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Data that comes in several pieces is one event here.
    fn flush(&mut self) {
        let data = std::mem::take(&mut self.data);
        if !data.is_empty() {
            self.line(&format!("* data {:?}", String::from_utf8_lossy(&data)));
        }
    }

    fn replies(&mut self, session: &mut Session) {
        for line in session.take_replies().split_terminator("\r\n") {
            self.line(&format!("S: {line}"));
        }
    }

    fn event(&mut self, event: &Event) {
        let path = |addressee: &Option<_>| {
            addressee.as_ref().map_or("<>".into(), |a: &crate::mail::address::Addressee| a.to_string())
        };
        match event {
            Event::Begin(transaction) => {
                let recipients: Vec<String> =
                    transaction.recipients.iter().map(|forward| forward.addressee.to_string()).collect();
                self.line(&format!("* begin {} -> {}", path(&transaction.reverse_path), recipients.join(" ")));
            }
            Event::Data(octets) => self.data.extend_from_slice(octets),
            Event::End => self.line("* end"),
            Event::Abort => self.line("* abort"),
            Event::Asked(question) => self.line(&format!("* asked {question:?}")),
            Event::Quit => self.line("* quit"),
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        self.text
    }
}

/// Runs a dialogue line by line and compares all of it; then again in pieces of all sizes, where the same replies and
/// events must come in the same order.
fn check(end: &str, driver: Driver, dialogue: &str) {
    let expected = text_of(dialogue);
    let sent: Vec<&str> =
        expected.lines().filter_map(|line| line.strip_prefix("C: ").or(line.strip_prefix("C:"))).collect();
    let octets: Vec<Vec<u8>> = sent.iter().map(|line| format!("{line}{end}").into_bytes()).collect();
    let found = run(sent.iter().map(|&line| Some(line)).zip(octets.iter().map(Vec::as_slice)), driver);
    assert_eq!(found.replace("C: \n", "C:\n"), expected);

    let all: Vec<u8> = octets.concat();
    let plain = |text: &str| -> (Vec<String>, Vec<String>) {
        text.lines().filter(|line| !line.starts_with("C:")).map(str::to_owned).partition(|line| line.starts_with("S:"))
    };
    for step in [1, 2, 3, 7, 64, all.len()] {
        let found = run(all.chunks(step).map(|piece| (None, piece)), driver);
        let (mut found, mut wanted) = (plain(&found), plain(&expected));
        join_data(&mut found.1);
        join_data(&mut wanted.1);
        assert_eq!(found, wanted, "in pieces of {step}");
    }
}

/// A dialogue without its indentation.
fn text_of(dialogue: &str) -> String {
    dialogue.trim().lines().map(|line| format!("{}\n", line.trim())).collect()
}

/// Data with only replies in between is one run of data, and how much of it came before an abort is nobody's business.
fn join_data(events: &mut Vec<String>) {
    let mut joined: Vec<String> = Vec::new();
    for event in events.drain(..) {
        if event == "* abort" {
            joined.pop_if(|last| last.starts_with("* data "));
        }
        match (joined.last_mut(), event.strip_prefix("* data \"")) {
            (Some(last), Some(more)) if last.starts_with("* data ") => {
                last.pop();
                last.push_str(more);
            }
            _ => joined.push(event),
        }
    }
    *events = joined;
}
