//! `mailchute serve`: mail of all local users through one account that none of them can read. Two processes that trust
//! each other little:
//!
//! ```text
//! programs -> socket -> acceptor -> spool -> sender -> relay
//!                          `--- bell ---------^
//! ```
//!
//! The acceptor parses what local users write, and has neither the password nor need of the network; the sender has
//! both, and hears nothing of local users but through entries of the spool. Plain `serve` is the acceptor and starts
//! the sender; systemd starts them apart (`--accept`, `--send`), each in its own cage.
//!
//! Each of the two only keeps a worker going, a process split off that meets the strangers: the acceptor's hears
//! callers (counter), the sender's takes the queue to relays once. A worker shuts itself in before its first word; when
//! it dies another one takes its place.

mod acceptor;
mod bell;
mod census;
mod counter;
mod ledger;
mod listeners;
mod peer;
mod sender;
mod tether;
mod ward;
mod worker;

use super::Failed;
use crate::cli::{Global, Role};
use crate::exit::Exit;
use crate::process::Process;

/// Serves until it is told to end.
///
/// # Errors
/// The configuration, the spool or the socket cannot be used.
pub fn serve(process: &Process, global: &Global, role: Role) -> Result<Exit, Failed> {
    match role {
        Role::Both | Role::Accept => acceptor::accept(process, global, role),
        Role::Send => sender::send(process, global),
    }
}
