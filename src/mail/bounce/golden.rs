//! Whole bounces as they leave, one of each kind.

use super::*;
use crate::mail::envelope::Notify;
use crate::mail::header::Field;

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn original() -> Header {
    let mut header = Header::default();
    for (name, value) in [
        ("From", "Root <root@web1.example.org>"),
        ("To", "bob@example.org"),
        ("Subject", "=?UTF-8?Q?disk_f=C3=BCll?="),
        ("Date", "Tue, 24 Nov 2026 15:04:05 +0100"),
        ("Message-ID", "<1@web1.example.org>"),
    ] {
        header.push(Field::new(name, value));
    }
    header
}

fn now() -> Moment {
    Moment::from_seconds(1_795_529_645)
}

fn arrival() -> Moment {
    Moment::from_seconds(1_795_529_045)
}

fn until() -> Moment {
    Moment::from_seconds(1_795_961_045)
}

fn report<'a>(to: &'a Mailbox, header: &'a Header, fates: &'a [Fate<'a>]) -> Report<'a> {
    Report {
        host: "web1.example.org",
        id: "06610306F68E402345678901",
        original: "06610306F68E400123456789",
        to,
        now: now(),
        arrival: arrival(),
        envid: None,
        fates,
        header,
        body: None,
    }
}

/// The bounce as it leaves, with line feeds for CRLF and words for the moments, whose form depends on the time zone.
fn written(change: impl FnOnce(&mut Report), fates: &[Fate]) -> String {
    let (to, header) = (mailbox("root@web1.example.org"), original());
    let mut report = report(&to, &header, fates);
    change(&mut report);
    let (header, body) = compose(&report);
    let bytes = [header.to_bytes().as_slice(), b"\r\n", &body].concat();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']), "canonical lines");
    assert!(text.lines().all(|line| line.len() <= 78), "short lines: {text}");
    let text = text.replace("\r\n", "\n");
    let text = text.replace(&until().rfc5322(), "UNTIL").replace(&now().rfc5322(), "NOW");
    text.replace(&arrival().rfc5322(), "ARRIVAL").replace("Date: Tue, 24 Nov 2026 15:04:05 +0100", "Date: ORIGINAL")
}

fn fate<'a>(recipient: &'a Recipient, action: Action, words: &'a str) -> Fate<'a> {
    Fate { recipient, action, words, hint: None }
}

const REFUSED: &str =
    "smtp.example.org[192.0.2.1]:587 said 550 5.1.1 <bob@example.org>: no such user here (in reply to RCPT TO)";
const TIMEOUT: &str = "smtp.example.org:587: connect: timed out";

#[test]
fn a_rejected_recipient_is_told_with_the_relay_s_words_and_what_to_do() {
    let recipient = Recipient::new(mailbox("bob@example.org"));
    let hint = Some("check the address for a typing error");
    let text = written(|_| {}, &[Fate { hint, ..fate(&recipient, Action::Rejected, REFUSED) }]);
    assert_eq!(text, include_str!("golden/failed.txt"));
}

#[test]
fn rejected_and_expired_recipients_stand_in_one_bounce() {
    let bob = Recipient {
        original: Some("rfc822;root@web1.example.org".into()),
        ..Recipient::new(mailbox("bob@example.org"))
    };
    let eve = Recipient::new(mailbox("eve@b\u{fc}cher.example"));
    let fates = [fate(&bob, Action::Rejected, REFUSED), fate(&eve, Action::Expired, TIMEOUT)];
    let text = written(|report| report.envid = Some("QQ314159"), &fates);
    assert_eq!(text, include_str!("golden/mixed.txt"));
}

#[test]
fn a_delay_says_until_when_it_is_tried() {
    let recipient = Recipient::new(mailbox("bob@example.org"));
    let words =
        "smtp.example.org[192.0.2.1]:587 said 451 4.7.1 greylisted, \u{e9}ssayez plus tard (in reply to RCPT TO)";
    let text = written(|_| {}, &[fate(&recipient, Action::Delayed { until: until() }, words)]);
    assert_eq!(text, include_str!("golden/delayed.txt"));
}

#[test]
fn an_expired_message_is_returned_whole_when_asked() {
    let recipient = Recipient::new(mailbox("bob@example.org"));
    let fates = [fate(&recipient, Action::Expired, TIMEOUT)];
    let text = written(|report| report.body = Some(b"/dev/sda1 is f\xc3\xbcll\r\n"), &fates);
    assert_eq!(text, include_str!("golden/expired.txt"));
}

#[test]
fn foreign_words_cannot_forge_a_field_or_a_part() {
    let recipient = Recipient::new(mailbox("bob@example.org"));
    let words =
        "relay.example[::1]:25 said 550 x\r\n\r\n--=_06610306F68E402345678901--\r\nBcc: evil@x.org (in reply to DATA)";
    let text = written(|_| {}, &[fate(&recipient, Action::Rejected, words)]);
    assert!(!text.lines().any(|line| line.starts_with("Bcc:")), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("--=_")).count(), 4, "{text}");
}

#[test]
fn a_huge_header_is_returned_in_part() {
    let recipient = Recipient::new(mailbox("bob@example.org"));
    let (to, mut header) = (mailbox("root@web1.example.org"), original());
    (0..2000).for_each(|number| header.push(Field::new(&format!("X-Long-{number}"), &"word ".repeat(10))));
    let fates = [fate(&recipient, Action::Rejected, REFUSED)];
    let (_, body) = compose(&Report { header: &header, ..report(&to, &original(), &fates) });
    assert!(body.len() > 40_000 && body.len() < HEADER_LIMIT + 5000, "{}", body.len());
}

#[test]
fn notify_says_who_wants_to_hear_what() {
    let failure = Some(Notify { failure: true, ..Notify::NEVER });
    let success = Some(Notify { success: true, ..Notify::NEVER });
    let delay = Action::Delayed { until: until() };
    // notify, rejected, expired, delayed, relayed
    let cases = [
        (None, [true, true, true, false]),
        (failure, [true, true, false, false]),
        (success, [false, false, false, true]),
        (Some(Notify::NEVER), [false; 4]),
    ];
    for (notify, expected) in cases {
        let recipient = Recipient { notify, ..Recipient::new(mailbox("bob@example.org")) };
        let heard =
            [Action::Rejected, Action::Expired, delay, Action::Relayed].map(|action| wanted(&recipient, action));
        assert_eq!(heard, expected, "{notify:?}");
    }
}
