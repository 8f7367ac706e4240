//! The main job: a message on standard input is accepted by a relay, unchanged, in silence.

use crate::support::*;

/// Both ways to a login: as on port 587 and as on port 465.
fn secure_relays() -> [Relay; 2] {
    [Script::starttls(), Script::implicit()].map(|script| Relay::start(script.login(USER, PASSWORD)))
}

#[test]
fn a_complete_message_arrives_byte_for_byte_through_587_and_465() {
    for relay in secure_relays() {
        let sandbox = Sandbox::for_relay(&relay);
        sandbox.sendmail(["-t", "-i"]).input(MESSAGE).silent();
        let message = relay.message();
        assert_eq!(message.text(), on_the_wire(MESSAGE));
        assert_eq!(message.to(), ["bob@example.org"]);
        assert_eq!(message.reverse_path, "alice@example.test");
        assert_eq!(message.login.as_deref(), Some(USER));
        assert!(message.secure);
        assert!(sandbox.queue().is_empty() && sandbox.dead().is_empty());
    }
}

#[test]
fn the_server_name_is_sent_and_the_greeting_is_not_localhost() {
    for relay in secure_relays() {
        Sandbox::for_relay(&relay).sendmail(["-t"]).input(MESSAGE).silent();
        let conversation = &relay.record().conversations[0];
        assert_eq!(conversation.server_name.as_deref(), Some("localhost"));
        let greetings: Vec<&str> =
            conversation.commands().into_iter().filter(|line| line.starts_with("EHLO ")).collect();
        assert!(!greetings.is_empty());
        for greeting in greetings {
            let name = &greeting[5..];
            assert!(name.starts_with('[') || name.contains('.') && !name.starts_with("localhost"), "{greeting}");
        }
    }
}

#[test]
fn what_is_missing_is_added_behind_what_is_there() {
    for relay in secure_relays() {
        let input = "To: a@example.test\nSubject: hi\n\nhello\n";
        Sandbox::for_relay(&relay).sendmail(["-t"]).input(input).silent();
        let message = relay.message();
        assert!(message.header().starts_with("To: a@example.test\r\nSubject: hi\r\n"), "{}", message.text());
        assert_eq!(message.body(), b"hello\r\n");
        assert!(message.field("From").unwrap().contains("alice@example.test"));
        assert!(message.field("Date").unwrap().ends_with("+0000"), "{}", message.text());
        let id = message.field("Message-ID").unwrap();
        assert!(id.starts_with('<') && id.ends_with('>') && id.contains('@'), "{id}");
    }
}

#[test]
fn each_login_mechanism_works() {
    for mechanism in ["PLAIN", "LOGIN"] {
        let relay = Relay::start(Script::starttls().login(USER, PASSWORD).mechanisms(mechanism));
        Sandbox::for_relay(&relay).sendmail(["-t"]).input(MESSAGE).silent();
        let logins = relay.record().logins;
        assert_eq!(logins.len(), 1);
        assert!(logins[0].accepted && logins[0].secure && logins[0].mechanism == mechanism);
    }
}

#[test]
fn a_token_is_sent_as_a_bearer_and_never_as_a_password() {
    for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
        let script = Script::starttls().login(USER, "token-1").mechanisms(&format!("PLAIN LOGIN {mechanism}"));
        let relay = Relay::start(script);
        let token = "token-command = [\"/bin/echo\", \"token-1\"]";
        let sandbox = Sandbox::for_relay(&relay).replace(&format!("password = \"{PASSWORD}\""), token);
        sandbox.sendmail(["-t"]).input(MESSAGE).silent();
        assert_eq!(relay.record().logins[0].mechanism, mechanism);
        assert_eq!(relay.messages().len(), 1);
    }
}

#[test]
fn a_password_comes_from_wherever_it_is_kept() {
    let relay = Relay::start(Script::starttls().login(USER, PASSWORD));
    let program = format!("password-command = [\"/bin/echo\", \"{PASSWORD}\"]");
    for source in [r#"password-file = "secret""#, &program] {
        let sandbox = Sandbox::for_relay(&relay).replace(&format!("password = \"{PASSWORD}\""), source);
        sandbox.write_private("secret", &format!("{PASSWORD}\n"));
        sandbox.sendmail(["-t"]).input(MESSAGE).silent();
    }
    assert_eq!(relay.messages().len(), 2);
}

#[test]
fn any_set_of_extensions_will_do() {
    let scripts = [
        Script::plain().bare(),
        Script::plain().bare().offering("PIPELINING"),
        Script::plain().bare().offering("CHUNKING"),
        Script::plain().offering("CHUNKING").offering("DSN").offering("SMTPUTF8"),
        Script::plain().offering("LIMITS RCPTMAX=1"),
        Script::plain().bare().when("EHLO", [say("502 5.5.1 unknown command")]),
    ];
    for script in scripts {
        let relay = Relay::start(script);
        let sandbox = Sandbox::for_relay(&relay);
        sandbox.sendmail(["-i", "bob@example.org", "carol@example.org"]).input(MESSAGE).silent();
        let mut reached: Vec<String> = Vec::new();
        for message in relay.messages() {
            assert_eq!(message.text(), on_the_wire(MESSAGE));
            reached.extend(message.to().into_iter().map(str::to_string));
        }
        assert_eq!(reached, ["bob@example.org", "carol@example.org"], "{}", relay.transcript());
    }
}

#[test]
fn one_flight_carries_envelope_and_message_where_the_relay_can() {
    let relay = Relay::start(Script::plain().offering("CHUNKING"));
    Sandbox::for_relay(&relay).sendmail(["-t"]).input(MESSAGE).silent();
    let commands = relay.record().conversations[0].commands().join("\n");
    assert!(commands.contains("BDAT") && !commands.contains("DATA\n"), "{commands}");
}

#[test]
fn a_hundred_recipients_are_reached_once_each() {
    let relay = Relay::start(Script::plain());
    let recipients: Vec<String> = (0..100).map(|number| format!("r{number}@example.org")).collect();
    Sandbox::for_relay(&relay).sendmail(&recipients).input(MESSAGE).silent();
    let reached: Vec<String> = relay
        .messages()
        .iter()
        .flat_map(|message| message.to().into_iter().map(str::to_string).collect::<Vec<_>>())
        .collect();
    assert_eq!(reached, recipients);
}

#[test]
fn where_587_is_blocked_465_is_taken() {
    let blocked = Relay::offline(Script::starttls());
    let open = Relay::start(Script::implicit().login(USER, PASSWORD));
    let ports = format!(
        "ports = [{{ port = {}, tls = \"starttls\" }}, {{ port = {}, tls = \"implicit\" }}]",
        blocked.port(),
        open.port()
    );
    let short = format!("port = {}\ntls = \"implicit\"", open.port());
    let sandbox = Sandbox::for_relay(&open).replace(&short, &ports);
    sandbox.sendmail(["-t"]).input(MESSAGE).silent();
    assert_eq!(open.messages().len(), 1);
}

#[test]
fn where_587_offers_no_tls_465_is_taken_and_nothing_goes_in_clear() {
    let stripped = Relay::start(Script::plain());
    let open = Relay::start(Script::implicit().login(USER, PASSWORD));
    let ports = format!(
        "ports = [{{ port = {}, tls = \"starttls\" }}, {{ port = {}, tls = \"implicit\" }}]",
        stripped.port(),
        open.port()
    );
    let short = format!("port = {}\ntls = \"implicit\"", open.port());
    Sandbox::for_relay(&open).replace(&short, &ports).sendmail(["-t"]).input(MESSAGE).silent();
    assert_eq!(open.messages().len(), 1);
    assert!(stripped.record().offers.is_empty() && stripped.record().logins.is_empty());
}

#[test]
fn verbose_shows_the_dialogue_on_standard_output() {
    for relay in secure_relays() {
        let shown = Sandbox::for_relay(&relay).sendmail(["-v", "-t"]).input(MESSAGE).prints();
        for words in
            ["EHLO", "AUTH PLAIN", "MAIL FROM:<alice@example.test>", "RCPT TO:<bob@example.org>", "250 2.0.0 ok"]
        {
            assert!(shown.contains(words), "{words} is not in\n{shown}");
        }
    }
}

#[test]
fn a_password_is_found_in_netrc_and_in_gits_credential_helpers() {
    let of_all_relays = |source: &str, write: fn(&Sandbox, u16)| {
        for relay in secure_relays() {
            let sandbox = Sandbox::for_relay(&relay);
            write(&sandbox, relay.port());
            let sandbox = sandbox.replace(&format!("password = \"{PASSWORD}\""), source);
            sandbox.sendmail(["-t"]).input(MESSAGE).silent();
            assert_eq!(relay.message().login.as_deref(), Some(USER), "{source}");
        }
    };
    of_all_relays("netrc = \"netrc\"", |sandbox, _| {
        sandbox.write_private("netrc", &format!("machine localhost login {USER} password {PASSWORD}\n"));
    });
    of_all_relays("git-credential = true", |sandbox, port| {
        let store = sandbox.path("store");
        let user = USER.replace('@', "%40");
        sandbox.write_private("store", &format!("smtp://{user}:{PASSWORD}@localhost%3a{port}\n"));
        let helper = format!("[credential]\nhelper = store --file={}\n", store.display());
        sandbox.write_private("home/.gitconfig", &helper);
    });
}
