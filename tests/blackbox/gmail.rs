//! Gmail's own words, and what they make of a message. The wordings of `reference/providers.md` section 1.5.

use crate::support::*;

/// What has to happen.
enum Then {
    /// In the queue, in silence.
    Wait,
    /// In the queue, the account held; the caller reads these words.
    Hold(&'static str),
    /// Given up with that status; the caller reads these words.
    Give(i32, &'static str),
}
use Then::{Give, Hold, Wait};

/// When Gmail says it, what it says, and what has to happen.
#[rustfmt::skip]
const WORDINGS: &[(&str, &str, Then)] = &[
    ("MAIL", "421 4.3.0 Temporary System Problem. Try again later. x - gsmtp", Wait),
    ("connect", "421 4.4.5 Server busy, try again later. x - gsmtp", Wait),
    ("EHLO", "421 4.7.0 Try again later, closing connection. (EHLO) x - gsmtp", Wait),
    (".", "421-4.7.28 Gmail has detected an unusual rate of mail.\n421 4.7.28  https://support.google.com/mail/?p=UnsolicitedRateLimitError x - gsmtp", Wait),
    (".", "451 4.3.0 Email server has temporarily rejected this message. x - gsmtp", Wait),
    ("RCPT", "450 4.2.1 The user you are trying to contact is receiving mail too quickly. x - gsmtp", Wait),
    ("RCPT", "452 4.2.2 The recipient's inbox is out of storage space. x - gsmtp", Wait),
    ("login", "535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp", Hold("App Password")),
    ("login", "535-5.7.8 Username and Password not accepted. Learn more at\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp", Hold("App Password")),
    ("login", "534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor x - gsmtp", Hold("https://myaccount.google.com/apppasswords")),
    ("login", "534-5.7.9 Please log in with your web browser and then try again. For more\n534-5.7.9 information, go to\n534 5.7.9  https://support.google.com/mail/?p=WebLoginRequired x - gsmtp", Hold("App Password")),
    ("login", "454 4.7.0 Too many login attempts, please try again later. x - gsmtp", Hold("hint: ")),
    ("MAIL", "530-5.7.0 Authentication Required. For more information, go to\n530 5.7.0  https://support.google.com/mail/?p=WantAuthError x - gsmtp", Hold("hint: ")),
    ("DATA", "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\n550-5.4.5 sending limits go to\n550 5.4.5  https://support.google.com/a/answer/166852 x - gsmtp", Hold("limit")),
    ("DATA", "550 5.4.5 Daily sending quota exceeded. x - gsmtp", Hold("quota")),
    ("RCPT", "550-5.1.1 The email account that you tried to reach does not exist. Please try\n550 5.1.1  https://support.google.com/mail/?p=NoSuchUser x - gsmtp", Give(67, "bob@example.org")),
    ("RCPT", "550 5.2.1 The email account that you tried to reach is disabled. x - gsmtp", Give(67, "disabled")),
    ("RCPT", "553 5.1.2 We weren't able to find the recipient domain. x - gsmtp", Give(67, "recipient domain")),
    ("MAIL", "552-5.3.4 Your message exceeded Google's message size limits.\n552 5.3.4  https://support.google.com/mail/?p=MaxSizeError x - gsmtp", Give(69, "size")),
    ("MAIL", "553 5.1.7 The sender address <root> is not a valid RFC 5321 address. x - gsmtp", Give(69, "from")),
    (".", "552-5.7.0 This message was blocked because its content presents a potential security issue.\n552 5.7.0  https://support.google.com/mail/?p=BlockedMessage x - gsmtp", Give(69, "security issue")),
    (".", "550-5.7.1 Our system has detected that this message is likely unsolicited mail.\n550 5.7.1  https://support.google.com/mail/?p=UnsolicitedMessageError x - gsmtp", Give(69, "unsolicited")),
    (".", "554 5.6.0 Mail message is malformed. Not accepted. x - gsmtp", Give(69, "malformed")),
];

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
    for (event, words, then) in WORDINGS {
        let relay = Relay::start(
            gmail().when(if *event == "DATA" { "BDAT" } else { event }, [say(words)]).when(event, [say(words)]),
        );
        let sandbox = world(&relay);
        let finished = sandbox.sendmail(["-i", "bob@example.org"]).input(MESSAGE).finish();
        let kept = (sandbox.queue().len(), sandbox.dead().len());
        let context = format!("{words}\n{finished:?}\n{}", relay.transcript());
        match then {
            Wait => {
                assert_eq!((finished.status.code(), finished.stderr.as_str()), (Some(0), ""), "{context}");
                assert_eq!(kept, (1, 0), "{context}");
                assert_eq!(sandbox.entry()["state"], "queued", "{context}");
            }
            Hold(hint) => {
                assert_eq!(finished.status.code(), Some(0), "{context}");
                assert!(finished.stderr.contains(hint) && finished.stderr.contains("hint: "), "{context}");
                assert_eq!(kept, (1, 0), "{context}");
                assert_eq!(sandbox.entry()["held_by"], "account", "{context}");
            }
            Give(status, hint) => {
                assert_eq!(finished.status.code(), Some(*status), "{context}");
                assert!(finished.stderr.contains(hint), "{context}");
                assert_eq!(kept, (0, 1), "{context}");
            }
        }
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
