//! Mail that stays on this machine: the rows of the table for an account whose relay is a folder.

use crate::support::*;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const TWO: [&str; 3] = ["-i", "bob@example.org", "root"];

fn make_maildir(sandbox: &Sandbox) {
    for part in ["", "tmp", "new", "cur"] {
        fs::create_dir(sandbox.path("Mail").join(part)).unwrap();
    }
}

/// A world that keeps its mail in `Mail` or `inbox`, with the Maildir there.
fn keeping(line: &str) -> Sandbox {
    let mut sandbox = Sandbox::empty();
    make_maildir(&sandbox);
    sandbox.account = format!("{line}\n");
    sandbox.top("")
}

fn new(sandbox: &Sandbox) -> Vec<PathBuf> {
    fs::read_dir(sandbox.path("Mail/new")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// How many entries wait, and how many were given up.
fn kept(sandbox: &Sandbox) -> (usize, usize) {
    (sandbox.queue().len(), sandbox.dead().len())
}

#[test]
fn a_maildir_takes_a_message_once_for_all_its_recipients() {
    let sandbox = keeping("maildir = \"Mail\"");
    sandbox.sendmail(TWO).input(MESSAGE).silent();
    assert_eq!((new(&sandbox).len(), kept(&sandbox)), (1, (0, 0)));
    let text = fs::read_to_string(&new(&sandbox)[0]).unwrap();
    assert!(text.starts_with("Return-Path: <"), "{text}");
    assert!(text.contains("\nDelivered-To: bob@example.org\nDelivered-To: root@"), "{text}");
    assert!(
        text.contains("\nFrom: Alice <alice@example.test>\n")
            && text.ends_with("\n\nHello Bob,\n.\ntwo dots: ..\nbye\n")
    );
    let shown = sandbox.sendmail(["-bv", "root"]).prints();
    assert!(shown.contains("mailer local, maildir /"), "{shown}");
    let report = sandbox.mailchute(["doctor"]).finish().exits(0).stdout;
    assert!(report.contains("can be written to") && report.contains("config: maildir: /"), "{report}");
}

#[test]
fn an_mbox_is_read_by_other_programs() {
    let sandbox = keeping("mbox = \"inbox\"");
    let body = MESSAGE.replace("bye", "From me to you\n>From you\nbye");
    for _ in 0..3 {
        sandbox.sendmail(TWO).input(&body).silent();
    }
    let script = "import mailbox, sys\nbox = mailbox.mbox(sys.argv[1])\n\
                  print(len(box), [m['Subject'] for m in box], [m.get_payload().count('From ') for m in box])";
    let Ok(read) = Command::new("python3").args(["-c", script]).arg(sandbox.path("inbox")).output() else { return };
    assert_eq!(String::from_utf8_lossy(&read.stdout), "3 ['hello', 'hello', 'hello'] [2, 2, 2]\n");
}

#[test]
fn a_missing_folder_is_told_holds_the_account_and_loses_nothing() {
    let sandbox = keeping("maildir = \"Other\"");
    let said = sandbox.sendmail(TWO).input(MESSAGE).warns();
    assert!(said.contains("Other: delivery: is no Maildir") && said.contains("hint: "), "{said}");
    assert_eq!(sandbox.entry()["held_by"], "account");
    assert!(sandbox.mailchute(["doctor"]).finish().exits(78).stdout.contains("is no Maildir"));
    fs::rename(sandbox.path("Mail"), sandbox.path("Other")).unwrap();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!((kept(&sandbox), fs::read_dir(sandbox.path("Other/new")).unwrap().count()), ((0, 0), 1));
}

#[test]
fn what_a_full_disk_cut_off_is_taken_back_and_written_later() {
    let sandbox = keeping("mbox = \"inbox\"");
    let before = "From x Tue Nov 24 14:04:05 2026\nSubject: old\n\nold\n\n".repeat(6000);
    sandbox.write_private("inbox", &before);
    let body = MESSAGE.to_owned() + &"0123456789 0123456789 0123456789 0123456789\n".repeat(3000);
    // The spool's file stays below the limit, the mailbox does not.
    sandbox.sendmail(TWO).input(&body).through_shell("ulimit -f 800; exec \"$@\"").silent();
    assert_eq!(kept(&sandbox), (1, 0));
    assert!(fs::read_to_string(sandbox.path("inbox")).unwrap() == before, "as it was");
    assert_eq!(sandbox.entry()["state"], "queued");
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    let text = fs::read_to_string(sandbox.path("inbox")).unwrap();
    assert_eq!((kept(&sandbox), text.matches("Subject: hello").count()), ((0, 0), 1));
    assert!(text.starts_with(&before));
}

#[test]
fn a_locked_mbox_is_waited_for_in_the_queue() {
    let sandbox = keeping("mbox = \"inbox\"");
    sandbox.write_private("inbox.lock", &format!("{}\n", std::process::id()));
    sandbox.sendmail(TWO).input(MESSAGE).silent();
    assert_eq!(sandbox.entry()["state"], "queued");
    fs::remove_file(sandbox.path("inbox.lock")).unwrap();
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!(kept(&sandbox), (0, 0));
}

#[test]
fn a_folder_stands_in_for_a_relay_that_is_out_of_reach() {
    let relay = Relay::offline(Script::plain());
    let sandbox =
        Sandbox::for_relay(&relay).account("fallback = [\"here\"]").tables("[accounts.here]\nmaildir = \"Mail\"");
    make_maildir(&sandbox);
    sandbox.sendmail(TWO).input(MESSAGE).silent();
    assert_eq!((new(&sandbox).len(), kept(&sandbox)), (1, (0, 0)));
}

#[test]
fn a_queue_goes_into_a_folder_message_by_message() {
    let sandbox = keeping("maildir = \"Mail\"");
    for _ in 0..20 {
        sandbox.sendmail(["-odq"].iter().chain(&TWO)).input(MESSAGE).silent();
    }
    assert_eq!(kept(&sandbox), (20, 0));
    let _ = sandbox.sendmail(["-q"]).finish().exits(0);
    assert_eq!((new(&sandbox).len(), kept(&sandbox)), (20, (0, 0)));
}
