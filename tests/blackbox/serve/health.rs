//! What `mailchute doctor` says to those whose mail goes through the spooler.

use super::*;
use serde_json::Value;

/// The checks of the spooler, and how the doctor ends.
fn examined(run: run::Run) -> (Vec<Value>, i32) {
    let finished = run.finish();
    let checks: Vec<Value> =
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    let ours = checks.into_iter().filter(|check| ["spooler", "config"].contains(&check["group"].as_str().unwrap()));
    (ours.collect(), finished.status.code().unwrap())
}

fn doctor(machine: &Machine) -> (Vec<Value>, i32) {
    examined(machine.user.mailchute(["doctor", "--json"]))
}

fn doctor_as(machine: &Machine, user: &str) -> (Vec<Value>, i32) {
    let script = format!("exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs -- \"$@\"");
    examined(machine.user.mailchute(["doctor", "--json"]).within(Path::new("/")).through_shell(&script))
}

/// `status: found; cause` of the spooler's checks.
fn told(checks: &[Value]) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = checks.iter().filter(|check| check["group"] == "spooler");
    checks
        .map(|check| format!("{}: {}; {}", word(&check["status"]), word(&check["found"]), word(&check["cause"])))
        .collect()
}

#[test]
fn a_user_without_an_account_hears_that_the_spooler_sends_for_him() {
    let machine = Machine::start(Script::plain(), "");
    let (checks, status) = doctor(&machine);
    assert_eq!(status, 0, "{checks:#?}");
    let told = told(&checks);
    assert!(told[0].starts_with("ok: answers: ") && told[0].ends_with("ESMTP mailchute; "), "{told:?}");
    assert_eq!(told[1], "ok: takes mail, and sends it; ");
    assert!(checks.iter().any(|check| check["subject"] == "account" && check["status"] == "ok"), "{checks:#?}");
}

#[test]
fn a_spooler_that_is_not_there_does_not_run_or_hangs_is_told_apart() {
    let mut machine = Machine::off(Relay::start(Script::plain()), "");
    let (checks, status) = doctor(&machine);
    assert_eq!(status, 78, "{checks:#?}");
    assert!(told(&checks)[0].starts_with("warning: is not there; "), "{checks:#?}");
    machine.turn_on();
    machine.spooler.take().unwrap().signal(nix::sys::signal::Signal::SIGTERM);
    let gone = || UnixStream::connect(machine.system.path("run/submit.sock")).is_err();
    eventually("the spooler is gone", gone);
    let (checks, status) = doctor(&machine);
    assert_eq!(status, 75, "{checks:#?}");
    assert!(told(&checks)[0].contains("Connection refused") && told(&checks)[0].contains("no spooler runs"));
    let socket = machine.system.path("run/submit.sock");
    fs::remove_file(&socket).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"421 4.7.0 too many callers, try again\r\n").unwrap();
    });
    let (checks, status) = doctor(&machine);
    assert_eq!(status, 75, "{checks:#?}");
    assert!(told(&checks)[0].starts_with("error: says 421 4.7.0 too many callers"), "{checks:#?}");
}

#[test]
fn what_is_wrong_with_the_spooler_itself_is_said() {
    let refusing = Script::starttls().login(USER, PASSWORD).when("login", [say("535 5.7.8 no such login")]);
    let machine = Machine::start(refusing, "");
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    let held = || told(&doctor(&machine).0).iter().any(|told| told.starts_with("warning: held: "));
    eventually("the account is held", held);
    let (checks, status) = doctor(&machine);
    assert_eq!(status, 0, "mail is taken: {checks:#?}");
    assert!(told(&checks)[1].contains("535 5.7.8 no such login"), "{checks:#?}");
    if is_root() {
        assert!(told(&checks).iter().any(|told| told.starts_with("ok: 1 message waits")), "{checks:#?}");
        let (checks, _) = doctor_as(&machine, "www-data");
        assert!(!told(&checks).iter().any(|told| told.contains("message waits")), "{checks:#?}");
    }
}

#[test]
fn a_spooler_without_an_account_and_a_user_who_is_not_served_are_told() {
    let relay = Relay::start(Script::plain());
    let mut machine = Machine::off(relay, "deny = [\"games\"]");
    machine.system.account.clear();
    let system = std::mem::replace(&mut machine.system, Sandbox::empty());
    machine.system = system.top("");
    machine.turn_on();
    let (checks, status) = doctor(&machine);
    assert_eq!(status, 78, "{checks:#?}");
    assert!(told(&checks)[1].starts_with("error: no account is configured; the spooler has no account"), "{checks:#?}");
    if is_root() {
        let (checks, status) = doctor_as(&machine, "games");
        assert_eq!(status, 77, "{checks:#?}");
        assert!(told(&checks)[0].starts_with("error: says 554 5.7.1 you are not served here"), "{checks:#?}");
    }
}
