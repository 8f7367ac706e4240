//! Logging in without showing the password, against relays that check it, and against relays that only pretend to.

use crate::support::relay::Login;
use crate::support::*;

const SCRAMS: &str = "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS";

fn relay(mechanisms: &str) -> Script {
    Script::starttls().login(USER, PASSWORD).mechanisms(mechanisms)
}

fn tried(relay: &Relay) -> Vec<(String, bool)> {
    relay.record().logins.into_iter().map(|Login { mechanism, accepted, .. }| (mechanism, accepted)).collect()
}

/// The message waits, its account is held, and the relay was told nothing of it; what the person reads.
fn is_held(sandbox: &Sandbox, relay: &Relay) -> String {
    let said = sandbox.sendmail(["-i", "bob@example.org"]).input(MESSAGE).warns();
    assert_eq!(sandbox.entry()["held_by"], "account", "{said}");
    let conversations = relay.record().conversations;
    let commands: Vec<&str> = conversations.iter().flat_map(|conversation| conversation.commands()).collect();
    assert!(!commands.iter().any(|command| command.starts_with("MAIL")), "{commands:?}");
    said
}

#[test]
fn the_strongest_way_that_both_know_is_taken() {
    for (offered, wanted) in [
        (SCRAMS, "SCRAM-SHA-256-PLUS"),
        ("PLAIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256", "SCRAM-SHA-256"),
        ("PLAIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS", "SCRAM-SHA-1-PLUS"),
        ("LOGIN PLAIN CRAM-MD5 SCRAM-SHA-1", "SCRAM-SHA-1"),
        ("DIGEST-MD5 CRAM-MD5", "CRAM-MD5"),
    ] {
        let relay = Relay::start(relay(offered));
        Sandbox::for_relay(&relay).sendmail(["-i", "bob@example.org"]).input(MESSAGE).silent();
        assert_eq!(tried(&relay), [(wanted.to_string(), true)], "{offered}");
        assert_eq!(relay.message().login.as_deref(), Some(USER));
        let hidden = relay::base64::encode(format!("\0{USER}\0{PASSWORD}").as_bytes());
        assert!(!relay.transcript().contains(&hidden[8..]), "{}", relay.transcript());
    }
}

#[test]
fn any_way_can_be_forced() {
    for wanted in SCRAMS.split(' ') {
        let relay = Relay::start(relay(SCRAMS));
        let sandbox = Sandbox::for_relay(&relay).account(&format!("auth = {:?}", wanted.to_lowercase()));
        sandbox.sendmail(["-i", "bob@example.org"]).input(MESSAGE).silent();
        assert_eq!(tried(&relay), [(wanted.to_string(), true)]);
    }
}

#[test]
fn a_user_name_with_commas_and_equals_signs_is_the_same_at_the_other_end() {
    let script = Script::starttls().login("a,b=c", PASSWORD).mechanisms("SCRAM-SHA-256");
    let relay = Relay::start(script);
    let sandbox = Sandbox::for_relay(&relay).replace(&format!("user = {USER:?}"), "user = \"a,b=c\"");
    sandbox.sendmail(["-i", "bob@example.org"]).input(MESSAGE).silent();
    assert_eq!(relay.message().login.as_deref(), Some("a,b=c"));
}

#[test]
fn a_wrong_password_is_tried_once_in_one_way() {
    for wanted in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1", "CRAM-MD5"] {
        let relay = Relay::start(relay(&format!("{wanted} PLAIN LOGIN")));
        let mut sandbox = Sandbox::for_relay(&relay).replace(PASSWORD, "not-it");
        if wanted == "CRAM-MD5" {
            sandbox = sandbox.account("auth = \"cram-md5\"");
        }
        let said = is_held(&sandbox, &relay);
        assert!(said.contains("535 5.7.8 authentication failed"), "{said}");
        assert_eq!(tried(&relay), [(wanted.to_string(), false)]);
    }
}

#[test]
fn a_relay_that_does_not_know_the_password_gets_no_mail() {
    let unproved = "the relay accepted the login without proving that it knows the password";
    for (cheat, words) in [
        (Cheat::WrongProof, "SCRAM-SHA-256-PLUS: the server cannot prove that it knows the password"),
        (Cheat::NoProof, unproved),
        (Cheat::ForeignNonce, "SCRAM-SHA-256-PLUS: a challenge with a foreign nonce"),
    ] {
        let relay = Relay::start(relay(SCRAMS).cheating(cheat));
        let said = is_held(&Sandbox::for_relay(&relay), &relay);
        assert!(said.contains(words), "{cheat:?}: {said}");
        assert!(tried(&relay).len() <= 1, "{cheat:?}: {:?}", tried(&relay));
    }
}

#[test]
fn a_man_in_the_middle_is_found_out_by_the_channel() {
    for (offered, cheat, begin) in [
        ("SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", Cheat::OtherChannel, "p=tls-exporter,,"),
        ("SCRAM-SHA-256 PLAIN", Cheat::CutOffer, "y,,"),
    ] {
        let relay = Relay::start(relay(offered).cheating(cheat));
        let said = is_held(&Sandbox::for_relay(&relay), &relay);
        assert!(said.contains("535"), "{said}");
        assert_eq!(tried(&relay).len(), 1, "no weaker way is tried: {:?}", tried(&relay));
        let record = relay.record();
        let commands = record.conversations[0].commands();
        let first = commands.iter().find_map(|command| command.strip_prefix("AUTH ")?.split(' ').nth(1)).unwrap();
        assert!(relay::base64::decode(first).unwrap().starts_with(begin.as_bytes()), "{commands:?}");
    }
}

#[test]
fn what_binds_to_the_channel_can_be_insisted_on() {
    let relay = Relay::start(relay("SCRAM-SHA-256 PLAIN"));
    let sandbox = Sandbox::for_relay(&relay).account("auth = \"scram-sha-256-plus\"");
    let said = is_held(&sandbox, &relay);
    assert!(said.contains("is not offered; the relay offers SCRAM-SHA-256 PLAIN"), "{said}");
    assert_eq!(tried(&relay), []);
}

#[test]
fn rounds_without_end_are_not_worked_through_and_too_few_show_too_much() {
    let (many, few) = ("too many rounds", "fewer than 4096 rounds");
    for (rounds, words) in [(1_000_001, many), (u32::MAX, many), (0, few), (1, few), (4095, few)] {
        let relay = Relay::start(relay("SCRAM-SHA-256 PLAIN").rounds(rounds));
        let said = is_held(&Sandbox::for_relay(&relay), &relay);
        assert!(said.contains(words), "{rounds}: {said}");
        assert_eq!(tried(&relay), []);
    }
    for rounds in [4096, 100_000] {
        let relay = Relay::start(relay("SCRAM-SHA-256").rounds(rounds));
        Sandbox::for_relay(&relay).sendmail(["-i", "bob@example.org"]).input(MESSAGE).silent();
        assert_eq!(relay.messages().len(), 1, "{rounds}");
    }
}
