//! A relay that wants to see a certificate of its client: as the login (EXTERNAL), beside one, or instead of one.

use crate::support::relay::certificates;
use crate::support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const LOGIN: &str = "user = \"alice@example.test\"\npassword = \"CANARY-5up3r-s3cret\"\n";
const SHOWN: &str = "tls-cert-file = \"client.pem\"\ntls-key-file = \"client.key\"\n";

/// A world that has a certificate, and shows it instead of a password.
fn world(relay: &Relay, lines: &str) -> Sandbox {
    let sandbox = Sandbox::for_relay(relay).replace(LOGIN, lines);
    let (certificate, key) = certificates::client(true);
    sandbox.write_private("client.pem", &certificate);
    sandbox.write_private("client.key", &key);
    sandbox
}

fn send(sandbox: &Sandbox) -> Run {
    sandbox.sendmail(["-i", "bob@example.org"]).input(MESSAGE)
}

/// What a person reads while the message waits for a change.
fn held(sandbox: &Sandbox) -> String {
    let said = send(sandbox).warns();
    assert_eq!(sandbox.entry()["held_by"], "account", "{said}");
    said
}

#[test]
fn a_certificate_may_be_the_login() {
    for script in [Script::starttls(), Script::implicit()] {
        let script = script.login(USER, "-").mechanisms("PLAIN EXTERNAL").client_auth(ClientAuth::Asked);
        for (user, said) in [("", "AUTH EXTERNAL ="), ("user = \"alice\"\n", "AUTH EXTERNAL YWxpY2U=")] {
            let relay = Relay::start(script.clone());
            send(&world(&relay, &format!("{user}{SHOWN}auth = \"external\"\n"))).silent();
            assert_eq!(relay.messages().len(), 1);
            let record = relay.record();
            assert!(record.conversations[0].commands().contains(&said), "{}", relay.transcript());
        }
    }
}

#[test]
fn a_certificate_may_stand_instead_of_a_login_or_beside_one() {
    for script in [Script::starttls(), Script::implicit()] {
        let relay = Relay::start(script.clone().client_auth(ClientAuth::Required));
        send(&world(&relay, SHOWN)).silent();
        assert_eq!(relay.message().login, None);
        let relay = Relay::start(script.login(USER, PASSWORD).client_auth(ClientAuth::Required));
        send(&world(&relay, &format!("{LOGIN}{SHOWN}"))).silent();
        assert_eq!(relay.message().login.as_deref(), Some(USER));
    }
}

#[test]
fn certificate_and_key_may_be_one_file() {
    let relay = Relay::start(Script::starttls().client_auth(ClientAuth::Required));
    let sandbox = world(&relay, "tls-cert-file = \"both.pem\"\n");
    let (certificate, key) = certificates::client(true);
    sandbox.write_private("both.pem", &format!("{certificate}{key}"));
    send(&sandbox).silent();
    assert_eq!(relay.messages().len(), 1);
}

#[test]
fn a_relay_that_wants_one_and_gets_none_is_understood() {
    for script in [Script::starttls(), Script::implicit()] {
        let relay = Relay::start(script.client_auth(ClientAuth::Required));
        let said = held(&world(&relay, ""));
        assert!(said.contains("the relay wants to see a certificate of this host"), "{said}");
        assert!(said.contains("hint: set tls-cert-file, and tls-key-file to its key"), "{said}");
    }
}

#[test]
fn a_relay_that_does_not_know_the_authority_is_understood() {
    let relay = Relay::start(Script::implicit().client_auth(ClientAuth::Asked));
    let sandbox = world(&relay, SHOWN);
    let (certificate, key) = certificates::client(false);
    sandbox.write_private("client.pem", &certificate);
    sandbox.write_private("client.key", &key);
    let said = held(&sandbox);
    assert!(said.contains("the relay does not take the certificate in tls-cert-file (alert UnknownCA)"), "{said}");
}

#[test]
fn what_cannot_be_shown_is_said_before_anything_else_is() {
    let (certificate, key) = certificates::client(true);
    let (_, other) = certificates::client(true);
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (certificate, key, mode, words) in [
        (&*certificate, &*key, 0o640, "open to others (mode 0640)"),
        (&certificate, &other, 0o600, "is not the key of the certificate in tls-cert-file"),
        (&certificate, locked, 0o600, "no private key in PEM form that is not encrypted"),
        (&certificate, "", 0o600, "no private key in PEM form"),
        ("", &key, 0o600, "client.pem: no certificate in PEM form"),
    ] {
        let relay = Relay::start(Script::implicit().client_auth(ClientAuth::Required)).tolerant();
        let sandbox = world(&relay, SHOWN);
        sandbox.write_private("client.pem", certificate);
        sandbox.write_private("client.key", key);
        fs::set_permissions(sandbox.path("client.key"), fs::Permissions::from_mode(mode)).unwrap();
        let said = held(&sandbox);
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("PRIVATE KEY"), "{said}");
        assert_eq!(relay.record().conversations.iter().map(|talk| talk.lines.len()).sum::<usize>(), 0);
    }
}

#[test]
fn who_controls_only_the_arguments_shows_no_other_certificate() {
    let relay = Relay::start(Script::implicit());
    let sandbox = world(&relay, "tls-cert-file = \"/etc/ssl/private/host.pem\"\n");
    let config = sandbox.config();
    let said = sandbox.sendmail(["-C", config.to_str().unwrap(), "bob@example.org"]).input(MESSAGE).fails(78);
    assert!(said.contains("leads out of the folder of a file given with -C"), "{said}");
}

#[test]
fn doctor_shows_the_key_and_its_mode() {
    let relay = Relay::start(Script::implicit().client_auth(ClientAuth::Required));
    let external = Script::implicit().login("", "-").mechanisms("EXTERNAL").client_auth(ClientAuth::Asked);
    let other = Relay::start(external);
    let said = world(&other, &format!("{SHOWN}auth = \"external\"\n")).mailchute(["doctor"]).finish().stdout;
    assert!(said.contains("login: the certificate: accepted by localhost"), "{said}");
    let said = world(&relay, SHOWN).mailchute(["doctor"]).finish().stdout;
    for words in ["tls-cert-file: ", "tls-key-file: ", "client.key (mode 0600)", "accepted"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
