//! The machine's spooler: mail of users without an account, by the kernel's word of who they are; what a killed client,
//! a killed spooler and a greedy user leave behind.

mod health;
mod processes;
mod users;

use crate::support::run::Started;
use crate::support::*;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const TO_BOB: [&str; 2] = ["-i", "bob@example.org"];

/// A machine: a spooler with the account, and the world of a user without one.
struct Machine {
    relay: Relay,
    system: Sandbox,
    user: Sandbox,
    spooler: Option<Started>,
}

impl Machine {
    fn start(script: Script, serve: &str) -> Machine {
        let mut machine = Machine::off(Relay::start(script), serve);
        machine.turn_on();
        machine
    }

    fn off(relay: Relay, serve: &str) -> Machine {
        let tables = |socket: &Path, more: &str| format!("[serve]\nsocket = \"{}\"\n{more}", socket.display());
        let system = Sandbox::for_relay(&relay);
        let socket = system.path("run/submit.sock");
        let system = system.tables(&tables(&socket, serve));
        let user = Sandbox::empty().tables(&tables(&socket, ""));
        // Other users come through to the socket and the program, but not to the password.
        for world in [&system, &user] {
            fs::set_permissions(world.root(), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(user.config(), fs::Permissions::from_mode(0o644)).unwrap();
        Machine { relay, system, user, spooler: None }
    }

    fn turn_on(&mut self) {
        self.spooler = Some(self.system.mailchute(["serve"]).start());
        self.listens();
    }

    fn listens(&self) {
        eventually("the spooler listens", || UnixStream::connect(self.system.path("run/submit.sock")).is_ok());
    }

    fn sendmail(&self, arguments: &[&str]) -> run::Run {
        self.user.sendmail(arguments)
    }

    /// As another user, which only root can become.
    fn sendmail_as(&self, user: &str, arguments: &[&str]) -> run::Run {
        let script = format!("exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs -- \"$@\"");
        self.sendmail(arguments).within(Path::new("/")).through_shell(&script)
    }

    fn connect(&self) -> Client {
        Client::new(UnixStream::connect(self.system.path("run/submit.sock")).unwrap())
    }

    fn waiting(&self) -> usize {
        self.system.queue().len()
    }
}

/// A client that says what it likes.
struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    fn new(stream: UnixStream) -> Client {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Client { stream: BufReader::new(stream) };
        client.hears("220");
        client
    }

    fn says(&mut self, text: &str) -> &mut Client {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
        self
    }

    /// The last line of the next reply, which begins so.
    fn hears(&mut self, code: &str) -> String {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                assert!(line.starts_with(code), "{line:?} is not {code}");
                return line;
            }
        }
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn whoever_watches_the_machine_is_told_how_its_queue_stands() {
    let login = say("535 5.7.8 no");
    let machine = Machine::start(Script::starttls().login(USER, PASSWORD).when("login", [login]), "");
    assert!(machine.user.mailchute(["health"]).prints().starts_with("MAILCHUTE OK - nothing waits"));
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    let told = || machine.user.mailchute(["health"]).finish();
    eventually("the account is held", || told().stdout.contains("account test is held"));
    let told = told().exits(2);
    assert!(told.stdout.starts_with("MAILCHUTE CRITICAL - 1 waiting, the first for 0m"), "{told:?}");
    assert!(!told.stdout.contains('@'), "nothing of anybody's mail: {told:?}");
}

#[test]
fn a_user_without_an_account_sends_through_the_spooler() {
    let machine = Machine::start(Script::starttls().login(USER, PASSWORD), "");
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    machine.relay.wait_for_messages(1);
    let message = machine.relay.message();
    assert_eq!(message.text(), on_the_wire(MESSAGE));
    assert_eq!((message.reverse_path.as_str(), message.to()), ("alice@example.test", vec!["bob@example.org"]));
    eventually("nothing waits", || machine.waiting() == 0);
    assert!(machine.user.queue().is_empty() && machine.user.dead().is_empty());
}

#[test]
fn options_mean_the_same_through_the_spooler() {
    let script = || Script::plain().offering("DSN");
    let machine = Machine::start(script(), "");
    let direct_relay = Relay::start(script());
    let direct = Sandbox::for_relay(&direct_relay);
    let long = format!("Subject: long\n\n{}\n", "x".repeat(3000));
    let binary = "Subject: 8\n\nGr\u{fc}\u{df}e\n.\n..\n";
    for (arguments, input) in [
        (&["-i", "-f", "author@kernel.example", "bob@example.org"][..], MESSAGE),
        (&["-i", "-f", "", "bob@example.org"][..], MESSAGE),
        (&["-ti", "carol@example.org"][..], "To: bob@example.org\nBcc: dave@example.org\nSubject: t\n\nb\n"),
        (&["-i", "-F", "Full N\u{e4}me + Co", "bob@example.org"][..], "Subject: n\n\nb\n"),
        (&["-i", "-N", "success,delay", "-R", "hdrs", "-V", "a+b=c", "bob@example.org"][..], MESSAGE),
        (&["-i", "root"][..], "To: root\nSubject: bare\n\nb\n"),
        (&["-i", "-G", "bob@example.org"][..], "To: root\nSubject: bare\n\nb\n"),
        (&["-i", "-a", "test", "bob@example.org"][..], MESSAGE),
        (&["bob@example.org"][..], MESSAGE),
        (&["-i", "-odq", "-oem", "bob@example.org"][..], binary),
        (&["-i", "bob@example.org"][..], &long),
        (&["-i", "bob@example.org"][..], ""),
    ] {
        let before = direct_relay.messages().len();
        machine.sendmail(arguments).input(input).silent();
        direct.sendmail(arguments.iter().filter(|word| **word != "-odq")).input(input).silent();
        machine.relay.wait_for_messages(before + 1);
        let (ours, theirs) = (&machine.relay.messages()[before], &direct_relay.messages()[before]);
        let words = |received: &Received| {
            let steady = |line: &&str| !line.starts_with("Date:") && !line.starts_with("Message-ID:");
            let text = received.text();
            let lines: Vec<String> = text.lines().filter(steady).map(str::to_owned).collect();
            let options = format!("{:?} {:?}", received.recipients, parameters(received));
            (received.reverse_path.clone(), options, lines)
        };
        assert_eq!(words(ours), words(theirs), "{arguments:?}");
    }
}

/// Without SIZE, which counts the digits of process ids.
fn parameters(received: &Received) -> Vec<&String> {
    received.mail_parameters.iter().filter(|word| !word.starts_with("SIZE=")).collect()
}

#[test]
fn what_is_not_taken_stays_the_callers_with_the_right_status() {
    let machine = Machine::start(Script::plain(), "size = 2000\nrecipients = 2");
    let big = format!("Subject: big\n\n{}", "line\n".repeat(1000));
    for (arguments, input, status, words) in [
        (&["-i"][..], MESSAGE, 64, "no recipients"),
        (&["-t"][..], "Subject: s\n\nb\n", 65, "no recipients in the message header"),
        (&["-i", "bob@"][..], MESSAGE, 65, "bob@"),
        (&["-i", "bob@example.org"][..], "Subject: a\0b\n\nb\n", 65, "NUL"),
        (&["-i", "bob@example.org"][..], &big, 69, "552 5.3.4"),
        (&["-i", "a@x.org", "b@x.org", "c@x.org"][..], MESSAGE, 75, "452 4.5.3"),
        (&["-i", "-a", "none", "bob@example.org"][..], MESSAGE, 78, "no account \"none\""),
    ] {
        let said = machine.sendmail(arguments).input(input).fails(status);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let quiet = machine.sendmail(&["-i", "-oeq", "-a", "none", "bob@example.org"]).input(MESSAGE).finish().exits(78);
    assert_eq!(quiet.stderr, "");
    assert_eq!((machine.waiting(), machine.user.dead().len(), machine.relay.messages().len()), (0, 0, 0));
}

#[test]
fn a_client_that_goes_before_the_end_leaves_nothing() {
    let machine = Machine::start(Script::plain(), "");
    for begun in [
        "MAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\nSubject: s\r\n\r\nhalf",
        "MAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\nSubject: s\r\n\r\nhalf\r\n.",
        "MAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nBDAT 12\r\nSubject: s\r\n",
        "MAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nBDAT 120 LAST\r\nSubject: s\r\n\r\nhalf",
    ] {
        let mut client = machine.connect();
        client.says("EHLO x\r\n").hears("250");
        client.says(begun).hears("250");
        drop(client);
    }
    // Who comes later is served later, so the others are through.
    let mut client = machine.connect();
    client.says("XQUEUE\r\n").hears("250");
    machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    machine.relay.wait_for_messages(1);
    assert_eq!(machine.relay.messages().len(), 1);
}

#[test]
fn several_messages_may_come_over_one_connection_and_standard_smtp_is_enough() {
    let machine = Machine::start(Script::plain(), "");
    let mut client = machine.connect();
    client.says("HELO x\r\n").hears("250");
    for number in 0..3 {
        client.says("MAIL FROM:<me@x.org>\r\nRCPT TO:<bob@x.org>\r\nDATA\r\n");
        ["250", "250", "354"].iter().for_each(|code| drop(client.hears(code)));
        client.says(&format!("Subject: {number}\r\n\r\n..\r\n.\r\n")).hears("250 2.0.0 Ok: queued as");
    }
    client.says("MAIL FROM:<>\r\nNOOP\r\nGARBAGE\r\n\0\r\nQUIT\r\n");
    ["250", "250", "500", "500", "221"].iter().for_each(|code| drop(client.hears(code)));
    machine.relay.wait_for_messages(3);
    assert!(machine.relay.messages().iter().all(|message| message.body() == b".\r\n"));
}

#[test]
fn dash_bs_is_the_spoolers_session() {
    let machine = Machine::start(Script::plain(), "");
    let input = "HELO [127.0.0.1]\r\nMAIL FROM:<me@x.org>\r\nRCPT TO:<bob@x.org>\r\nDATA\r\n\
                 Subject: s\r\n\r\nb\r\n.\r\nQUIT\r\n";
    let said = machine.sendmail(&["-bs"]).input(input).prints();
    let codes: Vec<&str> = said.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "250", "250", "250", "354", "250", "221"], "{said}");
    machine.relay.wait_for_messages(1);
}
