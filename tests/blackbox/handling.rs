//! What a person does to what waits, and what a person can look up.

use crate::support::*;
use std::fs;

const TO_BOB: [&str; 2] = ["-i", "bob@example.org"];

/// A sandbox in which so many messages wait for a relay that is away.
fn waiting(count: usize) -> (Relay, Sandbox) {
    let relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    for _ in 0..count {
        sandbox.sendmail(["-odq"].iter().chain(&TO_BOB)).input(MESSAGE).silent();
    }
    (relay, sandbox)
}

#[test]
fn what_waits_can_be_flushed_by_hand_and_by_a_timer() {
    let (mut relay, sandbox) = waiting(1);
    let _ = sandbox.mailchute(["queue", "flush"]).finish().exits(0);
    assert_eq!(sandbox.queue().len(), 1);
    relay.go_online();
    // Tried a moment ago: not due.
    sandbox.mailchute(["queue", "flush", "--due"]).silent();
    assert_eq!((relay.connections(), sandbox.queue().len()), (0, 1));
    let _ = sandbox.mailchute(["queue", "flush"]).finish().exits(0);
    assert_eq!((relay.messages().len(), sandbox.queue().len()), (1, 0));
}

#[test]
fn all_that_waits_or_all_that_is_old_can_be_removed() {
    let (relay, sandbox) = waiting(3);
    sandbox.mailchute(["queue", "remove", "--older-than", "1h"]).silent();
    assert_eq!(sandbox.queue().len(), 3);
    sandbox.mailchute(["queue", "remove", "--older-than", "0s"]).silent();
    assert_eq!(sandbox.queue().len(), 0);
    sandbox.sendmail(["-odq"].iter().chain(&TO_BOB)).input(MESSAGE).silent();
    sandbox.mailchute(["queue", "remove", "--all"]).silent();
    assert_eq!((sandbox.queue().len(), relay.connections()), (0, 0));
}

#[test]
fn an_entry_that_is_not_to_be_had_is_said_to_be_so() {
    let (_relay, sandbox) = waiting(2);
    let paths = sandbox.queue();
    let id = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let (busy, damaged) = (id(&paths[0]), id(&paths[1]));
    let held = fs::File::open(&paths[0]).unwrap();
    held.lock().unwrap();
    assert!(sandbox.mailchute(["queue", "hold", &busy]).fails(75).contains("being sent now"));
    drop(held);
    fs::OpenOptions::new().write(true).open(&paths[1]).unwrap().set_len(600).unwrap();
    let said = sandbox.mailchute(["queue", "hold", &damaged]).finish();
    assert!(said.stderr.contains(&damaged) && said.status.code() != Some(0), "{said:?}");
    fs::remove_file(&paths[0]).unwrap();
    let said = sandbox.mailchute(["queue", "remove", &busy]).finish();
    assert!(said.stderr.contains("no such entry"), "{said:?}");
}

#[test]
fn what_is_known_of_providers_can_be_looked_up() {
    let sandbox = Sandbox::empty();
    let all = sandbox.mailchute(["providers"]).prints();
    assert!(all.lines().count() > 100 && all.lines().any(|line| line.starts_with("gmail ")), "{all}");
    for name in ["gmail", "googlemail.com"] {
        let card = sandbox.mailchute(["providers", name]).prints();
        assert!(card.contains("smtp.gmail.com") && card.contains("587 STARTTLS, 465 TLS"), "{card}");
    }
    let said = sandbox.mailchute(["providers", "gmial"]).finish();
    assert!(said.status.code() == Some(65) && said.stderr.contains("did you mean \"gmail\"?"), "{said:?}");
    let said = sandbox.mailchute(["providers", "nothing-like-it"]).finish();
    assert!(said.stderr.contains("mailchute providers lists them"), "{said:?}");
}
