//! Who works on what in a queue run: a lane of waiting jobs for each account, with a few workers, each on a connection
//! of its own. Knows nothing of files or relays.

use super::Destination;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One message to be sent and the accounts that may take it, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job<Id> {
    pub id: Id,
    /// Shared: a hundred thousand jobs have a handful of routes.
    pub route: Arc<[Destination]>,
    /// How many of the route have been tried and left.
    pub leg: usize,
}

impl<Id> Job<Id> {
    /// The account it goes to now.
    pub fn destination(&self) -> Option<&Destination> {
        self.route.get(self.leg)
    }
}

/// What became of a job that was handed to the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// It waits in the lane of a working account.
    Waiting,
    /// It waits, and this account needs a worker.
    Start(String),
    /// No account that may take it is open in this run.
    Nowhere,
}

/// A second connection of an account opens when more than this many messages wait for each that is open: few messages
/// go one after the other, in their order.
pub const BACKLOG: usize = 32;

/// The lanes of one run.
#[derive(Debug)]
pub struct Board<Id> {
    state: Mutex<State<Id>>,
    /// Rings when a job comes, a lane stops, or the last job has been dealt out.
    bell: Condvar,
}

#[derive(Debug)]
struct State<Id> {
    lanes: HashMap<String, Lane<Id>>,
    /// More jobs may come from the spool.
    dealing: bool,
}

#[derive(Debug)]
struct Lane<Id> {
    jobs: VecDeque<Job<Id>>,
    workers: usize,
    connections: usize,
    /// A message went through: the account works, a second login is no guess.
    proven: bool,
    stopped: bool,
}

impl<Id> Default for Board<Id> {
    fn default() -> Board<Id> {
        Board { state: Mutex::new(State { lanes: HashMap::new(), dealing: true }), bell: Condvar::new() }
    }
}

impl<Id> Board<Id> {
    /// Puts a job behind the others of the first account on its route that is open. `open` is asked once for each
    /// account of a run.
    pub fn assign(&self, mut job: Job<Id>, open: &dyn Fn(&Destination) -> bool) -> Assigned {
        let mut state = self.lock();
        while let Some(destination) = job.destination() {
            let account = destination.account.clone();
            let lane = state.lanes.entry(account.clone()).or_insert_with(|| Lane {
                jobs: VecDeque::new(),
                workers: 0,
                connections: destination.connections.max(1),
                proven: false,
                stopped: !open(destination),
            });
            if !lane.stopped {
                lane.jobs.push_back(job);
                self.bell.notify_all();
                let first = lane.workers == 0;
                lane.workers += usize::from(first);
                return if first { Assigned::Start(account) } else { Assigned::Waiting };
            }
            job.leg += 1;
        }
        Assigned::Nowhere
    }

    /// The next job of an account; waits while more may come. `None` ends the worker.
    pub fn take(&self, account: &str) -> Option<Job<Id>> {
        let mut state = self.lock();
        loop {
            let dealing = state.dealing;
            let lane = state.lanes.get_mut(account)?;
            let job = if lane.stopped { None } else { lane.jobs.pop_front() };
            if job.is_some() {
                return job;
            }
            if lane.stopped || !dealing {
                lane.workers = lane.workers.saturating_sub(1);
                return None;
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Up to so many more jobs of an account, if they are there.
    pub fn take_more(&self, account: &str, most: usize) -> Vec<Job<Id>> {
        match self.lock().lanes.get_mut(account) {
            Some(lane) if !lane.stopped => lane.jobs.drain(..most.min(lane.jobs.len())).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether an account further down a job's route is open.
    pub fn has_fallback(&self, job: &Job<Id>) -> bool {
        let state = self.lock();
        let rest = job.route.iter().skip(job.leg + 1);
        rest.into_iter().any(|to| state.lanes.get(&to.account).is_none_or(|lane| !lane.stopped))
    }

    /// Puts a job that was not tried in front again, for a fresh connection; hands it back when the account is closed
    /// by now.
    pub fn put_back(&self, account: &str, job: Job<Id>) -> Result<(), Job<Id>> {
        match self.lock().lanes.get_mut(account) {
            Some(lane) if !lane.stopped => lane.jobs.push_front(job),
            _ => return Err(job),
        }
        self.bell.notify_all();
        Ok(())
    }

    /// Notes that a message went through, and says whether one more worker should start.
    pub fn prove(&self, account: &str) -> bool {
        let mut state = self.lock();
        let Some(lane) = state.lanes.get_mut(account) else { return false };
        lane.proven = true;
        let more = lane.workers < lane.connections && lane.jobs.len() > BACKLOG * lane.workers;
        lane.workers += usize::from(more);
        more
    }

    /// Takes back what [`Board::prove`] asked for: there is no further worker to be had.
    pub fn go_without(&self, account: &str) {
        if let Some(lane) = self.lock().lanes.get_mut(account) {
            lane.workers = lane.workers.saturating_sub(1);
        }
    }

    /// Ends a worker that could not connect while others of the account work, and leaves its job to them. Hands the
    /// job back when it is the account's only one.
    pub fn retire(&self, account: &str, job: Job<Id>) -> Result<(), Job<Id>> {
        match self.lock().lanes.get_mut(account) {
            Some(lane) if lane.proven && lane.workers > 1 && !lane.stopped => {
                lane.workers -= 1;
                lane.jobs.push_front(job);
            }
            _ => return Err(job),
        }
        self.bell.notify_all();
        Ok(())
    }

    /// Closes an account for the rest of the run; hands back what waited for it.
    pub fn stop(&self, account: &str) -> Vec<Job<Id>> {
        let mut state = self.lock();
        let Some(lane) = state.lanes.get_mut(account) else { return Vec::new() };
        lane.stopped = true;
        let left = lane.jobs.drain(..).collect();
        self.bell.notify_all();
        left
    }

    /// Says that the spool has no more: workers end with their last job.
    pub fn dealt(&self) {
        self.lock().dealing = false;
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<Id>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u32, route: &[&str]) -> Job<u32> {
        let route = route.iter().map(|account| Destination {
            account: account.to_string(),
            digest: String::new(),
            connections: 2,
        });
        Job { id, route: route.collect(), leg: 0 }
    }

    fn all_open(_: &Destination) -> bool {
        true
    }

    #[test]
    fn jobs_of_an_account_come_in_order_to_one_worker() {
        let board = Board::default();
        assert_eq!(board.assign(job(1, &["a"]), &all_open), Assigned::Start("a".into()));
        assert_eq!(board.assign(job(2, &["a"]), &all_open), Assigned::Waiting);
        assert_eq!(board.assign(job(3, &["b"]), &all_open), Assigned::Start("b".into()));
        board.dealt();
        let order: Vec<u32> = std::iter::from_fn(|| board.take("a")).map(|job| job.id).collect();
        assert_eq!(order, [1, 2]);
    }

    #[test]
    fn a_held_account_is_asked_about_once_and_left_for_the_fallback() {
        let board = Board::default();
        let asked = std::cell::Cell::new(0);
        let open = |to: &Destination| {
            asked.set(asked.get() + 1);
            to.account != "held"
        };
        assert_eq!(board.assign(job(1, &["held"]), &open), Assigned::Nowhere);
        assert_eq!(board.assign(job(2, &["held", "other"]), &open), Assigned::Start("other".into()));
        assert_eq!(board.assign(job(3, &["held", "other"]), &open), Assigned::Waiting);
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn a_stopped_account_hands_back_what_waited_and_takes_no_more() {
        let board = Board::default();
        board.assign(job(1, &["a"]), &all_open);
        board.assign(job(2, &["a"]), &all_open);
        assert_eq!(board.take("a").unwrap().id, 1);
        assert_eq!(board.stop("a").into_iter().map(|job| job.id).collect::<Vec<_>>(), [2]);
        assert_eq!(board.take("a"), None);
        assert_eq!(board.assign(job(3, &["a"]), &all_open), Assigned::Nowhere);
    }

    #[test]
    fn a_second_worker_starts_for_a_proven_account_with_a_long_lane() {
        let board = Board::default();
        (0..=20).for_each(|id| drop(board.assign(job(id, &["a"]), &all_open)));
        assert!(!board.prove("a"), "twenty go one after the other");
        (0..=20).for_each(|id| drop(board.assign(job(id, &["a"]), &all_open)));
        assert!(board.prove("a"));
        (0..200).for_each(|id| drop(board.assign(job(id, &["a"]), &all_open)));
        assert!(!board.prove("a"), "two connections are allowed");
    }

    #[test]
    fn a_worker_retires_only_when_another_works() {
        let board = Board::default();
        (0..=40).for_each(|id| drop(board.assign(job(id, &["a"]), &all_open)));
        let first = board.take("a").unwrap();
        let first = board.retire("a", first).unwrap_err();
        assert!(board.prove("a"));
        board.retire("a", first).unwrap();
        let first = board.take("a").unwrap();
        assert_eq!(first.id, 0);
        assert!(board.retire("a", first).is_err());
    }

    #[test]
    fn a_job_put_back_comes_first() {
        let board = Board::default();
        board.assign(job(1, &["a"]), &all_open);
        board.assign(job(2, &["a"]), &all_open);
        let first = board.take("a").unwrap();
        board.put_back("a", first).unwrap();
        let first = board.take("a").unwrap();
        assert_eq!(first.id, 1);
        board.stop("a");
        assert_eq!(board.put_back("a", first).unwrap_err().id, 1);
    }

    #[test]
    fn more_jobs_are_taken_only_when_they_are_there() {
        let board = Board::default();
        (1..=3).for_each(|id| drop(board.assign(job(id, &["a"]), &all_open)));
        let ids = |jobs: Vec<Job<u32>>| jobs.into_iter().map(|job| job.id).collect::<Vec<u32>>();
        assert_eq!(ids(board.take_more("a", 2)), [1, 2]);
        assert_eq!(ids(board.take_more("a", 2)), [3]);
        assert!(board.take_more("a", 2).is_empty());
        assert!(board.take_more("nobody", 2).is_empty());
    }

    #[test]
    fn a_worker_waits_while_jobs_may_come() {
        let board = Board::default();
        board.assign(job(1, &["a"]), &all_open);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| std::iter::from_fn(|| board.take("a")).map(|job| job.id).collect::<Vec<_>>());
            board.assign(job(2, &["a"]), &all_open);
            board.dealt();
            assert_eq!(worker.join().unwrap(), [1, 2]);
        });
    }
}
