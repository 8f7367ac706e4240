//! Messages against scripted relays: what is sent in which flight, and what becomes of each recipient whatever the
//! relay does.

use super::super::Roots;
use super::super::scripted::{Deaf, Identity, Relay, account, patience};
use super::*;
use crate::config::{Account, Limits, Tls};
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Notify, Recipient, Return, ReversePath};
use crate::mail::header::Header;
use crate::mail::wire::Source;
use std::io;

pub const PLAIN: &str = "S: 220 hi\nC: EHLO\nS: 250 hi\n";
pub const PIPELINING: &str = "S: 220 hi\nC: EHLO\nS: 250-hi\nS: 250 PIPELINING\n";
pub const CHUNKING: &str = "S: 220 hi\nC: EHLO\nS: 250-hi\nS: 250-PIPELINING\nS: 250 CHUNKING\n";
/// MAIL and two recipients accepted, step by step.
const STEPS: &str =
    "C: MAIL FROM:<a@x.org>\nS: 250 ok\nC: RCPT TO:<b@y.org>\nS: 250 ok\nC: RCPT TO:<c@y.org>\nS: 250 ok\n";
/// The same in one flight, with DATA behind it.
const FLIGHT: &str = "C: MAIL FROM:<a@x.org>\nC: RCPT TO:<b@y.org>\nC: RCPT TO:<c@y.org>\nC: DATA\n";

struct Memory(Vec<u8>);

impl Source for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.0.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

pub fn wire(body: &str, eight_bit: bool) -> Wire {
    let size = body.len() as u64;
    Wire::new(&Header::default(), Box::new(Memory(body.as_bytes().to_vec())), size, eight_bit)
}

pub fn envelope(recipients: &[&str]) -> Envelope {
    let recipients = recipients.iter().map(|text| Recipient::new(Mailbox::parse(text).unwrap())).collect();
    Envelope::new(ReversePath::Mailbox(Mailbox::parse("a@x.org").unwrap()), recipients).unwrap()
}

fn all(envelope: &Envelope) -> Vec<usize> {
    (0..envelope.recipients().len()).collect()
}

/// One session with a relay that plays `script`, and what `work` makes of it.
pub fn with<T>(
    script: &str,
    change: impl FnOnce(&mut Account),
    work: impl FnOnce(&mut Session) -> T,
) -> (T, Vec<String>) {
    let identity = Identity::good();
    let relay = Relay::play(script, &identity);
    let mut account = account(&identity, &[(&relay, Tls::None)]);
    change(&mut account);
    let mut session = Session::open(&account, "host", &Roots::default(), &mut patience(), &mut Deaf).unwrap();
    let result = work(&mut session);
    session.quit();
    (result, relay.heard())
}

fn send(session: &mut Session, envelope: &Envelope, wire: &Wire) -> Attempt {
    let mut patience = patience();
    session.submit(envelope, &all(envelope), wire, &mut patience, &mut Deaf)
}

/// The fate of each recipient in one letter, then the trouble's: `W`, `H` or `-`.
pub fn letters(attempt: &Attempt) -> String {
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Accepted(_) => 'A',
        Outcome::Deferred(_) => 'D',
        Outcome::Rejected(_) => 'R',
    };
    let trouble = match attempt.trouble {
        None => '-',
        Some(Trouble::Waiting(_)) => 'W',
        Some(Trouble::Held(_)) => 'H',
    };
    attempt.outcomes.iter().map(outcome).chain([trouble]).collect()
}

/// Sends to b and c with a relay that plays `script`, in clear and behind TLS, and tells the fate, which must be the
/// same.
fn fate(script: &str) -> String {
    let envelope = envelope(&["b@y.org", "c@y.org"]);
    let work = |session: &mut Session| letters(&send(session, &envelope, &wire("hello\r\n", false)));
    let clear = with(script, |_| {}, work).0;
    let implicit = |account: &mut Account| account.endpoints[0].tls = Tls::Implicit;
    let behind_tls = with(&format!("!TLS\n{script}"), implicit, work).0;
    assert_eq!(clear, behind_tls, "{script}");
    clear
}

#[test]
fn whatever_the_relay_does_the_fate_of_each_recipient_is_right() {
    let data = [PLAIN, STEPS, "C: DATA\n"].concat();
    let dot = [&data, "S: 354 go\n!BODY\n"].concat();
    let mail = [PLAIN, "C: MAIL\n"].concat();
    let rcpt = [&mail, "S: 250 ok\nC: RCPT\n"].concat();
    let cases: &[(&str, &str, &str)] = &[
        (&mail, "!CLOSE", "DDW"),
        (&rcpt, "!CLOSE", "DDW"),
        (&data, "!CLOSE", "DDW"),
        (&data, "S: 354 go\n!CLOSE", "DDW"),
        (&dot, "!CLOSE", "DDW"),
        (&dot, "S: 250 ok\n!CLOSE", "AA-"),
        (&mail, "S: 421 bye", "DDW"),
        (&mail, "S: 451 later", "DD-"),
        (&mail, "S: 550 no", "RR-"),
        (&mail, "S: 530 5.7.0 log in", "DDH"),
        (&mail, "S: 354 what", "DDW"),
        (&rcpt, "S: 550 no\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n!BODY\nS: 250 ok", "RA-"),
        (&rcpt, "S: 451 no\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n!BODY\nS: 250 ok", "DA-"),
        (&rcpt, "S: 550 no\nC: RCPT\nS: 451 no\nC: QUIT", "RD-"),
        (&rcpt, "S: 250 ok\nC: RCPT\nS: 421 bye", "DDW"),
        (&rcpt, "S: 550 no\nC: RCPT\n!CLOSE", "RDW"),
        (&data, "S: 250 what", "DDW"),
        (&data, "S: 451 later", "DD-"),
        (&data, "S: 554 no", "RR-"),
        (&data, "S: 550 5.4.5 Daily user sending limit exceeded.", "DDH"),
        (&dot, "S: 451 later", "DD-"),
        (&dot, "S: 554 no", "RR-"),
        (&dot, "S: 503 what", "DD-"),
        (&dot, "S: 421 bye", "DDW"),
        (&dot, "S: 354 what", "DDW"),
        (&dot, "S: 000 what", "DDW"),
        (&dot, "S: 999 what", "DDW"),
        (&dot, "S- 25\n!CLOSE", "DDW"),
        (&dot, "S- 250 ok\n!CLOSE", "DDW"),
        (&dot, "S: 250-part\n!CLOSE", "DDW"),
        (&dot, "S: 250-ok\nS: 550 no", "DDW"),
        (&dot, "S: HTTP/1.1 400 Bad Request", "DDW"),
        (&dot, "S- 250 o\nS- k\nS- \\n", "AA-"),
        (&mail, "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 forged", "DDW"),
        (&dot, "S: 550 5.7.60 SMTP; Client does not have permissions to send as this sender", "RR-"),
    ];
    for (lead, rest, expected) in cases {
        assert_eq!(fate(&[lead, *rest].concat()), *expected, "{rest}");
    }
}

#[test]
fn a_reply_without_end_is_not_waited_out() {
    let dot = [PLAIN, STEPS, "C: DATA\nS: 354 go\n!BODY\n"].concat();
    let long_line = format!("S: 250 {}", "x".repeat(200_000));
    assert_eq!(fate(&[&dot, long_line.as_str()].concat()), "AA-");
    let endless_line = format!("S: 250 {}", "x".repeat(500_000));
    assert_eq!(fate(&[&dot, endless_line.as_str()].concat()), "DDW");
    let endless_lines = format!("S- {}", "250-x\\n".repeat(5_000));
    assert_eq!(fate(&[&dot, endless_lines.as_str()].concat()), "DDW");
}

#[test]
fn with_pipelining_the_envelope_and_data_are_one_flight() {
    let cases = [
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n!BODY\nS: 250 ok", "AA-"),
        ("S: 250 ok\nS: 550 no\nS: 250 ok\nS: 354 go\n!BODY\nS: 250 ok", "RA-"),
        ("S: 250 ok\nS: 550 no\nS: 550 no\nS: 554 nobody", "RR-"),
        // Nobody is to get it, but DATA is accepted: a lone dot.
        ("S: 250 ok\nS: 550 no\nS: 451 no\nS: 354 go\nC: .\nS: 554 nobody", "RD-"),
        ("S: 550 no\nS: 503 mail first\nS: 503 mail first\nS: 503 mail first", "RR-"),
        ("S: 451 no\nS: 503 mail first\nS: 503 mail first\nS: 503 mail first", "DD-"),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 451 later", "DD-"),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 forged", "DDW"),
        ("S: 250 ok\nS: 550 no\n!CLOSE", "RDW"),
    ];
    for (rest, expected) in cases {
        assert_eq!(fate(&[PIPELINING, FLIGHT, rest].concat()), expected, "{rest}");
    }
}

#[test]
fn with_chunking_a_small_message_is_one_flight() {
    let flight = "C: MAIL\nC: RCPT\nC: RCPT\nC: BDAT 9 LAST\n!OCTETS 9\n";
    let cases = [
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok", "AA-"),
        ("S: 250 ok\nS: 550 no\nS: 250 ok\nS: 250 ok", "RA-"),
        ("S: 250 ok\nS: 550 no\nS: 550 no\nS: 503 nobody", "RR-"),
        ("S: 550 no\nS: 503 no\nS: 503 no\nS: 503 no", "RR-"),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 554 no", "RR-"),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\n!CLOSE", "DDW"),
        ("S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 what", "DDW"),
    ];
    for (rest, expected) in cases {
        assert_eq!(fate(&[CHUNKING, flight, rest].concat()), expected, "{rest}");
    }
}

#[test]
fn a_large_message_waits_for_its_recipients() {
    let body = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(4000);
    let envelope = envelope(&["b@y.org", "c@y.org"]);
    let size = body.len() + 2;
    let replies = "C: MAIL\nC: RCPT\nC: RCPT\nS: 250 ok\nS: 550 no\nS: 250 ok\n";
    let script = format!("{CHUNKING}{replies}C: BDAT {size} LAST\n!OCTETS {size}\nS: 250 ok");
    let (attempt, heard) = with(&script, |_| {}, |session| send(session, &envelope, &wire(&body, false)));
    assert_eq!(letters(&attempt), "RA-");
    assert!(heard.iter().any(|text| *text == format!("\r\n{body}")));
}

#[test]
fn a_relay_that_refuses_in_the_middle_of_a_message_is_heard() {
    let body = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(150_000);
    let script = [PLAIN, STEPS, "C: DATA\nS: 354 go\n!OCTETS 1000\nS: 552 5.3.4 too much\n!CLOSE"].concat();
    let envelope = envelope(&["b@y.org", "c@y.org"]);
    let (attempt, _) = with(
        &script,
        |_| {},
        |session| {
            let attempt = send(session, &envelope, &wire(&body, false));
            assert!(!session.takes_more());
            attempt
        },
    );
    // A reset may overtake the reply; then nothing is known and everything is tried again.
    assert!(["RR-", "DDW"].contains(&letters(&attempt).as_str()), "{attempt:?}");
}

#[test]
fn a_session_takes_many_messages_and_resets_where_it_must() {
    let first = [PIPELINING, FLIGHT, "S: 250 ok\nS: 550 no\nS: 550 no\nS: 554 nobody\n"].concat();
    let second =
        ["C: RSET\n", FLIGHT, "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n!BODY\nS: 250 ok\n"].concat();
    let third = [FLIGHT, "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\n!BODY\nS: 250 ok\n"].concat();
    let envelope = envelope(&["b@y.org", "c@y.org"]);
    let (fates, heard) = with(
        &[first, second, third].concat(),
        |_| {},
        |session| {
            let wire = wire("hello\r\n", false);
            (0..3).map(|_| letters(&send(session, &envelope, &wire))).collect::<Vec<_>>()
        },
    );
    assert_eq!(fates, ["RR-", "AA-", "AA-"]);
    assert_eq!(heard.iter().filter(|line| *line == "RSET").count(), 1);
}

#[test]
fn a_dead_session_takes_nothing_more() {
    let envelope = envelope(&["b@y.org", "c@y.org"]);
    let (fates, _) = with(
        &[PLAIN, "C: MAIL\nS: 421 bye"].concat(),
        |_| {},
        |session| {
            let wire = wire("hello\r\n", false);
            [(); 2].map(|()| letters(&send(session, &envelope, &wire)))
        },
    );
    assert_eq!(fates, ["DDW", "DDW"]);
}

#[test]
fn too_many_recipients_go_into_the_next_transaction() {
    let envelope = envelope(&["b@y.org", "c@y.org", "d@z.org"]);
    let one = "C: MAIL\nS: 250 ok\nC: RCPT TO:<b\nS: 250 ok\nC: RCPT TO:<c\nS: 452 4.5.3 too many\nC: RCPT TO:<d\nS: 452 4.5.3 too many\n";
    let two = "C: DATA\nS: 354 go\n!BODY\nS: 250 ok\nC: MAIL\nS: 250 ok\nC: RCPT TO:<c\nS: 250 ok\nC: RCPT TO:<d\nS: 452 4.5.3 too many\n";
    let three =
        "C: DATA\nS: 354 go\n!BODY\nS: 250 ok\nC: MAIL\nS: 250 ok\nC: RCPT TO:<d\nS: 452 4.5.3 too many\nC: QUIT";
    let wire = wire("hello\r\n", false);
    let script = [PLAIN, one, two, three].concat();
    assert_eq!(with(&script, |_| {}, |session| letters(&send(session, &envelope, &wire))).0, "AAD-");

    let transaction = "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n!BODY\nS: 250 ok\n";
    let script = [PLAIN, &transaction.repeat(3)].concat();
    let limit = |account: &mut Account| account.limits = Limits { recipients: 1, ..account.limits };
    assert_eq!(with(&script, limit, |session| letters(&send(session, &envelope, &wire))).0, "AAA-");
}

#[test]
fn the_relays_own_limits_are_kept() {
    let envelope = envelope(&["b@y.org", "d@z.org", "c@y.org"]);
    let hello = "S: 220 hi\nC: EHLO\nS: 250-hi\nS: 250 LIMITS MAILMAX=1 RCPTDOMAINMAX=1\n";
    let rest = "C: MAIL\nS: 250 ok\nC: RCPT TO:<b\nS: 250 ok\nC: RCPT TO:<c\nS: 250 ok\nC: DATA\nS: 354 go\n!BODY\nS: 250 ok\n";
    let (fate, _) = with(
        &[hello, rest].concat(),
        |_| {},
        |session| {
            let fate = letters(&send(session, &envelope, &wire("hello\r\n", false)));
            assert!(!session.takes_more());
            fate
        },
    );
    assert_eq!(fate, "ADA-");
}

#[test]
fn what_the_relay_cannot_take_is_never_sent() {
    let hello = "S: 220 hi\nC: EHLO\nS: 250-hi\nS: 250 SIZE 100\nC: QUIT";
    let one = envelope(&["b@y.org"]);
    let (attempt, heard) = with(hello, |_| {}, |session| send(session, &one, &wire(&"x\r\n".repeat(40), false)));
    assert_eq!(letters(&attempt), "R-");
    assert_eq!(heard.last().unwrap(), "QUIT");

    let beyond = envelope(&["\u{fc}@y.org", "b@y.org"]);
    let script = [
        PLAIN,
        "C: MAIL FROM:<a@x.org>\nS: 250 ok\nC: RCPT TO:<b@y.org>\nS: 250 ok\nC: DATA\nS: 354 go\n!BODY\nS: 250 ok",
    ]
    .concat();
    assert_eq!(with(&script, |_| {}, |session| letters(&send(session, &beyond, &wire("hello\r\n", false)))).0, "RA-");
}

#[test]
fn parameters_are_said_when_they_are_offered() {
    let hello = "S: 220 hi\nC: EHLO\nS: 250-hi\nS: 250-SIZE 1000\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250 DSN\n";
    let rest = "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n!BODY\nS: 250 ok";
    let mut first = Recipient::new(Mailbox::parse("b@b\u{fc}cher.example").unwrap());
    first.notify = Some(Notify { success: true, failure: false, delay: true });
    first.original = Some("rfc822;b+c@y.org".into());
    let second = Recipient::new(Mailbox::parse("\u{fc}@y.org").unwrap());
    let mut envelope = Envelope::new(ReversePath::Null, vec![first, second]).unwrap();
    envelope.ret = Some(Return::Headers);
    envelope.envid = Some("a b=c".into());
    let (attempt, heard) = with(
        &[hello, rest].concat(),
        |_| {},
        |session| {
            assert!(session.takes_eight_bit());
            send(session, &envelope, &wire("h\u{fc}\r\n", true))
        },
    );
    assert_eq!(letters(&attempt), "AA-");
    assert_eq!(heard[1], "MAIL FROM:<> SIZE=7 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+20b+3Dc");
    assert_eq!(heard[2], "RCPT TO:<b@xn--bcher-kva.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@y.org");
    assert_eq!(heard[3], "RCPT TO:<\u{fc}@y.org>");
}

#[test]
fn a_thousand_recipients_lock_nobody() {
    let names: Vec<String> =
        (0..1000).map(|n| format!("recipient-number-{n}@a-rather-long-domain.example.org")).collect();
    let envelope = envelope(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut script = format!("{PIPELINING}C: MAIL\nS: 250 ok\n");
    for n in 0..1000 {
        script += &format!("C: RCPT TO:<recipient-number-{n}@\nS: 250 {}\n", "x".repeat(400));
    }
    script += "C: DATA\nS: 354 go\n!BODY\nS: 250 ok";
    let many = |account: &mut Account| account.limits = Limits { recipients: 1000, ..account.limits };
    let (fate, _) = with(&script, many, |session| letters(&send(session, &envelope, &wire("hello\r\n", false))));
    assert_eq!(fate, "A".repeat(1000) + "-");
}
