//! The two processes: how they start, die and are started again, and what of it callers notice.

use super::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

#[test]
fn a_spooler_that_ends_finishes_and_one_that_is_away_is_waited_for() {
    let mut machine = Machine::start(Script::plain(), "");
    let spooler = machine.spooler.take().unwrap();
    // Nobody calls it by a signal to its group: it ends its sender itself.
    spooler.signal(Signal::SIGTERM);
    assert_eq!(spooler.finish().exits(0).stderr, "");
    thread::scope(|scope| {
        let sending = scope.spawn(|| machine.sendmail(&TO_BOB).input(MESSAGE).silent());
        let mut system = machine.system.mailchute(["serve"]).start();
        sending.join().unwrap();
        machine.relay.wait_for_messages(1);
        // The end of a pipe on standard input is the end, too.
        drop(system.child.stdin.take());
        let _ = system.finish().exits(0);
    });
    let said = machine.sendmail(&TO_BOB).input(MESSAGE).fails(75);
    assert!(said.contains("Connection refused") && said.contains("nothing was taken"), "{said}");
    assert!(machine.user.dead().is_empty());
}

#[test]
fn the_two_halves_may_be_started_apart() {
    let machine = Machine::off(Relay::start(Script::plain()), "");
    let acceptor = machine.system.mailchute(["serve", "--accept"]).start();
    machine.listens();
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    assert_eq!((machine.waiting(), machine.relay.connections()), (2, 0), "the acceptor sends nothing");
    let sender = machine.system.mailchute(["serve", "--send"]).start();
    machine.relay.wait_for_messages(2);
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    machine.relay.wait_for_messages(3);
    for half in [acceptor, sender] {
        half.signal(Signal::SIGTERM);
        assert_eq!(half.finish().exits(0).stderr, "");
    }
    let second = machine.system.mailchute(["serve", "--accept", "--send"]).finish();
    assert_eq!(second.status.code(), Some(64));
}

#[test]
fn a_dead_sender_is_replaced_and_signals_reach_it() {
    let mut machine = Machine::off(Relay::offline(Script::plain()), "");
    machine.turn_on();
    let spooler = Pid::from_raw(machine.spooler.as_ref().unwrap().child.id().try_into().unwrap());
    let sender = || children(spooler).into_iter().find(is_sender);
    eventually("there is a sender", || sender().is_some());
    let first = sender().unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    eventually("there is another", || sender().is_some_and(|pid| pid != first));
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    eventually("it was tried", || machine.user.entry()["attempts"] == 1);
    machine.relay.go_online();
    kill(spooler, Signal::SIGUSR1).unwrap();
    machine.relay.wait_for_messages(1);
    // Killed, it takes its sender along.
    let last = sender().unwrap();
    kill(spooler, Signal::SIGKILL).unwrap();
    eventually("the sender is gone", || !Path::new(&format!("/proc/{last}")).exists() || is_dead(last));
}

fn children(parent: Pid) -> Vec<Pid> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)).collect()
}

/// The sender is another program; who hears callers is split off.
fn is_sender(pid: &Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.contains("--send"))
}

fn is_shut_in(pid: &Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("NoNewPrivs:\t1\n"))
}

fn is_dead(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn passed_sockets_are_served_also_over_loopback() {
    let machine = Machine::off(Relay::start(Script::plain()), "");
    fs::create_dir(machine.system.path("run")).unwrap();
    let local = UnixListener::bind(machine.system.path("run/submit.sock")).unwrap();
    let loopback = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = loopback.local_addr().unwrap();
    let script = "LISTEN_PID=$$ LISTEN_FDS=2 exec \"$@\" 3<&0 4<&1 0</dev/null 1>/dev/null";
    let mut spooler = Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(machine.system.path("bin/mailchute"))
        .arg("serve")
        .env("MAILCHUTE_CONFIG", machine.system.config())
        .stdin(OwnedFd::from(local))
        .stdout(OwnedFd::from(loopback))
        .spawn()
        .unwrap();
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    let mut client = BufReader::new(TcpStream::connect(address).unwrap());
    client.get_mut().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let session = "EHLO x\r\nXQUEUE\r\nMAIL FROM:<me@x.org>\r\nRCPT TO:<bob@x.org>\r\nDATA\r\nSubject: tcp\r\n\r\nb\r\n.\r\nQUIT\r\n";
    client.get_mut().write_all(session.as_bytes()).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.contains("500 5.5.2") && said.contains("queued as") && said.ends_with("221 2.0.0 Bye\r\n"), "{said}");
    machine.relay.wait_for_messages(2);
    kill(Pid::from_raw(spooler.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(spooler.wait().unwrap().success());
}

/// A spooler over a socket that is passed to it, which outlives it.
fn accept_on(machine: &Machine, socket: &UnixListener) -> std::process::Child {
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 0</dev/null";
    Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .arg(machine.system.path("bin/mailchute"))
        .args(["serve", "--accept"])
        .env("MAILCHUTE_CONFIG", machine.system.config())
        .stdin(OwnedFd::from(socket.try_clone().unwrap()))
        .spawn()
        .unwrap()
}

#[test]
fn an_acceptor_whose_socket_is_kept_ends_when_nobody_calls() {
    let machine = Machine::off(Relay::start(Script::plain()), "idle-exit = \"1s\"");
    fs::create_dir(machine.system.path("run")).unwrap();
    let socket = UnixListener::bind(machine.system.path("run/submit.sock")).unwrap();
    let mut first = accept_on(&machine, &socket);
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    // Who is connected keeps it.
    let mut caller = machine.connect();
    thread::sleep(Duration::from_millis(1500));
    caller.says("NOOP\r\n").hears("250");
    drop(caller);
    assert!(first.wait().unwrap().success());
    // Who calls meanwhile waits in the socket for the next one.
    thread::scope(|scope| {
        let sending = scope.spawn(|| machine.sendmail(&TO_BOB).input(MESSAGE).silent());
        let mut second = accept_on(&machine, &socket);
        sending.join().unwrap();
        assert!(second.wait().unwrap().success());
    });
    assert_eq!(machine.waiting(), 2);
}

#[test]
fn who_hears_callers_and_dies_is_replaced_and_nothing_is_lost() {
    let mut machine = Machine::off(Relay::start(Script::plain()), "");
    let log = format!("log-file = \"{}\"", machine.system.path("log").display());
    machine.system = machine.system.top(&log);
    machine.turn_on();
    let spooler = Pid::from_raw(machine.spooler.as_ref().unwrap().child.id().try_into().unwrap());
    let clerk = || children(spooler).into_iter().find(is_shut_in);
    eventually("somebody hears callers", || clerk().is_some());
    let first = clerk().unwrap();
    // In the middle of a message: it stays the caller's.
    let mut caller = machine.connect();
    caller.says("MAIL FROM:<me@x.org>\r\nRCPT TO:<bob@x.org>\r\nDATA\r\n");
    ["250", "250", "354"].iter().for_each(|code| drop(caller.hears(code)));
    kill(first, Signal::SIGABRT).unwrap();
    // Nobody notices who calls now, but for the time.
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    assert_ne!(clerk(), Some(first));
    machine.relay.wait_for_messages(1);
    let mut rest = String::new();
    let _ = caller.stream.read_line(&mut rest);
    assert_eq!(rest, "", "nothing was taken of who was cut off");
    let log = fs::read_to_string(machine.system.path("log")).unwrap();
    assert!(log.contains("the process that hears callers has ended by SIGABRT; another one will"), "{log}");
    eventually("nothing waits", || machine.waiting() == 0);
    assert_eq!(machine.relay.messages().len(), 1);
}

#[test]
fn a_run_that_dies_loses_nothing_and_its_message_is_tried_again() {
    let held = Script::plain().when_nth("MAIL", 1, [Act::Hang]);
    let mut machine = Machine::off(Relay::start(held), "");
    machine.turn_on();
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    machine.relay.wait_until(|record| record.conversations.iter().any(|one| one.commands().len() > 1));
    let spooler = Pid::from_raw(machine.spooler.as_ref().unwrap().child.id().try_into().unwrap());
    let sender = children(spooler).into_iter().find(is_sender).unwrap();
    let run = children(sender)[0];
    kill(run, Signal::SIGABRT).unwrap();
    eventually("it is buried", || children(sender).is_empty());
    assert_eq!(machine.waiting(), 1);
    kill(sender, Signal::SIGUSR1).unwrap();
    machine.relay.wait_for_messages(1);
    eventually("nothing waits", || machine.waiting() == 0);
}

#[test]
fn what_is_replaced_on_the_system_is_seen_by_the_next_caller() {
    let mut machine = Machine::off(Relay::start(Script::plain()), "");
    let log = machine.system.path("log");
    machine.system = machine.system.top(&format!("log-file = \"{}\"", log.display()));
    machine.turn_on();
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    fs::rename(&log, machine.system.path("log.1")).unwrap();
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    machine.relay.wait_for_messages(2);
    let queued = fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains(" queued id=")).count();
    assert_eq!(queued, 1, "the new file has the new line");
}

#[test]
fn who_has_had_his_share_has_had_it_also_after_a_replacement() {
    if !is_root() {
        // Root has no quota, and only root can be somebody else.
        return;
    }
    let mut machine = Machine::off(Relay::start(Script::plain()), "rate = 2");
    let log = machine.system.path("log");
    machine.system = machine.system.top(&format!("log-file = \"{}\"", log.display()));
    machine.turn_on();
    let as_www = || machine.sendmail_as("www-data", &TO_BOB).input(MESSAGE);
    (0..2).for_each(|_| as_www().silent());
    fs::rename(&log, machine.system.path("log.1")).unwrap();
    let said = as_www().fails(75);
    assert!(said.contains("too many messages of yours in this minute"), "{said}");
    machine.sendmail_as("daemon", &TO_BOB).input(MESSAGE).silent();
    machine.relay.wait_for_messages(3);
}

#[test]
fn a_changed_configuration_is_for_those_who_come_after_it() {
    let mut machine = Machine::off(Relay::start(Script::plain()), "");
    machine.turn_on();
    let mut early = machine.connect();
    let uid = nix::unistd::geteuid();
    let text = fs::read_to_string(machine.system.config()).unwrap();
    fs::write(machine.system.config(), text.replace("[serve]\n", &format!("[serve]\ndeny = \"{uid}\"\n"))).unwrap();
    let spooler = machine.spooler.take().unwrap();
    spooler.signal(Signal::SIGHUP);
    eventually("the new rule holds", || machine.sendmail(&TO_BOB).input(MESSAGE).finish().status.code() == Some(77));
    early.says("MAIL FROM:<me@x.org>\r\nRCPT TO:<bob@x.org>\r\nDATA\r\n");
    ["250", "250", "354"].iter().for_each(|code| drop(early.hears(code)));
    early.says("Subject: s\r\n\r\nb\r\n.\r\n").hears("250 2.0.0 Ok: queued as");
    // One that makes no sense changes nothing.
    fs::write(machine.system.config(), "[serve]\nnonsense = 1\n").unwrap();
    spooler.signal(Signal::SIGHUP);
    machine.sendmail(&TO_BOB).input(MESSAGE).fails(77);
    spooler.signal(Signal::SIGTERM);
    assert_eq!(spooler.finish().exits(0).stderr, "");
}

#[test]
fn as_process_1_of_a_container_it_ends_when_told_and_buries_the_dead() {
    let namespaces = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let possible = Command::new("unshare").args(namespaces).arg("true").stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        return;
    }
    let mut machine = Machine::off(Relay::start(Script::plain()), "");
    let script = format!("exec unshare {} \"$@\"", namespaces.join(" "));
    machine.spooler = Some(machine.system.mailchute(["serve"]).through_shell(&script).start());
    machine.listens();
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    machine.relay.wait_for_messages(1);
    let spooler = machine.spooler.take().unwrap();
    let unshare = Pid::from_raw(spooler.child.id().try_into().unwrap());
    let first = children(unshare)[0];
    // An orphan becomes its child, and is waited for.
    let enter = format!("--target={first}");
    let orphan = Command::new("nsenter").args([&enter, "--pid", "sh", "-c", "(sleep 0.05 &)"]).status().unwrap();
    assert!(orphan.success());
    eventually("only the sender and who hears callers are left", || children(first).len() == 2);
    kill(first, Signal::SIGTERM).unwrap();
    assert_eq!(spooler.finish().exits(0).stderr, "");
}

#[test]
fn what_was_acknowledged_arrives_once_however_often_the_spooler_is_killed() {
    let mut machine = Machine::start(Script::plain(), "connections = 1000\nqueued = 100000\nrate = 1000000");
    let (sent, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let mut spooler = machine.spooler.take();
    let (mut kills, end) = (0, Instant::now() + Duration::from_secs(5));
    thread::scope(|scope| {
        for caller in 0..6 {
            let (machine, sent, over) = (&machine, &sent, &over);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let subject = format!("storm-{caller}-{number}");
                    let input = MESSAGE.replace("hello", &subject).replace("<one@", &format!("<{subject}@"));
                    let finished = machine.sendmail(&TO_BOB).input(input).finish();
                    match finished.status.code() {
                        Some(0) => sent.lock().unwrap().push(subject),
                        Some(75) => {}
                        _ => panic!("{finished:?}"),
                    }
                }
            });
        }
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(250));
            let mut killed = spooler.take().unwrap();
            killed.child.kill().unwrap();
            killed.child.wait().unwrap();
            kills += 1;
            spooler = Some(machine.system.mailchute(["serve"]).start());
        }
        over.store(true, Ordering::Relaxed);
    });
    let sent = sent.into_inner().unwrap();
    eventually("the queue is empty", || machine.waiting() == 0);
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for message in machine.relay.messages() {
        *arrived.entry(message.field("Subject").unwrap()).or_default() += 1;
    }
    assert!(kills > 10 && sent.len() > 20, "{kills} kills, {} sent", sent.len());
    let wrong: Vec<_> = sent.iter().filter(|subject| arrived.get(*subject) != Some(&1)).collect();
    assert!(wrong.is_empty(), "not exactly once, of {}: {wrong:?}", sent.len());
    assert!(machine.system.corrupt().is_empty());
}
