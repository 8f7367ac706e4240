//! The steward: a child that runs the programs that passwords come from, for a process that has shut itself in and runs
//! none any more. It was made before strangers were heard, hears nobody but that process, and does one thing: told the
//! name of an account, it fetches the password of that account. It lives no longer than who asks it.

use super::account::Account;
use super::password::{Password, Secret, SecretError};
use super::program::Leave;
use crate::system;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout};
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;
use zeroize::Zeroizing;

/// The line to the steward of this process.
static STEWARD: OnceLock<Line> = OnceLock::new();

/// Our end of it, and how many questions have been asked.
pub(super) struct Line(Mutex<(OwnedFd, u32)>);

/// The number of a question in front of it, and of its answer: one that nobody waited for must not be taken for another.
const NUMBER: usize = 4;
/// More than any token has (`program::KEPT`), and number and mark in front of it.
const LONGEST: usize = NUMBER + 1 + 64 * 1024;
/// Octets of an account's name.
const LONGEST_NAME: usize = 4096;

/// What an answer begins with.
const GRANTED: u8 = b'+';
const DENIED: u8 = b'-';

/// Makes a steward when a password of these accounts comes from a program. To be called before there are threads, and
/// before this process shuts itself in.
///
/// # Errors
/// No process or socket can be had.
pub fn appoint(accounts: &[Account]) -> io::Result<()> {
    let has_program = |account: &Account| account.secret.as_ref().is_some_and(Secret::runs_program);
    if STEWARD.get().is_some() || !accounts.iter().any(has_program) {
        return Ok(());
    }
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    if system::fork_child()?.is_none() {
        if settle(&theirs).is_ok() {
            serve(accounts, io::stdin().as_raw_fd());
        }
        system::leave(0);
    }
    let _ = STEWARD.set(Line(Mutex::new((ours, 0))));
    Ok(())
}

/// The line to the steward; `None` when there is none, and a program is run by whoever wants it.
pub(super) fn line() -> Option<&'static Line> {
    STEWARD.get()
}

impl Line {
    /// Asks for the password of an account. Who has to leave meanwhile does, and listens on behind it: the program goes
    /// on, for it is the steward's.
    pub(super) fn ask(&self, account: &str, leave: Option<Leave>) -> Result<Password, SecretError> {
        let failed = |problem: &dyn fmt::Display| SecretError::new(format!("account {account}: {problem}"));
        let gone = |errno: Errno| failed(&format_args!("nobody is left to run its program: {errno}"));
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.1 = line.1.wrapping_add(1);
        let number = line.1.to_be_bytes();
        let socket = &line.0;
        send(socket.as_raw_fd(), &[&number, account.as_bytes()].concat(), MsgFlags::MSG_NOSIGNAL).map_err(gone)?;
        if let Some(Leave { at, act }) = leave
            && !has_word(socket, at).map_err(gone)?
            && act().is_break()
        {
            return Err(failed(&"timed out"));
        }
        let mut answer = Zeroizing::new(vec![0; LONGEST]);
        loop {
            let length = again(|| recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())).map_err(gone)?;
            match answer[..length].split_first_chunk::<NUMBER>() {
                Some((found, words)) if *found == number => return heard(words),
                Some(_) => {}
                None => return Err(gone(Errno::EPIPE)),
            }
        }
    }
}

/// Whether there is something to read before that moment.
fn has_word(socket: &OwnedFd, until: Instant) -> nix::Result<bool> {
    let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    again(|| {
        let left = until.saturating_duration_since(Instant::now());
        poll(&mut waiting, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)).map(|count| count > 0)
    })
}

/// An answer: the secret, or the reason why there is none.
fn heard(words: &[u8]) -> Result<Password, SecretError> {
    match words.split_first() {
        Some((&GRANTED, secret)) => Ok(Password::new(secret.to_vec())),
        other => {
            let reason = String::from_utf8_lossy(other.map_or(&[], |(_, reason)| reason)).into_owned();
            let (cause, hint) = reason.split_once('\0').unwrap_or((&reason, ""));
            Err(SecretError { cause: cause.to_owned(), hint: (!hint.is_empty()).then(|| hint.to_owned()) })
        }
    }
}

/// Lets go of all that the process has open, its locks and its caller's pipes among them, but for the line.
fn settle(line: &impl AsFd) -> io::Result<()> {
    system::ignore_endings();
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(line)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    drop(null);
    system::close_from(3);
    Ok(chdir("/")?)
}

fn serve(accounts: &[Account], line: RawFd) {
    let mut question = [0; NUMBER + LONGEST_NAME];
    while let Ok(length @ 1..) = again(|| recv(line, &mut question, MsgFlags::empty())) {
        let Some((number, name)) = question[..length].split_first_chunk::<NUMBER>() else { return };
        let account = accounts.iter().find(|account| account.name.as_bytes() == name);
        let secret = account.and_then(|account| account.secret.as_ref());
        let answer = match secret.map(Secret::fetch) {
            Some(Ok(password)) => spoken(number, GRANTED, password.expose()),
            Some(Err(error)) => spoken(number, DENIED, reason(&error).as_bytes()),
            None => spoken(number, DENIED, b"no such account"),
        };
        if send(line, &answer, MsgFlags::MSG_NOSIGNAL).is_err() {
            return;
        }
    }
}

/// Made in one piece, so that no copy is left behind.
fn spoken(number: &[u8; NUMBER], mark: u8, words: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut answer = Zeroizing::new(Vec::with_capacity(NUMBER + 1 + words.len()));
    answer.extend_from_slice(number);
    answer.push(mark);
    answer.extend_from_slice(words);
    answer
}

fn reason(error: &SecretError) -> String {
    format!("{}\0{}", error.cause, error.hint.as_deref().unwrap_or_default())
}

fn again<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::{self, Origin, Surroundings};
    use super::super::reader::Source;
    use super::*;
    use std::ops::ControlFlow;
    use std::path::Path;
    use std::time::Duration;

    fn account(name: &str, script: &str) -> String {
        let command = format!("[\"/bin/sh\", \"-c\", {script:?}]");
        format!("[accounts.{name}]\nhost = \"x.org\"\nuser = \"u\"\npassword-command = {command}\n")
    }

    #[test]
    fn what_is_asked_is_answered_and_the_end_of_the_line_is_the_end() {
        let text = [
            account("work", "echo secret"),
            account("slow", "sleep 0.3; echo late"),
            account("token", "head -c 65536 /dev/zero | tr '\\0' x"),
            account("locked", "head -c 300000 /dev/zero | tr '\\0' '\\033' >&2; exit 1"),
        ];
        let text = text.concat();
        let config =
            document::read(Source::one(Path::new("/c/c.toml"), &text), Origin::Usual, &Surroundings::sample()).unwrap();
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty()).unwrap();
        std::thread::scope(|scope| {
            let steward = scope.spawn(|| serve(&config.accounts, theirs.as_raw_fd()));
            let line = Line(Mutex::new((ours, u32::MAX)));
            let ask = |name: &str| {
                let answer = line.ask(name, None);
                answer
                    .map(|password| String::from_utf8(password.expose().to_vec()).unwrap())
                    .map_err(|error| error.cause)
            };
            assert_eq!(ask("work").as_deref(), Ok("secret"));
            assert_eq!(ask("token").unwrap().len(), 64 * 1024, "the longest token");
            assert!(
                ask("locked").unwrap_err().starts_with("/bin/sh: exit status: 1: \\x1b\\x1b"),
                "the longest reason"
            );
            assert_eq!(ask("nobody").unwrap_err(), "no such account");
            let soon = || Instant::now() + Duration::from_millis(50);
            let mut left = 0;
            let mut act = || {
                left += 1;
                ControlFlow::Continue(())
            };
            let stayed = line.ask("slow", Some(Leave { at: soon(), act: &mut act })).unwrap();
            assert_eq!((stayed.expose(), left), (&b"late"[..], 1), "who leaves listens on");
            let gone = line.ask("slow", Some(Leave { at: soon(), act: &mut || ControlFlow::Break(()) }));
            assert_eq!(gone.unwrap_err().cause, "account slow: timed out");
            assert_eq!(ask("work").as_deref(), Ok("secret"), "an answer that came too late is nobody's");
            let early = Leave { at: Instant::now() + Duration::from_secs(60), act: &mut || panic!("left") };
            assert_eq!(line.ask("work", Some(early)).unwrap().expose(), b"secret");
            drop(line);
            steward.join().unwrap();
        });
    }
}
