//! The error catalogue: every message a person can meet, whole, in `catalogue.txt` beside this file. A changed wording
//! shows there as a change; `UPDATE_CATALOGUE=1 cargo test --test blackbox catalogue` writes it anew.

use crate::support::relay::certificates;
use crate::support::run::Started;
use crate::support::*;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

/// One entry: a title, its world, and the command line.
struct Case {
    title: &'static str,
    relay: Relay,
    sandbox: Sandbox,
    name: &'static str,
    arguments: Vec<&'static str>,
    input: &'static str,
    /// The machine's spooler and its world, when it has one.
    spooler: Option<(Sandbox, Started)>,
}

fn case(title: &'static str, script: Script, arguments: &[&'static str]) -> Case {
    let relay = Relay::start(script);
    let sandbox = Sandbox::for_relay(&relay);
    Case { title, relay, sandbox, name: "sendmail", arguments: arguments.to_vec(), input: MESSAGE, spooler: None }
}

impl Case {
    fn input(mut self, input: &'static str) -> Case {
        self.input = input;
        self
    }

    fn named(mut self, name: &'static str) -> Case {
        self.name = name;
        self
    }

    fn world(mut self, change: impl FnOnce(Sandbox) -> Sandbox) -> Case {
        self.sandbox = change(self.sandbox);
        self
    }

    /// What the person sees, with everything that differs from run to run replaced by its name.
    fn entry(self) -> String {
        let finished =
            self.sandbox.program(self.name, &self.arguments).within(self.sandbox.root()).input(self.input).finish();
        let mut text = format!("## {}\n$ {} {}\n", self.title, self.name, self.arguments.join(" "));
        let _ = writeln!(text, "exit {}", finished.status.code().map_or("by signal".into(), |code| code.to_string()));
        text += &finished.stdout;
        text += &finished.stderr;
        let mut text = text
            .replace(&self.sandbox.root().display().to_string(), "$WORLD")
            .replace(&format!(":{}", self.relay.port()), ":PORT");
        for address in ["localhost[127.0.0.1]", "localhost[::1]"] {
            text = text.replace(address, "localhost[ADDRESS]");
        }
        named(&replace_between(&text, "(it says ", ")", "NOW"))
    }
}

/// Fingerprints, queue ids and the time differ with every run.
fn named(text: &str) -> String {
    text.split_inclusive([' ', '\n', '"', ';', ')', ':']).fold(String::new(), |mut named, word| {
        let end = word.len() - word.chars().next_back().map_or(0, char::len_utf8);
        let (bare, separator) = word.split_at(end);
        named += match bare.len() {
            64 if bare.bytes().all(|byte| byte.is_ascii_hexdigit()) => "DIGEST",
            24 if bare.bytes().all(|byte| byte.is_ascii_hexdigit()) => "ID",
            _ => bare,
        };
        named + separator
    })
}

/// Replaces what stands between two words.
fn replace_between(text: &str, start: &str, end: &str, name: &str) -> String {
    let Some((before, rest)) = text.split_once(start) else { return text.to_string() };
    let Some((_, after)) = rest.split_once(end) else { return text.to_string() };
    format!("{before}{start}{name}{end}{after}")
}

fn login() -> Script {
    Script::starttls().login(USER, PASSWORD)
}

const TO_BOB: &[&str] = &["-i", "bob@example.org"];
const FROM_HEADER: &[&str] = &["-t"];

fn usage() -> Vec<Case> {
    let case = |title, arguments| case(title, Script::plain(), arguments);
    vec![
        case("no recipients", &["-i"]),
        case("an option that is none", &["-k", "bob@example.org"]),
        case("an option in words that is none", &["--acount", "x", "bob@example.org"]),
        case("a subject on the command line", &["-s", "hello", "bob@example.org"]),
        case("an option without its argument", &["-i", "-f"]),
        case("a daemon", &["-bd", "-q30m"]),
        case("an option behind a recipient", &["bob@example.org", "-i"]),
        case("a command that is none", &["queue", "lst"]).named("mailchute"),
        case("a body type nobody knows", &["-B", "9BIT", "-i", "bob@example.org"]),
        case("a recipient that is none", &["-i", "bob@"]),
        case("a local file as recipient", &["-i", "/var/mail/bob"]),
        case("a sender that is none", &["-f", "a b@x.org", "bob@example.org"]),
        case("a header without recipients", FROM_HEADER).input("Subject: s\n\nb\n"),
        case("a header with a broken recipient", FROM_HEADER).input("To: good@example.org, bad@\n\nb\n"),
        case("a NUL in a header", TO_BOB).input("Subject: a\0b\n\nb\n"),
    ]
}

fn configuration() -> Vec<Case> {
    let case = |title| case(title, login(), TO_BOB);
    let password = || format!("password = \"{PASSWORD}\"");
    vec![
        case("no account").world(|_| Sandbox::empty().top("")),
        case("a configuration that is no TOML").world(|world| world.config_text("[accounts.test]\nhost = \n")),
        case("a key nobody knows").world(|world| world.account("pasword-file = \"x\"")),
        case("a value of the wrong type").world(|world| world.replace("tls = \"starttls\"", "tls = 587")),
        case("a password that others can read").world(|world| {
            fs::set_permissions(world.config(), fs::Permissions::from_mode(0o644)).unwrap();
            world
        }),
        case("a password file that is not there").world(|world| world.replace(&password(), "password-file = \"none\"")),
        case("a password program that fails").world(|world| {
            let program = "password-command = [\"/bin/sh\", \"-c\", \"echo locked >&2; exit 2\"]";
            world.replace(&password(), program)
        }),
        case("a provider nobody knows").world(|world| world.account("provider = \"gmial\"")),
        self::case("an account nobody knows", login(), &["-a", "work", "bob@example.org"]),
        self::case("a configuration that is not there", login(), &["-C", "none.toml", "bob@example.org"]),
    ]
}

fn connection() -> Vec<Case> {
    let scram = |cheat| login().mechanisms("SCRAM-SHA-256 PLAIN").cheating(cheat);
    let case = |title, script| case(title, script, TO_BOB);
    vec![
        case("a refused login", login().when("login", [say("535 5.7.8 authentication failed")])),
        case("a login without its mechanism", login().mechanisms("DIGEST-MD5 GSSAPI")),
        case("too many logins", login().when("login", [say("454 4.7.0 too many login attempts")])),
        case("a relay that does not know the password", scram(Cheat::WrongProof)),
        case("a relay that proves nothing", scram(Cheat::NoProof)),
        case("a relay that wants to see a certificate", login().client_auth(ClientAuth::Required)),
        case("a key that others can read", login().client_auth(ClientAuth::Required)).world(|world| {
            let (certificate, key) = certificates::client(true);
            fs::write(world.path("client.pem"), certificate + &key).unwrap();
            fs::set_permissions(world.path("client.pem"), fs::Permissions::from_mode(0o644)).unwrap();
            world.account("tls-cert-file = \"client.pem\"")
        }),
        case("a certificate of somebody's own", login().certificate(Certificate::SelfSigned)),
        case("a certificate for another host", login().certificate(Certificate::OtherHost)),
        case("a certificate that has expired", login().certificate(Certificate::Expired)),
        case("a certificate by nobody we know", login().certificate(Certificate::UnknownAuthority)),
        case("no STARTTLS", login().when("EHLO", [say("250-relay.test\n250 PIPELINING")])),
        case("STARTTLS refused", login().when("STARTTLS", [say("454 4.7.0 TLS not available")])),
        case("replies injected before TLS", login().when("STARTTLS", [raw("220 go\r\n250 evil\r\n")])),
        case("a relay that turns us away", login().when("connect", [say("554 5.7.1 no service for you"), Act::Close])),
        case("a relay that does not like our name", login().when("EHLO", [say("550 5.7.1 who are you")])),
    ]
}

fn refusals() -> Vec<Case> {
    let case = |title, script: Script| case(title, script, &["-i", "bob@example.org", "carol@example.org"]);
    let no_bob = "550 5.1.1 no bob here";
    vec![
        case("nobody is known", login().when("RCPT", [say("550 5.1.1 no such user")])),
        case("one of two is known", login().when("RCPT TO:<bob@", [say(no_bob)])),
        case("the sender is refused", login().when("MAIL", [say("553 5.7.1 not your address")])),
        case("the message is refused", login().when(".", [say("554 5.7.1 looks like spam")])),
        case("the message is too large", login().bare().offering("SIZE 100")),
        case("the quota is used up", login().when("DATA", [say("550 5.4.5 daily sending quota exceeded")])),
        case("without a spool and without a relay", login().when("connect", [Act::Close])).world(|world| {
            world.write_private("file", "");
            let text = fs::read_to_string(world.config()).unwrap().replace("/spool\"", "/file/spool\"");
            world.config_text(&text)
        }),
    ]
}

/// A caller without an account, and a spooler with one.
fn spooler(title: &'static str, serve: &str, arguments: &[&'static str]) -> Case {
    let user = Sandbox::empty();
    let socket = format!("[serve]\nsocket = \"{}\"\n", user.path("submit.sock").display());
    let user = user.tables(&socket);
    let case = case(title, Script::plain(), arguments);
    let system = Sandbox::for_relay(&case.relay).tables(&format!("{socket}{serve}\n"));
    let started = system.mailchute(["serve"]).start();
    eventually("the spooler listens", || UnixStream::connect(user.path("submit.sock")).is_ok());
    Case { sandbox: user, spooler: Some((system, started)), ..case }
}

fn spoolers() -> Vec<Case> {
    let away = spooler("a spooler that has gone", "", TO_BOB);
    let (system, mut started) = away.spooler.unwrap();
    started.child.kill().unwrap();
    let denied = format!("deny = \"{}\"", nix::unistd::geteuid());
    vec![
        Case { spooler: Some((system, started)), ..away },
        spooler("a spooler that does not serve you", &denied, TO_BOB),
        spooler("a message that is too large for the spooler", "size = 100", TO_BOB),
        spooler(
            "too many recipients for the spooler",
            "recipients = 1",
            &["-i", "bob@example.org", "carol@example.org"],
        ),
        spooler("an account that the spooler does not know", "", &["-a", "work", "-i", "bob@example.org"]),
        spooler("a part of the spooler's queue", "", &["-qRbob"]),
    ]
}

fn keeping() -> Vec<Case> {
    let keeping = |mut world: Sandbox, line: &str| {
        world.account = format!("{line}\n");
        world.top("")
    };
    let case = |title| case(title, Script::plain(), TO_BOB);
    vec![
        case("a Maildir that is not there").world(|world| keeping(world, "maildir = \"Mail\"")),
        case("an mbox in a folder that is not there").world(|world| keeping(world, "mbox = \"none/inbox\"")),
        case("an mbox that is something else").world(|world| {
            fs::create_dir(world.path("inbox")).unwrap();
            keeping(world, "mbox = \"inbox\"")
        }),
        case("a Maildir and a relay in one account")
            .world(|world| keeping(world, "maildir = \"Mail\"\nhost = \"smtp.example.org\"")),
        self::case("a Maildir in a file given with -C", Script::plain(), &["-C", "config.toml", "bob@example.org"])
            .world(|world| keeping(world, "maildir = \"Mail\"")),
    ]
}

fn monitoring() -> Vec<Case> {
    let health = |title, script| case(title, script, &["health"]).named("mailchute");
    vec![
        health("how a queue stands", Script::plain()),
        health("how a queue stands without an account", Script::plain()).world(|_| Sandbox::empty().top("")),
        health("how a queue stands whose configuration is broken", Script::plain())
            .world(|world| world.config_text("acounts = 1")),
        case("a limit that is no age", Script::plain(), &["health", "--warn-age", "soon"]).named("mailchute"),
    ]
}

#[test]
fn every_message_is_in_the_catalogue() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/blackbox/catalogue.txt");
    let cases = [usage(), configuration(), connection(), refusals(), spoolers(), keeping(), monitoring()];
    let entries: Vec<String> = cases.into_iter().flatten().map(Case::entry).collect();
    let catalogue = entries.join("\n");
    for line in catalogue.lines() {
        let wrong =
            line.contains("failed to") || line.contains("please") || line.contains("Please") || line.ends_with(". ");
        assert!(!wrong || line.contains("said"), "{line}");
    }
    if std::env::var_os("UPDATE_CATALOGUE").is_some() {
        fs::write(path, &catalogue).unwrap();
    }
    let known = fs::read_to_string(path).unwrap_or_default();
    if known != catalogue {
        let known: Vec<&str> = known.split("\n## ").collect();
        let changed: Vec<&str> = catalogue.split("\n## ").filter(|entry| !known.contains(entry)).collect();
        panic!("new or changed, see the head of errors.rs:\n\n## {}", changed.join("\n## "));
    }
}
