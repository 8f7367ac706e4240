//! Mail that stays on this machine: written into a Maildir or an mbox of the caller's instead of being submitted. All
//! recipients of an account that keeps its mail have the one folder, so a message is written once, and all of them
//! get it or none does.
//!
//! ```text
//! deliver      a letter into a store, the outcome of every recipient
//!    | letter     the message as a delivery agent leaves it: trace fields, Unix line ends
//!    | maildir    tmp, new: a file of its own for each message
//!    | mbox       one file for all, locked, appended to, taken back when that fails
//!    | lock       fcntl, then dot-lock, as Debian's policy has it
//! fault        what went wrong, and whether a person must mend it
//! ```

mod fault;
mod letter;
mod lock;
mod maildir;
mod mbox;

pub use letter::Letter;

use crate::config::Store;
use crate::mail::outcome::{Attempt, Outcome, Reply};
use std::io;
use std::path::Path;

/// Writes a letter, durably. What an earlier try has left of the same letter is not there twice, as far as nobody has
/// touched it since.
pub fn deliver(store: &Store, letter: &Letter) -> Attempt {
    let done = match store {
        Store::Maildir(folder) => maildir::deliver(folder, letter),
        Store::Mbox(file) => mbox::deliver(file, letter),
    };
    match done {
        Ok(()) => {
            let reply = Reply { code: 250, lines: vec![format!("2.0.0 written to {store}")] };
            Attempt { outcomes: vec![Outcome::Accepted(reply); letter.recipients.len()], trouble: None }
        }
        Err(fault) => fault.attempt(store, letter.recipients.len()),
    }
}

/// Whether mail can be written there now. For those who diagnose: nothing is written.
///
/// # Errors
/// What is wrong, and what to do about it.
pub fn examine(store: &Store) -> Result<(), (String, Option<String>)> {
    let found = match store {
        Store::Maildir(folder) => maildir::examine(folder),
        Store::Mbox(file) => mbox::examine(file),
    };
    found.map_err(|fault| fault.words(store))
}

/// Makes an empty Maildir; what is there already stays.
///
/// # Errors
/// As the file system says.
pub fn make_maildir(folder: &Path) -> io::Result<()> {
    maildir::make(folder)
}

#[cfg(test)]
mod tests;
