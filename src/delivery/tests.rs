//! Letters into folders, and everything that can stand in their way.
#![allow(clippy::disallowed_methods, reason = "plants what others would")]

use super::*;
use crate::clock::Moment;
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Envelope, Recipient, ReversePath};
use crate::mail::header::{Field, Header};
use crate::mail::outcome::{Stage, Trouble};
use crate::mail::wire::{Source, Wire};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

struct Text(Vec<u8>);

impl Source for Text {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[usize::try_from(offset).unwrap()..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

fn wire(body: &[u8]) -> Wire {
    let mut header = Header::default();
    header.push(Field::new("Subject", "hello"));
    Wire::new(&header, Box::new(Text(body.to_vec())), body.len() as u64, false)
}

fn envelope(from: &str) -> Envelope {
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let path = if from.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(from)) };
    let to = ["a@x.org", "b@x.org", "c@x.org"].map(|text| Recipient::new(mailbox(text)));
    Envelope::new(path, to.to_vec()).unwrap()
}

/// Delivers a message of this body with that id to the first two recipients.
fn send(store: &Store, id: &str, body: &[u8]) -> Attempt {
    let (envelope, message) = (envelope("me@web1.example"), wire(body));
    let created = Moment::from_seconds(1_795_529_045);
    deliver(store, &Letter { id, envelope: &envelope, recipients: &[0, 1], message: &message, host: "web1", created })
}

fn accepted(attempt: &Attempt) -> bool {
    attempt.outcomes.len() == 2 && attempt.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_)))
}

/// What an account is held for, or waits for.
fn cause(attempt: &Attempt) -> String {
    assert_eq!(attempt.outcomes.len(), 2);
    match &attempt.trouble {
        Some(Trouble::Held(failure)) => format!("held: {}", failure.cause),
        Some(Trouble::Waiting(failure)) => format!("{} waiting: {}", failure.stage, failure.cause),
        None => panic!("{attempt:?}"),
    }
}

fn maildir() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Mail");
    make_maildir(&path).unwrap();
    (folder, Store::Maildir(path))
}

fn mbox() -> (TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inbox");
    (folder, path.clone(), Store::Mbox(path))
}

fn names(path: &Path) -> Vec<String> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_maildir_gets_one_file_with_the_trace_of_its_delivery() {
    let (folder, store) = maildir();
    assert_eq!(examine(&store), Ok(()));
    assert!(accepted(&send(&store, "ID1", b"Hello\r\n.\r\n")));
    let new = folder.path().join("Mail/new");
    assert_eq!(names(&new), ["1795529045.ID1.web1"]);
    let text = fs::read_to_string(new.join("1795529045.ID1.web1")).unwrap();
    let (trace, rest) = text.split_once("Delivered-To: a@x.org\n").unwrap();
    assert!(trace.starts_with("Return-Path: <me@web1.example>\nReceived: by web1 (mailchute) id ID1;\n\tTue, 24 Nov"));
    assert_eq!(rest, "Delivered-To: b@x.org\nSubject: hello\n\nHello\n.\n");
    assert_eq!(fs::metadata(new.join("1795529045.ID1.web1")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(&folder.path().join("Mail/tmp")), [""; 0]);
}

#[test]
fn a_try_that_was_killed_is_not_there_twice() {
    let (folder, store) = maildir();
    fs::write(folder.path().join("Mail/tmp/1795529045.ID1.web1"), "half").unwrap();
    assert!(accepted(&send(&store, "ID1", b"Hello\r\n")));
    assert!(accepted(&send(&store, "ID1", b"Hello\r\n")));
    assert!(accepted(&send(&store, "ID2", b"Hello\r\n")));
    assert_eq!(names(&folder.path().join("Mail/new")).len(), 2);
    assert_eq!(names(&folder.path().join("Mail/tmp")), [""; 0]);
}

#[test]
fn a_maildir_that_is_none_or_not_safe_holds_the_account() {
    let (folder, store) = maildir();
    let root = folder.path().join("Mail");
    let (new, aside) = (root.join("new"), root.join("aside"));
    fs::rename(&new, &aside).unwrap();
    assert_eq!(cause(&send(&store, "ID1", b"x\r\n")), "held: is no Maildir, with new and tmp in it");
    symlink(&aside, &new).unwrap();
    assert!(cause(&send(&store, "ID1", b"x\r\n")).starts_with("held: "), "a link leads elsewhere");
    fs::remove_file(&new).unwrap();
    fs::rename(&aside, &new).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(0o777)).unwrap();
    assert_eq!(cause(&send(&store, "ID1", b"x\r\n")), "held: everybody can write to it");
    if std::os::unix::fs::chown(&root, Some(4711), None).is_ok() {
        assert_eq!(cause(&send(&store, "ID1", b"x\r\n")), "held: belongs to somebody else");
    }
    let gone = Store::Maildir(folder.path().join("none"));
    let (problem, fix) = examine(&gone).unwrap_err();
    assert_eq!(problem, "is no Maildir, with new and tmp in it");
    assert!(fix.unwrap().starts_with("make one: mkdir -p /"));
}

#[test]
fn an_mbox_quotes_what_would_begin_a_message() {
    let (_folder, path, store) = mbox();
    assert_eq!(examine(&store), Ok(()));
    let body = b"From here\r\n>From there\r\n>>From\r\nFrom\r\nFromage\r\n>From \r\nlast From \r\n";
    assert!(accepted(&send(&store, "ID1", body)));
    assert!(accepted(&send(&store, "ID2", b"two\r\n")));
    assert_eq!(examine(&store), Ok(()));
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "From me@web1.example Tue Nov 24 14:04:05 2026");
    let body = lines.iter().position(|line| line.is_empty()).unwrap();
    assert_eq!(
        lines[body + 1..body + 10],
        [
            ">From here",
            ">>From there",
            ">>From",
            "From",
            "Fromage",
            ">>From ",
            "last From ",
            "",
            "From me@web1.example Tue Nov 24 14:04:05 2026"
        ]
    );
    assert!(text.ends_with("\n\ntwo\n\n"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_a_killed_try_left_at_the_end_of_an_mbox_is_replaced_and_nothing_else() {
    let (_folder, path, store) = mbox();
    for body in [b"one\r\n".as_slice(), b"two\r\n"] {
        assert!(accepted(&send(&store, if body == b"one\r\n" { "ID1" } else { "ID2" }, body)));
    }
    let whole = fs::read(&path).unwrap();
    let second = whole.len() - whole.len() / 2;
    // Cut anywhere behind the trace, it is found again; then the file is as it was.
    let long = vec![b"0123456789abcdef\r\n".as_slice(); 20_000].concat();
    assert!(accepted(&send(&store, "ID3", &long)));
    let all = fs::read(&path).unwrap();
    for cut in [whole.len() + 200, whole.len() + 70_000, all.len() - 3, all.len()] {
        File::options().write(true).open(&path).unwrap().set_len(cut as u64).unwrap();
        assert!(accepted(&send(&store, "ID3", &long)));
        assert!(fs::read(&path).unwrap() == all, "cut at {cut}");
    }
    // Another letter leaves it alone, and so does this one when something else stands behind it.
    File::options().write(true).open(&path).unwrap().set_len(second as u64 + 150).unwrap();
    assert!(accepted(&send(&store, "ID4", b"four\r\n")));
    assert!(accepted(&send(&store, "ID2", b"two\r\n")));
    let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
    assert_eq!(text.matches(" id ID2;").count(), 2);
    assert_eq!(text.matches(" id ID4;").count(), 1);
}

#[test]
fn a_letter_that_quotes_another_is_not_taken_for_it() {
    let (_folder, path, store) = mbox();
    assert!(accepted(&send(&store, "ID1", b"one\r\n")));
    let quoted = fs::read_to_string(&path).unwrap().replace('\n', "\r\n");
    assert!(accepted(&send(&store, "ID2", quoted.as_bytes())));
    let both = fs::read(&path).unwrap();
    assert!(accepted(&send(&store, "ID1", b"one\r\n")));
    assert!(fs::read(&path).unwrap().starts_with(&both));
}

#[test]
fn an_mbox_that_another_program_has_waits() {
    let (_folder, path, store) = mbox();
    let lock = path.with_extension("lock");
    // A process that lives, and is not us.
    fs::write(&lock, format!("{}\n", std::os::unix::process::parent_id())).unwrap();
    let text = cause(&send(&store, "ID1", b"x\r\n"));
    assert_eq!(text, "delivery waiting: another program has locked it");
    assert!(lock.exists() && fs::metadata(&path).unwrap().len() == 0);
    // One whose maker is gone is no lock.
    fs::write(&lock, "2147483646\n").unwrap();
    assert!(accepted(&send(&store, "ID1", b"x\r\n")));
    assert!(!lock.exists());
}

#[test]
fn what_is_no_mbox_of_ours_holds_the_account() {
    let (folder, path, store) = mbox();
    let other = folder.path().join("other");
    fs::write(&other, "").unwrap();
    symlink(&other, &path).unwrap();
    assert!(cause(&send(&store, "ID1", b"x\r\n")).starts_with("held: "));
    fs::remove_file(&path).unwrap();
    fs::hard_link(&other, &path).unwrap();
    assert_eq!(cause(&send(&store, "ID1", b"x\r\n")), "held: has another name besides");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(cause(&send(&store, "ID1", b"x\r\n")).starts_with("held: "));
    assert_eq!(fs::metadata(&other).unwrap().len(), 0);
    let gone = Store::Mbox(folder.path().join("none/inbox"));
    assert_eq!(cause(&send(&gone, "ID1", b"x\r\n")), "held: its folder is not there");
}

#[test]
fn a_message_that_is_not_canonical_is_refused_and_leaves_nothing() {
    let (_folder, path, store) = mbox();
    assert!(accepted(&send(&store, "ID1", b"x\r\n")));
    let before = fs::read(&path).unwrap();
    let (_kept, maildir) = maildir();
    for store in [&store, &maildir] {
        let attempt = send(store, "ID2", b"x\ny\r\n");
        let stage = |outcome: &Outcome| matches!(outcome, Outcome::Rejected(failure) if failure.stage == Stage::Data);
        assert!(attempt.outcomes.iter().all(stage), "{attempt:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    let Store::Maildir(root) = &maildir else { panic!() };
    assert_eq!(names(&root.join("new")).len() + names(&root.join("tmp")).len(), 0);
}
