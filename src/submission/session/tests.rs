//! Sessions against scripted relays: what is said, what is never said, and what a failure is taken for.

use super::super::scripted::{Deaf, Ears, Identity, Relay, account, patience, with_login};
use super::*;
use crate::config::{Auth, Secret, Tls, Trust};
use ring::digest::{SHA256, digest};
use std::time::Instant;

/// Gmail's dialogue up to the login (providers.md T01).
const BEFORE_TLS: &str = "
    S: 220 smtp.gmail.com ESMTP x - gsmtp
    C: EHLO client.example
    S: 250-smtp.gmail.com at your service, [203.0.113.7]
    S: 250-SIZE 35882577
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 2.0.0 Ready to start TLS
    !TLS
";
const BEHIND_TLS: &str = "
    C: EHLO client.example
    S: 250-smtp.gmail.com at your service, [203.0.113.7]
    S: 250-SIZE 35882577
    S: 250 AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH
";
const GREETING: &str = "S: 220 ready\n";

fn open(account: &Account) -> Result<Session, Trouble> {
    Session::open(account, "host", &Roots::default(), &mut patience(), &mut Deaf)
}

fn held(account: &Account) -> Failure {
    match open(account) {
        Err(Trouble::Held(failure)) => failure,
        Err(Trouble::Waiting(failure)) => panic!("only waiting: {failure}"),
        Ok(_) => panic!("open"),
    }
}

fn waiting(account: &Account) -> Failure {
    match open(account) {
        Err(Trouble::Waiting(failure)) => failure,
        Err(Trouble::Held(failure)) => panic!("held: {failure}"),
        Ok(_) => panic!("open"),
    }
}

/// The account of a client that trusts `identity`, at a relay that plays `script` as it.
fn at(identity: &Identity, script: &str, tls: Tls) -> (Account, Relay) {
    let relay = Relay::play(script, identity);
    (account(identity, &[(&relay, tls)]), relay)
}

#[test]
fn starttls_then_login_then_quit() {
    let identity = Identity::good();
    let script =
        [BEFORE_TLS, BEHIND_TLS, "C: AUTH PLAIN AGFsaWNlAHNlY3JldA==\nS: 235 2.7.0 Accepted\nC: QUIT"].concat();
    let (account, relay) = at(&identity, &script, Tls::Starttls);
    let mut ears = Ears::default();
    let account = with_login(account, "alice", "secret");
    let session = Session::open(&account, "host", &Roots::default(), &mut patience(), &mut ears).unwrap();
    assert_eq!(session.capabilities().size, Some(Some(35_882_577)));
    assert!(session.takes_more());
    session.quit();
    assert_eq!(relay.heard().last().unwrap(), "QUIT");
    let heard = ears.0.join("\n");
    assert!(heard.contains("> AUTH PLAIN ****\n< 235 2.7.0 Accepted"), "{heard}");
    assert!(heard.contains("\n- TLS 1.3, TLS13_"), "{heard}");
    assert!(!heard.contains("AGFsaWNl"), "{heard}");
}

#[test]
fn implicit_tls_comes_before_the_greeting() {
    let identity = Identity::good();
    let script = ["!TLS\n", GREETING, "C: EHLO client.example\nS: 250 hi\nC: QUIT"].concat();
    let (account, relay) = at(&identity, &script, Tls::Implicit);
    open(&account).unwrap().quit();
    assert_eq!(relay.heard(), ["EHLO client.example", "QUIT"]);
}

#[test]
fn a_certificate_that_is_not_good_ends_it_before_a_byte_is_sent() {
    let long_ago = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 2, 3);
    };
    let not_yet = |params: &mut rcgen::CertificateParams| params.not_before = rcgen::date_time_ymd(2090, 1, 1);
    let other = Identity::good();
    let cases: Vec<(Identity, Option<&Identity>, &str)> = vec![
        (Identity::with("localhost", long_ago), None, "the certificate expired on 2002-02-03T00:00:00Z"),
        (Identity::with("localhost", not_yet), None, "the certificate is not valid before 2090-01-01T00:00:00Z"),
        (Identity::with("mail.x.org", |_| {}), None, "the certificate is not for localhost but for mail.x.org"),
        (
            Identity::good(),
            Some(&other),
            "the certificate's signature is not good: not by the Test Authority that is trusted here, or with an RSA key \
             below 2048 bits",
        ),
        (Identity::self_signed(), Some(&other), "the certificate is self-signed (rcgen self signed cert)"),
    ];
    for (identity, trusted, words) in cases {
        for (tls, script) in [(Tls::Implicit, "!TLS"), (Tls::Starttls, BEFORE_TLS)] {
            let (mut account, relay) = at(&identity, script, tls);
            account.trust = Trust::File(trusted.unwrap_or(&identity).authority.path().to_owned());
            let failure = held(&with_login(account, "alice", "secret"));
            assert_eq!((failure.stage, failure.cause.as_str()), (Stage::Tls, words));
            assert!(failure.hint.is_some());
            assert!(!relay.heard().iter().any(|line| line.contains("AUTH")));
        }
    }
}

#[test]
fn a_pinned_certificate_is_good_and_no_other() {
    let identity = Identity::self_signed();
    let pin = |octets: &[u8]| Trust::Fingerprint(digest(&SHA256, octets).as_ref().try_into().unwrap());
    let script = ["!TLS\n", GREETING, "C: EHLO\nS: 250 hi"].concat();
    let (account, relay) = at(&identity, &script, Tls::Implicit);
    open(&Account { trust: pin(&identity.leaf), ..account }).unwrap().quit();
    relay.heard();
    let (account, relay) = at(&identity, "!TLS", Tls::Implicit);
    let failure = held(&Account { trust: pin(b"another"), ..account });
    assert!(failure.cause.starts_with("the certificate is not the pinned one; its fingerprint is sha256:"));
    relay.heard();
}

#[test]
fn nothing_injected_before_tls_is_believed() {
    let identity = Identity::good();
    let script = "
        S: 220 ready
        C: EHLO
        S: 250-hi
        S: 250 STARTTLS
        C: STARTTLS
        S- 220 go\\r\\n250-hi\\r\\n250 AUTH PLAIN\\r\\n
    ";
    let (account, relay) = at(&identity, script, Tls::Starttls);
    let failure = held(&with_login(account, "alice", "secret"));
    assert_eq!((failure.stage, failure.cause.as_str()), (Stage::Tls, "data injected before TLS"));
    assert_eq!(relay.heard(), ["EHLO client.example", "STARTTLS"]);
}

#[test]
fn without_starttls_nothing_goes_in_clear() {
    let identity = Identity::good();
    let hello = [GREETING, "C: EHLO\nS: 250-hi\nS: 250 "].concat();
    let cases = [
        ("AUTH PLAIN", "STARTTLS is not offered; nothing is ever sent in clear"),
        ("STARTTLS\nC: STARTTLS\nS: 454 not now", ""),
        ("STARTTLS\nC: STARTTLS\nS: 502 no", ""),
        ("STARTTLS\nC: STARTTLS\nS: 354 go on", ""),
    ];
    for (rest, cause) in cases {
        let (account, relay) = at(&identity, &[&hello, rest].concat(), Tls::Starttls);
        let failure = held(&with_login(account, "alice", "secret"));
        assert_eq!((failure.stage, failure.cause.as_str()), (Stage::StartTls, cause));
        assert!(!relay.heard().iter().any(|line| line.contains("AUTH") || line.contains("MAIL")));
    }
}

#[test]
fn the_next_endpoint_is_tried_when_one_does_not_do() {
    let identity = Identity::good();
    let good = ["!TLS\n", GREETING, "C: EHLO\nS: 250 hi"].concat();
    for bad in ["S: 220 hi\nC: EHLO\nS: 250 nothing", "!CLOSE", "S: 220 hi\n!CLOSE", "S- 22\n!CLOSE"] {
        let first = Relay::play(bad, &identity);
        let second = Relay::play(&good, &identity);
        let account = account(&identity, &[(&first, Tls::Starttls), (&second, Tls::Implicit)]);
        let session = open(&account).unwrap();
        assert_eq!(*session.endpoint(), account.endpoints[1]);
        session.quit();
        second.heard();
    }
}

#[test]
fn a_relay_that_never_greets_is_left_for_the_next_endpoint() {
    let identity = Identity::good();
    let first = Relay::play("!HANG", &identity);
    let second = Relay::play(&["!TLS\n", GREETING, "C: EHLO\nS: 250 hi"].concat(), &identity);
    let account = account(&identity, &[(&first, Tls::Starttls), (&second, Tls::Implicit)]);
    let mut patience = Patience { step: Duration::from_millis(300), ..patience() };
    Session::open(&account, "host", &Roots::default(), &mut patience, &mut Deaf).unwrap().quit();
}

#[test]
fn a_login_refused_is_tried_once_and_holds_the_account() {
    let identity = Identity::good();
    let refusals = [
        "S: 535-5.7.8 Username and Password not accepted. For more information, go to
         S: 535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp",
        "S: 534 5.7.9  https://support.google.com/mail/?p=WebLoginRequired x - gsmtp",
        "S: 454 4.7.0 Too many login attempts, please try again later. x - gsmtp",
        "S: 432 4.7.12 transition",
        "S: 530 5.7.0 no",
        "S: 504 5.7.4 no\nC: AUTH LOGIN\nS: 504 5.7.4 no",
    ];
    for refusal in refusals {
        let script = ["!TLS\n", GREETING, BEHIND_TLS, "C: AUTH PLAIN\n", refusal].concat();
        let first = Relay::play(&script, &identity);
        let never = Relay::play("!HANG", &identity);
        let account = account(&identity, &[(&first, Tls::Implicit), (&never, Tls::Implicit)]);
        let failure = held(&with_login(account, "alice@gmail.com", "secret"));
        assert_eq!(failure.stage, Stage::Auth);
        assert!(failure.reply.is_some());
        assert_eq!(first.heard().last().unwrap(), "QUIT");
    }
}

#[test]
fn a_busy_relay_is_waited_for() {
    let identity = Identity::good();
    let hello = [GREETING, "C: EHLO\n"].concat();
    let login = [&hello, "S: 250 AUTH PLAIN\n"].concat();
    let cases = [
        ("S: 421 busy".into(), Stage::Greeting),
        ("S: 451 busy".into(), Stage::Greeting),
        ("S: HTTP/1.1 400 Bad Request".into(), Stage::Greeting),
        ("S: 250 not a greeting".into(), Stage::Greeting),
        ("S- 220-part\\r\\n\n!CLOSE".into(), Stage::Greeting),
        ([&hello, "S: 421 busy"].concat(), Stage::Ehlo),
        ([&hello, "!CLOSE"].concat(), Stage::Ehlo),
        ([&hello, "S: 250-a\nS: 550 b"].concat(), Stage::Ehlo),
        ([&login, "C: AUTH\nS: 421 busy"].concat(), Stage::Auth),
        ([&login, "C: AUTH\nS: 454 4.7.0 Cannot authenticate due to temporary system problem."].concat(), Stage::Auth),
        ([&login, "C: AUTH\n!CLOSE"].concat(), Stage::Auth),
    ];
    for (script, stage) in cases {
        let script = script.replace("S: 250 AUTH", "S: 250-hi\nS: 250 AUTH");
        let (account, _relay) = at(&identity, &["!TLS\n", &script].concat(), Tls::Implicit);
        let failure = waiting(&with_login(account, "alice", "secret"));
        assert_eq!(failure.stage, stage, "{script}: {failure}");
    }
}

#[test]
fn a_relay_that_refuses_us_altogether_holds_the_account() {
    let identity = Identity::good();
    for (script, stage) in [("S: 554 go away", Stage::Greeting), ("S: 220 hi\nC: EHLO\nS: 550 no", Stage::Ehlo)] {
        let (account, _relay) = at(&identity, &["!TLS\n", script].concat(), Tls::Implicit);
        assert_eq!(held(&account).stage, stage);
    }
}

#[test]
fn a_user_without_a_way_to_log_in_is_never_let_through_without() {
    let identity = Identity::good();
    let hello = ["!TLS\n", GREETING, "C: EHLO\nS: 250-hi\nS: 250 "].concat();
    let (account, relay) = at(&identity, &[&hello, "SIZE 5"].concat(), Tls::Implicit);
    assert_eq!(held(&with_login(account, "a", "b")).cause, "a user is configured, but the relay offers no login");
    relay.heard();
    let (account, relay) = at(&identity, &[&hello, "AUTH GSSAPI"].concat(), Tls::Implicit);
    assert_eq!(held(&with_login(account, "a", "b")).cause, "no common way to log in; the relay offers GSSAPI");
    relay.heard();
    let (account, relay) = at(&identity, &[&hello, "AUTH PLAIN"].concat(), Tls::Implicit);
    let failure = held(&Account { user: Some("a".into()), ..account });
    assert_eq!((failure.stage, failure.cause.as_str()), (Stage::Secret, "the account has a user but no password"));
    relay.heard();
}

#[test]
fn login_and_cram_md5_answer_challenges() {
    let identity = Identity::good();
    let hello = ["!TLS\n", GREETING, "C: EHLO\nS: 250-hi\nS: 250 AUTH "].concat();
    let login = "LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 ok";
    let cram = "CRAM-MD5\nC: AUTH CRAM-MD5\nS: 334 PDE+\nC: YWxpY2Ug\nS: 235 ok";
    for script in [login, cram] {
        let (account, relay) = at(&identity, &[&hello, script].concat(), Tls::Implicit);
        open(&with_login(account, "alice", "secret")).unwrap().quit();
        relay.heard();
    }
}

#[test]
fn a_refused_token_is_explained() {
    let identity = Identity::good();
    let script = "
        C: AUTH XOAUTH2 dXNlcj1hbGljZUBnbWFpbC5jb20BYXV0aD1CZWFyZXIgeWEyOS5FWEFNUExFAQE=
        S: 334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==
        C:
        S: 535-5.7.8 Username and Password not accepted. For more information, go to
        S: 535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp
    ";
    let script = ["!TLS\n", GREETING, BEHIND_TLS, script].concat();
    let (account, relay) = at(&identity, &script, Tls::Implicit);
    let account = with_login(account, "alice@gmail.com", "ya29.EXAMPLE");
    let failure = held(&Account { auth: Auth::Mechanism("XOAUTH2".into()), ..account });
    assert_eq!(
        failure.hint.as_deref(),
        Some("the token was refused (status 400, scope https://mail.google.com/): get a new one for this user")
    );
    relay.heard();
}

#[test]
fn a_long_response_waits_for_its_challenge() {
    let identity = Identity::good();
    let script = ["!TLS\n", GREETING, BEHIND_TLS, "C: AUTH PLAIN\nS: 334\nC: AGFsaWNlAH\nS: 235 ok"].concat();
    let (account, relay) = at(&identity, &script, Tls::Implicit);
    open(&with_login(account, "alice", &"x".repeat(400))).unwrap().quit();
    assert!(relay.heard().contains(&"AUTH PLAIN".to_owned()));
}

#[test]
fn in_clear_there_is_no_login_but_on_loopback() {
    let identity = Identity::good();
    let script = [GREETING, "C: EHLO\nS: 250-hi\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 235 ok"].concat();
    let (account, relay) = at(&identity, &script, Tls::None);
    open(&with_login(account, "alice", "secret")).unwrap().quit();
    assert!(relay.heard().contains(&"AUTH PLAIN AGFsaWNlAHNlY3JldA==".to_owned()));
}

#[test]
fn an_old_relay_on_this_host_is_greeted_with_helo() {
    let identity = Identity::good();
    let script = [GREETING, "C: EHLO\nS: 502 what\nC: HELO client.example\nS: 250 hi"].concat();
    let (account, relay) = at(&identity, &script, Tls::None);
    open(&account).unwrap().quit();
    relay.heard();
}

#[test]
fn an_unqualified_host_says_its_address_and_never_localhost() {
    let identity = Identity::good();
    for (host, expected) in [("web3", "EHLO ["), ("localhost.localdomain", "EHLO ["), ("a.x.org", "EHLO a.x.org")] {
        let (account, relay) = at(&identity, &[GREETING, "C: ", expected, "\nS: 250 hi"].concat(), Tls::None);
        let account = Account { ehlo_name: None, ..account };
        Session::open(&account, host, &Roots::default(), &mut patience(), &mut Deaf).unwrap().quit();
        relay.heard();
    }
}

#[test]
fn a_failing_password_source_holds_the_account_before_anything_is_said() {
    let identity = Identity::good();
    let script = ["!TLS\n", GREETING, BEHIND_TLS].concat();
    let (account, relay) = at(&identity, &script, Tls::Implicit);
    let secret = Some(Secret::File("/nowhere/secret".into()));
    let failure = held(&Account { user: Some("alice".into()), secret, ..account });
    assert_eq!(failure.stage, Stage::Secret);
    assert!(!relay.heard().iter().any(|line| line.starts_with("AUTH")));
}

#[test]
fn a_server_that_drips_cannot_outlast_the_overall_limit() {
    let identity = Identity::good();
    let drip = "S- 2\n".repeat(3) + "!HANG";
    let (account, _relay) = at(&identity, &drip, Tls::None);
    let end = Instant::now() + Duration::from_millis(200);
    let mut patience = Patience { overall: Some(end), ..patience() };
    let trouble = Session::open(&account, "host", &Roots::default(), &mut patience, &mut Deaf).map(|_| ()).unwrap_err();
    assert_eq!(trouble.failure().cause, "timed out");
    assert!(Instant::now() < end + Duration::from_secs(2));
}

#[test]
fn when_no_endpoint_does_all_are_told() {
    let identity = Identity::good();
    let first = Relay::play("!CLOSE", &identity);
    let second = Relay::play("!CLOSE", &identity);
    let account = account(&identity, &[(&first, Tls::Starttls), (&second, Tls::Implicit)]);
    let failure = waiting(&account);
    let address = failure.relay.split(['[', ']']).nth(1).unwrap().to_owned();
    let second = format!("; localhost[{address}]:{}: TLS: ", second.port);
    assert!(failure.cause.contains(&second), "{failure}");
}
