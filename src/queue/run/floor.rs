//! What the workers of a run share: the board, and the count of what is done.

use super::Destination;
use super::board::Board;
use crate::queue::conclude::Left;
use crate::spool::QueueId;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far a run is, in messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Looked at or still to be.
    pub total: usize,
    /// Gone through so far; `total` at the end.
    pub done: usize,
    /// Gone from the queue: served, or told.
    pub finished: usize,
    /// Tried, and still waiting.
    pub deferred: usize,
    /// Moved to `dead/`.
    pub dead: usize,
    pub elapsed: Duration,
}

/// One run's.
pub struct Floor<'a> {
    pub board: Board<QueueId>,
    tally: Mutex<Tally>,
    last_route: Mutex<Arc<[Destination]>>,
    started: Instant,
    watch: &'a (dyn Fn(&Tally) + Sync),
}

impl<'a> Floor<'a> {
    pub fn new(total: usize, watch: &'a (dyn Fn(&Tally) + Sync)) -> Floor<'a> {
        let tally = Mutex::new(Tally { total, ..Tally::default() });
        let last_route = Mutex::new(Arc::default());
        Floor { board: Board::default(), tally, last_route, started: Instant::now(), watch }
    }

    /// A route to be held by many jobs: most go the way of the one before.
    pub fn share(&self, route: Vec<Destination>) -> Arc<[Destination]> {
        let mut last = self.last_route.lock().unwrap_or_else(PoisonError::into_inner);
        if **last != *route {
            *last = route.into();
        }
        last.clone()
    }

    /// So many more are to be looked at.
    pub fn more(&self, notices: usize) {
        self.count(|tally| tally.total += notices);
    }

    /// One is done with; `None` when it was not tried.
    pub fn done(&self, left: Option<Left>) {
        self.count(|tally| {
            tally.done += 1;
            match left {
                Some(Left::Gone) => tally.finished += 1,
                Some(Left::Queue) => tally.deferred += 1,
                Some(Left::Dead) => tally.dead += 1,
                None => {}
            }
            tally.elapsed = self.started.elapsed();
            (self.watch)(tally);
        });
    }

    pub fn tally(&self) -> Tally {
        self.count(|tally| *tally)
    }

    fn count<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
