//! Where a password must not turn up, and what a caller, a configuration or a spool must not bring about.

use crate::support::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

fn with_login(script: Script) -> Script {
    script.login(USER, PASSWORD)
}

#[test]
fn no_password_in_any_output_log_or_spool() {
    for script in [
        Script::starttls(),
        Script::starttls().mechanisms("LOGIN"),
        Script::starttls().when("login", [say("535 5.7.8 not accepted")]),
        Script::implicit().when("login", [Act::Close]),
        Script::implicit().when("RCPT", [say("550 5.1.1 nobody")]),
    ] {
        let relay = Relay::start(with_login(script));
        let sandbox = Sandbox::for_relay(&relay);
        let log = format!("log-file = \"{}\"", sandbox.path("log").display());
        let sandbox = sandbox.top(&log);
        let _ = sandbox.sendmail(["-v", "-t"]).input(MESSAGE).finish();
        let _ = sandbox.sendmail(["-q", "-v"]).finish();
        let _ = sandbox.program("mailq", ["-v"]).finish();
        let mut files = vec![sandbox.path("log"), sandbox.spool()];
        while let Some(path) = files.pop() {
            match fs::read_dir(&path) {
                Ok(entries) => files.extend(entries.map(|entry| entry.unwrap().path())),
                Err(_) => {
                    let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
                    for secret in spellings_of(PASSWORD) {
                        assert!(!text.contains(&secret), "the password is in {}", path.display());
                    }
                }
            }
        }
        assert!(!relay.record().logins.is_empty());
    }
}

#[test]
fn a_configuration_that_others_can_read_must_not_hold_a_password() {
    let relay = Relay::start(with_login(Script::implicit()));
    for mode in [0o640, 0o604, 0o644, 0o660] {
        let sandbox = Sandbox::for_relay(&relay);
        fs::set_permissions(sandbox.config(), fs::Permissions::from_mode(mode)).unwrap();
        let said = sandbox.sendmail(["-t"]).input(MESSAGE).fails(78);
        assert!(said.contains("chmod"), "{said}");
    }
    assert_eq!(relay.connections(), 0);
}

#[test]
fn a_configuration_named_by_the_caller_may_not_name_programs() {
    let relay = Relay::start(with_login(Script::implicit()));
    let sandbox = Sandbox::for_relay(&relay);
    let text = fs::read_to_string(sandbox.config()).unwrap();
    let program = format!("password-command = [\"/usr/bin/touch\", \"{}\"]", sandbox.path("ran").display());
    sandbox.write_private("other.toml", &text.replace(&format!("password = \"{PASSWORD}\""), &program));
    let other = sandbox.path("other.toml");
    sandbox.sendmail(["-C".as_ref(), other.as_os_str(), "-t".as_ref()]).input(MESSAGE).fails(78);
    assert!(!sandbox.path("ran").exists());
    assert_eq!(relay.connections(), 0);
}

#[test]
fn a_traffic_log_is_never_opened() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    let file = sandbox.path("shell.php");
    sandbox.sendmail(["-X".as_ref(), file.as_os_str(), "-t".as_ref()]).input(MESSAGE).silent();
    assert!(!file.exists());
}

#[test]
fn the_program_refuses_to_run_with_privileges_that_are_not_the_callers() {
    let relay = Relay::start(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    let program = sandbox.path("bin/privileged");
    // By another process: a file that a child of ours still has open for writing cannot be run.
    let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_mailchute")).arg(&program).status();
    assert!(copied.unwrap().success());
    // Only root can give a file to another group; for anyone else there is nothing to see here.
    if chown(&program, None, Some(1)).is_err() {
        return;
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o2755)).unwrap();
    sandbox.program("privileged", ["-t"]).input(MESSAGE).fails(78);
    assert_eq!(relay.connections(), 0);
}

#[test]
fn a_spool_that_others_can_write_to_is_not_used() {
    let relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    fs::create_dir(sandbox.spool()).unwrap();
    fs::set_permissions(sandbox.spool(), fs::Permissions::from_mode(0o777)).unwrap();
    let said = sandbox.sendmail(["-t"]).input(MESSAGE).fails(75);
    assert!(said.contains(&sandbox.spool().display().to_string()), "{said}");
}

#[test]
fn what_lies_in_the_spool_is_private_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let relay = Relay::offline(Script::plain());
        let sandbox = Sandbox::for_relay(&relay);
        let shell = format!("umask {umask}; exec \"$@\"");
        sandbox.sendmail(["-t"]).through_shell(&shell).input(MESSAGE).silent();
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&sandbox.spool()), 0o700);
        assert_eq!(mode(&sandbox.queue()[0]), 0o600);
    }
}

#[test]
fn planted_objects_in_the_spool_are_neither_followed_nor_sent() {
    let mut relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    let log = format!("log-file = \"{}\"", sandbox.path("log").display());
    let sandbox = sandbox.top(&log);
    sandbox.sendmail(["-t", "-i"]).input(MESSAGE).silent();
    let real = sandbox.queue().remove(0);
    let queue = sandbox.spool().join("queue");
    let stem = real.file_name().unwrap().to_str().unwrap();
    let mut free = "0123456789ABCDEF".chars().filter(|&last| !stem.ends_with(last));
    let mut planted = Vec::new();
    let mut name = || {
        let id = format!("{}{}", &stem[..stem.len() - 1], free.next().unwrap());
        planted.push(id.clone());
        queue.join(id)
    };
    let copy = |path: &std::path::Path, mode| {
        let forged = String::from_utf8_lossy(&fs::read(&real).unwrap()).replace("bob@example.org", "eve@example.org");
        fs::write(path, forged).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    sandbox.write_private("outside", "root:x:0:0");
    std::os::unix::fs::symlink("/etc/passwd", name()).unwrap();
    std::os::unix::fs::symlink(&real, name()).unwrap();
    std::os::unix::fs::symlink(".", name()).unwrap();
    fs::create_dir(name()).unwrap();
    nix::unistd::mkfifo(&name(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::net::UnixListener::bind(name()).unwrap();
    fs::hard_link(sandbox.path("outside"), name()).unwrap();
    copy(&name(), 0o666);
    copy(&name(), 0o640);
    copy(&name(), 0o600);
    let foreign = name();
    copy(&foreign, 0o600);
    // Only root can give a file away; it is damaged for anyone else.
    let _ = chown(&foreign, Some(4711), None);
    let device = nix::sys::stat::Mode::S_IRWXU;
    if nix::sys::stat::mknod(&queue.join("zero"), nix::sys::stat::SFlag::S_IFCHR, device, 0x105).is_ok() {
        fs::rename(queue.join("zero"), name()).unwrap();
    }
    for ignored in [".tmp", "...", "..x", "-rf", "a\nb", "\u{1b}[2J", &"x".repeat(255)] {
        fs::write(queue.join(ignored), "x").unwrap();
    }
    relay.go_online();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!(relay.message().text(), on_the_wire(MESSAGE));
    assert_eq!(relay.message().to(), ["bob@example.org"]);
    let log = fs::read_to_string(sandbox.path("log")).unwrap();
    for id in planted {
        assert_eq!(log.lines().filter(|line| line.contains(&id)).count(), 1, "{id}\n{log}");
    }
    assert_eq!(fs::read_to_string(sandbox.path("outside")).unwrap(), "root:x:0:0");
    assert!(!sandbox.program("mailq", [""; 0]).prints().contains("eve@"));
}

#[test]
fn a_name_that_is_no_queue_id_opens_nothing() {
    let relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(["-t", "-i"]).input(MESSAGE).silent();
    fs::copy(sandbox.queue().remove(0), sandbox.spool().join("x")).unwrap();
    let long = "0".repeat(300);
    for name in ["../x", "../../home", "/etc/passwd", ".", "", "a/b", "\u{1b}[2J", "-x\n", long.as_str()] {
        for verb in ["show", "hold", "remove", "retry"] {
            let finished = sandbox.mailchute(["queue", verb, name]).finish();
            assert!(matches!(finished.status.code(), Some(64 | 65)), "{verb} {name:?} {finished:?}");
            assert!(!finished.stdout.contains("bob@") && !finished.stderr.contains('\u{1b}'), "{finished:?}");
        }
        let _ = sandbox.sendmail([format!("-qI{name}")]).finish();
    }
    assert!(sandbox.spool().join("x").exists());
    assert_eq!(sandbox.queue().len(), 1);
}

#[test]
fn an_entry_that_a_backup_has_linked_is_sent() {
    let mut relay = Relay::offline(Script::plain());
    let sandbox = Sandbox::for_relay(&relay);
    sandbox.sendmail(["-t", "-i"]).input(MESSAGE).silent();
    fs::hard_link(sandbox.queue().remove(0), sandbox.path("backup")).unwrap();
    relay.go_online();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!(relay.message().text(), on_the_wire(MESSAGE));
    assert!(sandbox.queue().is_empty());
}

#[test]
fn a_relays_words_cannot_move_the_cursor_or_forge_a_line() {
    let words = "550 5.1.1 \x1b[2Jgone\x07\x08 \u{202e}reversed\u{85}\rmailchute: all is well";
    let relay = Relay::start(Script::plain().when("RCPT", [raw(format!("{words}\r\n"))]));
    let finished = Sandbox::for_relay(&relay).sendmail(["-t"]).input(MESSAGE).finish();
    for text in [&finished.stdout, &finished.stderr] {
        let bad = text.chars().find(|&c| c != '\n' && (c.is_control() || matches!(c, '\u{202e}' | '\u{2028}')));
        assert_eq!(bad, None, "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("mailchute: all is well")), "{text}");
    }
}
