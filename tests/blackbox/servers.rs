//! Relays that misbehave, as data: what each does, and what has to become of the message. The rows of
//! `reference/reliability.md` section 1.4, each for one and two recipients, in clear and through TLS.

use crate::support::*;
use std::time::Duration;

/// What has to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Sent,
    /// In the queue, without a word.
    Kept,
    /// In the queue, the account held, and the caller told.
    Held,
    /// Given up with that exit status.
    Refused(i32),
}
use End::{Held, Kept, Refused, Sent};

/// A relay's name for its misbehaviour, when it misbehaves, how, and the end of it.
type Row = (&'static str, &'static str, Vec<Act>, End);

fn rows() -> Vec<Row> {
    let close = || vec![Act::Close];
    let reset = || vec![Act::Reset];
    let says = |words: &str| vec![say(words)];
    let sends = |bytes: &str| vec![raw(bytes), Act::Close];
    let slow = |words: &str| vec![Act::Drip(words.into(), Duration::from_millis(10))];
    vec![
        ("closes at connect", "connect", close(), Kept),
        ("closes at EHLO", "EHLO", close(), Kept),
        ("closes at MAIL", "MAIL", close(), Kept),
        ("closes at RCPT", "RCPT", close(), Kept),
        ("closes at DATA", "DATA", close(), Kept),
        ("closes in the middle of the message", "body", close(), Kept),
        ("closes behind the dot", ".", close(), Kept),
        ("resets at connect", "connect", reset(), Kept),
        ("resets at MAIL", "MAIL", reset(), Kept),
        ("resets in the middle of the message", "body", reset(), Kept),
        ("resets behind the dot", ".", reset(), Kept),
        ("closes at QUIT", "QUIT", close(), Sent),
        ("resets at QUIT", "QUIT", reset(), Sent),
        ("says 421 at connect", "connect", says("421 4.3.0 busy"), Kept),
        ("says 421 at EHLO", "EHLO", says("421 4.3.0 busy"), Kept),
        ("says 421 at MAIL", "MAIL", says("421 4.3.0 busy"), Kept),
        ("says 554 at connect", "connect", says("554 5.7.1 no"), Held),
        ("says 550 at EHLO", "EHLO", says("550 5.7.1 no"), Held),
        ("says 451 at MAIL", "MAIL", says("451 4.3.0 later"), Kept),
        ("says 550 at MAIL", "MAIL", says("550 5.7.1 no"), Refused(69)),
        ("says 451 at RCPT", "RCPT", says("451 4.3.0 later"), Kept),
        ("says 550 at RCPT", "RCPT", says("550 5.1.1 no"), Refused(67)),
        ("says 451 at DATA", "DATA", says("451 4.3.0 later"), Kept),
        ("says 554 at DATA", "DATA", says("554 5.6.0 no"), Refused(69)),
        ("says 250 at DATA", "DATA", says("250 ok"), Kept),
        ("says 451 at the dot", ".", says("451 4.3.0 later"), Kept),
        ("says 550 at the dot", ".", says("550 5.7.1 no"), Refused(69)),
        ("stops in the code", ".", sends("25"), Kept),
        ("stops in a multi-line reply", ".", sends("250-part\r\n"), Kept),
        ("stops before the line feed", ".", sends("250 ok"), Kept),
        ("stops between CR and LF", ".", sends("250 ok\r"), Kept),
        ("mixes codes", ".", sends("250-ok\r\n550 no\r\n"), Kept),
        ("says 000", ".", says("000 what"), Kept),
        ("says 999", ".", says("999 what"), Kept),
        ("says 354 at the dot", ".", says("354 go on"), Kept),
        ("says 2 MB in a line", ".", says(&format!("250 {}", "x".repeat(2 << 20))), Kept),
        ("says 100000 lines at EHLO", "EHLO", says(&("250-x\n".repeat(100_000) + "250 x")), Kept),
        ("says 100000 lines at the dot", ".", says(&("250-x\n".repeat(100_000) + "250 x")), Kept),
        ("drips its greeting", "connect", slow("220 relay.test"), Sent),
        ("drips its acceptance", ".", slow("250 2.0.0 ok"), Sent),
        ("ends its lines with LF", "MAIL", vec![raw("250 ok\n")], Sent),
        ("ends its acceptance with LF", ".", vec![raw("250 ok\n")], Sent),
        ("says everything ahead", "MAIL", vec![raw("250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n250 ok\r\n")], Kept),
        ("speaks HTTP", "connect", sends("HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"), Kept),
        ("speaks garbage", "EHLO", sends("\u{1}\u{2}\u{3}\r\n\r\n"), Kept),
        ("sends NULs", ".", sends("\0\0\0\0\r\n"), Kept),
    ]
}

/// What one send may cost, whatever the relay does. The memory is enforced: 32 MB of data, stacks of threads and all; the
/// limit of the processor's time, whole seconds, is only for what would never end.
const BOUNDS: &str = "ulimit -d 32768; ulimit -t 5";
const CPU: Duration = Duration::from_millis(500);
const LOG: u64 = 8192;

/// The second line that `times` of a shell prints: `0m0.010000s 0m0.000000s`, user and system.
fn cpu_of_children(times: &str) -> Duration {
    let words = times.lines().nth(1).unwrap_or_default().split_whitespace();
    let seconds = words.filter_map(|word| {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    });
    Duration::from_secs_f64(seconds.sum())
}

fn misbehaves(script: impl Fn() -> Script, recipients: &[&str]) {
    misbehave(rows(), script, recipients);
}

fn misbehave(rows: Vec<Row>, script: impl Fn() -> Script, recipients: &[&str]) {
    for (name, event, acts, end) in rows {
        let relay = Relay::start(script().when(event, acts)).tolerant();
        let sandbox = Sandbox::for_relay(&relay);
        let (log, times) = (sandbox.path("log"), sandbox.path("times"));
        let sandbox = sandbox.top(&format!("log-file = \"{}\"", log.display()));
        let bounded = format!("{BOUNDS}; \"$@\"; status=$?; times >'{}'; exit $status", times.display());
        let sending = sandbox.sendmail(["-i"].iter().chain(recipients));
        let finished = sending.through_shell(&bounded).input(MESSAGE).finish();
        let context = format!("{name}: {end:?}, {finished:?}\n{}", relay.transcript());
        let cpu = cpu_of_children(&std::fs::read_to_string(times).unwrap());
        assert!(cpu < CPU, "{cpu:?}: {context}");
        let (status, silent) = match end {
            Sent | Kept => (0, true),
            Held => (0, false),
            Refused(status) => (status, false),
        };
        assert_eq!(finished.status.code(), Some(status), "{context}");
        assert_eq!(finished.stderr.is_empty(), silent, "{context}");
        assert!(finished.stderr.len() < 4096, "{context}");
        assert!(finished.took < Duration::from_secs(5), "{context}");
        let waiting = usize::from(matches!(end, Kept | Held));
        assert_eq!((sandbox.queue().len(), sandbox.dead().len()), (waiting, usize::from(status != 0)), "{context}");
        let logged = std::fs::metadata(&log).map_or(0, |log| log.len());
        assert!(logged < LOG, "{logged} octets of log: {context}");
        let delivered = relay.messages().len();
        relay.rewrite(script());
        let flushed = sandbox.sendmail(["-q"]).finish().exits(0);
        let left = sandbox.list();
        assert!(left.is_empty(), "{context}\n{flushed:?}\n{}{left:#?}", relay.transcript());
        assert_eq!(relay.messages().len(), delivered + waiting, "{context}\n{}", relay.transcript());
        assert!(relay.messages().iter().all(|message| message.text() == on_the_wire(MESSAGE)), "{context}");
    }
}

const ONE: [&str; 1] = ["bob@example.org"];
const TWO: [&str; 2] = ["bob@example.org", "carol@example.org"];

fn tls() -> Script {
    Script::implicit().login(USER, PASSWORD)
}

#[test]
fn one_recipient_in_clear() {
    misbehaves(Script::plain, &ONE);
}

#[test]
fn two_recipients_in_clear() {
    misbehaves(Script::plain, &TWO);
}

#[test]
fn one_recipient_through_tls() {
    misbehaves(tls, &ONE);
}

#[test]
fn two_recipients_through_tls() {
    misbehaves(tls, &TWO);
}

#[test]
fn one_recipient_in_chunks() {
    let without_data = rows().into_iter().filter(|row| row.1 != "DATA").collect();
    misbehave(without_data, || Script::plain().offering("CHUNKING"), &ONE);
}

#[test]
fn a_relay_that_hangs_does_not_hang_the_caller() {
    for event in ["connect", "EHLO", "MAIL", "RCPT", "."] {
        let relay = Relay::start(Script::plain().when(event, [Act::Hang]));
        let sandbox = Sandbox::for_relay(&relay).queue_policy("foreground-deadline = \"1s\"");
        let finished = sandbox.sendmail(ONE).input(MESSAGE).finish().exits(0);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""), "{event}");
        assert!(finished.took < Duration::from_secs(3), "{event}: {:?}", finished.took);
        assert_eq!(sandbox.queue().len(), 1, "{event}");
    }
}

#[test]
fn an_attempt_that_outlives_its_caller_is_not_abandoned() {
    let slow = [Act::Wait(Duration::from_millis(1500))];
    let relay = Relay::start(Script::plain().when(".", slow));
    let sandbox = Sandbox::for_relay(&relay).queue_policy("foreground-deadline = \"1s\"");
    sandbox.sendmail(ONE).input(MESSAGE).silent();
    eventually("the message is settled", || sandbox.queue().is_empty());
    assert_eq!((relay.messages().len(), relay.connections()), (1, 1));
}

#[test]
fn a_password_that_is_long_in_coming_does_not_hang_the_caller() {
    let relay = Relay::start(tls());
    let slow = |seconds: &str, sandbox: Sandbox| {
        let command = format!("echo >>{}; sleep {seconds}; echo {PASSWORD}", sandbox.path("ran").display());
        let command = format!("password-command = [\"/bin/sh\", \"-c\", \"{command}\"]");
        sandbox.replace(&format!("password = \"{PASSWORD}\""), &command)
    };
    let sandbox = slow("2", Sandbox::for_relay(&relay)).queue_policy("foreground-deadline = \"1s\"");
    let finished = sandbox.sendmail(ONE).input(MESSAGE).finish().exits(0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
    assert_eq!(relay.messages().len(), 0, "the caller has waited for the password: {:?}", finished.took);
    eventually("the message is settled", || sandbox.queue().is_empty());
    assert_eq!((relay.messages().len(), relay.connections(), relay.record().logins.len()), (1, 1, 1));
    let runs = std::fs::read_to_string(sandbox.path("ran")).unwrap().lines().count();
    assert_eq!(runs, 1, "its child is not the caller's, and goes on");
}

#[test]
fn one_refused_recipient_does_not_stop_the_other() {
    for (reply, waiting) in [("550 5.1.1 no bob", 0), ("451 4.2.1 later", 1)] {
        let relay = Relay::start(Script::plain().when("RCPT TO:<bob@", [say(reply)]));
        let sandbox = Sandbox::for_relay(&relay);
        let _ = sandbox.sendmail(TWO).input(MESSAGE).finish().exits(0);
        let carols = |relay: &Relay| relay.messages().iter().filter(|message| message.to() == [TWO[1]]).count();
        assert_eq!(carols(&relay), 1, "{reply}");
        let _ = sandbox.sendmail(["-q"]).finish().exits(0);
        eventually("only what has to wait waits", || sandbox.queue().len() == waiting);
        assert_eq!(carols(&relay), 1, "{reply}: {}", relay.transcript());
    }
}

#[test]
fn an_acknowledged_message_is_not_sent_again_whatever_follows() {
    for acts in [vec![say("250 ok"), Act::Close], vec![say("250 ok"), Act::Reset], vec![raw("250 ok\r\n421 bye\r\n")]] {
        let relay = Relay::start(Script::plain().when_nth(".", 1, acts)).tolerant();
        let sandbox = Sandbox::for_relay(&relay);
        let _ = sandbox.sendmail(TWO).input(MESSAGE).finish().exits(0);
        let _ = sandbox.sendmail(["-q"]).finish().exits(0);
        assert_eq!(relay.messages().len(), 1, "{}", relay.transcript());
        assert!(sandbox.queue().is_empty());
    }
}
