//! What monitoring sees: the line of `mailchute health`, and the file for Prometheus.

use crate::support::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const TO_BOB: [&str; 2] = ["-i", "bob@example.org"];

/// The samples of a text in Prometheus's format, which is checked on the way: names, types, and that a family's lines
/// stand together behind its HELP and TYPE.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut family, mut seen) = (BTreeMap::new(), String::new(), Vec::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap().to_owned();
            assert!(!seen.contains(&family), "{family} stands twice");
            seen.push(family.clone());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(name == family && ["gauge", "counter"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            assert!(bare == family && bare.starts_with("mailchute_"), "{line}");
            assert!(bare.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
            assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} stands twice");
        }
    }
    samples
}

#[test]
fn the_numbers_follow_what_happens_over_many_short_lives() {
    let relay = Relay::start(
        Script::plain()
            .when("RCPT TO:<no@", [say("550 5.1.1 nobody")])
            .when_nth("MAIL", 5, [say("451 4.3.0 later")])
            .when_nth("MAIL", 6, [say("451 4.3.0 later")]),
    );
    let sandbox = Sandbox::for_relay(&relay).top("metrics-file = \"mailchute.prom\"");
    let read = || samples(&fs::read_to_string(sandbox.path("mailchute.prom")).unwrap());
    for _ in 0..3 {
        sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    }
    let _ = sandbox.sendmail(["-i", "no@example.org"]).input(MESSAGE).fails(67);
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    sandbox.sendmail(["-odq"].iter().chain(&TO_BOB)).input(MESSAGE).silent();
    assert!(!sandbox.path("mailchute.prom").exists(), "sending does not wait for it");
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    let found = read();
    let of = |outcome: &str| found[&format!("mailchute_recipients_total{{outcome=\"{outcome}\"}}")];
    assert_eq!([of("accepted"), of("rejected"), of("expired")], [4.0, 1.0, 0.0], "{found:?}");
    assert_eq!(of("deferred"), 2.0, "{found:?}");
    assert_eq!([found["mailchute_messages_total"], found["mailchute_queue_messages"]], [6.0, 1.0]);
    assert_eq!([found["mailchute_dead_messages"], found["mailchute_account_held{account=\"test\"}"]], [1.0, 0.0]);
    assert!(found["mailchute_queue_oldest_timestamp_seconds"] > 1.7e9);
    assert!(found["mailchute_last_success_timestamp_seconds"] > 1.7e9);
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    let later = read();
    assert_eq!(later["mailchute_recipients_total{outcome=\"accepted\"}"], 5.0, "{later:?}");
    assert_eq!(later["mailchute_queue_messages"], 0.0);
    assert!(!later.contains_key("mailchute_queue_oldest_timestamp_seconds"));
    let mode = fs::metadata(sandbox.path("mailchute.prom")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644);
    assert_eq!(samples(&sandbox.mailchute(["queue", "metrics"]).prints()).len(), later.len());
    let left = fs::read_dir(sandbox.root()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".mailchute.prom")));
}

#[test]
fn a_metrics_file_that_cannot_be_written_changes_nothing() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay).top("metrics-file = \"no/such/folder/x.prom\"");
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    sandbox.sendmail(["-odq"].iter().chain(&TO_BOB)).input(MESSAGE).silent();
    sandbox.sendmail(["-q"]).silent();
    assert_eq!(relay.messages().len(), 2);
}

#[test]
fn health_is_one_line_and_a_status() {
    let relay = Relay::start(Script::starttls().login(USER, PASSWORD).when("login", [say("535 5.7.8 no")]));
    let sandbox = Sandbox::for_relay(&relay);
    let ok = sandbox.mailchute(["health"]).prints();
    assert_eq!(ok, "MAILCHUTE OK - nothing waits | queued=0;;;0 oldest=0s;3600;86400;0 held=0;;;0 dead=0;;;0\n");
    sandbox.sendmail(["-odq"].iter().chain(&TO_BOB)).input(MESSAGE).silent();
    let warned = sandbox.mailchute(["health", "--warn-queued", "1"]).finish().exits(1);
    assert!(warned.stdout.starts_with("MAILCHUTE WARNING - 1 waiting"), "{warned:?}");
    let _ = sandbox.mailchute(["health", "--crit-queued=1"]).finish().exits(2);
    let _ = sandbox.mailchute(["health", "--warn-age", "1s", "--crit-age", "0s"]).finish().exits(2);
    let _ = sandbox.mailchute(["health", "--warn-age", "soon"]).fails(64);
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    let held = sandbox.mailchute(["health"]).finish().exits(2);
    assert!(held.stdout.contains("account test is held") && held.stdout.lines().count() == 1, "{held:?}");
}

#[test]
fn what_keeps_mail_from_going_is_critical() {
    let broken = Sandbox::empty().config_text("acounts = 1");
    let told = broken.mailchute(["health"]).finish().exits(2);
    assert!(told.stdout.starts_with("MAILCHUTE CRITICAL - ") && told.stdout.contains("config.toml:1"), "{told:?}");
    let none = Sandbox::empty().top("");
    assert!(none.mailchute(["health"]).finish().exits(2).stdout.contains("no account is configured"));
}
