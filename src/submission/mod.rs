//! The SMTP client: from an account to a verified, logged-in session, from a message to what the relay said of each
//! recipient. Blocking, one connection, no state beyond it.
//!
//! ```text
//! session      the one door for callers: open, submit, quit
//!    | opening     one endpoint: connect, TLS, EHLO, AUTH
//!    | connect     name to addresses, addresses raced, errors told apart
//!    | tls         roots, verification (flaw has what is wrong with a certificate, certificate reads the names;
//!    |             client_certificate is what we show ourselves)
//!    | login       AUTH; sasl has the mechanisms (scram, md5)
//! line         a connection to a server that is no relay, for the room http
//! probe        one address looked at, and a sender tried: for those who diagnose
//! transaction  submit: outcomes per recipient
//!    | offer       MAIL and RCPT as this relay takes them
//!    | handover    DATA or BDAT and the message
//! series       several small messages in one flight
//! dialogue     commands out, replies in, all of it observed
//!    | command     one flight of commands, checked octet by octet
//!    | stream      plain or TLS, every wait bounded by Patience
//!    | reply       the reply grammar
//!    | capabilities  what EHLO offered
//! fault        what broke on the way, in words, and whether it holds the account
//! classify     what a refusing reply means, from replies.toml
//! ```

mod capabilities;
mod certificate;
pub mod classify;
mod client_certificate;
mod command;
mod connect;
mod dialogue;
mod fault;
mod flaw;
mod handover;
mod line;
mod login;
mod md5;
mod offer;
mod opening;
mod patience;
mod probe;
pub mod reply;
mod sasl;
mod scram;
mod series;
mod session;
mod stream;
mod tls;
mod transaction;

#[cfg(test)]
mod scripted;

pub use capabilities::Capabilities;
pub use certificate::Facts;
pub use fault::Fault;
pub use line::Line;
pub use patience::{Foreground, Parting, Patience};
pub use probe::{Knock, Probe, Symptom};
pub use series::Series;
pub use session::Session;
pub use tls::Roots;

/// Hears the dialogue, secrets masked: for `-v`, the log and the doctor.
pub trait Observer {
    /// One line without its line end, as sent or received; show it through `diagnostic::printable`.
    fn line(&mut self, direction: Direction, text: &str);
}

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Client,
    Server,
    /// Ours, about the connection: `connected to ...`, `TLS 1.3, ...`.
    Note,
}

/// What goes with every step of the work: how long it may take, and who hears of it.
pub(crate) struct Watch<'a> {
    pub patience: &'a mut Patience,
    pub observer: &'a mut dyn Observer,
}

impl Watch<'_> {
    /// Tells the observer something of ours.
    fn note(&mut self, text: &str) {
        self.observer.line(Direction::Note, text);
    }
}
