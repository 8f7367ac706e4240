//! What strangers write stays a value: in whatever place it stands, there is never one more command, recipient or
//! header field on the wire, and no control character on a terminal, in the log or in a bounce.

use crate::support::hostile::{EVIL, Hostile, raw_control, values};
use crate::support::*;
use mailchute::config::aliases;
use mailchute::log::{Event, Happening};
use mailchute::mail::address::parse_list;
use mailchute::mail::header::{Field, Header, display_name};
use std::cell::Cell;
use std::fs;

const TO_BOB: &str = "bob@example.org";
const TEXT: &str = "Subject: s\n\nthe text\n";

/// One world in which many values are tried.
struct Trial {
    relay: Relay,
    sandbox: Sandbox,
    /// How many conversations and offers were looked at.
    seen: Cell<(usize, usize)>,
}

impl Trial {
    fn new(script: Script) -> Trial {
        let relay = Relay::start(script);
        let sandbox = Sandbox::for_relay(&relay);
        let log = format!("log-file = \"{}\"", sandbox.path("log").display());
        Trial { sandbox: sandbox.top(&log), relay, seen: Cell::new((0, 0)) }
    }

    /// With a relay that knows every extension an argument could turn up in.
    fn able() -> Trial {
        Trial::new(Script::plain().offering("DSN").offering("SMTPUTF8"))
    }

    /// Runs, and looks at everything that came out; the new offers.
    fn run(&self, run: run::Run, place: &str, value: &Hostile) -> Vec<Received> {
        let finished = run.finish();
        let context = || format!("{place}: {value:?}\n{finished:?}\n{}", self.relay.transcript());
        for text in [&finished.stdout, &finished.stderr] {
            assert_eq!(raw_control(&text.replace("\r\n", "\n")), None, "{}", context());
        }
        assert!(finished.stderr.lines().all(|line| line.starts_with("mailchute: ")), "{}", context());
        assert!(finished.status.code().is_some(), "{}", context());
        let log = fs::read_to_string(self.sandbox.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.sandbox.path("log"));
        assert_eq!(raw_control(&log), None, "{}", context());
        for line in log.lines() {
            let dated = line.get(..4).is_some_and(|year| year.bytes().all(|b| b.is_ascii_digit()));
            assert!(dated && line.contains("]: "), "a forged line {line:?} {}", context());
        }
        let record = self.relay.record();
        let (conversations, offers) = self.seen.replace((record.conversations.len(), record.offers.len()));
        for conversation in &record.conversations[conversations..] {
            for command in conversation.commands() {
                assert!(is_command(command), "{command:?} {}", context());
            }
        }
        record.offers[offers..].to_vec()
    }
}

/// The grammar of what we ever say (RFC 5321 section 4.1), parameters included.
fn is_command(line: &str) -> bool {
    let printable = |text: &str| !text.is_empty() && text.chars().all(|c| c > ' ' && !c.is_control());
    let path = |rest: &str| {
        let Some(end) = rest.rfind("> ").or_else(|| rest.strip_suffix('>').map(str::len)) else { return false };
        let parameters = rest.get(end + 2..).unwrap_or_default();
        let known = ["SIZE=", "BODY=8BITMIME", "SMTPUTF8", "RET=", "ENVID=", "NOTIFY=", "ORCPT="];
        parameters
            .split(' ')
            .filter(|one| !one.is_empty())
            .all(|one| known.iter().any(|known| one.starts_with(known)) && printable(one) && one.is_ascii())
    };
    match line.split_once([' ', ':']) {
        Some(("EHLO", name)) => printable(name),
        Some(("MAIL", rest)) => rest.strip_prefix("FROM:<").is_some_and(path),
        Some(("RCPT", rest)) => rest.strip_prefix("TO:<").is_some_and(path),
        Some(("BDAT", rest)) => rest.bytes().all(|byte| byte.is_ascii_digit() || b" LAST".contains(&byte)),
        None => ["DATA", "RSET", "QUIT"].contains(&line),
        Some(_) => false,
    }
}

/// The names of a header's fields.
fn field_names(message: &Received) -> Vec<String> {
    let header = message.header();
    let first = header.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    first.map(|line| line.split(':').next().unwrap_or_default().to_string()).collect()
}

/// The fields that mailchute adds to a message or replaces, besides those it came with.
const OURS: [&str; 7] =
    ["From", "Date", "Message-ID", "Original-From", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"];

fn only_ours_and(own: &[&str], message: &Received, context: &str) {
    let names = field_names(message);
    for name in &names {
        assert!(own.contains(&name.as_str()) || OURS.contains(&name.as_str()), "{name} {context}\n{}", message.text());
    }
    for (place, name) in names.iter().enumerate() {
        assert!(!names[..place].contains(name), "two {name} {context}\n{}", message.text());
    }
}

#[test]
fn a_value_of_an_option_stays_a_value() {
    let options =
        ["-f", "-r", "-F", "-V", "-N", "-R", "-B", "-h", "-p", "-L", "-O", "-o", "-a", "-C", "-X", "-A", "-d", "-q"];
    for (seed, option) in options.into_iter().enumerate() {
        let trial = Trial::able();
        for (number, value) in values(26, seed).into_iter().enumerate() {
            let mut attached = std::ffi::OsString::from(option);
            attached.push(value.os());
            let words: Vec<std::ffi::OsString> = match number % 2 {
                0 if !["-d", "-q"].contains(&option) => vec![option.into(), value.os()],
                _ => vec![attached],
            };
            let run = trial.sandbox.sendmail(words.iter().chain(&[TO_BOB.into()])).input(TEXT);
            for message in trial.run(run, option, &value) {
                assert_eq!(message.to(), [TO_BOB], "{option} {value:?}");
                assert_eq!(message.body(), b"the text\r\n", "{option} {value:?}");
                let clean = !value.bytes.iter().any(u8::is_ascii_control);
                assert!(message.reverse_path != EVIL || clean, "{option} {value:?}");
                only_ours_and(&["Subject"], &message, &format!("{option} {value:?}"));
            }
        }
    }
}

#[test]
fn an_operand_is_a_list_of_recipients_and_nothing_else() {
    let trial = Trial::able();
    for value in values(104, 31) {
        let run = trial.sandbox.sendmail(["--".into(), value.os()]).input(TEXT);
        for message in trial.run(run, "operand", &value) {
            assert!(!value.bytes.iter().any(u8::is_ascii_control), "{value:?}");
            assert!(message.to().len() <= parse_list(&value.bytes).unwrap().len(), "{value:?}: {:?}", message.to());
            only_ours_and(&["Subject"], &message, &format!("{value:?}"));
        }
    }
}

#[test]
fn a_variable_of_the_environment_stays_a_value() {
    let variables = [
        "NAME",
        "EMAIL",
        "USER",
        "LOGNAME",
        "HOME",
        "HOSTNAME",
        "TZ",
        "LANG",
        "SSL_CERT_FILE",
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
        "CREDENTIALS_DIRECTORY",
        "LISTEN_FDS",
        "MAILCHUTE_CONFIG",
        "TMPDIR",
        "QMAILINJECT",
    ];
    for (seed, variable) in variables.into_iter().enumerate() {
        let trial = Trial::able();
        for value in values(13, seed + 40) {
            let run = trial.sandbox.sendmail(["-i", TO_BOB]).env(variable, value.os()).input(TEXT);
            for message in trial.run(run, variable, &value) {
                assert_eq!((message.to(), message.reverse_path.as_str()), (vec![TO_BOB], "alice@example.test"));
                only_ours_and(&["Subject"], &message, &format!("{variable} {value:?}"));
            }
        }
    }
}

#[test]
fn the_name_of_the_program_stays_a_value() {
    let trial = Trial::able();
    for value in values(26, 60) {
        let name = value.bytes.iter().copied().filter(|&byte| byte != b'/').take(200).collect();
        let name = Hostile { bytes: name }.os();
        let link = trial.sandbox.root().join("bin").join(&name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mailchute"), &link).unwrap();
        let run = trial.sandbox.program_at(&link, ["-i", TO_BOB]).input(TEXT);
        for message in trial.run(run, "argv[0]", &value) {
            assert_eq!(message.to(), [TO_BOB]);
        }
    }
}

#[test]
fn a_header_field_stays_one_field() {
    let fields = [
        "From",
        "To",
        "Cc",
        "Bcc",
        "Subject",
        "Reply-To",
        "Sender",
        "Return-Path",
        "Message-ID",
        "Date",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
        "X-Mailer",
        "Resent-To",
        "Received",
        "Errors-To",
    ];
    for (seed, field) in fields.into_iter().enumerate() {
        let trial = Trial::able();
        for value in values(13, seed + 70) {
            let mut message = format!("{field}: ").into_bytes();
            message.extend(value.on_one_line());
            message.extend_from_slice(b"\nTo: bob@example.org\n\nthe text\n");
            let with_t = seed % 2 == 0;
            let arguments: &[&str] = if with_t { &["-t", "-i"] } else { &["-i", TO_BOB] };
            let run = trial.sandbox.sendmail(arguments).input(&message);
            for sent in trial.run(run, field, &value) {
                let context = format!("{field} {value:?}\n{}", sent.text());
                let names = field_names(&sent);
                let ours = |name: &str| OURS.contains(&name.strip_prefix("Resent-").unwrap_or(name));
                let known = |name: &String| name == field || name == "To" || ours(name);
                assert!(names.iter().all(known), "{context}");
                assert!(sent.body().ends_with(b"the text\r\n"), "{context}");
                let blank = |byte: u8| if byte == b'\r' { b' ' } else { byte };
                let value: Vec<u8> = value.on_one_line().into_iter().map(blank).collect();
                let meant = parse_list(&value).unwrap_or_default();
                let meant = |address: &str| meant.iter().any(|one| one.to_string() == address);
                let ours = |address: &str| [TO_BOB, "alice@example.test"].contains(&address);
                assert!(sent.to().into_iter().all(|to| ours(to) || with_t && meant(to)), "{context}");
            }
        }
    }
}

#[test]
fn a_value_of_the_configuration_stays_a_value() {
    let keys = [
        ("from", true),
        ("user", true),
        ("host", true),
        ("auth", true),
        ("tls", true),
        ("provider", true),
        ("tls-fingerprint", true),
        ("tls-ca-file", true),
        ("identities", true),
        ("rewrite-from", true),
        ("domain", false),
        ("default-account", false),
        ("local-recipients", false),
        ("unheard-of", false),
    ];
    for (seed, (key, in_account)) in keys.into_iter().enumerate() {
        let trial = Trial::able();
        let (top, account) = (trial.sandbox.top.clone(), trial.sandbox.account.clone());
        for value in values(13, seed + 100) {
            let written = toml_string(&value.text());
            let line = if key == "identities" { format!("{key} = [{written}]") } else { format!("{key} = {written}") };
            let others = |text: &str| -> String {
                text.lines().filter(|one| !one.starts_with(&format!("{key} "))).map(|one| format!("{one}\n")).collect()
            };
            let (top, account) = match in_account {
                true => (top.clone(), others(&account) + &line),
                false => (format!("{top}{line}\n"), account.clone()),
            };
            let spool = trial.sandbox.spool();
            let text = format!("{top}\n[accounts.test]\n{account}\n[spool]\ndirectory = \"{}\"\n", spool.display());
            trial.sandbox.write_private("config.toml", &text);
            let run = trial.sandbox.sendmail(["-i", TO_BOB, "root"]).input(TEXT);
            for message in trial.run(run, key, &value) {
                assert!(message.to().len() <= 2 && !message.to().contains(&EVIL), "{key} {value:?} {:?}", message.to());
                only_ours_and(&["Subject"], &message, &format!("{key} {value:?}"));
            }
        }
    }
}

#[test]
fn an_alias_stands_for_addresses_and_nothing_else() {
    let trial = Trial::able();
    let text = fs::read_to_string(trial.sandbox.config()).unwrap();
    for value in values(52, 120) {
        let (name, whom) = (toml_string(&value.text()), toml_string(&value.text()));
        let aliases = format!("{text}\n[aliases]\nroot = {whom}\n{name} = \"carol@example.org\"\n");
        trial.sandbox.write_private("config.toml", &aliases);
        let run = trial.sandbox.sendmail(["-i", "root", "x"]).input(TEXT);
        for message in trial.run(run, "alias", &value) {
            let meant = parse_list(&value.bytes).map_or(0, |list| list.len());
            assert!(message.to().len() <= meant + 1, "{value:?} {:?}", message.to());
            only_ours_and(&["Subject"], &message, &format!("{value:?}"));
        }
    }
}

#[test]
fn a_relays_words_stay_words_in_log_list_and_bounce() {
    let events = ["connect", "EHLO", "MAIL", "RCPT TO:<carol", "DATA", "."];
    for (seed, event) in events.into_iter().enumerate() {
        for (number, value) in values(26, seed + 140).into_iter().enumerate() {
            let code = if number % 2 == 0 { "550 5.1.1 " } else { "451 4.3.0 " };
            let mut reply = code.as_bytes().to_vec();
            reply.extend(&value.bytes);
            reply.extend_from_slice(b"\r\n");
            let trial = Trial::new(Script::plain().when(event, [raw(&reply)]));
            let trial = Trial { relay: trial.relay.tolerant(), ..trial };
            let words = ["-v", "-i", TO_BOB, "carol@example.org"];
            trial.run(trial.sandbox.sendmail(words).input(TEXT), event, &value);
            trial.run(trial.sandbox.mailchute(["queue", "list"]), event, &value);
            trial.run(trial.sandbox.program("mailq", ["-v"]), event, &value);
            trial.relay.rewrite(Script::plain());
            let mut offers = trial.run(trial.sandbox.sendmail(["-q"]), event, &value);
            offers.extend(trial.relay.messages());
            for bounce in offers.iter().filter(|offer| offer.reverse_path.is_empty()) {
                let text = bounce.text().replace("\r\n", "\n").replace('\t', " ");
                assert_eq!(raw_control(&text), None, "{event} {value:?}\n{text}");
                assert!(!bounce.header().contains("X-Evil"), "{event} {value:?}\n{text}");
                assert_eq!(bounce.to(), ["alice@example.test"], "{event} {value:?}");
                let status = text.split("message/delivery-status\n").nth(1).unwrap_or_else(|| panic!("{text}"));
                let groups = status.split("\n--").next().unwrap().matches("Final-Recipient:").count();
                assert_eq!(groups, 1, "{event} {value:?}\n{text}");
            }
        }
    }
}

#[test]
fn a_value_in_a_dialogue_stays_a_value() {
    for (seed, command) in ["MAIL FROM:<{}>", "RCPT TO:<{}>", "EHLO {}", "{}"].into_iter().enumerate() {
        let trial = Trial::able();
        for value in values(26, seed + 160) {
            // Behind a line feed stands the client's own next command.
            let shown = value.on_one_line();
            let (before, behind) = command.split_once("{}").unwrap();
            let line = [before.as_bytes(), &shown, behind.as_bytes(), b"\r\n"].concat();
            let mut dialogue = b"EHLO me\r\n".to_vec();
            let sender: &[u8] = if command.starts_with("MAIL") { &line } else { b"MAIL FROM:<a@example.test>\r\n" };
            dialogue.extend_from_slice(sender);
            if !command.starts_with("MAIL") {
                dialogue.extend_from_slice(&line);
            }
            dialogue
                .extend_from_slice(b"RCPT TO:<bob@example.org>\r\nDATA\r\nSubject: s\r\n\r\nthe text\r\n.\r\nQUIT\r\n");
            let before = trial.relay.messages().len();
            trial.run(trial.sandbox.sendmail(["-bs", "-odq"]).input(&dialogue), command, &value);
            assert_eq!(trial.relay.messages().len(), before, "-odq only keeps");
            for message in trial.run(trial.sandbox.sendmail(["-q"]), command, &value) {
                let meant = if command.starts_with("RCPT") { 2 } else { 1 };
                assert!(message.to().len() <= meant, "{command} {value:?} {:?}", message.to());
                assert_eq!(message.to().last(), Some(&TO_BOB), "{command} {value:?}");
                only_ours_and(&["Subject"], &message, &format!("{command} {value:?}"));
            }
        }
    }
}

/// What no run can be made to read: the passwd entry, /etc/aliases, the journal.
#[test]
fn a_value_of_the_system_stays_a_value() {
    for value in values(5000, 200) {
        let text = value.text();
        let from = display_name(&text, "alice@example.test");
        let mut header = Header::default();
        header.push(Field::new("From", &from));
        header.push(Field::new("X-Mailer", &text));
        let raw = String::from_utf8(header.to_bytes()).unwrap();
        let lines: Vec<&str> = raw.split_terminator("\r\n").collect();
        let folded = |line: &&&str| !line.starts_with([' ', '\t']);
        assert_eq!(lines.iter().filter(folded).count(), 2, "{value:?}\n{raw}");
        assert!(raw.bytes().all(|byte| byte >= b' ' || b"\r\n\t".contains(&byte)), "{value:?}\n{raw}");
        assert_eq!(parse_list(from.as_bytes()).unwrap().len(), 1, "{value:?} {from}");
        assert_eq!(raw_control(&from), None, "{value:?} {from:?}");
        let aliases = aliases::parse(&format!("root: {text}\n{text}: carol@example.org\n"));
        for addressee in aliases.names.values().flatten() {
            let address = addressee.to_string();
            assert!(!address.chars().any(|c| c.is_control()), "{value:?} {address:?}");
        }
        let reply = Some(text.as_str());
        let line = Event { reply, message_id: reply, ..Event::new(Happening::Deferred) }.to_string();
        assert!(raw_control(&line).is_none() && !line.contains('\n'), "{value:?} {line:?}");
    }
}

/// A TOML basic string of that text.
fn toml_string(text: &str) -> String {
    let mut written = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            c if c.is_control() => written += &format!("\\u{:04X}", u32::from(c)),
            c => written.push(c),
        }
    }
    written + "\""
}
