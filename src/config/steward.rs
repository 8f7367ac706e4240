//! The steward: a child that runs the programs that passwords come from, for a process that has shut itself in and runs
//! none any more. It was made before strangers were heard, hears nobody but that process, and does one thing: told the
//! name of an account, it fetches the password of that account. It lives no longer than who asks it.

use super::account::Account;
use super::password::{Password, Secret, SecretError};
use crate::system;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, OnceLock, PoisonError};
use zeroize::Zeroizing;

/// Our end of the line to the steward of this process.
static STEWARD: OnceLock<Mutex<OwnedFd>> = OnceLock::new();

/// More than any token has (`program::KEPT`), and the mark in front of it.
const LONGEST: usize = 64 * 1024 + 1;
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
    let _ = STEWARD.set(Mutex::new(ours));
    Ok(())
}

/// Asks the steward; `None` when there is none, and the program is run by whoever wants it.
pub(super) fn ask(account: &str) -> Option<Result<Password, SecretError>> {
    let line = STEWARD.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    let gone =
        |errno: Errno| SecretError::new(format!("account {account}: nobody is left to run its program: {errno}"));
    Some(question(line.as_raw_fd(), account).unwrap_or_else(|errno| Err(gone(errno))))
}

fn question(line: RawFd, account: &str) -> nix::Result<Result<Password, SecretError>> {
    send(line, account.as_bytes(), MsgFlags::MSG_NOSIGNAL)?;
    let mut answer = Zeroizing::new(vec![0; LONGEST]);
    let length = again(|| recv(line, &mut answer, MsgFlags::empty()))?;
    match answer[..length].split_first() {
        Some((&GRANTED, secret)) => Ok(Ok(Password::new(secret.to_vec()))),
        Some((_, reason)) => {
            let reason = String::from_utf8_lossy(reason).into_owned();
            let (cause, hint) = reason.split_once('\0').unwrap_or((&reason, ""));
            Ok(Err(SecretError { cause: cause.to_owned(), hint: (!hint.is_empty()).then(|| hint.to_owned()) }))
        }
        None => Err(Errno::EPIPE),
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
    let mut name = [0; LONGEST_NAME];
    while let Ok(length @ 1..) = again(|| recv(line, &mut name, MsgFlags::empty())) {
        let account = accounts.iter().find(|account| account.name.as_bytes() == &name[..length]);
        let secret = account.and_then(|account| account.secret.as_ref());
        let answer = match secret.map(Secret::fetch) {
            Some(Ok(password)) => spoken(GRANTED, password.expose()),
            Some(Err(error)) => spoken(DENIED, reason(&error).as_bytes()),
            None => spoken(DENIED, b"no such account"),
        };
        if send(line, &answer, MsgFlags::MSG_NOSIGNAL).is_err() {
            return;
        }
    }
}

/// Made in one piece, so that no copy is left behind.
fn spoken(mark: u8, words: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut answer = Zeroizing::new(Vec::with_capacity(words.len() + 1));
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
    use std::path::Path;

    fn account(name: &str, script: &str) -> String {
        let command = format!("[\"/bin/sh\", \"-c\", {script:?}]");
        format!("[accounts.{name}]\nhost = \"x.org\"\nuser = \"u\"\npassword-command = {command}\n")
    }

    #[test]
    fn what_is_asked_is_answered_and_the_end_of_the_line_is_the_end() {
        let text = [
            account("work", "echo secret"),
            account("token", "head -c 65536 /dev/zero | tr '\\0' x"),
            account("locked", "head -c 300000 /dev/zero | tr '\\0' '\\033' >&2; exit 1"),
        ];
        let text = text.concat();
        let config =
            document::read(Source::one(Path::new("/c/c.toml"), &text), Origin::Usual, &Surroundings::sample()).unwrap();
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::empty()).unwrap();
        std::thread::scope(|scope| {
            let steward = scope.spawn(|| serve(&config.accounts, theirs.as_raw_fd()));
            let ask = |name: &str| {
                let answer = question(ours.as_raw_fd(), name).unwrap();
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
            drop(ours);
            steward.join().unwrap();
        });
    }
}
