//! What waits: offline and back, retries per recipient, held accounts, bounces, the listing, and acting on entries.

use crate::support::*;
use std::thread;

const TO_BOB: [&str; 2] = ["-i", "bob@example.org"];

/// A message with that subject.
fn titled(subject: &str) -> String {
    MESSAGE.replace("hello", subject).replace("<one@", &format!("<{subject}@"))
}

fn subjects(relay: &Relay) -> Vec<String> {
    relay.messages().iter().map(|message| message.field("Subject").unwrap()).collect()
}

fn flush(sandbox: &Sandbox) {
    sandbox.sendmail(["-q"]).silent();
}

#[test]
fn what_was_sent_offline_goes_in_order_over_one_connection() {
    let mut relay = Relay::offline(Script::starttls().login(USER, PASSWORD));
    let sandbox = Sandbox::for_relay(&relay);
    let patches: Vec<String> = (1..=20).map(|number| format!("patch-{number}")).collect();
    for patch in &patches {
        sandbox.sendmail(TO_BOB).input(titled(patch)).silent();
    }
    assert_eq!(sandbox.queue().len(), 20);
    relay.go_online();
    flush(&sandbox);
    assert_eq!(subjects(&relay), patches);
    assert_eq!((relay.connections(), relay.record().logins.len()), (1, 1));
    assert!(sandbox.queue().is_empty());
}

#[test]
fn a_message_waits_byte_for_byte() {
    let mut relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    relay.go_online();
    flush(&sandbox);
    let message = relay.message();
    assert_eq!(message.text(), on_the_wire(MESSAGE));
    assert_eq!((message.reverse_path.as_str(), message.to()), ("alice@example.test", vec!["bob@example.org"]));
}

#[test]
fn a_retry_goes_only_to_those_who_have_not_got_it() {
    let relay = Relay::start(Script::plain().when_nth("RCPT TO:<bob@", 1, [say("451 4.2.1 later")]));
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(["-i", "bob@example.org", "carol@example.org"]).input(MESSAGE).silent();
    let entry = sandbox.entry();
    assert_eq!(entry["recipients"][0]["address"], "bob@example.org");
    assert!(entry["recipients"][0]["reply"].as_str().unwrap().contains("451 4.2.1 later"), "{entry:#}");
    flush(&sandbox);
    let reached: Vec<Vec<String>> =
        relay.messages().iter().map(|message| message.to().iter().map(|to| to.to_string()).collect()).collect();
    assert_eq!(reached, [["carol@example.org"], ["bob@example.org"]]);
    assert!(sandbox.queue().is_empty());
}

#[test]
fn one_bad_message_does_not_stop_the_others() {
    let mut relay = Relay::offline(Script::plain().when("RCPT TO:<poison@", [say("451 4.3.0 later"), Act::Close]));
    let sandbox = Sandbox::for_relay(&relay);
    for (number, recipient) in ["a@x.org", "poison@x.org", "b@x.org", "c@x.org"].iter().enumerate() {
        sandbox.sendmail(["-i", recipient]).input(titled(&number.to_string())).silent();
    }
    relay.go_online();
    flush(&sandbox);
    assert_eq!(subjects(&relay), ["0", "2", "3"]);
    assert_eq!(sandbox.queue().len(), 1);
}

#[test]
fn a_refused_login_is_tried_once_whatever_waits_and_everything_flows_when_it_works() {
    let relay = Relay::start(Script::starttls().login(USER, "another password"));
    let sandbox = Sandbox::for_relay(&relay);
    for number in 0..4 {
        let said = sandbox.sendmail(TO_BOB).input(titled(&number.to_string())).warns();
        assert!(said.contains("535"), "{said}");
    }
    assert_eq!(relay.record().logins.len(), 1, "{}", relay.transcript());
    assert!(sandbox.list().iter().all(|entry| entry["held_by"] == "account"));
    assert!(sandbox.program("mailq", [""; 0]).prints().contains("535"));
    let _ = sandbox.sendmail(["-q"]).finish();
    assert_eq!(relay.record().logins.len(), 2);
    let sandbox = sandbox.replace(PASSWORD, "another password");
    sandbox.sendmail(TO_BOB).input(titled("4")).silent();
    let _ = sandbox.sendmail(["-q"]).finish();
    eventually("everything flows", || sandbox.queue().is_empty());
    let mut arrived = subjects(&relay);
    arrived.sort();
    assert_eq!(arrived, ["0", "1", "2", "3", "4"]);
}

#[test]
fn the_listing_is_postfixes() {
    let relay = Relay::start(Script::plain().when("MAIL", [say("451 4.3.0 closed for lunch")]));
    let sandbox = Sandbox::for_relay(&relay);
    for spelling in [("mailq", &[][..]), ("sendmail", &["-bp"][..])] {
        assert_eq!(sandbox.program(spelling.0, spelling.1).prints(), "Mail queue is empty\n");
    }
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    let listing = sandbox.program("mailq", [""; 0]).prints();
    let lines: Vec<&str> = listing.lines().collect();
    assert_eq!(lines[0], "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------", "{listing}");
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words.len(), 7, "{listing}");
    assert!(words[0].bytes().all(|byte| byte.is_ascii_hexdigit()) && words[1].parse::<u64>().is_ok(), "{listing}");
    assert_eq!(words[6], "alice@example.test", "{listing}");
    assert!(listing.contains("closed for lunch"), "{listing}");
    assert!(lines.iter().any(|line| line.starts_with(' ') && line.trim() == "bob@example.org"), "{listing}");
    let last: Vec<&str> = lines[lines.len() - 1].split(' ').collect();
    assert!(matches!(last.as_slice(), ["--", _, "Kbytes", "in", "1", "Request."]), "{listing}");
}

#[test]
fn the_json_listing_has_what_it_promises() {
    let relay = Relay::start(Script::plain().when("MAIL", [say("451 4.3.0 closed for lunch")]));
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    let entry = sandbox.entry();
    assert_eq!(entry["id"], sandbox.queue()[0].file_name().unwrap().to_str().unwrap());
    assert_eq!(entry["account"], "test");
    assert_eq!(entry["reverse_path"], "alice@example.test");
    assert_eq!(entry["state"], "queued");
    assert!(entry["held_by"].is_null());
    assert_eq!(entry["attempts"], 1);
    assert!(entry["size"].as_u64().unwrap() >= MESSAGE.len() as u64);
    for time in ["created", "next_attempt"] {
        let text = entry[time].as_str().unwrap();
        assert!(text.len() == 20 && text.ends_with('Z') && &text[10..11] == "T", "{time}: {text}");
    }
    assert!(entry["next_attempt"].as_str() > entry["created"].as_str());
    assert!(entry["reason"].as_str().unwrap().contains("closed for lunch"));
    assert_eq!(entry["recipients"][0]["status"], "deferred");
}

#[test]
fn when_to_submit_is_the_callers_choice() {
    let relay = Relay::start(Script::plain());
    for later in ["-odq", "-odd"] {
        let sandbox = Sandbox::for_relay(&relay);
        sandbox.sendmail([later].iter().chain(&TO_BOB)).input(MESSAGE).silent();
        assert_eq!((relay.connections(), sandbox.queue().len()), (0, 1), "{later}");
    }
    for now in ["-odi", "-odf"] {
        let before = relay.messages().len();
        let sandbox = Sandbox::for_relay(&relay);
        sandbox.sendmail([now].iter().chain(&TO_BOB)).input(MESSAGE).silent();
        assert_eq!((relay.messages().len(), sandbox.queue().len()), (before + 1, 0), "{now}");
    }
}

#[test]
fn the_configuration_has_a_choice_of_its_own() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay).queue_policy("delivery = \"queue\"");
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    assert_eq!(relay.connections(), 0);
    sandbox.sendmail(["-odi"].iter().chain(&TO_BOB)).input(MESSAGE).silent();
    assert!(!relay.messages().is_empty());
}

#[test]
fn in_the_background_the_caller_is_let_go_at_once() {
    let relay = Relay::start(Script::plain().when("connect", [Act::Wait(std::time::Duration::from_millis(700))]));
    let sandbox = Sandbox::for_relay(&relay);
    let finished = sandbox.sendmail(["-odb"].iter().chain(&TO_BOB)).input(MESSAGE).finish().exits(0);
    assert!(relay.messages().is_empty(), "it waited for the relay: {finished:?}");
    relay.wait_for_messages(1);
    eventually("the queue is empty", || sandbox.queue().is_empty());
}

#[test]
fn a_queue_run_can_be_told_which() {
    let mut relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay).account("identities = [\"*@work.example\"]");
    let send = |sender: &str, to: &str| sandbox.sendmail(["-i", "-f", sender, to]).input(titled(to)).silent();
    send("alice@example.test", "a@one.org");
    send("me@work.example", "b@two.org");
    send("alice@example.test", "c@three.org");
    send("alice@example.test", "d@four.org");
    relay.go_online();
    sandbox.sendmail(["-qR", "three"]).silent();
    sandbox.sendmail(["-qSwork.example"]).silent();
    assert_eq!(subjects(&relay), ["c@three.org", "b@two.org"]);
    let listed = sandbox.list();
    let id = listed[1]["id"].as_str().unwrap();
    sandbox.sendmail([format!("-qI{id}")]).silent();
    assert_eq!(subjects(&relay), ["c@three.org", "b@two.org", "d@four.org"]);
    sandbox.sendmail(["-q30m"]).silent();
    assert!(sandbox.queue().is_empty());
}

#[test]
fn two_queue_runs_at_once_send_each_message_once() {
    let mut relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    for number in 0..10 {
        sandbox.sendmail(TO_BOB).input(titled(&format!("m{number}"))).silent();
    }
    relay.go_online();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| sandbox.sendmail(["-q"]).finish().exits(0));
        }
    });
    eventually("the queue is empty", || sandbox.queue().is_empty());
    let mut arrived = subjects(&relay);
    arrived.sort();
    assert_eq!(arrived, (0..10).map(|number| format!("m{number}")).collect::<Vec<_>>());
}

#[test]
fn many_senders_at_once_are_all_served_once() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    thread::scope(|scope| {
        for sender in 0..8 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for number in 0..5 {
                    sandbox.sendmail(TO_BOB).input(titled(&format!("s{sender}n{number}"))).silent();
                }
            });
        }
    });
    eventually("the queue is empty", || sandbox.queue().is_empty());
    let mut arrived = subjects(&relay);
    arrived.sort();
    arrived.dedup();
    assert_eq!((arrived.len(), relay.messages().len()), (40, 40));
}

#[test]
fn a_bounce_is_a_report_with_the_relays_words_and_the_header() {
    let mut relay = Relay::offline(Script::plain().when("RCPT TO:<bob@", [say("550 5.1.1 no bob here")]));
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    relay.go_online();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    relay.wait_for_messages(1);
    let bounce = relay.message();
    assert_eq!((bounce.reverse_path.as_str(), bounce.to()), ("", vec!["alice@example.test"]));
    let kind = bounce.field("Content-Type").unwrap();
    assert!(kind.starts_with("multipart/report") && kind.contains("delivery-status"), "{kind}");
    for words in [
        "Final-Recipient: rfc822; bob@example.org",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no bob here",
        "Subject: hello",
        "Message-ID: <one@example.test>",
    ] {
        assert!(bounce.text().to_lowercase().contains(&words.to_lowercase()), "{words}\n{}", bounce.text());
    }
}

#[test]
fn nobody_is_told_about_a_bounce_that_cannot_be_sent() {
    let mut relay = Relay::offline(Script::plain().when("RCPT", [say("550 5.1.1 nobody here")]));
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    sandbox.sendmail(["-i", "-f", "<>", "carol@example.org"]).input(titled("report")).silent();
    relay.go_online();
    for _ in 0..3 {
        let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    }
    eventually("the queue is empty", || sandbox.queue().is_empty());
    assert_eq!((relay.messages().len(), sandbox.dead().len()), (0, 2), "{}", relay.transcript());
}

#[test]
fn an_entry_can_be_held_released_shown_and_removed() {
    let mut relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    let id = sandbox.entry()["id"].as_str().unwrap().to_string();
    relay.go_online();
    let act = |verb: &str| sandbox.mailchute(["queue", verb, &id]).finish().exits(0);
    let _ = act("hold");
    let entry = sandbox.entry();
    assert_eq!((&entry["state"], &entry["held_by"]), (&"held".into(), &"user".into()), "{entry:#}");
    assert!(sandbox.program("mailq", [""; 0]).prints().contains(&format!("{id}!")));
    flush(&sandbox);
    assert_eq!(relay.connections(), 0);
    assert!(act("show").stdout.contains("Subject: hello"));
    let _ = act("release");
    let _ = act("retry");
    assert_eq!(relay.messages().len(), 1);
    sandbox.sendmail(["-odq"].iter().chain(&TO_BOB)).input(MESSAGE).silent();
    let id = sandbox.entry()["id"].as_str().unwrap().to_string();
    let _ = sandbox.mailchute(["queue", "remove", &id]).finish().exits(0);
    assert_eq!((sandbox.queue().len(), relay.messages().len()), (0, 1));
}

#[test]
fn what_was_given_up_can_be_listed_tried_again_and_removed() {
    let relay = Relay::start(Script::plain().when("RCPT", [say("550 5.1.1 nobody here")]));
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TO_BOB).input(MESSAGE).fails(67);
    sandbox.sendmail(TO_BOB).input(titled("second")).fails(67);
    let listed = sandbox.mailchute(["queue", "dead", "list", "--json"]).prints();
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|entry| entry["state"] == "dead"), "{listed:#?}");
    let id = |entry: &serde_json::Value| entry["id"].as_str().unwrap().to_string();
    let _ = sandbox.mailchute(["queue", "dead", "remove", &id(&listed[1])]).finish().exits(0);
    relay.rewrite(Script::plain());
    let _ = sandbox.mailchute(["queue", "dead", "retry", &id(&listed[0])]).finish().exits(0);
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!(relay.message().text(), on_the_wire(MESSAGE));
    assert!(sandbox.queue().is_empty() && sandbox.dead().is_empty());
}

#[test]
fn a_damaged_entry_is_set_aside_and_not_sent() {
    let mut relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    for name in ["bad", "good"] {
        sandbox.sendmail(TO_BOB).input(titled(name)).silent();
    }
    let path = sandbox.queue().remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.windows(9).position(|part| part == b"Hello Bob").unwrap();
    bytes[end] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    relay.go_online();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!(subjects(&relay), ["good"]);
    assert_eq!((sandbox.queue().len(), sandbox.corrupt().len()), (0, 1));
}
