//! Logins that must not happen, or must not be believed; and one by SCRAM, whose server proves that it knows the password.

use super::super::sasl;
use super::super::scripted::{Deaf, Identity, Relay, account, patience, with_login};
use super::*;
use crate::config::{Auth, Tls};
use ring::{digest, hmac, pbkdf2};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::thread;

const HELLO: &str = "S: 220 ready\nC: EHLO\nS: 250-hi\nS: 250 AUTH PLAIN XOAUTH2 SCRAM-SHA-256 EXTERNAL\n";

fn open(account: &Account) -> Result<Session, Trouble> {
    Session::open(account, "host", &Roots::default(), &mut patience(), &mut Deaf)
}

/// What a login that ends the attempt is told as, and what the relay heard of it behind EHLO.
fn refused(script: &str, change: impl FnOnce(Account) -> Account) -> (String, Vec<String>) {
    let identity = Identity::good();
    let relay = Relay::play(&[HELLO, script].concat(), &identity);
    let account = change(with_login(account(&identity, &[(&relay, Tls::None)]), "alice", "secret"));
    let Err(Trouble::Held(failure)) = open(&account) else { panic!("not held") };
    (failure.cause, relay.heard().split_off(1))
}

fn by(mechanism: &'static str) -> impl FnOnce(Account) -> Account {
    move |account| Account { auth: Auth::Mechanism(mechanism.into()), ..account }
}

#[test]
fn a_way_to_log_in_that_cannot_be_taken_says_nothing_of_the_password() {
    let cases: [(&str, String); 2] = [
        (
            "CRAM-MD5",
            "auth = \"CRAM-MD5\" is not offered; the relay offers PLAIN XOAUTH2 SCRAM-SHA-256 EXTERNAL".into(),
        ),
        ("NTLM", "auth = \"NTLM\" is no way to log in that is known here".into()),
    ];
    for (mechanism, cause) in cases {
        assert_eq!(refused("", by(mechanism)), (cause, vec!["QUIT".to_owned()]));
    }
}

#[test]
fn in_clear_to_another_host_there_is_no_login() {
    // A name of loopback that is not known to be one.
    let elsewhere = |account: Account| {
        let endpoints = account.endpoints.iter().map(|one| Endpoint { host: "127.1".into(), ..one.clone() }).collect();
        Account { endpoints, ..account }
    };
    let (cause, heard) = refused("", elsewhere);
    assert_eq!((cause.as_str(), heard), ("no login without TLS", vec!["QUIT".to_owned()]));
}

#[test]
fn a_relay_that_does_not_prove_itself_is_not_believed() {
    let (cause, _) = refused("C: AUTH SCRAM-SHA-256\nS: 235 welcome", by("SCRAM-SHA-256"));
    assert_eq!(cause, "the relay accepted the login without proving that it knows the password");
    let other = sasl::encode(b"r=another,s=QSXCR+Q6sek8bf92,i=4096");
    let script = format!("C: AUTH SCRAM-SHA-256\nS: 334 {}", other.as_str());
    let (cause, heard) = refused(&script, by("SCRAM-SHA-256"));
    assert!(cause.starts_with("SCRAM-SHA-256: "), "{cause}");
    assert_eq!(heard.last().map(String::as_str), Some("*"));
}

#[test]
fn the_system_may_have_said_who_we_are_already() {
    let identity = Identity::good();
    let relay = Relay::play(&[HELLO, "C: AUTH EXTERNAL YWxpY2U=\nS: 235 ok"].concat(), &identity);
    let account = account(&identity, &[(&relay, Tls::None)]);
    open(&by("EXTERNAL")(Account { user: Some("alice".into()), ..account })).unwrap().quit();
    relay.heard();
}

/// The server's side of RFC 5802, for the password `secret`; what it proves itself with may be forged.
fn scram_server(listener: &TcpListener, forged: bool) {
    let socket = listener.accept().unwrap().0;
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok);
    let say = |text: String| write!(&socket, "{text}\r\n").unwrap();
    let decoded = |line: String| {
        let word = line.rsplit(' ').next().unwrap_or_default().to_owned();
        String::from_utf8(sasl::decode(&word).unwrap()).unwrap()
    };
    let attribute = |text: &str, name: &str| {
        text.split(',').find_map(|part| part.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    say("220 hi".into());
    lines.next();
    say("250-hi\r\n250 AUTH SCRAM-SHA-256".into());
    let first = decoded(lines.next().unwrap());
    let bare = first.splitn(3, ',').nth(2).unwrap().to_owned();
    assert_eq!(attribute(&bare, "n="), "alice");
    let nonce = attribute(&bare, "r=") + "server";
    let reply = format!("r={nonce},s={},i=4096", sasl::encode(b"salt").as_str());
    say(format!("334 {}", sasl::encode(reply.as_bytes()).as_str()));
    let last = decoded(lines.next().unwrap());
    let (without_proof, proof) = last.split_once(",p=").unwrap();
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, NonZeroU32::new(4096).unwrap(), b"salt", b"secret", &mut salted);
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let message = format!("{bare},{reply},{without_proof}");
    let client_key = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored.as_ref(), message.as_bytes());
    let expected: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    assert_eq!(sasl::decode(proof).unwrap(), expected, "the client's proof");
    let key = if forged { b"no".to_vec() } else { sign(&salted, b"Server Key") };
    let verifier = format!("v={}", sasl::encode(&sign(&key, message.as_bytes())).as_str());
    say(format!("334 {}", sasl::encode(verifier.as_bytes()).as_str()));
    if lines.next().is_some_and(|line| line != "*") {
        say("235 welcome".into());
    }
    lines.for_each(drop);
}

#[test]
fn scram_logs_in_where_both_know_the_password() {
    let identity = Identity::good();
    for forged in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || scram_server(&listener, forged));
        let account = with_login(account(&identity, &[]), "alice", "secret");
        let endpoints = vec![Endpoint { host: "127.0.0.1".into(), port, tls: Tls::None }];
        let opened = open(&Account { endpoints, ..account });
        match (opened, forged) {
            (Ok(session), false) => session.quit(),
            (Err(Trouble::Held(failure)), true) => assert!(failure.cause.starts_with("SCRAM-SHA-256: "), "{failure}"),
            (opened, _) => panic!("{:?}", opened.map(drop)),
        }
        server.join().unwrap();
    }
}
