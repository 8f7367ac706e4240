//! What each kind of process still needs once it has read its configuration, and the moment from which it has no more:
//! before a relay's first word, or a local caller's.

use super::context::Context;
use crate::config::{Sandbox, Secret, Store, Trust, steward};
use crate::sandbox::{self, Needs, Signals, Walls};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process, or the one it was split from, has shut itself in.
static SHUT: AtomicBool = AtomicBool::new(false);

/// Before anything is submitted, and before there are threads. Programs that give passwords are run by a steward from
/// now on; without one that can be had, all stays open: nothing is held up for the sake of the walls.
pub fn before_relays(context: &Context) {
    let hears_relays = || context.config.accounts.iter().any(|account| account.store.is_none());
    if context.config.sandbox == Sandbox::Off || SHUT.load(Ordering::Relaxed) || !hears_relays() {
        return;
    }
    if steward::appoint(&context.config.accounts).is_err() {
        return;
    }
    SHUT.store(true, Ordering::Relaxed);
    enter(context, &of_sender(context));
}

/// Before the spooler hears local users. What it returns has to hold as long as they are heard; else another process
/// has to.
pub fn before_callers(context: &Context) -> sandbox::Seen {
    if context.config.sandbox == Sandbox::Off {
        return sandbox::Seen::now(Vec::new());
    }
    let log = context.log.ready_file().map(Path::to_path_buf);
    let seen = sandbox::Seen::now(REPLACED.iter().map(PathBuf::from).chain(log.clone()).collect());
    enter(context, &of_acceptor(context, log));
    seen
}

fn enter(context: &Context, needs: &Needs) {
    if !sandbox::enter(needs) && sandbox::offered() > Walls::None {
        context.log.note("this process could not shut itself in, though the kernel has Landlock: it goes on without");
    }
}

/// Files that are replaced by others as users come and go, and logs grow old.
const REPLACED: [&str; 2] = ["/etc/passwd", "/etc/group"];

fn of_sender(context: &Context) -> Needs {
    let accounts = &context.config.accounts;
    let mut needs =
        Needs { read: sandbox::name_services(), keep: vec![context.config.spool.clone()], ..Needs::default() };
    needs.read.extend(context.roots.bundle());
    // DNS over TCP, for answers that are too long for a datagram.
    needs.ports.push(53);
    // For who goes on without his caller.
    needs.write.push("/dev/null".into());
    needs.write.extend(context.log.ready_file().map(Path::to_path_buf));
    needs.keep.extend(opened_folders(context));
    for account in accounts {
        needs.read.extend(account.secret.as_ref().and_then(Secret::file).map(Path::to_path_buf));
        needs.ports.extend(account.endpoints.iter().map(|endpoint| endpoint.port));
        if let Some(Secret::OAuth2(settings)) = &account.secret {
            needs.ports.push(settings.token.endpoint().port);
        }
        if let Trust::File(path) = &account.trust {
            needs.read.push(path.clone());
        }
        if let Some(shown) = &account.certificate {
            needs.read.extend([shown.certificate.clone(), shown.key.clone()]);
        }
        match &account.store {
            None => {}
            Some(Store::Maildir(folder)) => needs.keep.push(folder.clone()),
            // The process that its lock names may be gone.
            Some(Store::Mbox(_)) => needs.signals = Signals::All,
        }
    }
    needs
}

/// Folders that who hears relays can change for the sake of one file: a new metrics file is written beside the old one
/// and takes its place, and the lock of an mbox is a file beside it.
pub fn opened_folders(context: &Context) -> Vec<PathBuf> {
    let mboxes = context.config.accounts.iter().filter_map(|account| match &account.store {
        Some(Store::Mbox(file)) => Some(file.as_path()),
        _ => None,
    });
    let files = context.config.metrics_file.as_deref().into_iter().chain(mboxes);
    let mut folders: Vec<PathBuf> = files.filter_map(Path::parent).map(Path::to_path_buf).collect();
    folders.sort_unstable();
    folders.dedup();
    folders
}

fn of_acceptor(context: &Context, log: Option<PathBuf>) -> Needs {
    let mut read = sandbox::user_services();
    // Who calls: the name of the program, the owner of a loopback connection.
    read.push("/proc".into());
    // Not the whole spool: the tokens of accounts lie in it as well.
    let root = context.config.spool.clone();
    let (list, keep) = match context.spool().and_then(|spool| spool.places_without_secrets()) {
        Ok(places) => (vec![root], places),
        Err(_) => (Vec::new(), vec![root]),
    };
    Needs { read, write: log.into_iter().collect(), keep, list, ..Needs::default() }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "says what it skips, and does what others would"
)]
mod tests {
    use crate::sandbox::{self, Needs, Walls};
    use crate::spool::Spool;

    #[test]
    fn who_hears_local_users_reads_no_token() {
        if sandbox::offered() < Walls::Files {
            return eprintln!("note: not tried, this kernel has no Landlock that would do");
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("spool");
        let spool = Spool::open(&root).unwrap();
        spool.keep_tokens("gmail", b"secret").unwrap();
        let needs =
            Needs { keep: spool.places_without_secrets().unwrap(), list: vec![root.clone()], ..Needs::default() };
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                assert!(sandbox::enter(&needs));
                let spool = Spool::open(&root).unwrap();
                assert!(spool.tokens("gmail").is_err() && spool.keep_tokens("gmail", b"another").is_err());
                let names = std::fs::read_dir(root.join("tokens")).unwrap();
                for token in names.map(|token| token.unwrap()) {
                    let taken = root.join("queue").join(token.file_name());
                    assert!(std::fs::rename(token.path(), &taken).is_err(), "not carried out either");
                    assert!(std::fs::hard_link(token.path(), &taken).is_err());
                }
                spool.count(&crate::spool::Totals { queued: 1, ..Default::default() }).unwrap();
                assert_eq!((spool.totals().queued, spool.corrupt().unwrap().len()), (1, 0));
            });
            inside.join().unwrap();
        });
        assert!(spool.tokens("gmail").unwrap().is_some());
    }
}
