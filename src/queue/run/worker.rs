//! One worker of a run: an account's messages over one connection, several under way at once where the relay allows it,
//! until there are no more or the account fails.

use super::account;
use super::board::Job;
use super::floor::Floor;
use super::judge::{Link, Verdict, judge};
use super::{Run, Submitter};
use crate::clock::Moment;
use crate::mail::outcome::{Attempt, Trouble};
use crate::queue::conclude::Tried;
use crate::spool::{Entry, QueueId, State};
use std::collections::VecDeque;
use std::thread::Scope;
use std::time::{Duration, Instant};

/// How long removals wait to be made durable.
const SYNC: Duration = Duration::from_secs(1);

/// An entry in a worker's hands, and the recipients it is offered to.
struct Taken {
    job: Job<QueueId>,
    entry: Entry,
    offered: Vec<usize>,
}

/// The first message of a flight that was not carried.
struct Setback {
    taken: Taken,
    attempt: Attempt,
    verdict: Verdict,
}

/// A worker's connection.
#[derive(Default)]
struct Connection<'a> {
    submitter: Option<Box<dyn Submitter + 'a>>,
    link: Link,
}

/// Whether a worker goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    On,
    End,
}

impl Run<'_> {
    /// The whole of a worker's life.
    pub(super) fn work<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        account: &str,
    ) {
        let mut connection = Connection::default();
        let mut synced = Instant::now();
        while let Some(job) = floor.board.take(account) {
            let more = floor.board.take_more(account, connection.link.window() - 1);
            let jobs = std::iter::once(job).chain(more);
            let hand = jobs.filter_map(|job| self.take_up(floor, job)).collect();
            if self.offer_all(scope, floor, account, &mut connection, hand) == Next::End {
                break;
            }
            if synced.elapsed() > SYNC {
                self.sync();
                synced = Instant::now();
            }
        }
        self.sync();
    }

    /// Claims an entry; `None` when there is nothing to do for it.
    fn take_up(&self, floor: &Floor, job: Job<QueueId>) -> Option<Taken> {
        let claimed = self.claim(&job.id).map(|entry| (entry.progress().which(State::Pending), entry));
        let taken = claimed.filter(|(offered, _)| !offered.is_empty());
        if taken.is_none() {
            floor.done(None);
        }
        taken.map(|(offered, entry)| Taken { job, entry, offered })
    }

    /// Offers what is in hand, flight by flight. What was not tried when the connection fails goes back to the board.
    fn offer_all<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        account: &str,
        connection: &mut Connection<'env>,
        mut hand: VecDeque<Taken>,
    ) -> Next {
        while !hand.is_empty() {
            if let Some(setback) = self.offer(scope, floor, account, connection, &mut hand) {
                connection.submitter = None;
                for taken in hand.into_iter().rev() {
                    self.put_back(scope, floor, account, taken);
                }
                return self.set_back(scope, floor, account, setback);
            }
        }
        Next::On
    }

    /// One flight: as many messages from the front of `hand` as go together. When one is not carried, those behind it
    /// are in `hand` again, unless the relay may have taken them: those wait, like a message that breaks a connection.
    fn offer<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        account: &str,
        connection: &mut Connection<'env>,
        hand: &mut VecDeque<Taken>,
    ) -> Option<Setback> {
        let submitter = connection.submitter.get_or_insert_with(|| self.courier.connect(account));
        let messages: Vec<(&Entry, &[usize])> = hand.iter().map(|taken| (&taken.entry, &*taken.offered)).collect();
        let ahead = if connection.link.window() > 1 && hand.len() > 1 { submitter.send_ahead(&messages) } else { 0 };
        let mut setback = None;
        let mut untried = VecDeque::new();
        for taken in hand.drain(..ahead.max(1)).collect::<Vec<Taken>>() {
            let attempt = if ahead > 0 { submitter.hear() } else { submitter.submit(&taken.entry, &taken.offered) };
            match &setback {
                None => match judge(&attempt, &mut connection.link) {
                    Verdict::Reached => self.carried(scope, floor, account, connection.link, taken, &attempt),
                    verdict => {
                        connection.link.singly |= ahead > 1 && !says_goodbye(&attempt);
                        setback = Some(Setback { taken, attempt, verdict });
                    }
                },
                Some(first) if attempt.trouble.is_some() => {
                    if first.verdict == Verdict::Worn || attempt.may_go_elsewhere() {
                        untried.push_back(taken);
                    } else {
                        self.finish(
                            scope,
                            floor,
                            taken.entry,
                            Some(&Tried { attempt: &attempt, offered: &taken.offered, account }),
                        );
                    }
                }
                Some(_) => self.carried(scope, floor, account, connection.link, taken, &attempt),
            }
        }
        untried.append(hand);
        *hand = untried;
        setback
    }

    /// The relay spoke about the message.
    fn carried<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        account: &str,
        link: Link,
        taken: Taken,
        attempt: &Attempt,
    ) {
        if link.messages == 1 {
            account::worked(self.desk.spool, self.desk.log, account);
        }
        self.finish(scope, floor, taken.entry, Some(&Tried { attempt, offered: &taken.offered, account }));
        if floor.board.prove(account) && self.hire(scope, floor, account).is_err() {
            floor.board.go_without(account);
        }
    }

    /// The connection failed over a message.
    fn set_back<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        account: &str,
        setback: Setback,
    ) -> Next {
        let Setback { taken, attempt, verdict } = setback;
        match verdict {
            Verdict::Worn => self.put_back(scope, floor, account, taken),
            Verdict::Down => {
                self.down(scope, floor, account, taken, &attempt);
                return Next::End;
            }
            Verdict::Lost | Verdict::Reached => {
                let tried = Tried { attempt: &attempt, offered: &taken.offered, account };
                self.finish(scope, floor, taken.entry, Some(&tried));
            }
        }
        Next::On
    }

    /// A message that was not tried waits again, for a fresh connection or, when the account is closed by now, for
    /// another account.
    fn put_back<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        account: &str,
        taken: Taken,
    ) {
        // The lock goes first: whoever takes the job next must find the entry free.
        drop(taken.entry);
        if let Err(job) = floor.board.put_back(account, taken.job) {
            self.assign(scope, floor, Job { leg: job.leg + 1, ..job });
        }
    }

    /// The account fails: it is left alone for this run, and what waits for it goes to the fallbacks.
    fn down<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        floor: &'env Floor<'env>,
        account: &str,
        taken: Taken,
        attempt: &Attempt,
    ) {
        let Taken { job, entry, offered } = taken;
        let tried = Tried { attempt, offered: &offered, account };
        let digest = job.destination().map(|to| to.digest.clone()).unwrap_or_default();
        let job = if attempt.may_go_elsewhere() {
            // The lock goes first: whoever takes the job next must find the entry free.
            drop(entry);
            match floor.board.retire(account, job) {
                Ok(()) => return,
                Err(job) => Some(job),
            }
        } else {
            self.finish(scope, floor, entry, Some(&tried));
            None
        };
        if let Some(Trouble::Held(failure)) = &attempt.trouble {
            account::failed(self.desk.spool, self.desk.log, account, &digest, failure, Moment::now());
        }
        let left = floor.board.stop(account);
        match job {
            Some(job) if floor.board.has_fallback(&job) => {
                self.assign(scope, floor, Job { leg: job.leg + 1, ..job });
            }
            Some(job) => match self.claim(&job.id) {
                Some(entry) => self.finish(scope, floor, entry, Some(&tried)),
                None => floor.done(None),
            },
            None => {}
        }
        for job in left {
            self.assign(scope, floor, Job { leg: job.leg + 1, ..job });
        }
    }
}

/// A relay that ends a connection in due form (RFC 5321 section 3.8) has nothing against several messages at once.
fn says_goodbye(attempt: &Attempt) -> bool {
    let reply = attempt.trouble.as_ref().and_then(|trouble| trouble.failure().reply.as_ref());
    reply.is_some_and(|reply| reply.code == 421)
}
