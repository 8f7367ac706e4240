//! Never in clear, never fooled: each way in which TLS can be wrong, as data. Whatever it is, nobody but a relay that has
//! proved who it is reads a password or a word of a message, and the message is kept.

use crate::support::*;

const TO_BOB: [&str; 2] = ["-i", "bob@example.org"];

/// What becomes of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A person must mend it, and is told.
    Held,
    /// It may pass by itself: not a word.
    Waits,
}
use End::{Held, Waits};

fn starttls() -> Script {
    Script::starttls().login(USER, PASSWORD)
}

fn implicit() -> Script {
    Script::implicit().login(USER, PASSWORD)
}

/// Sends to such a relay: the cause that is named. The relay is a good one when the message is sent again.
fn kept(name: &str, relay: &Relay, end: End, good: Script) -> String {
    let sandbox = Sandbox::for_relay(relay);
    let finished = sandbox.sendmail(TO_BOB).input(MESSAGE).finish().exits(0);
    relay.wait_until(|record| record.conversations.iter().all(|conversation| conversation.ended));
    let context = format!("{name}: {finished:?}\n{}", relay.transcript());
    nothing_in_clear(relay, &context);
    assert!(relay.messages().is_empty(), "{context}");
    assert_eq!(sandbox.queue().len(), 1, "{context}");
    let entry = sandbox.entry();
    let held_by = if end == Held { "account".into() } else { serde_json::Value::Null };
    assert_eq!(entry["held_by"], held_by, "{context}");
    assert_eq!(finished.stderr.is_empty(), end == Waits, "{context}");
    relay.rewrite(good);
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!((relay.messages().len(), sandbox.queue().len()), (1, 0), "{context}\n{}", relay.transcript());
    assert_eq!(relay.message().text(), on_the_wire(MESSAGE), "{context}");
    if end == Held { finished.stderr } else { entry["reason"].as_str().unwrap_or_default().to_string() }
}

/// Every octet that anybody on the way could have read holds neither password nor message.
fn nothing_in_clear(relay: &Relay, context: &str) {
    let clear: Vec<u8> = relay.record().conversations.into_iter().flat_map(|conversation| conversation.clear).collect();
    let clear = String::from_utf8_lossy(&clear);
    let words = ["bob@example.org", "Hello Bob", "Subject", USER].map(String::from);
    for secret in spellings_of(PASSWORD).into_iter().chain(words) {
        assert!(!clear.contains(&secret), "{secret} in clear: {context}");
    }
}

/// The same, to somebody who has not proved that he is the relay: neither a login nor an envelope either.
fn says_nothing(name: &str, script: Script, end: End) -> String {
    let good = if script.security() == Security::Starttls { starttls() } else { implicit() };
    let relay = Relay::start(script).tolerant();
    let said = kept(name, &relay, end, good);
    // The second connection is the good one's.
    let first = &relay.record().conversations[0];
    assert!(first.commands().iter().all(|line| line.starts_with("EHLO") || *line == "STARTTLS"), "{name}: {first}");
    assert_eq!(relay.record().logins.len(), 1, "{name}: {}", relay.transcript());
    said
}

#[test]
fn a_certificate_that_is_not_good_is_named_and_nothing_is_said() {
    for (certificate, words) in [
        (Certificate::OtherHost, "not for localhost but for other.example"),
        (Certificate::AddressOnly, "not for localhost but for 127.0.0.1"),
        (Certificate::AnyName, "not for localhost but for *"),
        (Certificate::PartOfName, "not for localhost but for local*"),
        (Certificate::NamesBelow, "not for localhost but for *.localhost"),
        (Certificate::CommonNameOnly, "no name but localhost, a common name"),
        (Certificate::Expired, "expired on 2020-01-01"),
        (Certificate::NotYetValid, "not valid before 2990-01-01"),
        (Certificate::ClientOnly, "is for clients, not for servers"),
        (Certificate::SelfSigned, "self-signed"),
        (Certificate::UnknownAuthority, "issuer is not trusted here: nobody knows me"),
        (Certificate::Antivirus, "issuer is not trusted here: Avast Web/Mail Shield Root"),
        (Certificate::NoAuthority, "issued by somebody who may not issue certificates"),
        (Certificate::ShortKey, "signature is not good"),
        (Certificate::Sha1, "signed in a way that is not safe"),
    ] {
        for script in [starttls(), implicit()] {
            let said = says_nothing(&format!("{certificate:?}"), script.certificate(certificate), Held);
            assert!(said.contains(words), "{certificate:?}: {said}");
            assert!(said.contains("hint: "), "{said}");
        }
    }
}

#[test]
fn a_number_is_no_name_and_a_name_is_no_number() {
    for (host, certificate, good) in [
        ("127.0.0.1", Certificate::AddressOnly, true),
        ("127.0.0.1", Certificate::Good, true),
        ("127.0.0.1", Certificate::AnyName, false),
        ("127.0.0.1", Certificate::OtherHost, false),
        ("localhost", Certificate::AddressOnly, false),
    ] {
        let relay = Relay::start(implicit().certificate(certificate));
        let sandbox = Sandbox::for_relay(&relay).replace("\"localhost\"", &format!("{host:?}"));
        let _ = sandbox.sendmail(TO_BOB).input(MESSAGE).finish().exits(0);
        assert_eq!(relay.messages().len(), usize::from(good), "{host} {certificate:?}");
        assert_eq!(relay.record().logins.len(), usize::from(good), "{host} {certificate:?}");
    }
}

#[test]
fn a_pinned_certificate_is_good_and_any_other_is_not() {
    let pin = |digest: &str| format!("tls-fingerprint = \"sha256:{digest}\"");
    let relay = Relay::start(implicit().certificate(Certificate::SelfSigned));
    let sandbox = Sandbox::for_relay(&relay).replace("tls-ca-file = \"ca.pem\"", &pin(&"0".repeat(64)));
    let said = sandbox.sendmail(["-t"]).input(MESSAGE).warns();
    assert!(relay.record().logins.is_empty());
    let seen = said.split(|c: char| !c.is_ascii_hexdigit()).find(|word| word.len() == 64 && !word.starts_with("0000"));
    let seen = seen.unwrap_or_else(|| panic!("the fingerprint to pin is not shown: {said}"));
    Sandbox::for_relay(&relay).replace("tls-ca-file = \"ca.pem\"", &pin(seen)).sendmail(["-t"]).input(MESSAGE).silent();
    assert_eq!(relay.messages().len(), 1);
}

/// A server that knows no newer TLS than 1.1 (RFC 4346): its hello, and the alert protocol_version.
const TLS_1_1: &[u8] = b"\x16\x03\x02\0\x2a\x02\0\0\x26\x03\x02abcdefghijklmnopqrstuvwxyz012345\0\0\x2f\0";
const ALERT: &[u8] = b"\x15\x03\x02\0\x02\x02\x46";

#[test]
fn starttls_that_is_hidden_refused_or_bent_sends_nothing() {
    let injected =
        "220 go ahead\r\n250-relay.test\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n";
    let begun = |then: Vec<Act>| [vec![raw("220 go\r\n"), Act::Ignore], then].concat();
    for (name, event, acts, end, words) in [
        ("stripped", "EHLO", vec![say("250-relay.test\n250-AUTH PLAIN LOGIN\n250 PIPELINING")], Held, "not offered"),
        ("masked", "EHLO", vec![say("250-relay.test\n250-XXXXXXXA\n250 AUTH PLAIN")], Held, "not offered"),
        ("454", "STARTTLS", vec![say("454 4.7.0 TLS not available")], Held, "454 4.7.0"),
        ("502", "STARTTLS", vec![say("502 5.5.1 unknown")], Held, "502 5.5.1"),
        ("354", "STARTTLS", vec![say("354 go ahead")], Held, "354 go ahead"),
        ("250", "STARTTLS", vec![say("250 ok")], Held, "250 ok"),
        ("235", "STARTTLS", vec![say("235 welcome")], Held, "235 welcome"),
        ("999", "STARTTLS", vec![say("999 what"), Act::Close], Waits, "999 what"),
        ("half a reply", "STARTTLS", vec![raw("2"), Act::Close], Waits, "within a reply"),
        ("no reply", "STARTTLS", vec![Act::Close], Waits, "closed the connection"),
        ("injected replies", "STARTTLS", vec![raw(injected), Act::Ignore, Act::Close], Held, "injected"),
        ("injected octet", "STARTTLS", vec![raw("220 go ahead\r\n2"), Act::Ignore, Act::Close], Held, "injected"),
        ("closed", "STARTTLS", vec![raw("220 go\r\n"), Act::Close], Waits, "closed the connection"),
        ("reset", "STARTTLS", begun(vec![Act::Reset]), Waits, "reset"),
        ("cut in the handshake", "STARTTLS", begun(vec![raw(&TLS_1_1[..20]), Act::Cut]), Waits, "closed"),
        ("goes on in clear", "STARTTLS", begun(vec![raw("250 ok\r\n"), Act::Close]), Held, "does not speak TLS"),
        ("TLS 1.1", "STARTTLS", begun(vec![raw(TLS_1_1), Act::Ignore, Act::Close]), Held, "before 1.2"),
        ("TLS 1.1 by alert", "STARTTLS", begun(vec![raw(ALERT), Act::Ignore, Act::Close]), Held, "before 1.2"),
    ] {
        let said = says_nothing(name, starttls().when(event, acts), end);
        assert!(said.contains(words), "{name}: {said}");
        assert!(end == Waits || said.contains("hint: "), "{name}: {said}");
    }
}

/// Whoever is on the way can end a connection at any octet, and speak in clear behind the end of TLS; he cannot make a
/// word of it count.
#[test]
fn a_connection_that_ends_without_the_end_of_tls_takes_nothing_and_gives_nothing_away() {
    let good = |event: &str| match event {
        "connect" => "220 relay.test ESMTP",
        "AUTH" => "334 ",
        "login" => "235 2.7.0 accepted",
        "DATA" => "354 go ahead",
        _ => "250 2.0.0 ok",
    };
    for event in ["connect", "EHLO", "AUTH", "login", "MAIL", "RCPT", "DATA", "body", "."] {
        let lines = good(event).to_string();
        for act in [Act::Cut, Act::Half(lines.clone()), Act::Undress(lines.repeat(5))] {
            let name = format!("{act:?} at {event}");
            let relay = Relay::start(implicit().when(event, [act])).tolerant();
            kept(&name, &relay, Waits, implicit());
        }
    }
}

#[test]
fn what_came_whole_through_tls_counts_however_it_ends_behind() {
    for act in [Act::Cut, Act::Half("421 bye".into()), Act::Undress("550 5.0.0 no\n421 bye".into())] {
        for (event, acts) in [("QUIT", vec![act.clone()]), (".", vec![say("250 2.0.0 ok"), act.clone()])] {
            let relay = Relay::start(implicit().when(event, acts)).tolerant();
            let sandbox = Sandbox::for_relay(&relay);
            sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
            assert_eq!((relay.messages().len(), sandbox.queue().len()), (1, 0), "{act:?}: {}", relay.transcript());
            nothing_in_clear(&relay, "behind the end");
        }
    }
}
