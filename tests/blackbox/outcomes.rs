//! The table of DESIGN section 2, row by row: exit status, what is said, and where the message is afterwards.

use crate::support::sandbox::account_for;
use crate::support::*;

const TWO: [&str; 3] = ["-i", "bob@example.org", "carol@example.org"];

/// How many entries wait, and how many were given up.
fn kept(sandbox: &Sandbox) -> (usize, usize) {
    (sandbox.queue().len(), sandbox.dead().len())
}

#[test]
fn an_accepted_message_leaves_nothing_behind() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TWO).input(MESSAGE).silent();
    assert_eq!(kept(&sandbox), (0, 0));
}

#[test]
fn a_transient_failure_is_silent_and_keeps_the_message() {
    let scripts = [
        Script::plain().when("connect", [say("421 4.3.0 come back later"), Act::Close]),
        Script::plain().when("MAIL", [say("451 4.3.0 later")]),
        Script::plain().when("RCPT", [say("450 4.2.1 later")]),
        Script::plain().when("DATA", [say("451 4.3.0 later")]),
        Script::plain().when(".", [say("452 4.3.1 disk full")]),
        Script::plain().when(".", [raw("\x16\x03garbage\r\n"), Act::Close]),
        Script::plain().when(".", [raw("250 o"), Act::Close]),
    ];
    for script in scripts {
        let relay = Relay::start(script);
        let sandbox = Sandbox::for_relay(&relay);
        sandbox.sendmail(TWO).input(MESSAGE).silent();
        assert_eq!(kept(&sandbox), (1, 0), "{}", relay.transcript());
        assert_eq!(sandbox.entry()["state"], "queued");
    }
}

#[test]
fn an_unreachable_relay_is_silent_and_keeps_the_message() {
    let relay = Relay::offline(Script::plain());
    for host in ["localhost", "127.0.0.1"] {
        let sandbox = Sandbox::for_relay(&relay).replace("localhost", host);
        sandbox.sendmail(TWO).input(MESSAGE).silent();
        assert_eq!(kept(&sandbox), (1, 0));
        assert_eq!(sandbox.entry()["state"], "queued", "{host}");
    }
}

#[test]
fn verbose_says_why_a_message_waits() {
    let relay = Relay::start(Script::plain().when("MAIL", [say("451 4.3.0 closed for lunch")]));
    let shown = Sandbox::for_relay(&relay).sendmail(["-v"].iter().chain(&TWO)).input(MESSAGE).finish().exits(0);
    assert!(shown.stdout.contains("closed for lunch"), "{shown:?}");
}

#[test]
fn a_fault_of_the_account_is_told_and_keeps_the_message() {
    let login = |script: Script| script.login(USER, PASSWORD);
    let scripts = [
        login(Script::starttls()).when("login", [say("535 5.7.8 not accepted")]),
        login(Script::starttls()).when("login", [say("534 5.7.9 application-specific password required")]),
        login(Script::starttls()).when("login", [say("454 4.7.0 too many login attempts")]),
        login(Script::starttls()).certificate(Certificate::SelfSigned),
        login(Script::starttls()).when("STARTTLS", [say("454 4.7.0 TLS not available")]),
        login(Script::starttls()).when("DATA", [say("550 5.4.5 daily sending quota exceeded")]),
        Script::plain().when("connect", [say("554 5.7.1 go away"), Act::Close]),
        Script::plain().when("EHLO", [say("550 5.7.1 go away")]),
    ];
    for script in scripts {
        let relay = Relay::start(script);
        let sandbox = Sandbox::for_relay(&relay);
        let said = sandbox.sendmail(TWO).input(MESSAGE).warns();
        assert!(said.lines().all(|line| line.starts_with("mailchute: ")), "{said}");
        assert!(said.contains("hint: "), "{said}");
        assert_eq!(kept(&sandbox), (1, 0), "{said}");
        let entry = sandbox.entry();
        assert_eq!((&entry["state"], &entry["held_by"]), (&"held".into(), &"account".into()), "{said}\n{entry:#}");
        assert!(!entry["reason"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_held_account_is_told_of_even_when_its_fallback_cannot_be_reached() {
    let first = Relay::start(Script::starttls().login(USER, PASSWORD).when("login", [say("535 5.7.8 not accepted")]));
    let mut other = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&first)
        .account("fallback = [\"other\"]")
        .tables(&format!("[accounts.other]\n{}", account_for(&other)));
    let said = sandbox.sendmail(TWO).input(MESSAGE).warns();
    assert!(said.contains("535 5.7.8 not accepted") && said.contains("hint: "), "{said}");
    assert_eq!(kept(&sandbox), (1, 0), "{said}");
    other.go_online();
    sandbox.sendmail(TWO).input(MESSAGE).silent();
}

#[test]
fn a_message_that_every_recipient_refuses_is_told_and_given_up() {
    let cases = [
        (Script::plain().when("RCPT", [say("550 5.1.1 nobody here")]), 67),
        (Script::plain().when("MAIL", [say("550 5.7.1 not for you")]), 69),
        (Script::plain().when("DATA", [say("554 5.6.0 no")]), 69),
        (Script::plain().when(".", [say("552 5.7.0 blocked")]), 69),
    ];
    for (script, status) in cases {
        let words = format!("{script:?}");
        let relay = Relay::start(script);
        let sandbox = Sandbox::for_relay(&relay);
        let said = sandbox.sendmail(TWO).input(MESSAGE).fails(status);
        assert!(said.contains("550 5.") || said.contains("554 5.") || said.contains("552 5."), "{words}: {said}");
        assert_eq!(kept(&sandbox), (0, 1), "{words}");
    }
}

#[test]
fn the_quiet_error_mode_leaves_out_the_words_and_nothing_else() {
    for quiet in ["-oeq", "-eq"] {
        let relay = Relay::start(Script::plain().when("RCPT", [say("550 5.1.1 nobody here")]));
        let sandbox = Sandbox::for_relay(&relay);
        let finished = sandbox.sendmail([quiet].iter().chain(&TWO)).input(MESSAGE).finish().exits(67);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
        assert_eq!(kept(&sandbox), (0, 1));
    }
}

#[test]
fn a_message_that_some_refuse_reaches_the_others_and_its_sender_is_told() {
    let relay = Relay::start(Script::plain().when("RCPT TO:<bob@", [say("550 5.1.1 no bob here")]));
    let sandbox = Sandbox::for_relay(&relay);
    let said = sandbox.sendmail(TWO).input(MESSAGE).warns();
    assert!(said.contains("no bob here") && said.contains("bob@example.org"), "{said}");
    let _ = sandbox.sendmail(["-q"]).finish();
    relay.wait_for_messages(2);
    let messages = relay.messages();
    assert_eq!(messages[0].to(), ["carol@example.org"]);
    assert_eq!((messages[1].reverse_path.as_str(), messages[1].to()), ("", vec!["alice@example.test"]));
    assert!(messages[1].text().contains("no bob here"), "{}", messages[1].text());
    eventually("the queue is empty", || kept(&sandbox) == (0, 0));
}

#[test]
fn a_message_rejected_later_is_bounced_to_its_sender() {
    let mut relay = Relay::offline(Script::plain().when("RCPT TO:<bob@", [say("550 5.1.1 no bob here")]));
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(["-i", "bob@example.org"]).input(MESSAGE).silent();
    relay.go_online();
    for _ in 0..2 {
        let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    }
    relay.wait_for_messages(1);
    let bounce = relay.message();
    assert_eq!((bounce.reverse_path.as_str(), bounce.to()), ("", vec!["alice@example.test"]));
    eventually("the queue is empty", || kept(&sandbox) == (0, 0));
}

#[test]
fn without_an_account_a_copy_is_kept_among_the_dead() {
    let sandbox = Sandbox::empty().top("");
    let said = sandbox.sendmail(TWO).input(MESSAGE).fails(78);
    assert!(said.contains("mailchute setup"), "{said}");
    assert_eq!(kept(&sandbox), (0, 1));
    assert!(std::fs::read_to_string(&sandbox.dead()[0]).unwrap().contains("Hello Bob,"));
}

#[test]
fn what_cannot_be_understood_keeps_nothing() {
    let relay = Relay::start(Script::plain());
    let cases: [(&[&str], i32); 4] =
        [(&["-i"], 64), (&["-z", "bob@example.org"], 64), (&["-i", "bob@"], 65), (&["-f", "a b@x", "b@x.org"], 65)];
    for (arguments, status) in cases {
        let sandbox = Sandbox::for_relay(&relay);
        sandbox.sendmail(arguments).input(MESSAGE).fails(status);
        assert_eq!(kept(&sandbox), (0, 0), "{arguments:?}");
    }
    assert_eq!(relay.connections(), 0);
}

/// A world whose spool directory cannot be: its parent is a file.
fn without_a_spool(relay: &Relay) -> Sandbox {
    let sandbox = Sandbox::for_relay(relay);
    sandbox.write_private("file", "");
    let text = std::fs::read_to_string(sandbox.config()).unwrap().replace("/spool\"", "/file/spool\"");
    sandbox.config_text(&text)
}

#[test]
fn without_a_spool_a_message_is_submitted_at_once() {
    let relay = Relay::start(Script::plain());
    let _ = without_a_spool(&relay).sendmail(TWO).input(MESSAGE).finish().exits(0);
    assert_eq!(relay.messages().len(), 1);
}

#[test]
fn without_a_spool_and_a_relay_the_caller_still_owns_the_message() {
    let relay = Relay::offline(Script::plain());
    let said = without_a_spool(&relay).sendmail(TWO).input(MESSAGE).fails(75);
    assert!(said.contains("file/spool"), "{said}");
}
