//! Command lines as callers write them: accepted and honoured, accepted and ignored, refused. The rows of
//! `reference/interface.md` sections 1.3 to 1.6.

use crate::support::*;

/// Runs one command line against a relay of its own; how it ended, and the messages that arrived.
fn run(name: &str, arguments: &[&str]) -> (Finished, Vec<Received>) {
    let relay = Relay::start(Script::plain().offering("DSN"));
    let sandbox = Sandbox::for_relay(&relay);
    let finished = sandbox.program(name, arguments).within(sandbox.root()).input(MESSAGE).finish();
    (finished, relay.messages())
}

#[test]
fn what_callers_pass_is_taken_in_silence_and_the_message_goes_out_unchanged() {
    let lines: &[&[&str]] = &[
        &["-ti"],
        &["-it"],
        &["-oi", "-t"],
        &["-o", "i", "-t"],
        &["-oitrue", "-t"],
        &["-i", "--", "bob@example.org"],
        &["-t", "-t", "-i"],
        &["-i", "-i", "-i", "bob@example.org"],
        &["-t", "-i", "-oi", "-f", "alice@example.test", "-t"],
        &["-A", "c", "-i", "bob@example.org"],
        &["-Am", "-i", "bob@example.org"],
        &["-B8BITMIME", "-i", "bob@example.org"],
        &["-B", "7bit", "-i", "bob@example.org"],
        &["-B", "BINARYMIME", "-i", "bob@example.org"],
        &["-bm", "-i", "bob@example.org"],
        &["-b", "m", "-i", "bob@example.org"],
        &["-c", "-i", "bob@example.org"],
        &["-d", "-i", "bob@example.org"],
        &["-d8.12", "-i", "bob@example.org"],
        &["-em", "-i", "bob@example.org"],
        &["-e", "q", "-i", "bob@example.org"],
        &["-oem", "-oi", "bob@example.org"],
        &["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t"],
        &["-F", "Joe", "-i", "bob@example.org"],
        &["-G", "-i", "bob@example.org"],
        &["-h", "3", "-i", "bob@example.org"],
        &["-L", "tag", "-i", "bob@example.org"],
        &["-m", "-i", "bob@example.org"],
        &["-N", "NEVER", "-i", "bob@example.org"],
        &["-Nsuccess,failure,delay", "-i", "bob@example.org"],
        &["-n", "-i", "bob@example.org"],
        &["-ODeliveryMode=i", "-OErrorMode=m", "-O", "IgnoreDots", "bob@example.org"],
        &["-O", "QueueDirectory=/nowhere", "-i", "bob@example.org"],
        &["-o7", "-o8", "-om", "-oo", "-os", "-oT3d", "-oL9", "-i", "bob@example.org"],
        &["-oA/etc/aliases", "-i", "bob@example.org"],
        &["-odi", "-i", "bob@example.org"],
        &["-p", "ESMTP:host", "-i", "bob@example.org"],
        &["-R", "hdrs", "-i", "bob@example.org"],
        &["-Rfull", "-i", "bob@example.org"],
        &["-r", "alice@example.test", "-i", "bob@example.org"],
        &["-U", "-i", "bob@example.org"],
        &["-V", "id", "-i", "bob@example.org"],
        &["-X", "log", "-i", "bob@example.org"],
        &["-x", "-i", "bob@example.org"],
        &["-a", "test", "-i", "bob@example.org"],
        &["--account", "test", "-i", "bob@example.org"],
        &["--account=test", "-i", "bob@example.org"],
    ];
    for line in lines {
        let (finished, messages) = run("sendmail", line);
        let context = format!("{line:?}: {finished:?}");
        assert_eq!(finished.status.code(), Some(0), "{context}");
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""), "{context}");
        assert_eq!(messages.len(), 1, "{context}");
        assert_eq!(messages[0].to(), ["bob@example.org"], "{context}");
        assert_eq!(messages[0].reverse_path, "alice@example.test", "{context}");
        assert_eq!(messages[0].text(), on_the_wire(MESSAGE), "{context}");
    }
}

#[test]
fn a_wish_nobody_understands_is_told_and_the_message_goes_out() {
    for line in [["-B", "9BIT"], ["-N", "sometimes"], ["-N", "never,success"], ["-R", "half"]] {
        let (finished, messages) = run("sendmail", &[line.as_slice(), &["-i", "bob@example.org"]].concat());
        let finished = finished.exits(0);
        assert!(finished.stderr.contains("warning: ") && finished.stdout.is_empty(), "{line:?}: {finished:?}");
        assert_eq!(messages.len(), 1, "{line:?}");
    }
}

#[test]
fn a_command_line_that_cannot_be_meant_is_refused_and_nothing_is_sent() {
    let lines: &[&[&str]] = &[
        &["-i"],
        &["-i", "-f"],
        &["-D", "file", "bob@example.org"],
        &["-E", "bob@example.org"],
        &["-J", "bob@example.org"],
        &["-Mxvalue", "bob@example.org"],
        &["-P", "bob@example.org"],
        &["-Qreason", "bob@example.org"],
        &["-S", "bob@example.org"],
        &["-s", "subject", "bob@example.org"],
        &["-T3d", "bob@example.org"],
        &["-W", "3", "bob@example.org"],
        &["-z", "bob@example.org"],
        &["-k", "bob@example.org"],
        &["-V", "gr\u{fc}n", "bob@example.org"],
        &["-bd"],
        &["-bD"],
        &["-bl"],
        &["-bt"],
        &["-ba", "bob@example.org"],
        &["-bP"],
        &["-bz"],
        &["-bC"],
        &["-bk", "bob@example.org"],
        &["-bd", "-q30m"],
        &["-bs", "bob@example.org"],
        &["-q", "bob@example.org"],
        &["-qx", "bob@example.org"],
        &["--help", "bob@example.org"],
        &["--version", "-t"],
        &["--no-such-option", "bob@example.org"],
        &["--account", "nobody", "-i", "bob@example.org"],
    ];
    for line in lines {
        let (finished, messages) = run("sendmail", line);
        let context = format!("{line:?}: {finished:?}");
        assert!(matches!(finished.status.code(), Some(64 | 78)), "{context}");
        assert!(finished.stdout.is_empty() && finished.stderr.starts_with("mailchute: "), "{context}");
        assert!(messages.is_empty(), "{context}");
    }
}

#[test]
fn an_option_behind_a_recipient_is_not_an_option() {
    for late in [["bob@example.org", "-f"], ["bob@example.org", "-X/tmp/x"], ["bob@example.org", "-"]] {
        let (finished, messages) = run("sendmail", &late);
        assert!(matches!(finished.status.code(), Some(64 | 65)), "{late:?}: {finished:?}");
        assert!(messages.is_empty(), "{late:?}");
    }
}

#[test]
fn modes_that_have_nothing_to_do_say_nothing() {
    for line in [["-bi"], ["-I"], ["-bh"], ["-bH"], ["-q"], ["-q30m"], ["-q1h30m"], ["-qp15m"], ["-qf"]] {
        let (finished, messages) = run("sendmail", &line);
        let finished = finished.exits(0);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""), "{line:?}");
        assert!(messages.is_empty(), "{line:?}");
    }
}

#[test]
fn the_program_is_what_it_is_called() {
    for (name, arguments, output) in [
        ("mailq", &[][..], "Mail queue is empty\n"),
        ("mailq", &["bob@example.org"], "Mail queue is empty\n"),
        ("sendmail", &["-bp"], "Mail queue is empty\n"),
        ("newaliases", &[], ""),
        ("mailchute", &["-i", "bob@example.org"], ""),
        ("mailchute", &["-ti"], ""),
    ] {
        let (finished, _) = run(name, arguments);
        let finished = finished.exits(0);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), (output, ""), "{name} {arguments:?}");
    }
}

#[test]
fn help_and_version_are_printed_when_they_are_all_that_is_asked() {
    for name in ["sendmail", "mailchute"] {
        let (help, _) = run(name, &["--help"]);
        assert!(help.exits(0).stdout.starts_with("usage: "), "{name}");
        let (version, _) = run(name, &["--version"]);
        assert!(version.exits(0).stdout.contains(env!("CARGO_PKG_VERSION")), "{name}");
    }
}

#[test]
fn an_address_can_be_verified_without_sending() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    let said = sandbox.sendmail(["-bv", "bob@example.org"]).prints();
    assert!(said.contains("bob@example.org") && said.contains("deliverable"), "{said}");
    assert_eq!(relay.record().offers.len(), 0);
}
