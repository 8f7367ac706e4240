//! The SMTP client: from an account to a verified, logged-in session, from a message to what the relay said of each
//! recipient. Blocking, one connection, no state beyond it.

use crate::config::Account;
use crate::mail::envelope::Envelope;
use crate::mail::outcome::{Attempt, Trouble};
use crate::mail::wire::Wire;
use std::time::{Duration, Instant};

/// How long to wait, and what to do when the caller has waited long enough.
pub struct Patience {
    /// Cap for each single step (address to connect to, reply to read), below RFC 5321 section 4.5.3.2's.
    pub step: Duration,
    /// The end of everything, whatever the server drips.
    pub overall: Option<Instant>,
    /// At this moment, once, `detach` is called and the work goes on (DESIGN section 2: a foreground attempt over 30 s).
    pub foreground: Option<(Instant, Box<dyn FnMut() + Send>)>,
}

/// Hears the dialogue, secrets masked: for `-v`, the log and the doctor.
pub trait Observer {
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

/// A logged-in connection to an account's relay. After any error it is dropped, never reused.
pub struct Session;

impl Session {
    /// Connects (candidates in order, addresses raced), starts TLS, says EHLO, logs in.
    pub fn open(
        _account: &Account,
        _host: &str,
        _patience: &mut Patience,
        _observer: &mut dyn Observer,
    ) -> Result<Session, Trouble> {
        todo!()
    }
    /// One message to the recipients whose indexes are given.
    pub fn submit(
        &mut self,
        _envelope: &Envelope,
        _recipients: &[usize],
        _wire: &Wire,
        _patience: &mut Patience,
        _observer: &mut dyn Observer,
    ) -> Attempt {
        todo!()
    }
    /// Says QUIT and does not wait.
    pub fn quit(self) {}
}
