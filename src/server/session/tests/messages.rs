//! Messages that are taken, and those that are refused on their way.

use super::*;

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
