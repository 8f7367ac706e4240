//! mailchute: a sendmail-compatible drop-in that keeps a message safe and submits it with the user's own account.
//!
//! The journey of a message, and the room each step lives in:
//!
//! ```text
//! argv, env, stdin
//!    | cli         Invocation              what the caller asked
//!    | mail        Header, Envelope        what is to be sent, and for whom
//!    | route       Route                   through whom: accounts, aliases, identities
//!    | spool       Entry                   safe from here on
//!    | submission  Attempt: Outcome x n    what the relay said, per recipient; delivery where there is none
//!    | queue       settle, retry, bounce   what we do about it
//!    v
//!  Exit, stderr
//! ```
//!
//! Who may use whom. `tests/layering.rs` reads this table and every `crate::` path, and fails on an arrow that is not
//! drawn:
//!
//! ```text
//! exit        ->
//! clock       ->
//! system      ->
//! sandbox     ->
//! diagnostic  -> exit
//! process     -> exit clock system
//! mail        -> exit diagnostic clock
//! cli         -> exit diagnostic mail
//! log         -> clock diagnostic mail system
//! config      -> exit diagnostic mail process system
//! route       -> exit diagnostic mail config
//! spool       -> exit diagnostic clock mail system
//! queue       -> exit diagnostic clock mail spool log
//! submission  -> exit diagnostic clock mail config system
//! http        -> exit diagnostic config submission
//! oauth       -> exit diagnostic clock log config system spool submission http
//! delivery    -> clock mail config
//! server      -> exit diagnostic clock mail spool
//! commands    -> *
//! ```

#![deny(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod delivery;
pub mod diagnostic;
pub mod exit;
pub mod http;
pub mod log;
pub mod mail;
pub mod oauth;
pub mod process;
pub mod queue;
pub mod route;
pub mod sandbox;
pub mod server;
pub mod spool;
pub mod submission;
pub mod system;

use exit::Exit;
use process::Process;

/// Does what the command line asks and says how it ended.
pub fn run(process: &Process) -> Exit {
    commands::run(process)
}
