//! What callers hand us: closed descriptors, signals, folders that are gone, limits, an empty environment. The rows of
//! `reference/interface.md` section 1.13.

use crate::support::*;
use nix::sys::signal::Signal;
use std::io::Write;
use std::time::Duration;

const TO_BOB: [&str; 2] = ["-i", "bob@example.org"];

/// Sends through a shell that prepares the ground; what arrived.
fn prepared(script: &str) -> Vec<Received> {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TO_BOB).within(sandbox.root()).through_shell(script).input(MESSAGE).silent();
    relay.messages()
}

#[test]
fn nothing_about_the_caller_disturbs_a_send() {
    for script in [
        "exec \"$@\" >&- 2>&-",
        "exec \"$@\" 3</dev/null 4>&1 9</dev/null",
        "mkdir gone; cd gone; rmdir ../gone; exec \"$@\"",
        "cd /; exec \"$@\"",
        "trap '' PIPE CHLD HUP INT TERM QUIT; exec \"$@\"",
        "umask 777; exec \"$@\"",
        "ulimit -c 0; ulimit -n 16; exec \"$@\"",
        "unset HOME; exec \"$@\"",
        "HOME=/nonexistent exec \"$@\"",
        "HOME=relative exec \"$@\"",
        "HOME=/dev/null exec \"$@\"",
        "HOME= exec \"$@\"",
        "USER=root LOGNAME=root EMAIL=evil@x.org exec \"$@\"",
        "PATH= exec \"$@\"",
        "LC_ALL=xx_XX.bad LANG=C exec \"$@\"",
        "TZ=Nowhere/Land exec \"$@\"",
    ] {
        let messages = prepared(script);
        assert_eq!(messages.len(), 1, "{script}");
        assert_eq!(messages[0].text(), on_the_wire(MESSAGE), "{script}");
        assert_eq!(messages[0].reverse_path, "alice@example.test", "{script}");
    }
}

#[test]
fn standard_input_may_be_a_file_that_was_read_before() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.write_private("file", &format!("a line for somebody else\n{MESSAGE}"));
    let script = "{ read line; exec \"$@\"; } < file";
    sandbox.sendmail(TO_BOB).within(sandbox.root()).through_shell(script).silent();
    assert_eq!(relay.message().text(), on_the_wire(MESSAGE));
}

#[test]
fn without_standard_input_nothing_is_sent() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TO_BOB).through_shell("exec \"$@\" <&-").fails(66);
    assert_eq!((relay.connections(), sandbox.queue().len()), (0, 0));
}

#[test]
fn standard_input_that_cannot_be_read_sends_nothing() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(TO_BOB).through_shell("exec \"$@\" </").fails(74);
    assert_eq!((relay.record().offers.len(), sandbox.queue().len()), (0, 0));
}

#[test]
fn a_signal_before_the_end_of_input_means_do_not_send() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGKILL] {
        if is_ignored(signal) {
            continue;
        }
        let relay = Relay::start(Script::plain());
        let sandbox = Sandbox::for_relay(&relay);
        let mut started = sandbox.sendmail(TO_BOB).start();
        // More than a pipe holds: when it is written, the program has begun to read.
        let text = format!("{MESSAGE}{}", "a line of filler to the brim\n".repeat(8000));
        started.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        started.signal(signal);
        started.finish().dies_of(signal);
        assert_eq!((relay.record().offers.len(), sandbox.queue().len()), (0, 0), "{signal}");
    }
}

/// Whether whoever started the tests has it ignored, as a shell does for what runs behind `&`: our children inherit that.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal as u64 - 1) & 1 == 1
}

#[test]
fn output_that_cannot_be_written_changes_nothing() {
    for script in ["exec \"$@\" >/dev/full 2>/dev/full", "exec \"$@\" >&- 2>&-"] {
        let relay = Relay::start(Script::plain());
        let sandbox = Sandbox::for_relay(&relay);
        let arguments = ["-v", "-i", "bob@example.org"];
        let _ = sandbox.sendmail(arguments).through_shell(script).input(MESSAGE).finish().exits(0);
        assert_eq!(relay.messages().len(), 1, "{script}");
    }
}

#[test]
fn a_tight_file_size_limit_loses_nothing() {
    let input = format!("{MESSAGE}{}", "filler\n".repeat(20_000));
    for down in [false, true] {
        let mut relay = Relay::offline(Script::plain());
        if !down {
            relay.go_online();
        }
        let sandbox = Sandbox::for_relay(&relay);
        let finished = sandbox.sendmail(TO_BOB).through_shell("ulimit -f 8; exec \"$@\"").input(&input).finish();
        let accepted = relay.messages().len() + sandbox.queue().len();
        match finished.status.code() {
            Some(0) => assert_eq!(accepted, 1, "{finished:?}"),
            Some(75) => assert_eq!(accepted, 0, "{finished:?}"),
            _ => panic!("{finished:?}"),
        }
    }
}

/// Also of those that nobody can work under.
#[test]
fn other_tight_limits_mean_success_or_a_clean_refusal() {
    let descriptors = (3..12).map(|most| format!("ulimit -n {most}"));
    let memory = [6, 8, 12, 16, 24].map(|megabytes| format!("ulimit -v {}", megabytes << 10));
    let others = ["ulimit -f 0", "ulimit -s 64", "ulimit -t 1", "ulimit -u 0", "ulimit -l 0; ulimit -d 4096"];
    for limit in descriptors.chain(memory).chain(others.map(String::from)) {
        for down in [false, true] {
            let mut relay = Relay::offline(Script::plain());
            if !down {
                relay.go_online();
            }
            let sandbox = Sandbox::for_relay(&relay);
            let script = format!("{limit}; exec \"$@\"");
            let finished = sandbox.sendmail(TO_BOB).through_shell(&script).input(MESSAGE).finish();
            let accepted = relay.messages().len() + sandbox.queue().len();
            // Without memory to be loaded, the system ends it before it begins.
            let refused = matches!(finished.status.code(), None | Some(71 | 75 | 126 | 127));
            let taken = finished.status.code() == Some(0);
            assert!(taken && accepted == 1 || refused && accepted == 0, "{limit}: {accepted} {finished:?}");
        }
    }
}

#[test]
fn a_large_message_needs_little_memory() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    let input = format!("{MESSAGE}{}", "0123456789 this is a line of some length to fill it up\n".repeat(600_000));
    // The address space, which is more than the memory in use: 30 MB of message have no room in it.
    sandbox.sendmail(TO_BOB).through_shell("ulimit -v 28000; exec \"$@\"").input(&input).silent();
    assert_eq!(relay.message().data.len(), on_the_wire(&input).len());
}

#[test]
fn a_slow_writer_is_waited_for() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    let script = "{ head -c 40; sleep 0.3; cat; } | \"$@\"";
    sandbox.sendmail(TO_BOB).through_shell(script).input(MESSAGE).silent();
    assert_eq!(relay.message().text(), on_the_wire(MESSAGE));
}

#[test]
fn a_detached_child_keeps_no_stream_of_the_caller() {
    let relay = Relay::start(Script::plain().when("connect", [Act::Wait(Duration::from_secs(1))]));
    let sandbox = Sandbox::for_relay(&relay);
    let finished = sandbox.sendmail(["-odb", "-i", "bob@example.org"]).input(MESSAGE).finish().exits(0);
    assert!(finished.took < Duration::from_millis(900), "{:?}", finished.took);
    relay.wait_for_messages(1);
}
