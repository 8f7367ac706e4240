//! `mailchute doctor` against relays and networks that are broken, one way each.

use crate::support::*;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn login() -> Script {
    Script::starttls().login(USER, PASSWORD)
}

/// What the doctor says, as values, and how it ends.
fn examined(sandbox: &Sandbox) -> (Vec<Value>, i32) {
    let finished = sandbox.mailchute(["doctor", "--json"]).env("SSL_CERT_FILE", sandbox.path("ca.pem")).finish();
    assert_eq!(finished.stderr, "", "{finished:?}");
    let checks: Vec<Value> =
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    // Which sendmail this machine has is not the world's.
    let ours = checks.into_iter().filter(|check| check["group"] != "program").collect();
    (ours, finished.status.code().unwrap())
}

/// The first check of that standing.
fn first<'a>(checks: &'a [Value], status: &str) -> &'a Value {
    checks.iter().find(|check| check["status"] == status).unwrap_or_else(|| panic!("no {status} in {checks:#?}"))
}

#[test]
fn a_good_account_is_found_good_and_no_mail_is_sent() {
    let relay = Relay::start(login());
    let sandbox = Sandbox::for_relay(&relay);
    let (checks, status) = examined(&sandbox);
    assert_eq!(status, 0);
    assert!(checks.iter().all(|check| check["status"] == "ok"), "{checks:#?}");
    let found = |group: &str| {
        let check = checks.iter().find(|check| check["group"] == group).unwrap_or_else(|| panic!("{group}"));
        check["found"].as_str().unwrap().to_owned()
    };
    assert!(found("login").starts_with("accepted by localhost["), "{}", found("login"));
    assert_eq!(found("sender"), "accepted");
    assert_eq!(found("alias"), "alice@example.test");
    assert!(found("port").contains("certificate by mailchute test authority"), "{}", found("port"));
    let host = checks.iter().find(|check| check["subject"] == "host").unwrap();
    assert_eq!(host["found"], format!("localhost ({}:3)", sandbox.config().display()));
    assert_eq!(relay.record().offers.len(), 0, "{}", relay.transcript());
    assert!(relay.transcript().contains("RSET"), "{}", relay.transcript());
    assert!(!sandbox.spool().exists());
}

#[test]
fn a_person_reads_marks_causes_and_fixes() {
    let relay = Relay::start(login().when("login", [say("535 5.7.8 authentication failed")]));
    let sandbox = Sandbox::for_relay(&relay);
    let finished = sandbox.mailchute(["doctor", "-v"]).finish().exits(78);
    for wanted in [
        "✓ config: host: localhost (",
        "\naccount test\n",
        "✗ login: alice@example.test: the relay said 535 5.7.8",
        "    fix: ",
        ">>> EHLO",
    ] {
        assert!(finished.stdout.contains(wanted), "{wanted}: {}", finished.stdout);
    }
    assert!(finished.stdout.trim_end().contains("1 fault"), "{}", finished.stdout);
}

/// A broken relay, and words of the cause or finding that the first fault must have.
struct Broken {
    script: Script,
    status: i32,
    found: &'static str,
    cause: &'static str,
}

fn broken(script: Script, status: i32, found: &'static str, cause: &'static str) -> Broken {
    Broken { script, status, found, cause }
}

#[test]
fn each_broken_relay_has_its_true_cause_named() {
    let portal = "HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n";
    for Broken { script, status, found, cause } in [
        broken(login().when("connect", [Act::Reset]), 69, "reset", "cuts mail connections"),
        broken(login().when("connect", [Act::Close]), 69, "closed the connection", "cuts mail connections"),
        broken(login().when("connect", [raw(portal)]), 69, "HTTP/1.1 302", "sign in first"),
        broken(login().when("connect", [raw("SSH-2.0-x\r\n")]), 69, "not an SMTP reply", "no mail server"),
        broken(login().when("connect", [say("554 5.7.1 go away"), Act::Close]), 69, "go away", "does not want to talk"),
        broken(
            login().when("EHLO", [say("250-relay.test\n250 PIPELINING")]),
            78,
            "STARTTLS is not offered",
            "STARTTLS",
        ),
        broken(
            login().when("EHLO", [say("250-relay.test\n250-XXXXXXXA\n250 SIZE")]),
            78,
            "STARTTLS is not offered",
            "STARTTLS",
        ),
        broken(login().when("connect", [say("220 **********")]).when("EHLO", [say("250 x")]), 78, "STARTTLS", "Cisco"),
        broken(login().when("STARTTLS", [raw("220 go\r\n250 evil\r\n")]), 78, "injected", "somebody between"),
        broken(login().certificate(Certificate::OtherHost), 78, "not for localhost but for other.example", "prove"),
        broken(login().certificate(Certificate::Expired), 78, "expired on 2020-01-01", "out of date"),
        broken(login().certificate(Certificate::NotYetValid), 78, "not valid before 2990", "out of date"),
        broken(login().certificate(Certificate::CommonNameOnly), 78, "no name but localhost, a common name", "prove"),
        broken(login().certificate(Certificate::ClientOnly), 78, "for clients, not for servers", "prove"),
        broken(login().certificate(Certificate::NoAuthority), 78, "may not issue certificates", "prove"),
        broken(login().certificate(Certificate::ShortKey), 78, "signature is not good", "prove"),
        broken(login().certificate(Certificate::Sha1), 78, "such as SHA-1", "prove"),
        broken(login().certificate(Certificate::SelfSigned), 78, "self-signed", "prove"),
        broken(login().certificate(Certificate::UnknownAuthority), 78, "nobody knows me", "prove"),
        broken(login().when("AUTH", [say("535 5.7.8 no")]), 78, "535 5.7.8 no", ""),
        broken(login().when("MAIL", [say("553 5.7.1 not yours")]), 78, "553 5.7.1 not yours", "send as that address"),
        broken(login().when("MAIL", [say("451 4.3.0 later")]), 69, "451 4.3.0 later", "pass by itself"),
    ] {
        let relay = Relay::start(script).tolerant();
        let (checks, exit) = examined(&Sandbox::for_relay(&relay));
        let fault = first(&checks, "error");
        assert!(fault["found"].as_str().unwrap().contains(found), "{found}: {fault:#}");
        assert!(fault["cause"].as_str().unwrap_or_default().contains(cause), "{cause}: {fault:#}");
        assert_eq!(exit, status, "{fault:#}");
        let said_before_tls = relay.record().logins.len();
        assert!(said_before_tls == 0 || fault["group"] == "login" || fault["group"] == "sender", "{fault:#}");
    }
}

#[test]
fn an_antivirus_program_that_reads_mail_is_named() {
    let relay = Relay::start(login().certificate(Certificate::Antivirus));
    let (checks, _) = examined(&Sandbox::for_relay(&relay));
    let fixes = first(&checks, "error")["fixes"].to_string();
    assert!(fixes.contains("Avast stands between and reads mail"), "{fixes}");
}

#[test]
fn a_refused_port_beside_a_good_one_is_a_warning_that_names_the_good_one() {
    let refusing = Relay::offline(Script::plain());
    let relay = Relay::start(Script::implicit().login(USER, PASSWORD));
    let ports = format!(
        "ports = [{{ port = {}, tls = \"starttls\" }}, {{ port = {}, tls = \"implicit\" }}]",
        refusing.port(),
        relay.port()
    );
    let sandbox = Sandbox::for_relay(&relay);
    let sandbox = sandbox.replace(&format!("port = {}\ntls = \"implicit\"", relay.port()), &ports);
    let (checks, status) = examined(&sandbox);
    assert_eq!(status, 0);
    let warning = first(&checks, "warning");
    assert!(warning["cause"].as_str().unwrap().contains("nothing listens on that port"), "{warning:#}");
    assert!(warning["fixes"].to_string().contains(&relay.port().to_string()), "{warning:#}");
}

#[test]
fn a_wrong_name_a_wrong_mode_and_a_wrong_key_are_said_without_a_connection() {
    let relay = Relay::start(login());
    let sandbox = || Sandbox::for_relay(&relay);
    let misspelt = sandbox().replace("tls-ca-file", "tls-ca-fil");
    let open = sandbox();
    fs::set_permissions(open.config(), fs::Permissions::from_mode(0o644)).unwrap();
    let no_ca = sandbox().replace("ca.pem", "none.pem");
    let bare = Sandbox::empty().top("");
    for (sandbox, found) in [
        (&misspelt, "unknown key"),
        (&open, "holds a password and is open to others (mode 0644)"),
        (&no_ca, "none.pem"),
        (&bare, "no account is configured"),
    ] {
        let (checks, status) = examined(sandbox);
        let fault = first(&checks, "error");
        assert!(fault["found"].as_str().unwrap().contains(found), "{fault:#}");
        assert_eq!(status, 78, "{fault:#}");
    }
    assert_eq!(relay.record().logins.len(), 0);
}

#[test]
fn what_waits_is_counted_and_a_held_account_is_told_with_its_reason() {
    let relay = Relay::start(login().when_nth("login", 1, [say("535 5.7.8 no")]));
    let sandbox = Sandbox::for_relay(&relay);
    let _ = sandbox.sendmail(["-t"]).input(MESSAGE).finish().exits(0);
    let (checks, status) = examined(&sandbox);
    assert_eq!(status, 0, "{checks:#?}");
    let spool: Vec<&Value> = checks.iter().filter(|check| check["group"] == "spool").collect();
    assert_eq!(spool[0]["found"], "1 message waits");
    assert!(spool[1]["found"].as_str().unwrap().starts_with("held: "), "{:#}", spool[1]);
}

#[test]
fn an_account_that_does_not_exist_is_an_error_with_the_nearest_name() {
    let relay = Relay::start(login());
    let finished = Sandbox::for_relay(&relay).mailchute(["doctor", "-a", "tset"]).finish().exits(78);
    assert!(finished.stderr.contains("did you mean \"test\"?"), "{}", finished.stderr);
}

/// Runs in a network namespace of its own, made by these commands; `None` where this machine does not allow it.
fn examined_behind(preparation: &str, sandbox: &Sandbox) -> Option<Vec<Value>> {
    let allowed = std::process::Command::new("unshare").args(["-rn", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let shell = format!(
        "export PATH=/usr/sbin:/usr/bin:/sbin:/bin; exec unshare -rn sh -c '{preparation}; exec \"$@\"' sh \"$@\""
    );
    let finished = sandbox.mailchute(["doctor", "--json"]).through_shell(&shell).finish();
    Some(serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}")))
}

#[test]
fn a_host_without_a_network_and_one_that_forbids_mail_are_told_apart() {
    let world = |host: &str| {
        let text = format!("[accounts.test]\nhost = \"{host}\"\nuser = \"me@x.org\"\npassword = \"{PASSWORD}\"\n");
        Sandbox::empty().config_text(&text)
    };
    for (preparation, host, cause) in [
        ("true", "smtp.example.org", "this host has no network at all"),
        ("true", "192.0.2.10", "this host has no network at all"),
        ("ip link set lo up; ip route add prohibit 192.0.2.0/24", "192.0.2.10", "this very host forbids it"),
    ] {
        let Some(checks) = examined_behind(preparation, &world(host)) else { return };
        let fault = first(&checks, "error");
        assert!(fault["cause"].as_str().unwrap_or_default().contains(cause), "{preparation}: {fault:#}");
    }
}
