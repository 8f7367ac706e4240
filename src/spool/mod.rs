//! The spool: messages that are safe. One file for each, locked by whoever works on it; see FORMAT.md.

use crate::clock::Moment;
use crate::mail::envelope::Envelope;
use crate::mail::outcome::Outcome;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The name of an entry: 24 upper-case hexadecimal digits, 14 of them microseconds since 1970, 10 random. Their order
/// is the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(String);

/// An open spool directory, checked: ours, 0700, no link.
#[derive(Clone)]
pub struct Spool;

/// What is written about a message once and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub envelope: Envelope,
    /// The account asked for by name (`--account`); else the route is chosen again at each attempt.
    pub account: Option<String>,
    /// The user who handed it in.
    pub uid: u32,
    pub created: Moment,
    /// The Message-ID, for the log.
    pub message_id: String,
}

/// What changes: the queue's view of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Tries so far.
    pub attempts: u32,
    /// Not before this.
    pub next: Moment,
    /// The sum of capped intervals between tries: survives a jumping clock.
    pub age: Duration,
    pub last: Moment,
    /// A person put it on hold.
    pub held: bool,
    /// The delay warning is out.
    pub warned: bool,
    /// Per recipient, in the envelope's order.
    pub recipients: Vec<Status>,
}

/// Where one recipient stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// The last reply or cause, in the server's words.
    pub reason: String,
    pub at: Moment,
}

/// The status byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// `N`
    Pending,
    /// `D`
    Accepted,
    /// `F`: rejected or expired, the bounce is owed.
    Failed,
    /// `B`: rejected or expired, told to the sender durably (or nobody is to be told).
    Bounced,
}

impl Spool {
    /// Opens, and creates with mode 0700 when missing.
    pub fn open(_path: &Path) -> Result<Spool, SpoolError> {
        todo!()
    }
    /// Starts an entry: nothing is visible to anyone until [`Draft::commit`]; a dropped draft leaves nothing.
    pub fn draft(&self, _ticket: &Ticket) -> Result<Draft, SpoolError> {
        todo!()
    }
    /// The ids in `queue/`, oldest first. Foreign names are skipped.
    pub fn queue(&self) -> Result<Vec<QueueId>, SpoolError> {
        todo!()
    }
    /// Takes an entry for this process; the lock dies with it.
    pub fn claim(&self, _id: &QueueId) -> Result<Claim, SpoolError> {
        todo!()
    }
    pub fn path(&self) -> PathBuf {
        todo!()
    }
}

/// What came of a claim.
pub enum Claim {
    Mine(Entry),
    /// Another process works on it.
    Busy,
    /// Done and removed meanwhile.
    Gone,
    /// Not an entry of ours (link, wrong owner or mode, damaged): set aside or left alone, with the reason.
    Unusable(String),
}

/// An entry being written.
pub struct Draft;

impl Draft {
    /// Writes message bytes, canonical.
    pub fn writer(&mut self) -> &mut dyn Write {
        todo!()
    }
    /// Makes it durable in `queue/`: header, link, fsync(file), fsync(directory). From then on it is never lost.
    pub fn commit(self, _eight_bit: bool) -> Result<Entry, SpoolError> {
        todo!()
    }
}

/// A durable message that this process holds.
pub struct Entry;

impl Entry {
    pub fn id(&self) -> &QueueId {
        todo!()
    }
    pub fn ticket(&self) -> &Ticket {
        todo!()
    }
    pub fn progress(&self) -> &Progress {
        todo!()
    }
    /// Records an outcome of one recipient in place: one write, no new disk blocks.
    pub fn record(&mut self, _recipient: usize, _outcome: &Outcome, _now: Moment) -> io::Result<()> {
        todo!()
    }
    /// The open file and the region of the message in it: offset, size of header and of body.
    pub fn content(&self) -> (Arc<File>, u64, u64, u64) {
        todo!()
    }
    pub fn remove(self) -> io::Result<()> {
        todo!()
    }
}

/// What the spool could not do, and where.
#[derive(Debug)]
pub struct SpoolError;

/// Why an account waits for a person, and when it is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub since: Moment,
    pub last_failure: Moment,
    pub probes: u32,
    pub next_probe: Moment,
    pub reason: String,
    pub digest: u64,
}
