//! The relay and the sandbox themselves: what they claim to see and to do, seen and done.

use crate::support::*;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// Says these commands one by one; the replies' codes, multi-line replies as one.
fn talk(relay: &Relay, commands: &[&str]) -> Vec<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", relay.port())).unwrap();
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    let mut reply = || loop {
        match lines.next() {
            Some(Ok(line)) if line.as_bytes().get(3) == Some(&b'-') => {}
            Some(Ok(line)) => return line.get(..3).unwrap_or(&line).to_string(),
            _ => return "end".into(),
        }
    };
    let mut codes = vec![reply()];
    for command in commands {
        let _ = socket.write_all(format!("{command}\r\n").as_bytes());
        codes.push(reply());
    }
    codes
}

#[test]
fn a_message_is_recorded_as_it_was_sent() {
    let relay = Relay::start(Script::plain().offering("DSN"));
    let codes = talk(
        &relay,
        &[
            "EHLO me.example",
            "MAIL FROM:<a@x> RET=HDRS",
            "RCPT TO:<b@y> NOTIFY=NEVER",
            "DATA",
            "Subject: s\r\n\r\n..dot\r\n.",
            "QUIT",
        ],
    );
    assert_eq!(codes, ["220", "250", "250", "250", "354", "250", "221"]);
    let message = relay.message();
    assert_eq!(message.reverse_path, "a@x");
    assert_eq!(message.mail_parameters, ["RET=HDRS"]);
    assert_eq!(message.to(), ["b@y"]);
    assert_eq!(message.recipients[0].parameters, ["NOTIFY=NEVER"]);
    assert_eq!(message.text(), "Subject: s\r\n\r\n.dot\r\n");
    assert_eq!(message.field("subject").as_deref(), Some("s"));
}

#[test]
fn a_chunked_message_is_recorded_as_well() {
    let relay = Relay::start(Script::plain().offering("CHUNKING"));
    talk(&relay, &["EHLO me.example", "MAIL FROM:<a@x>", "RCPT TO:<b@y>", "BDAT 8 LAST\r\n.a\r\n.b\r\n"]);
    assert_eq!(relay.message().text(), ".a\r\n.b\r\n");
}

#[test]
fn the_script_decides_by_command_and_by_occurrence() {
    let script = Script::plain().when("RCPT TO:<b@", [say("550 5.1.1 nobody")]).when_nth(
        "MAIL",
        2,
        [say("451 4.3.0 later"), Act::Close],
    );
    let relay = Relay::start(script);
    let codes = talk(&relay, &["EHLO me", "MAIL FROM:<>", "rcpt to:<b@x>", "RCPT TO:<c@x>", "RSET", "MAIL FROM:<>"]);
    assert_eq!(codes, ["220", "250", "250", "550", "250", "250", "451"]);
    assert_eq!(talk(&relay, &["NOOP"]), ["220", "250"]);
    assert_eq!(relay.connections(), 2);
}

#[test]
fn a_strict_receiver_names_each_offence() {
    let relay = Relay::start(Script::plain().bare()).tolerant();
    talk(&relay, &["EHLO me", "MAIL FROM:<a@x> BODY=8BITMIME", "RCPT TO:<b@y>", "DATA", "a\rb\nc\r\n."]);
    assert_eq!(
        relay.record().offences,
        ["BODY=8BITMIME without 8BITMIME", "bare CR in a message", "bare LF in a message"]
    );
}

#[test]
fn an_offline_relay_refuses_until_it_goes_online() {
    let mut relay = Relay::offline(Script::plain());
    assert!(TcpStream::connect(("127.0.0.1", relay.port())).is_err());
    relay.go_online();
    assert_eq!(talk(&relay, &["NOOP"]), ["220", "250"]);
}

#[test]
fn nobody_gets_in_without_a_login_where_there_are_logins() {
    let relay = Relay::start(Script::plain().login("u", "p"));
    let wrong = "AUTH PLAIN AHUAeA==";
    let right = "AUTH PLAIN AHUAcA==";
    let codes = talk(&relay, &["EHLO me", "MAIL FROM:<>", wrong, right, "MAIL FROM:<>"]);
    assert_eq!(codes, ["220", "250", "530", "535", "235", "250"]);
    let accepted: Vec<bool> = relay.record().logins.iter().map(|login| login.accepted).collect();
    assert_eq!(accepted, [false, true]);
    assert!(relay.record().logins.iter().all(|login| login.user == "u" && !login.secure));
}

#[test]
fn a_sandbox_has_nothing_of_the_callers_environment() {
    let sandbox = Sandbox::empty();
    let printed = sandbox.sendmail(["ignored"]).through_shell("env; id -u").prints();
    assert!(printed.contains("HOME="), "{printed}");
    assert!(!printed.contains("CARGO"), "{printed}");
    assert!(sandbox.queue().is_empty() && sandbox.dead().is_empty() && sandbox.corrupt().is_empty());
}
