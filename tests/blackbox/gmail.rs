//! Gmail's own words, and what they make of a message. The wordings of `reference/providers.md` section 1.5.

use crate::support::*;

/// So many, that none gets lost.
const COUNT: usize = 87;

/// Its rows are explained at its top.
const REPLIES: &str = include_str!("../data/gmail-replies.txt");

/// When Gmail says something, what it says, and what has to happen.
struct Row {
    event: &'static str,
    words: String,
    action: &'static str,
    /// What the caller reads of it.
    read: &'static str,
}

fn rows() -> Vec<Row> {
    let paragraphs = REPLIES.split("\n\n").filter(|text| !text.starts_with('#'));
    let row = |text: &'static str| {
        let (head, reply) = text.split_once('\n').unwrap();
        let mut head = head.splitn(3, ' ');
        let (event, action) = (head.next().unwrap(), head.next().unwrap());
        let words = reply.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
        Row { event, words, action, read: head.next().unwrap_or_default() }
    };
    paragraphs.map(row).collect()
}

/// A world with the preset `gmail`, its host on loopback.
fn world(relay: &Relay) -> Sandbox {
    Sandbox::for_relay(relay).account("provider = \"gmail\"")
}

/// A relay that speaks as Gmail does until it says something else.
fn gmail() -> Script {
    Script::starttls().login(USER, PASSWORD).offering("CHUNKING").offering("SMTPUTF8")
}

#[test]
fn each_wording_is_understood() {
    let rows = rows();
    assert_eq!(rows.len(), COUNT, "rows in tests/data/gmail-replies.txt");
    for Row { event, words, action, read } in rows {
        // A message in one chunk has no DATA of its own.
        let asked = if event == "DATA" { "BDAT" } else { event };
        let relay = Relay::start(gmail().when(asked, [say(&words)]).when(event, [say(&words)]));
        let sandbox = world(&relay);
        let finished = sandbox.sendmail(["-i", "bob@example.org"]).input(MESSAGE).finish();
        let kept = (sandbox.queue().len(), sandbox.dead().len());
        let context = format!("{event} {action} {read}\n{words}\n{finished:?}\n{}", relay.transcript());
        let (status, read) = match action {
            "give" => read.split_once(' ').map(|(status, read)| (status.parse().unwrap(), read)).unwrap(),
            _ => (0, read),
        };
        assert_eq!(finished.status.code(), Some(status), "{context}");
        assert_eq!(finished.stderr.is_empty(), action == "wait", "{context}");
        assert!(finished.stderr.contains(read), "{context}");
        assert_eq!(kept, if action == "give" { (0, 1) } else { (1, 0) }, "{context}");
        assert!(relay.messages().is_empty(), "{context}");
        if action == "give" {
            continue;
        }
        let entry = sandbox.entry();
        let by = if action == "hold" { "account".into() } else { serde_json::Value::Null };
        assert_eq!(entry["held_by"], by, "{context}");
        assert!(entry["reason"].as_str().unwrap().contains(&words[4..9]), "{entry:#}\n{context}");
    }
}

#[test]
fn a_hundred_and_first_recipient_goes_in_another_transaction() {
    let words = "452-4.5.3 Your message has too many recipients. For more information regarding\n\
        452 4.5.3  https://support.google.com/mail/?p=TooManyRecipientsError x - gsmtp";
    let script = (3..=4).fold(gmail(), |script, nth| script.when_nth("RCPT", nth, [say(words)]));
    let relay = Relay::start(script);
    let sandbox = world(&relay);
    let recipients = ["a@x.org", "b@x.org", "c@x.org", "d@x.org"];
    sandbox.sendmail(recipients).input(MESSAGE).silent();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    let mut reached: Vec<String> = relay
        .messages()
        .iter()
        .flat_map(|message| message.to().iter().map(|to| to.to_string()).collect::<Vec<_>>())
        .collect();
    reached.sort();
    assert_eq!(reached, recipients);
}

#[test]
fn a_local_sender_becomes_the_account() {
    let relay = Relay::start(gmail());
    let input = "From: root (Cron Daemon)\nTo: bob@example.org\nSubject: s\n\nb\n";
    world(&relay).sendmail(["-t", "-f", "root"]).input(input).silent();
    assert_eq!(relay.message().reverse_path, "alice@example.test");
}

#[test]
fn a_foreign_sender_becomes_the_account_and_is_kept_beside_it() {
    let relay = Relay::start(gmail());
    let input = "From: Carol <carol@elsewhere.example>\nTo: bob@example.org\n\nb\n";
    world(&relay).sendmail(["-t"]).input(input).silent();
    let message = relay.message();
    assert_eq!(message.field("From").as_deref(), Some("Carol <alice@example.test>"));
    assert_eq!(message.field("Original-From").as_deref(), Some("Carol <carol@elsewhere.example>"));
}
