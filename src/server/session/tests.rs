//! Dialogues as text: `C:` is what the client sends (a line end is added), `S:` a reply, `*` an event.

use super::*;

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

#[test]
fn a_message_is_taken_when_it_is_durable() {
    check(
        "\r\n",
        takes_all,
        "
        S: 220 host.example ESMTP mailchute
        C: EHLO client
        S: 250-host.example
        S: 250-PIPELINING
        S: 250-SIZE 100
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-DSN
        S: 250-ENHANCEDSTATUSCODES
        S: 250-CHUNKING
        S: 250 HELP
        C: MAIL FROM:<a@x.org> BODY=8BITMIME SIZE=20 RET=FULL ENVID=1
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@y.org> NOTIFY=NEVER
        S: 250 2.1.5 Ok
        C: RCPT TO:<c@y.org>
        S: 250 2.1.5 Ok
        C: DATA
        * begin a@x.org -> b@y.org c@y.org
        S: 354 end with a dot on a line by itself
        C: Subject: x
        * data \"Subject: x\\r\\n\"
        C:
        * data \"\\r\\n\"
        C: ..dot
        * data \".dot\\r\\n\"
        C: .
        * end
        S: 250 2.0.0 Ok: queued as ID1
        C: QUIT
        * quit
        S: 221 2.0.0 Bye",
    );
}

#[test]
fn a_client_that_knows_only_helo_sends_several_messages() {
    check(
        "\r\n",
        takes_all,
        "
        S: 220 host.example ESMTP mailchute
        C: HELO [127.0.0.1]
        S: 250 host.example
        C: MAIL FROM:<tester>
        S: 250 2.1.0 Ok
        C: RCPT TO:<root>
        S: 250 2.1.5 Ok
        C: DATA
        * begin tester -> root
        S: 354 end with a dot on a line by itself
        C: .
        * end
        S: 250 2.0.0 Ok: queued as ID1
        C: NOOP
        S: 250 2.0.0 Ok
        C: MAIL FROM:<>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@y.org>
        S: 250 2.1.5 Ok
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<>
        S: 250 2.1.0 Ok
        C: RCPT TO:<c@y.org>
        S: 250 2.1.5 Ok
        C: DATA
        * begin <> -> c@y.org
        S: 354 end with a dot on a line by itself
        C: x
        * data \"x\\r\\n\"
        C: .
        * end
        S: 250 2.0.0 Ok: queued as ID1",
    );
}

#[test]
fn what_cannot_be_done_is_refused_with_its_own_code() {
    check(
        "\r\n",
        takes_all,
        "
        S: 220 host.example ESMTP mailchute
        C: EHLO
        S: 501 5.5.4 an argument is expected
        C: EXPN list
        S: 502 5.5.1 not implemented
        C: STARTTLS
        S: 502 5.5.1 not implemented
        C: AUTH PLAIN x
        S: 503 5.5.1 no authentication is needed here
        C: ETRN x
        S: 458 4.3.0 no mail is kept for others; use sendmail -q
        C: VRFY root
        S: 252 2.0.0 send mail, and it will show
        C: HELP
        S: 214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT
        C: FROB
        S: 500 5.5.2 command not recognized
        C:
        S: 500 5.5.2 command not recognized
        C: RCPT TO:<b@y>
        S: 503 5.5.1 MAIL comes first
        C: DATA
        S: 503 5.5.1 MAIL comes first
        C: MAIL FROM:<a@x> FOO=BAR
        S: 555 5.5.4 unknown parameter FOO
        C: MAIL FROM:<a@x> SIZE=101
        S: 552 5.3.4 message over 100 octets
        C: MAIL a@x
        S: 501 5.5.4 syntax: MAIL FROM:<address> [parameters]
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok
        C: MAIL FROM:<a@x>
        S: 503 5.5.1 MAIL has been given
        C: DATA
        S: 503 5.5.1 RCPT comes first
        C: RCPT TO:<b@>
        S: 501 5.1.3 recipient address: nothing behind the @
        C: RCPT TO:<b@y> FOO
        S: 555 5.5.4 unknown parameter FOO
        C: DATA now
        S: 501 5.5.4 no argument is expected
        C: BDAT
        S: 501 5.5.4 syntax: BDAT size [LAST]",
    );
}

#[test]
fn chunks_make_a_message() {
    check(
        "\r\n",
        takes_all,
        "
        S: 220 host.example ESMTP mailchute
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@y>
        S: 250 2.1.5 Ok
        C: BDAT 5
        * begin a@x -> b@y
        C: .ab
        * data \".ab\\r\\n\"
        S: 250 2.0.0 Ok
        C: DATA
        S: 503 5.5.1 only BDAT may follow BDAT
        C: bdat 3 last
        C: .
        * data \".\\r\\n\"
        * end
        S: 250 2.0.0 Ok: queued as ID1
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@y>
        S: 250 2.1.5 Ok
        C: BDAT 3
        * begin a@x -> b@y
        C: x
        * data \"x\\r\\n\"
        S: 250 2.0.0 Ok
        C: BDAT 0 LAST
        * end
        S: 250 2.0.0 Ok: queued as ID1
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@y>
        S: 250 2.1.5 Ok
        C: BDAT 3
        * begin a@x -> b@y
        C: x
        * data \"x\\r\\n\"
        S: 250 2.0.0 Ok
        C: RSET
        * abort
        S: 250 2.0.0 Ok",
    );
}

#[test]
fn a_chunk_out_of_order_is_skipped_and_never_read_as_commands() {
    check(
        "\r\n",
        takes_all,
        "
        S: 220 host.example ESMTP mailchute
        C: BDAT 6 LAST
        C: QUIT
        S: 503 5.5.1 MAIL comes first
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok
        C: BDAT 6
        C: QUIT
        S: 503 5.5.1 RCPT comes first
        C: NOOP
        S: 250 2.0.0 Ok",
    );
}

#[test]
fn a_message_that_is_too_big_is_skipped_to_its_end() {
    check(
        "\r\n",
        takes_all,
        "
        S: 220 host.example ESMTP mailchute
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@y>
        S: 250 2.1.5 Ok
        C: DATA
        * begin a@x -> b@y
        S: 354 end with a dot on a line by itself
        C: 1234567890 1234567890 1234567890 1234567890 1234567890
        * data \"1234567890 1234567890 1234567890 1234567890 1234567890\\r\\n\"
        C: 1234567890 1234567890 1234567890 1234567890 1234567890
        * abort
        C: QUIT
        C: .
        S: 552 5.3.4 message over 100 octets
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok",
    );
}

#[test]
fn a_session_of_bare_line_feeds_stays_one() {
    check(
        "\n",
        takes_all,
        "
        S: 220 host.example ESMTP mailchute
        C: HELO x
        S: 250 host.example
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@y>
        S: 250 2.1.5 Ok
        C: DATA
        * begin a@x -> b@y
        S: 354 end with a dot on a line by itself
        C: ..x
        * data \".x\\n\"
        C: .
        * end
        S: 250 2.0.0 Ok: queued as ID1",
    );
}

#[test]
fn nothing_in_a_crlf_session_is_smuggled_behind_a_bare_line_feed() {
    let message = |end: &str| {
        format!("HELO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nx{end}MAIL FROM:<evil@x>\r\n.\r\nQUIT\r\n")
    };
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n\n.\r\n"] {
        let input = message(end);
        let log = run([(None, input.as_bytes())].into_iter(), takes_all);
        assert_eq!(log.matches("250 2.1.0 Ok").count(), 1, "{end:?}: {log}");
        assert_eq!(log.matches("* end").count(), 1, "{end:?}: {log}");
    }
    let log = run([(None, message("\r\n.\r\n").as_bytes())].into_iter(), takes_all);
    assert_eq!(log.matches("250 2.1.0 Ok").count(), 2, "{log}");
}

#[test]
fn a_group_of_commands_is_answered_at_once() {
    let input = b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n";
    let mut session = Session::new(Settings::standard("h".into(), None));
    let mut octets = input.as_slice();
    assert!(matches!(session.next(&mut octets), Some(Event::Begin(_))));
    assert_eq!(session.next(&mut octets), None);
    let replies = session.take_replies();
    assert!(replies.contains("250-SIZE\r\n"));
    assert!(replies.ends_with("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 end with a dot on a line by itself\r\n"));
}

/// What a client hears when the driver cannot take its message.
const UNTAKEN: &str = "
        S: 220 host.example ESMTP mailchute
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@y>
        S: 250 2.1.5 Ok
        C: BDAT 3
        * begin a@x -> b@y
        C: x
        DATA
        C: BDAT 3 LAST
        C: y
        END
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok";

#[test]
fn a_driver_that_fails_is_heard_at_the_end() {
    let cases: [(Driver, &str, &str); 4] = [
        (
            |session, event| {
                if let Event::Begin(_) = event {
                    session.failed("no room\r\n250 2.0.0 Ok: queued as \u{e9}");
                }
            },
            "S: 451 4.3.0 no room??250 2.0.0 Ok: queued as ?",
            "S: 451 4.3.0 no room??250 2.0.0 Ok: queued as ?",
        ),
        (
            |session, event| {
                if let Event::Data(_) = event {
                    session.refused("not like that");
                }
            },
            "* data \"x\\r\\n\"\nS: 554 5.0.0 not like that",
            "S: 554 5.0.0 not like that",
        ),
        (
            |session, event| {
                if let Event::End = event {
                    session.failed("disk full");
                }
            },
            "* data \"x\\r\\n\"\nS: 250 2.0.0 Ok",
            "* data \"y\\r\\n\"\n* end\nS: 451 4.3.0 disk full",
        ),
        (|_, _| {}, "* data \"x\\r\\n\"\nS: 250 2.0.0 Ok", "* data \"y\\r\\n\"\n* end\nS: 451 4.3.0 not taken"),
    ];
    for (driver, data, end) in cases {
        let dialogue = UNTAKEN.replace("DATA", data).replace("END", end);
        let octets: Vec<String> =
            dialogue.lines().filter_map(|l| l.trim().strip_prefix("C: ")).map(str::to_owned).collect();
        let lines: Vec<String> = octets.iter().map(|line| format!("{line}\r\n")).collect();
        let pieces = octets.iter().zip(&lines).map(|(name, line)| (Some(name.as_str()), line.as_bytes()));
        assert_eq!(run(pieces, driver), text_of(&dialogue));
    }
}

#[test]
fn a_driver_without_a_draft_never_asks_for_data() {
    check(
        "\r\n",
        |session, event| {
            if let Event::Begin(_) = event {
                session.failed("no room");
            }
        },
        "
        S: 220 host.example ESMTP mailchute
        C: MAIL FROM:<a@x>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@y>
        S: 250 2.1.5 Ok
        C: DATA
        * begin a@x -> b@y
        S: 451 4.3.0 no room
        C: NOOP
        S: 250 2.0.0 Ok",
    );
}

#[test]
fn a_client_that_goes_away_in_the_middle_leaves_nothing() {
    for text in ["DATA\r\nx\r\n", "DATA\r\n", "DATA\r\nx\r\n.", "DATA\r\nx\r\n.\r", "BDAT 9 LAST\r\nx", "BDAT 1\r\nx"] {
        let input = format!("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n{text}");
        let log = run([(None, input.as_bytes())].into_iter(), takes_all);
        assert!(log.ends_with("* abort\n") && !log.contains("* end"), "{text:?}: {log}");
    }
    let log = run([(None, b"MAIL FROM:<a@x>\r\nRCPT".as_slice())].into_iter(), takes_all);
    assert!(!log.contains('*'), "{log}");
}

#[test]
fn a_silent_client_is_told_why_it_is_left() {
    let mut session = Session::new(Settings::standard("h".into(), None));
    session.take_replies();
    assert_eq!(session.timed_out(), None);
    assert_eq!(session.take_replies(), "421 4.4.2 h idle for too long\r\n");
    assert_eq!(session.next(&mut b"NOOP\r\n".as_slice()), None);
}

#[test]
fn recipients_and_commands_have_a_limit() {
    let recipients = "RCPT TO:<b@y>\r\n".repeat(MOST_RECIPIENTS);
    let input = format!("MAIL FROM:<a@x>\r\n{recipients}RCPT TO:<c@y>\r\nDATA\r\n.\r\n");
    let log = run([(None, input.as_bytes())].into_iter(), takes_all);
    assert_eq!(log.matches("452 4.5.3 too many recipients").count(), 1);
    assert!(log.ends_with("S: 250 2.0.0 Ok: queued as ID1\n"));

    let idle = "NOOP\r\n".repeat(MOST_COMMANDS as usize - 3);
    let message = "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n.\r\n";
    let input = format!("{idle}{message}{idle}{message}NOOP\r\n");
    let log = run([(None, input.as_bytes())].into_iter(), takes_all);
    assert!(log.ends_with("S: 250 2.0.0 Ok\n"));
    let input = format!("{idle}NOOP\r\n{message}");
    let log = run([(None, input.as_bytes())].into_iter(), takes_all);
    assert!(log.contains("* quit\n") && log.ends_with("S: 421 4.7.0 too many commands without a message\n"));
}

#[test]
fn an_odd_line_is_an_error_and_no_reply_is_too_long() {
    let cases: [(&[u8], &str); 5] = [
        (b"NOOP \xff", "500 5.5.2 neither ASCII nor UTF-8"),
        (b"NOOP \0", "500 5.5.2 control character"),
        (b"MAIL FROM:<a@x>\rRCPT TO:<b@y>", "500 5.5.2 control character"),
        (&[b'x'; 5000], "500 5.5.2 line too long"),
        (b"NOOP\t\xc3\xa9 ", "250 2.0.0 Ok"),
    ];
    for (line, expected) in cases {
        let input = [line, b"\r\n"].concat();
        let log = run([(None, input.as_slice())].into_iter(), takes_all);
        assert_eq!(log.lines().nth(1), Some(format!("S: {expected}").as_str()));
    }
    let input = format!("MAIL FROM:<a@x> {}=1\r\n", "X".repeat(4000));
    let log = run([(None, input.as_bytes())].into_iter(), takes_all);
    assert!(log.lines().all(|line| line.len() <= 512), "{log}");
}

#[test]
fn any_input_is_understood_the_same_however_it_is_cut() {
    const FRAGMENTS: [&[u8]; 24] = [
        b"MAIL FROM:<a@x>",
        b"MAIL FROM:<>",
        b"RCPT TO:<b@y>",
        b"RCPT TO:<root>",
        b"DATA",
        b"BDAT 3",
        b"BDAT 7 LAST",
        b"BDAT 0 LAST",
        b"RSET",
        b"NOOP",
        b"EHLO x",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\n",
        b"\r",
        b".",
        b"..",
        b"x\xff",
        b"\0",
        b"QUI",
    ];
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..2000 {
        let mut input = b"HELO x\r\n".to_vec();
        for _ in 0..30 {
            input.extend_from_slice(FRAGMENTS[random(FRAGMENTS.len())]);
        }
        let events = |step: usize| {
            let log = run(input.chunks(step).map(|piece| (None, piece)), takes_all);
            let (mut events, replies): (Vec<String>, Vec<String>) =
                log.lines().map(str::to_owned).partition(|line| line.starts_with('*'));
            join_data(&mut events);
            (events, replies)
        };
        assert_eq!(events(1 + random(9)), events(input.len()), "{:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn our_own_words_are_understood_only_where_our_own_client_speaks() {
    let says = |tongue, line: &str| {
        let mut session = Session::new(Settings { tongue, ..Settings::standard("h".into(), None) });
        session.take_replies();
        let line = format!("{line}\r\n");
        let mut input = line.as_bytes();
        let asked = match session.next(&mut input) {
            Some(Event::Asked(question)) => {
                session.answer("a\nb");
                Some(question)
            }
            other => {
                assert_eq!(other, None);
                None
            }
        };
        (asked, session.take_replies())
    };
    let answer = "250-a\r\n250-b\r\n250 2.0.0 Ok\r\n";
    for (line, question, elsewhere) in [
        ("XQUEUE", Question::Queue(Form::Mailq), "500 5.5.2"),
        ("xqueue json", Question::Queue(Form::Json), "500 5.5.2"),
        ("ETRN @h", Question::Flush, "458 4.3.0"),
        ("XHEALTH", Question::Health, "500 5.5.2"),
    ] {
        assert_eq!(says(Tongue::Ours, line), (Some(question), answer.to_string()), "{line}");
        let (asked, reply) = says(Tongue::Standard, line);
        assert!(asked.is_none() && reply.starts_with(elsewhere), "{line}: {reply}");
    }
    for parameter in ["XACCOUNT=a", "XUNSAID", "XKEEP", "XLITERAL"] {
        let line = format!("MAIL FROM:<a> {parameter}");
        assert_eq!(says(Tongue::Ours, &line).1, "250 2.1.0 Ok\r\n");
        assert!(says(Tongue::Standard, &line).1.starts_with("555 5.5.4"), "{line}");
    }
}
