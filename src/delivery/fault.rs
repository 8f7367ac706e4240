//! What goes wrong when mail is kept: what passes by itself, what a person must mend, what no folder will ever take.

use crate::config::Store;
use crate::mail::outcome::{Attempt, Failure, Outcome, Stage, Trouble};
use nix::errno::Errno;
use std::io::{self, ErrorKind};

/// Why a letter was not written.
#[derive(Debug)]
pub enum Fault {
    /// The system refused; what follows from it depends on its reason.
    System(io::Error),
    /// The folder is not what it should be.
    Folder(&'static str),
    /// Another program has the mailbox.
    Locked,
    /// The letter may be there although it is not known to be durable.
    Open(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::System(error)
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        Fault::System(errno.into())
    }
}

impl Fault {
    /// What follows for the recipients, and for the account.
    pub fn attempt(self, store: &Store, recipients: usize) -> Attempt {
        let (cause, hint) = self.words(store);
        let failure = |stage| Failure { stage, relay: store.to_string(), reply: None, cause, hint };
        match self {
            Fault::System(error) if error.kind() == ErrorKind::InvalidData => {
                let outcome = Outcome::Rejected(failure(Stage::Data));
                Attempt { outcomes: vec![outcome; recipients], trouble: None }
            }
            Fault::System(error) if passes(&error) => {
                Attempt::failed(Trouble::Waiting(failure(Stage::Folder)), recipients)
            }
            Fault::Locked => Attempt::failed(Trouble::Waiting(failure(Stage::Folder)), recipients),
            Fault::System(_) | Fault::Folder(_) => Attempt::failed(Trouble::Held(failure(Stage::Folder)), recipients),
            // As behind the end of a message that a relay has not answered: nobody else is offered it.
            Fault::Open(_) => Attempt::failed(Trouble::Waiting(failure(Stage::Data)), recipients),
        }
    }

    /// What went wrong, and what to do.
    pub fn words(&self, store: &Store) -> (String, Option<String>) {
        match self {
            Fault::System(error) if error.kind() == ErrorKind::NotFound => {
                let cause = match store {
                    Store::Maildir(_) => "is no Maildir, with new and tmp in it",
                    Store::Mbox(_) => "its folder is not there",
                };
                (cause.to_owned(), Some(making(store)))
            }
            Fault::System(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                (plain(error), Some("make room on that disk".to_owned()))
            }
            Fault::System(error) if passes(error) || error.kind() == ErrorKind::InvalidData => (plain(error), None),
            Fault::System(error)
                if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                (plain(error), Some("it must be writable for the user who runs mailchute".to_owned()))
            }
            Fault::System(error) => (plain(error), Some(format!("name another one in place of {store}"))),
            Fault::Folder(problem) => ((*problem).to_owned(), None),
            Fault::Locked => ("another program has locked it".to_owned(), None),
            Fault::Open(error) => (format!("not known to be on the disk: {error}"), None),
        }
    }
}

fn making(store: &Store) -> String {
    match store {
        Store::Maildir(path) => {
            let path = path.display();
            format!("make one: mkdir -p {path}/cur {path}/new {path}/tmp")
        }
        Store::Mbox(path) => {
            let folder = path.parent().unwrap_or(path);
            format!("mkdir {}, or name another file", folder.display())
        }
    }
}

/// Without the system's number.
fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// Whether time alone may mend it; a full disk is emptied by somebody, but not for our sake.
fn passes(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
    ) && error.raw_os_error() != Some(Errno::ELOOP as i32)
}
