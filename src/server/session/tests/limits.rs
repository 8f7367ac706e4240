//! Drivers that fail, clients that go away or are mad, and input cut anyhow.

use super::*;
use crate::server::event::{Form, MOST_RECIPIENTS};

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
        ("XQUEUE STATE", Question::Queue(Form::State), "500 5.5.2"),
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
