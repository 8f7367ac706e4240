//! Who hears strangers has shut himself in before; and what needs more than that still works. That the walls hold is
//! tried in src/sandbox.rs, where somebody can break out.

use crate::support::run::Started;
use crate::support::sandbox::account_for;
use crate::support::*;
use std::fs;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const TO_BOB: [&str; 2] = ["-i", "bob@example.org"];

/// A relay that thinks for so long that one can look around.
fn slow(script: Script) -> Script {
    script.when_nth("MAIL", 1, [Act::Wait(Duration::from_secs(2))])
}

fn login() -> Script {
    Script::starttls().login(USER, PASSWORD)
}

fn heard_mail(relay: &Relay) {
    relay.wait_until(|record| record.conversations.iter().any(|one| one.commands().join("\n").contains("MAIL")));
}

/// Whether a process can gain nothing any more; `None` when it is gone.
fn is_shut_in(pid: u32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:\t")).map(|bit| bit == "1")
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn who_talks_to_a_relay_is_shut_in() {
    for arguments in [&TO_BOB[..], &["-odb", "-i", "bob@example.org"], &["-q"]] {
        let mut relay = Relay::offline(slow(login()));
        let sandbox = Sandbox::for_relay(&relay);
        if arguments == ["-q"] {
            sandbox.sendmail(["-odq", "-i", "bob@example.org"]).input(MESSAGE).silent();
        }
        relay.go_online();
        let started = begin(&sandbox, arguments);
        heard_mail(&relay);
        if arguments[0] != "-odb" {
            assert_eq!(is_shut_in(started.child.id()), Some(true), "{arguments:?}");
        }
        let _ = started.finish().exits(0);
        relay.wait_for_messages(1);
    }
}

#[test]
fn a_log_that_is_a_pipe_opens_nothing() {
    let relay = Relay::start(slow(login()));
    let sandbox = Sandbox::for_relay(&relay).top("log-file = \"/dev/stderr\"");
    let started = begin(&sandbox, &TO_BOB);
    heard_mail(&relay);
    assert_eq!(is_shut_in(started.child.id()), Some(true));
    let said = started.finish().exits(0).stderr;
    assert!(said.contains("accepted id="), "{said}");
}

fn begin(sandbox: &Sandbox, arguments: &[&str]) -> Started {
    let mut started = sandbox.sendmail(arguments).start();
    let mut stdin = started.child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, MESSAGE.as_bytes()).unwrap();
    started
}

#[test]
fn a_steward_outside_runs_the_program_and_holds_nothing_else() {
    let relay = Relay::start(slow(login()));
    let program = format!("password-command = [\"/bin/echo\", \"{PASSWORD}\"]");
    let sandbox = Sandbox::for_relay(&relay).replace(&format!("password = \"{PASSWORD}\""), &program);
    let started = begin(&sandbox, &TO_BOB);
    heard_mail(&relay);
    let steward = children(started.child.id());
    assert_eq!((steward.len(), is_shut_in(started.child.id())), (1, Some(true)));
    assert_eq!(is_shut_in(steward[0]), Some(false));
    // Only root may see what a process with a secret has open.
    if let Ok(open) = fs::read_dir(format!("/proc/{}/fd", steward[0])) {
        let mut open: Vec<String> =
            open.flatten().filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.display().to_string())).collect();
        open.sort();
        assert!(open.len() == 3 && open[..2] == ["/dev/null"; 2] && open[2].starts_with("socket:"), "{open:?}");
    }
    let _ = started.finish().exits(0);
    assert_eq!(relay.messages().len(), 1);
    eventually("the steward is gone", || is_shut_in(steward[0]).is_none());
}

#[test]
fn a_program_that_nobody_needs_is_not_run() {
    let relay = Relay::offline(login());
    let sandbox = Sandbox::for_relay(&relay);
    let program = format!("password-command = [\"/usr/bin/touch\", \"{}\"]", sandbox.path("ran").display());
    let sandbox = sandbox.replace(&format!("password = \"{PASSWORD}\""), &program);
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    assert!(!sandbox.path("ran").exists());
}

#[test]
fn every_account_of_a_run_has_its_program_and_its_port() {
    let first = Relay::start(login().when("login", [say("535 5.7.8 no")]));
    let other = Relay::start(Script::implicit().login(USER, "another"));
    let with_program = |account: String, word: &str| {
        account
            .replace(&format!("password = \"{PASSWORD}\""), &format!("password-command = [\"/bin/echo\", \"{word}\"]"))
    };
    let mut sandbox = Sandbox::empty();
    sandbox.account = with_program(account_for(&first), PASSWORD) + "fallback = [\"other\"]\n";
    let sandbox = sandbox.tables(&format!("[accounts.other]\n{}", with_program(account_for(&other), "another")));
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    other.wait_for_messages(1);
    sandbox.sendmail(["-odq", "-i", "bob@example.org"]).input(MESSAGE.replace("<one@", "<two@")).silent();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    other.wait_for_messages(2);
    assert_eq!((first.record().logins.len(), sandbox.queue().len()), (2, 0));
}

#[test]
fn a_given_up_message_is_laid_aside_and_its_bounce_goes_out() {
    let mut relay = Relay::offline(Script::plain().when("RCPT TO:<bob@", [say("550 5.1.1 no bob")]));
    let sandbox = Sandbox::for_relay(&relay);
    let log = format!("log-file = \"{}\"", sandbox.path("log").display());
    let sandbox = sandbox.top(&log);
    sandbox.sendmail(TO_BOB).input(MESSAGE).silent();
    fs::remove_file(sandbox.path("log")).unwrap();
    relay.go_online();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!(relay.message().reverse_path, "");
    relay.rewrite(Script::plain().when("RCPT", [say("550 5.1.1 nobody")]));
    sandbox.sendmail(TO_BOB).input(MESSAGE).fails(67);
    assert_eq!((sandbox.queue().len(), sandbox.dead().len()), (0, 1));
    let lines = fs::read_to_string(sandbox.path("log")).unwrap();
    assert!(lines.contains("rejected id=") && lines.contains("bounced id="), "{lines}");
}

#[test]
fn a_run_inside_writes_the_numbers_that_others_read() {
    let relay = Relay::start(login());
    let sandbox = Sandbox::for_relay(&relay);
    fs::create_dir(sandbox.path("numbers")).unwrap();
    let file = sandbox.path("numbers/mailchute.prom");
    let sandbox = sandbox.top(&format!("metrics-file = \"{}\"", file.display()));
    sandbox.sendmail(["-odq", "-i", "bob@example.org"]).input(MESSAGE).silent();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert!(fs::read_to_string(file).unwrap().contains("mailchute_"));
}

#[test]
fn mail_that_stays_here_is_kept_by_who_could_have_talked_to_a_relay() {
    let relay = Relay::start(login());
    let sandbox = Sandbox::for_relay(&relay).tables(
        "[accounts.folder]\nmaildir = \"Mail\"\nfrom = \"a@x.org\"\n[accounts.file]\nmbox = \"box/mbox\"\nfrom = \"a@x.org\"\n",
    );
    for folder in ["Mail", "Mail/tmp", "Mail/new", "Mail/cur", "box"] {
        fs::create_dir(sandbox.path(folder)).unwrap();
    }
    sandbox.sendmail(["-a", "folder", "-i", "bob@example.org"]).input(MESSAGE).silent();
    assert_eq!(fs::read_dir(sandbox.path("Mail/new")).unwrap().count(), 1);
    // Its lock is left by a process that is gone, which takes looking at processes.
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    fs::write(sandbox.path("box/mbox.lock"), format!("{}\n", gone.id())).unwrap();
    sandbox.sendmail(["-a", "file", "-i", "bob@example.org"]).input(MESSAGE).silent();
    assert!(fs::read_to_string(sandbox.path("box/mbox")).unwrap().contains("Hello Bob"));
    assert_eq!((sandbox.queue().len(), relay.connections()), (0, 0));
}

#[test]
fn a_folder_that_stays_open_for_one_file_is_named() {
    let relay = Relay::start(login());
    for (place, mark) in [("home/mbox", '!'), ("box/mbox", '✓')] {
        let sandbox = Sandbox::for_relay(&relay);
        let file = sandbox.path(place);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let sandbox = sandbox.tables(&format!("[accounts.file]\nmbox = \"{}\"\nfrom = \"a@x.org\"\n", file.display()));
        let said = sandbox.mailchute(["doctor", "-v"]).finish().stdout;
        let line = said.lines().find(|line| line.contains("sandbox: ") && !line.contains("config")).unwrap();
        if line.contains("Landlock)") {
            let end = format!("; all in {} stays open", file.parent().unwrap().display());
            assert!(line.starts_with(mark) && line.ends_with(&end), "{said}");
        }
    }
}

#[test]
fn it_can_be_switched_off_but_not_by_an_argument() {
    let relay = Relay::start(slow(login()));
    let sandbox = Sandbox::for_relay(&relay).top("sandbox = \"off\"");
    let started = begin(&sandbox, &TO_BOB);
    heard_mail(&relay);
    assert_eq!(is_shut_in(started.child.id()), Some(false));
    let _ = started.finish().exits(0);
    let said = sandbox.mailchute(["doctor"]).finish().stdout;
    assert!(said.contains("! sandbox: switched off\n"), "{said}");
    let file = sandbox.config();
    let said = sandbox.sendmail(["-C".as_ref(), file.as_os_str(), "-t".as_ref()]).input(MESSAGE).fails(78);
    assert!(said.contains("\"sandbox\" may not stand in a file given with -C"), "{said}");
}

#[test]
fn both_halves_of_the_spooler_are_shut_in_and_those_who_start_them_are_not() {
    let relay = Relay::start(slow(Script::plain()));
    let sandbox = Sandbox::for_relay(&relay);
    let socket = sandbox.path("run/submit.sock");
    let sandbox = sandbox.tables(&format!("[serve]\nsocket = \"{}\"\n", socket.display()));
    let spooler = sandbox.mailchute(["serve"]).start();
    eventually("the spooler listens", || UnixStream::connect(&socket).is_ok());
    let user = Sandbox::empty().tables(&format!("[serve]\nsocket = \"{}\"\n", socket.display()));
    user.sendmail(TO_BOB).input(MESSAGE).silent();
    heard_mail(&relay);
    let halves = children(spooler.child.id());
    let is_sender = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().contains("--send");
    let (senders, clerks): (Vec<u32>, Vec<u32>) = halves.into_iter().partition(is_sender);
    assert_eq!(is_shut_in(spooler.child.id()), Some(false));
    assert_eq!(clerks.iter().map(|pid| is_shut_in(*pid)).collect::<Vec<_>>(), [Some(true)]);
    assert_eq!(senders.iter().map(|pid| is_shut_in(*pid)).collect::<Vec<_>>(), [Some(false)]);
    let runs = children(senders[0]);
    assert_eq!(runs.iter().map(|pid| is_shut_in(*pid)).collect::<Vec<_>>(), [Some(true)]);
    relay.wait_for_messages(1);
    spooler.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(spooler.finish().exits(0).stderr, "");
}
