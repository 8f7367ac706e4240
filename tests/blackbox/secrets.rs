//! A password and a token go to a verified relay and nowhere else: whatever the relay does, whatever is asked to be
//! shown, they are in no output, no file, no process table and no core.

use crate::support::*;
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

/// With every octet that some way of writing writes differently.
const SECRET: &str = "CANARY+5up3r=s3cret/with %25~and ^_more";

/// As OAuth 2 tokens come: over 4 KiB of letters without a pattern.
fn token() -> String {
    let mut state = 7_u64;
    let mut letter = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"[(state >> 33) as usize % 68] as char
    };
    (0..4500).map(|_| letter()).collect()
}

/// Everything in which a secret could show: of a long one, pieces from its start, middle and end.
fn traces(secret: &str) -> Vec<String> {
    let pieces: Vec<&str> = match secret.len() {
        0..100 => vec![secret],
        length => [0, length / 2, length - 40].map(|start| &secret[start..start + 40]).to_vec(),
    };
    let written = |piece: &str, lead: &str, plain: fn(u8) -> bool| -> String {
        piece.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("{lead}{b:02X}") }).collect()
    };
    let mut traces = Vec::new();
    for piece in pieces {
        traces.extend(spellings_of(piece));
        traces.push(written(piece, "%", |byte| byte.is_ascii_alphanumeric()));
        traces.push(written(piece, "%", |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
        traces.push(written(piece, "=", |byte| byte.is_ascii_graphic() && byte != b'='));
        traces.push(piece.bytes().map(|byte| format!("{byte:02X}")).collect());
    }
    traces
}

fn nowhere_in(text: &[u8], secret: &str, place: &str) {
    let text = String::from_utf8_lossy(text);
    for trace in traces(secret) {
        assert!(!text.contains(&trace), "the secret is in {place} as {trace}:\n{text}");
    }
}

fn nowhere_below(folder: &Path, secret: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            nowhere_below(&path, secret);
        } else {
            nowhere_in(&fs::read(&path).unwrap_or_default(), secret, &path.display().to_string());
        }
    }
}

/// Where the secret comes from; the files are in the world's `secrets`.
#[derive(Clone, Copy, Debug)]
enum Source {
    Literal,
    File,
    Command,
    TokenCommand,
}

/// A world that logs in with that secret and keeps a log.
fn world(relay: &Relay, source: Source, secret: &str) -> Sandbox {
    let sandbox = Sandbox::for_relay(relay);
    fs::create_dir(sandbox.path("secrets")).unwrap();
    sandbox.write_private("secrets/file", &format!("{secret}\n"));
    let file = sandbox.path("secrets/file");
    let line = match source {
        Source::Literal => format!("password = '{secret}'"),
        Source::File => "password-file = \"secrets/file\"".to_string(),
        Source::Command => format!("password-command = [\"/bin/cat\", \"{}\"]", file.display()),
        Source::TokenCommand => format!("token-command = [\"/bin/cat\", \"{}\"]", file.display()),
    };
    let log = format!("log-file = \"{}\"", sandbox.path("log").display());
    sandbox.replace(&format!("password = \"{PASSWORD}\""), &line).top(&log)
}

/// What a relay repeats when it understands nothing: the line as it came, and what is in it.
fn echoes(mechanism: &str, secret: &str) -> Vec<Vec<Act>> {
    let joined = match mechanism {
        "CRAM-MD5" => return vec![vec![say(&format!("535 5.7.8 user={USER} password={secret}"))]],
        "PLAIN" => format!("\0{USER}\0{secret}"),
        "XOAUTH2" => format!("user={USER}\x01auth=Bearer {secret}\x01\x01"),
        "OAUTHBEARER" => format!("n,a={USER},\x01auth=Bearer {secret}\x01\x01"),
        _ => secret.to_string(),
    };
    let line = relay::base64::encode(joined.as_bytes());
    vec![
        vec![say(&format!("501 5.5.4 what is AUTH {mechanism} {line}"))],
        vec![say(&format!("535-5.7.8 no\n535 5.7.8 user={USER} password={secret}"))],
        vec![raw(format!("AUTH {mechanism} {line}: what?\r\n")), Act::Close],
        vec![raw(format!("535 5.7.8 half a line {line}")), Act::Close],
        vec![say(&format!("535 5.7.8 cut {}", &line[..line.len().min(60)]))],
    ]
}

#[test]
fn a_secret_is_in_nothing_that_comes_out() {
    let token = token();
    let cases = [
        ("PLAIN", Source::Literal, SECRET),
        ("LOGIN", Source::File, SECRET),
        ("CRAM-MD5", Source::Command, SECRET),
        ("PLAIN", Source::Command, &token),
        ("XOAUTH2", Source::TokenCommand, &token),
        ("OAUTHBEARER", Source::TokenCommand, &token),
    ];
    for (mechanism, source, secret) in cases {
        let well = || Script::implicit().login(USER, secret).mechanisms(mechanism).offering("DSN");
        let bad = "550 5.1.1 nobody";
        let mut scripts = vec![
            well(),
            Script::starttls().login(USER, secret).mechanisms(mechanism),
            Script::starttls().login(USER, "another").mechanisms(mechanism),
            well().when("RCPT TO:<carol", [say(bad)]),
            well().when(".", [say("554 5.7.1 spam")]),
            well().when("login", [Act::Close]),
            well().when("login", [raw("garbage\r\n")]),
            well().when("AUTH", [say("504 5.5.4 not that")]),
        ];
        scripts.extend(echoes(mechanism, secret).into_iter().map(|acts| well().when("login", acts)));
        for script in scripts {
            let relay = Relay::start(script).tolerant();
            let sandbox = world(&relay, source, secret);
            let runs = [
                sandbox.sendmail(["-v", "-N", "failure", "-i", "bob@example.org", "carol@example.org"]).input(MESSAGE),
                sandbox.sendmail(["-i", "bob@example.org"]).input(MESSAGE),
                sandbox.sendmail(["-q", "-v"]),
                sandbox.program("mailq", ["-v"]),
                sandbox.mailchute(["queue", "list", "--json"]),
                sandbox.mailchute(["doctor"]),
                sandbox.sendmail(["-bs", "-v"]).input("EHLO x\r\nAUTH PLAIN x\r\nQUIT\r\n"),
            ];
            for run in runs {
                let finished = run.finish();
                let context = format!("the output of {mechanism} {source:?}");
                nowhere_in(finished.stdout.as_bytes(), secret, &context);
                nowhere_in(finished.stderr.as_bytes(), secret, &context);
            }
            nowhere_in(&fs::read(sandbox.path("log")).unwrap_or_default(), secret, "the log");
            nowhere_below(&sandbox.spool(), secret);
            for offer in relay.record().offers {
                nowhere_in(&offer.data, secret, "a message");
            }
        }
    }
}

#[test]
fn a_configuration_that_is_wrong_does_not_show_its_secret() {
    for line in [
        format!("password = '{SECRET}'\nuser = 5"),
        format!("passwort = '{SECRET}'"),
        format!("password = '{SECRET}' x"),
        format!("password = '{SECRET}"),
        format!("password = ['{SECRET}']"),
        format!("password = {{ a = '{SECRET}' }}"),
        format!("password = '{SECRET}'\npassword-file = '{SECRET}'"),
        format!("password-command = ['/bin/echo', '{SECRET}']\npassword = 'x'"),
        format!("password-command = ['/bin/false', '{SECRET}']\nuser = 'x'"),
    ] {
        let sandbox = Sandbox::empty();
        let text = format!("[accounts.a]\nhost = 'localhost'\nport = 1\n{line}\n");
        sandbox.write_private("config.toml", &text);
        for run in [
            sandbox.sendmail(["-v", "-i", "bob@example.org"]).input(MESSAGE),
            sandbox.mailchute(["doctor"]),
            sandbox.mailchute(["queue", "list"]),
        ] {
            let finished = run.finish();
            nowhere_in(format!("{}{}", finished.stdout, finished.stderr).as_bytes(), SECRET, &line);
        }
    }
}

#[test]
fn a_process_that_holds_a_secret_leaves_no_core_and_shows_it_nowhere() {
    for source in [Source::Literal, Source::File, Source::Command] {
        for event in ["connect", "MAIL"] {
            let script = Script::implicit().login(USER, SECRET).when(event, [Act::Wait(Duration::from_secs(3))]);
            let relay = Relay::start(script).tolerant();
            let sandbox = world(&relay, source, SECRET);
            let run = sandbox.sendmail(["-i", "bob@example.org"]).within(sandbox.root());
            let mut started = run.through_shell("ulimit -c unlimited; exec \"$@\"").input(MESSAGE).start();
            std::io::Write::write_all(started.child.stdin.as_mut().unwrap(), MESSAGE.as_bytes()).unwrap();
            drop(started.child.stdin.take());
            relay.wait_until(|record| match event {
                "MAIL" => {
                    record.conversations.iter().any(|one| one.commands().iter().any(|line| line.starts_with("MAIL")))
                }
                _ => !record.conversations.is_empty(),
            });
            let process = format!("/proc/{}", started.child.id());
            for file in ["cmdline", "environ", "status", "comm"] {
                nowhere_in(&fs::read(format!("{process}/{file}")).unwrap_or_default(), SECRET, file);
            }
            started.signal(Signal::SIGABRT);
            let finished = started.finish();
            assert!(!finished.status.core_dumped(), "{source:?} {event} {finished:?}");
            finished.dies_of(Signal::SIGABRT);
        }
    }
}
