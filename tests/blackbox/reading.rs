//! From standard input to the wire: what becomes of line ends, dots, headers that are none, and bytes that no relay
//! takes. The rows of `reference/interface.md` section 1.10.

use crate::support::*;

/// A header to which nothing has to be added.
const HEADER: &str = "From: alice@example.test\nDate: Tue, 24 Nov 2026 12:00:00 +0000\nMessage-ID: <1@example.test>\n";

/// What the relay gets for a message, given to one recipient.
fn received(options: &[&str], input: impl AsRef<[u8]>) -> Received {
    let relay = Relay::start(Script::plain());
    Sandbox::for_relay(&relay).sendmail(options.iter().chain(&["bob@example.org"])).input(input).silent();
    relay.message()
}

/// What the relay gets behind [`HEADER`].
fn rest(options: &[&str], input: &str) -> String {
    let text = received(options, format!("{HEADER}{input}")).text();
    let header = on_the_wire(HEADER);
    text.strip_prefix(&header).unwrap_or_else(|| panic!("the header has changed: {text}")).to_string()
}

#[test]
fn a_message_ends_where_it_should() {
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "\na\n.\nb\n", "\r\na\r\n"),
        (&[], "\na\n.\r\nb\n", "\r\na\r\n"),
        (&[], "\na\n.", "\r\na\r\n"),
        (&[], "\n..\n..a\n", "\r\n..\r\n..a\r\n"),
        (&[], "Subject: s\n.\nX-Behind: x\n", "Subject: s\r\n\r\n"),
        (&["-i"], "\na\n.\n..\nb\n", "\r\na\r\n.\r\n..\r\nb\r\n"),
        (&["-oi"], "\na\n.\nb\n", "\r\na\r\n.\r\nb\r\n"),
        (&["-o", "i"], "\na\n.\nb\n", "\r\na\r\n.\r\nb\r\n"),
        (&["-O", "IgnoreDots=true"], "\na\n.\nb\n", "\r\na\r\n.\r\nb\r\n"),
        (&["-i"], "\na\n.", "\r\na\r\n.\r\n"),
        (&[], "\nno end", "\r\nno end\r\n"),
        (&[], "\nend\n\n\n", "\r\nend\r\n\r\n\r\n"),
    ];
    for (options, input, expected) in cases {
        assert_eq!(rest(options, input), *expected, "{options:?} {input:?}");
    }
}

#[test]
fn every_line_ends_with_crlf_whatever_it_ended_with() {
    let cases = [
        ("Subject: s\r\n\r\na\r\nb\r\n", "Subject: s\r\n\r\na\r\nb\r\n"),
        ("Subject: s\r\n\na\nb\r\n", "Subject: s\r\n\r\na\r\nb\r\n"),
        ("Subject: s\r\r\n\r\r\na\r\r\n", "Subject: s\r\n\r\na\r\n"),
        ("\na\rb\n", "\r\na\r\nb\r\n"),
        ("Subject: s\rBcc: x@y\n\na\n", "Subject: s Bcc: x@y\r\n\r\na\r\n"),
        ("\nvt\x0b ff\x0c sub\x1a\n", "\r\nvt\x0b ff\x0c sub\x1a\r\n"),
    ];
    for (input, expected) in cases {
        assert_eq!(rest(&[], input), expected, "{input:?}");
    }
}

#[test]
fn the_header_ends_where_it_stops_being_one() {
    let cases = [
        ("This is body\nmore\n", "\r\nThis is body\r\nmore\r\n"),
        ("Subject: s\nThis is body: yes\n", "Subject: s\r\n\r\nThis is body: yes\r\n"),
        ("Subject: s\nFrom x\n\nb\n", "Subject: s\r\n\r\nFrom x\r\n\r\nb\r\n"),
        ("http://example.org is nice\n\nb\n", "http://example.org is nice\r\n\r\nb\r\n"),
        ("Subject : s\n\nb\n", "Subject: s\r\n\r\nb\r\n"),
        ("Text: t\n\nb\n", "Text: t\r\n\r\nb\r\n"),
        (": x\n\nb\n", "\r\n: x\r\n\r\nb\r\n"),
        ("Subject: s\n two\n\tthree\n\nb\n", "Subject: s\r\n two\r\n\tthree\r\n\r\nb\r\n"),
        ("Subject: s\n \n two\n\nb\n", "Subject: s\r\n two\r\n\r\nb\r\n"),
        ("Subject: s", "Subject: s\r\n\r\n"),
        ("Subject: s\n", "Subject: s\r\n\r\n"),
        ("\nFrom me\n>From you\n", "\r\nFrom me\r\n>From you\r\n"),
    ];
    for (input, expected) in cases {
        assert_eq!(rest(&[], input), expected, "{input:?}");
    }
}

#[test]
fn leading_mailbox_lines_are_no_part_of_a_message() {
    for start in ["From a@x Mon Nov 23 00:00:00 2026\n", ">From a@x\n", "From a@x\n>From b@x\nFrom c@x\n"] {
        let text = received(&[], format!("{start}{HEADER}\nbody\n")).text();
        assert_eq!(text, on_the_wire(HEADER) + "\r\nbody\r\n", "{start:?}");
    }
}

#[test]
fn a_message_without_a_header_gets_one() {
    for (input, body) in [("", ""), ("\nbody\n", "body\r\n"), ("\n\nbody\n", "\r\nbody\r\n"), (" body\n", " body\r\n")]
    {
        let message = received(&[], input);
        assert_eq!(message.body(), body.as_bytes(), "{input:?}");
        for field in ["From", "Date", "Message-ID"] {
            assert!(message.field(field).is_some(), "{field} for {input:?}");
        }
    }
}

#[test]
fn a_byte_order_mark_makes_everything_body() {
    let message = received(&[], "\u{feff}Subject: s\n\nb\n");
    assert_eq!(message.body(), "\u{feff}Subject: s\r\n\r\nb\r\n".as_bytes());
}

#[test]
fn fields_of_the_transport_are_dropped() {
    let input = "Bcc: secret@x.org,\n folded@x.org\nSubject: s\nReturn-Path: <a@b>\n\
        Content-Length: 5\nBCC : third@x.org\n\nb\n";
    assert_eq!(rest(&[], input), "Subject: s\r\n\r\nb\r\n");
}

#[test]
fn a_message_sent_on_is_signed_by_whoever_sends_it_on() {
    let sent_on = rest(&[], "Resent-To: bob@example.org\nResent-Bcc: also@x.org\n\nb\n");
    let (kept, added) = sent_on.split_once("\r\n").unwrap();
    assert_eq!(kept, "Resent-To: bob@example.org");
    for field in ["Resent-From: ", "Resent-Date: ", "Resent-Message-ID: "] {
        assert!(added.lines().any(|line| line.starts_with(field)), "{field} is not in {added}");
    }
    assert!(!sent_on.contains("also@x.org"));
}

#[test]
fn eight_bit_text_goes_as_it_is_where_the_relay_takes_it() {
    let message = received(&[], format!("{HEADER}Subject: gr\u{fc}n\n\nGr\u{fc}\u{df}e\n"));
    assert_eq!(message.body(), "Gr\u{fc}\u{df}e\r\n".as_bytes());
    assert_eq!(message.field("Subject").as_deref(), Some("gr\u{fc}n"));
    assert!(message.mail_parameters.iter().any(|parameter| parameter == "BODY=8BITMIME"));
    assert!(!message.mail_parameters.iter().any(|parameter| parameter == "SMTPUTF8"));
}

#[test]
fn eight_bit_text_is_encoded_where_the_relay_takes_seven() {
    let relay = Relay::start(Script::plain().bare());
    let input = format!("{HEADER}\nGr\u{fc}\u{df}e = \u{20ac}\n");
    Sandbox::for_relay(&relay).sendmail(["bob@example.org"]).input(input).silent();
    let message = relay.message();
    assert_eq!(message.field("Content-Transfer-Encoding").as_deref(), Some("quoted-printable"));
    assert_eq!(message.body(), b"Gr=C3=BC=C3=9Fe =3D =E2=82=AC\r\n");
}

#[test]
fn a_line_too_long_for_any_relay_is_encoded_and_not_cut() {
    let long = "x".repeat(3000);
    let message = received(&[], format!("{HEADER}\n{long}\nshort\n"));
    assert_eq!(message.field("Content-Transfer-Encoding").as_deref(), Some("quoted-printable"));
    let decoded = String::from_utf8(message.body().to_vec()).unwrap().replace("=\r\n", "");
    assert_eq!(decoded, format!("{long}\r\nshort\r\n"));
}

#[test]
fn a_header_line_too_long_for_any_relay_is_folded_and_not_cut() {
    let long = format!("Subject: {}", "word ".repeat(500).trim_end());
    let message = received(&[], format!("{HEADER}{long}\n\nb\n"));
    let unfolded = message.header().replace("\r\n ", " ");
    assert!(unfolded.contains(&long), "{unfolded}");
}

#[test]
fn a_nul_byte_is_encoded_in_text_and_refused_in_a_header() {
    let message = received(&[], format!("{HEADER}\na\0b\n"));
    assert_eq!(message.body(), b"a=00b\r\n");
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(["bob@example.org"]).input(format!("{HEADER}Subject: a\0b\n\nc\n")).fails(65);
    assert_eq!(relay.messages().len(), 0);
    assert!(sandbox.queue().is_empty());
}

#[test]
fn a_header_of_more_than_a_megabyte_is_refused() {
    let relay = Relay::start(Script::plain());
    let input = format!(
        "{HEADER}{}\nb\n",
        "X-Filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(30_000)
    );
    Sandbox::for_relay(&relay).sendmail(["bob@example.org"]).input(input).fails(65);
}

#[test]
fn a_message_that_goes_round_in_circles_is_refused() {
    let relay = Relay::start(Script::plain());
    let input = format!("{}{HEADER}\nb\n", "Received: from a by b; Tue, 24 Nov 2026 12:00:00 +0000\n".repeat(60));
    Sandbox::for_relay(&relay).sendmail(["bob@example.org"]).input(input).fails(69);
}
