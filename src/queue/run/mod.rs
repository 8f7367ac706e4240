//! A queue run: takes what waits in the spool, in the order of arrival, to the accounts it belongs to. One connection
//! for each account carries all its messages; an account that fails is left alone for the rest of the run; the others
//! go on. Entries are opened one by one as they are dealt out, and none is open while it waits.

mod board;
mod floor;
mod judge;
mod selection;
mod worker;

pub use super::hold::Occasion;
pub use floor::Tally;
pub use selection::Selection;

use super::account;
use super::conclude::{Desk, Tried, conclude};
use super::retry;
use super::settle::Caller;
use crate::clock::Moment;
use crate::mail::header::Header;
use crate::mail::outcome::{Attempt, Failure, Trouble};
use crate::spool::{Claim, Entry, Peek, Progress, QueueId, SpoolError, State, Ticket};
use board::{Assigned, Job};
use floor::Floor;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

/// An account that may take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub account: String,
    /// Of its present configuration.
    pub digest: String,
    /// Connections it takes at once.
    pub connections: usize,
}

/// Knows the accounts and how to reach them; `commands` makes one of `route` and `submission`.
pub trait Courier: Sync {
    /// The accounts that may take a message, best first: the one chosen now, then its fallbacks. The header is read
    /// only when it is asked for.
    fn destinations(&self, ticket: &Ticket, header: &dyn Fn() -> Header) -> Result<Vec<Destination>, Failure>;

    /// A connection to an account, opened by the first message; ended politely when it is dropped.
    fn connect<'a>(&'a self, account: &str) -> Box<dyn Submitter + 'a>;
}

/// A connection. Nothing is sent twice: after trouble it is dropped.
pub trait Submitter {
    /// Offers a message to some of its recipients.
    fn submit(&mut self, entry: &Entry, recipients: &[usize]) -> Attempt;

    /// Sends those of these messages, from the first on, that can go out in one flight; how many. None on a connection
    /// that carries messages one by one.
    fn send_ahead(&mut self, messages: &[(&Entry, &[usize])]) -> usize;

    /// What became of the next of those sent ahead. Each must be heard before anything else is offered.
    fn hear(&mut self) -> Attempt;
}

/// A queue run and what it needs.
pub struct Run<'a> {
    pub desk: Desk<'a>,
    pub courier: &'a dyn Courier,
    pub selection: &'a Selection,
    /// By hand: everything that no person has put on hold. Else: what is due.
    pub occasion: Occasion,
    /// How long what lies in `dead/` is kept.
    pub keep_dead: Duration,
    /// Hears of each message that is done; for a bar on a terminal.
    pub watch: &'a (dyn Fn(&Tally) + Sync),
    /// Once it is true no further message is begun.
    pub stop: &'a AtomicBool,
}

impl Run<'_> {
    /// Goes once through the queue, and through the notices that this makes; then clears away what is over its time.
    /// What fails on the way is logged and left for the next run.
    ///
    /// # Errors
    /// When the queue cannot be listed.
    pub fn once(&self) -> Result<Tally, SpoolError> {
        let ids = self.desk.spool.queue()?;
        let ids: Vec<QueueId> = ids.into_iter().filter(|id| self.selection.takes_id(id)).collect();
        let floor = Floor::new(ids.len(), self.watch);
        thread::scope(|scope| {
            for id in &ids {
                self.deal(scope, &floor, id, self.selection);
            }
            floor.board.dealt();
        });
        if let Err(error) = self.desk.spool.tidy(Moment::now(), self.keep_dead) {
            self.desk.log.note(&error.to_string());
        }
        Ok(floor.tally())
    }

    /// Sends an entry on its way, if it is to be tried at all.
    fn deal<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        id: &QueueId,
        selection: &Selection,
    ) {
        let Some(peek) = self.peek(id).filter(|peek| selection.takes(&peek.ticket) && self.wants(&peek.progress))
        else {
            return floor.done(None);
        };
        if peek.progress.which(State::Pending).is_empty() {
            return self.settle_only(scope, floor, id);
        }
        let header = || crate::queue::header(&peek.header).unwrap_or_default();
        match self.courier.destinations(&peek.ticket, &header) {
            Ok(route) => self.assign(scope, floor, Job { id: id.clone(), route: floor.share(route), leg: 0 }),
            Err(failure) => self.unroutable(scope, floor, id, failure),
        }
    }

    fn peek(&self, id: &QueueId) -> Option<Peek> {
        if self.stops() {
            return None;
        }
        match self.desk.spool.peek(id) {
            Ok(peek) => peek,
            // A claim finds the same, sets damaged entries aside, and says so.
            Err(SpoolError::Unreadable { .. }) => {
                let _ = self.claim(id);
                None
            }
            Err(error) => {
                self.desk.log.note(&error.to_string());
                None
            }
        }
    }

    fn wants(&self, progress: &Progress) -> bool {
        match self.occasion {
            Occasion::ByHand | Occasion::NewMessage => !progress.held,
            Occasion::DueOnly => retry::due(self.desk.policy, progress, Moment::now()),
        }
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn claim(&self, id: &QueueId) -> Option<Entry> {
        if self.stops() {
            return None;
        }
        match self.desk.spool.claim(id) {
            Ok(Claim::Mine(entry)) => Some(entry).filter(|entry| self.wants(entry.progress())),
            Ok(Claim::Busy | Claim::Gone) => None,
            Ok(Claim::Unusable(why)) => {
                self.desk.log.note(&format!("{id}: {why}"));
                None
            }
            Err(error) => {
                self.desk.log.note(&error.to_string());
                None
            }
        }
    }

    fn assign<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        job: Job<QueueId>,
    ) {
        let open =
            |to: &Destination| account::is_open(self.desk.spool, &to.account, &to.digest, self.occasion, Moment::now());
        match floor.board.assign(job, &open) {
            Assigned::Waiting => {}
            Assigned::Start(account) => {
                if let Err(error) = self.hire(scope, floor, &account) {
                    self.desk.log.note(&format!("account {account}: no thread: {error}"));
                    floor.board.stop(&account).iter().for_each(|_| floor.done(None));
                }
            }
            Assigned::Nowhere => floor.done(None),
        }
    }

    /// Starts a worker; the system may have no thread for it, which then ends no more than that.
    fn hire<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        account: &str,
    ) -> io::Result<()> {
        let account = account.to_string();
        thread::Builder::new().spawn_scoped(scope, move || self.work(scope, floor, &account)).map(drop)
    }

    /// Nobody is left to be tried: a bounce is owed, or a removal was cut off.
    fn settle_only<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        id: &QueueId,
    ) {
        match self.claim(id) {
            Some(entry) if entry.progress().which(State::Pending).is_empty() => {
                self.finish(scope, floor, entry, None);
                self.sync();
            }
            _ => floor.done(None),
        }
    }

    /// No account takes it as things are: it waits as for a held one, and its listing says why.
    fn unroutable<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        id: &QueueId,
        failure: Failure,
    ) {
        let Some(entry) = self.claim(id) else { return floor.done(None) };
        let offered = entry.progress().which(State::Pending);
        let attempt = Attempt::failed(Trouble::Held(failure), offered.len());
        self.finish(scope, floor, entry, Some(&Tried { attempt: &attempt, offered: &offered, account: "" }));
    }

    fn finish<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        entry: Entry,
        tried: Option<&Tried>,
    ) {
        let conclusion = conclude(&self.desk, entry, tried, Caller::Gone, Moment::now());
        floor.more(conclusion.notices.len());
        floor.done(Some(conclusion.left));
        for notice in &conclusion.notices {
            self.deal(scope, floor, notice, &Selection::All);
        }
    }

    fn sync(&self) {
        if let Err(error) = self.desk.spool.sync() {
            self.desk.log.note(&error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
