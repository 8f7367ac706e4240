//! What a person who trusts the program with mail would ask twice: who gets to know of a failure, who may send the same
//! message another time, and what is left running.

use crate::support::relay::Record;
use crate::support::sandbox::account_for;
use crate::support::*;
use std::time::Duration;

const TO_BOB: [&str; 2] = ["-i", "bob@example.org"];

fn titled(subject: &str) -> String {
    MESSAGE.replace("hello", subject).replace("<one@", &format!("<{subject}@"))
}

#[test]
fn a_buried_message_is_complete_and_keeps_the_secret_of_its_bcc() {
    let relay = Relay::start(Script::plain().when("RCPT TO:<nobody@", [say("550 5.1.1 nobody here")]));
    let sandbox = Sandbox::empty().top("");
    let input = "To: bob@example.org\nBcc: nobody@example.org\nSubject: a secret\n\nHello\n";
    sandbox.sendmail(["-t"]).input(input).fails(78);
    let id = sandbox.dead()[0].file_name().unwrap().to_str().unwrap().to_string();
    let mut sandbox = sandbox;
    sandbox.account = account_for(&relay);
    let sandbox = sandbox.top("");
    let _ = sandbox.mailchute(["queue", "dead", "retry", &id]).finish().exits(0);
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    relay.wait_for_messages(2);
    let (message, bounce) = (&relay.messages()[0], &relay.messages()[1]);
    assert_eq!((message.reverse_path.as_str(), message.to()), ("alice@example.test", vec!["bob@example.org"]));
    assert_eq!(message.field("Bcc"), None, "{}", message.text());
    for name in ["From", "Date", "Message-ID"] {
        assert!(message.field(name).is_some(), "{name} is missing: {}", message.text());
    }
    assert_eq!((bounce.reverse_path.as_str(), bounce.to()), ("", vec!["alice@example.test"]));
}

#[test]
fn mail_for_root_that_came_before_the_account_reaches_its_owner() {
    let relay = Relay::start(Script::plain());
    let mut sandbox = Sandbox::empty().top("");
    sandbox.sendmail(["-i", "root", "bob@example.org"]).input(MESSAGE).fails(78);
    let id = sandbox.dead()[0].file_name().unwrap().to_str().unwrap().to_string();
    sandbox.account = account_for(&relay);
    let sandbox = sandbox.tables("[aliases]\nroot = [\"me@one.example\", \"me@two.example\"]");
    let _ = sandbox.mailchute(["queue", "dead", "retry", &id]).finish().exits(0);
    assert_eq!((sandbox.dead().len(), sandbox.queue().len()), (0, 1));
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!(relay.message().to(), ["me@one.example", "me@two.example", "bob@example.org"]);
    assert_eq!(relay.message().text(), on_the_wire(MESSAGE));
}

#[test]
fn a_message_whose_fate_is_open_is_not_offered_to_a_fallback() {
    let first = Relay::start(Script::plain().when(".", [Act::Close]));
    let other = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&first)
        .account("fallback = [\"other\"]")
        .tables(&format!("[accounts.other]\n{}", account_for(&other)));
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    assert_eq!((other.connections(), sandbox.queue().len()), (0, 1), "{}", other.transcript());
}

#[test]
fn a_fallback_takes_over_before_the_message_is_offered() {
    let first = Relay::start(Script::plain().when("connect", [say("421 4.3.2 closed"), Act::Close]));
    let other = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&first)
        .account("fallback = [\"other\"]")
        .tables(&format!("[accounts.other]\n{}", account_for(&other)));
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    assert_eq!((other.messages().len(), sandbox.queue().len()), (1, 0));
}

#[test]
fn the_bounce_of_a_local_sender_goes_to_whom_the_alias_names() {
    let mut relay = Relay::offline(Script::plain().when("RCPT TO:<bob@", [say("550 5.1.1 no bob here")]));
    let sandbox = Sandbox::for_relay(&relay)
        .replace("from = \"alice@example.test\"\n", "rewrite-from = \"never\"\n")
        .tables("[aliases]\nroot = \"admin@example.org\"");
    sandbox.sendmail(["-i", "-f", "root", "bob@example.org"]).input(MESSAGE).silent();
    relay.go_online();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    relay.wait_for_messages(1);
    assert_eq!((relay.message().reverse_path.as_str(), relay.message().to()), ("", vec!["admin@example.org"]));
}

#[test]
fn the_error_mode_does_not_decide_how_long_a_caller_waits() {
    for mode in ["-oee", "-oem", "-oeq"] {
        let relay = Relay::start(Script::plain().when("MAIL", [Act::Hang]));
        let sandbox = Sandbox::for_relay(&relay).queue_policy("foreground-deadline = \"1s\"");
        let finished = sandbox.sendmail([mode].iter().chain(&TO_BOB)).input(MESSAGE).finish().exits(0);
        assert!(finished.took < Duration::from_secs(5), "{mode}: {:?}", finished.took);
        assert_eq!(sandbox.queue().len(), 1, "{mode}");
    }
}

#[test]
fn errors_that_are_only_mailed_end_well_and_are_mailed() {
    let relay = Relay::start(Script::plain().when("RCPT TO:<bob@", [say("550 5.1.1 no bob here")]));
    let sandbox = Sandbox::for_relay(&relay);
    let _ = sandbox.sendmail(["-oee"].iter().chain(&TO_BOB)).input(MESSAGE).finish().exits(0);
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    relay.wait_for_messages(1);
    assert_eq!((relay.message().reverse_path.as_str(), relay.message().to()), ("", vec!["alice@example.test"]));
    eventually("all is told", || sandbox.queue().is_empty() && sandbox.dead().is_empty());
}

#[test]
fn many_successes_start_one_queue_run() {
    let slow = [Act::Wait(Duration::from_millis(100))];
    let relay = Relay::start(Script::plain().when("MAIL", slow));
    let sandbox = Sandbox::for_relay(&relay);
    for number in 0..20 {
        sandbox.sendmail(["-odq"].iter().chain(&TO_BOB)).input(titled(&format!("q{number}"))).silent();
    }
    for number in 0..6 {
        sandbox.sendmail(TO_BOB).input(titled(&format!("n{number}"))).silent();
    }
    eventually("everything is sent", || sandbox.queue().is_empty());
    assert_eq!(relay.messages().len(), 26);
    assert!(relay.connections() <= 8, "{} connections", relay.connections());
}

/// Whether that connection has come to a message.
fn is_at_mail(record: &Record, connection: usize) -> bool {
    let lines = record.conversations.get(connection).map_or(&[][..], |conversation| &conversation.lines);
    lines.iter().any(|line| line.text.starts_with("MAIL"))
}

#[test]
fn a_message_that_waits_is_free_while_the_run_behind_it_goes_on() {
    let script = Script::plain().when_nth("RCPT", 1, [say("451 4.2.1 later")]).when_nth("MAIL", 2, [Act::Hang]);
    let relay = Relay::start(script);
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(["-odq"].iter().chain(&TO_BOB)).input(titled("stuck")).silent();
    sandbox.sendmail(["-i", "bob@example.org", "carol@example.org"]).input(titled("waits")).silent();
    relay.wait_until(|record| is_at_mail(record, 1));
    sandbox.sendmail(["-q"]).silent();
    let subjects = relay.messages().iter().map(|message| message.field("Subject").unwrap()).collect::<Vec<_>>();
    assert_eq!(subjects, ["waits", "waits"], "to Carol at once, to Bob from the queue");
}

#[test]
fn a_descriptor_that_a_caller_leaked_is_closed_whatever_the_environment_says() {
    let relay = Relay::start(Script::plain().when("connect", [Act::Wait(Duration::from_secs(2))]));
    let sandbox = Sandbox::for_relay(&relay);
    let sending = sandbox.sendmail(["-odb", "-i", "bob@example.org"]).env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let finished = sending.through_shell("exec \"$@\" 3>&1").input(MESSAGE).finish().exits(0);
    assert!(finished.took < Duration::from_millis(1500), "{:?}", finished.took);
    relay.wait_for_messages(1);
}

#[test]
fn the_listing_shows_the_account_that_a_message_belongs_to() {
    let good = Relay::start(Script::plain());
    let bad = Relay::start(Script::plain().when("EHLO", [say("550 5.7.1 go away")]));
    let work = account_for(&bad).replace("alice@example.test", "me@work.example");
    let sandbox =
        Sandbox::for_relay(&good).top("default-account = \"test\"").tables(&format!("[accounts.work]\n{work}"));
    let said = sandbox.sendmail(["-i", "-f", "me@work.example", "bob@example.org"]).input(MESSAGE).warns();
    assert!(said.contains("go away"), "{said}");
    let entry = sandbox.entry();
    assert_eq!((&entry["account"], &entry["held_by"]), (&"work".into(), &"account".into()), "{entry:#}");
}

#[test]
fn a_relay_that_took_some_and_refused_the_rest_is_not_to_be_asked_again() {
    let relay = Relay::start(Script::plain().when("RCPT TO:<bob@", [say("550 5.1.1 no bob here")]));
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.write_private("file", "");
    let text = std::fs::read_to_string(sandbox.config()).unwrap().replace("/spool\"", "/file/spool\"");
    let sandbox = sandbox.config_text(&text);
    let said = sandbox.sendmail(["-i", "bob@example.org", "carol@example.org"]).input(MESSAGE).fails(69);
    assert!(said.contains("no bob here"), "{said}");
}

/// The children of a process that have ended and wait for it.
fn zombies(parent: u32) -> usize {
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
    let is_one = |stat: &String| {
        let words: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        words.first() == Some(&"Z") && words.get(1) == Some(&parent.to_string().as_str())
    };
    std::fs::read_dir("/proc").unwrap().flatten().map(stat).filter(is_one).count()
}

mod smtp {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{ChildStdin, ChildStdout};

    /// `sendmail -bs` and its two ends.
    struct Talk {
        input: ChildStdin,
        output: BufReader<ChildStdout>,
    }

    impl Talk {
        fn says(&mut self, code: &str) {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            assert!(line.starts_with(code), "{line} instead of {code}");
        }

        fn ask(&mut self, command: &str, code: &str) {
            self.input.write_all(format!("{command}\r\n").as_bytes()).unwrap();
            self.says(code);
        }

        fn mail(&mut self, subject: &str) {
            self.ask("MAIL FROM:<alice@example.test>", "250");
            self.ask("RCPT TO:<bob@example.org>", "250");
            self.ask("DATA", "354");
            let text = titled(subject).replace("\n.\n", "\n..\n").replace('\n', "\r\n");
            self.ask(&format!("{text}."), "250");
        }
    }

    #[test]
    fn a_long_session_sends_while_it_goes_on_and_leaves_no_zombies() {
        let relay = Relay::start(Script::plain());
        let sandbox = Sandbox::for_relay(&relay);
        let mut started = sandbox.sendmail(["-bs"]).start();
        let pid = started.child.id();
        let mut talk = Talk {
            input: started.child.stdin.take().unwrap(),
            output: BufReader::new(started.child.stdout.take().unwrap()),
        };
        talk.says("220");
        talk.ask("HELO [127.0.0.1]", "250");
        for number in 1..=4 {
            talk.mail(&format!("m{number}"));
            relay.wait_for_messages(number);
            eventually("the queue is empty", || sandbox.queue().is_empty());
        }
        talk.ask("NOOP", "250");
        eventually("no zombies", || zombies(pid) == 0);
        talk.ask("QUIT", "221");
        assert!(started.child.wait().unwrap().success());
    }

    #[test]
    fn a_message_is_sent_even_while_a_queue_run_goes_on_elsewhere() {
        let relay = Relay::start(Script::plain().when_nth("MAIL", 2, [Act::Hang]));
        let sandbox = Sandbox::for_relay(&relay);
        sandbox.sendmail(["-odq"].iter().chain(&TO_BOB)).input(titled("stuck")).silent();
        sandbox.sendmail(TO_BOB).input(titled("first")).silent();
        relay.wait_until(|record| is_at_mail(record, 1));
        let text = titled("second").replace("\n.\n", "\n..\n").replace('\n', "\r\n");
        let session = format!(
            "HELO x\r\nMAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n{text}.\r\nQUIT\r\n"
        );
        let _ = sandbox.sendmail(["-bs"]).input(session).finish().exits(0);
        relay.wait_for_messages(2);
    }
}
