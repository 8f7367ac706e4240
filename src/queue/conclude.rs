//! Carries out what `settle` decides, in the order that loses nothing: results are recorded first, a bounce is durable
//! before its recipients are marked, and only then does an entry leave the queue. What cannot be done now stays owed,
//! and is done at a later look.

use super::notice::{self, Subject};
use super::retry::Policy;
use super::settle::{self, Caller, Case, Settlement, Then};
use crate::clock::Moment;
use crate::exit::Exit;
use crate::log::{Event, Happening, Log};
use crate::mail::outcome::{Attempt, Failure, Outcome};
use crate::spool::{Entry, QueueId, Spool, SpoolError, State};

/// What concluding needs besides the entry.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    pub spool: &'a Spool,
    pub log: &'a Log,
    pub policy: &'a Policy,
    /// This host's name: MAILER-DAEMON's domain and the reporting MTA.
    pub host: &'a str,
}

/// An attempt, and whom it was for.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    pub attempt: &'a Attempt,
    /// The recipients that were offered, one for each outcome.
    pub offered: &'a [usize],
    pub account: &'a str,
}

impl Tried<'_> {
    fn outcome(&self, recipient: usize) -> Option<&Outcome> {
        let position = self.offered.iter().position(|offered| *offered == recipient)?;
        self.attempt.outcomes.get(position)
    }
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// `Ok`, unless every recipient was refused while the caller waits.
    pub exit: Exit,
    /// Where the entry is now.
    pub left: Left,
    /// Notices that were made, to be sent in their turn.
    pub notices: Vec<QueueId>,
}

/// Where an entry is after its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nowhere: everyone is served or told. [`Spool::sync`] makes that durable.
    Gone,
    Queue,
    Dead,
}

/// Records an attempt (`None`: only what was owed from before) and does what follows from it.
pub fn conclude(desk: &Desk, mut entry: Entry, tried: Option<&Tried>, caller: Caller, now: Moment) -> Conclusion {
    if let Some(tried) = tried {
        record(desk, &mut entry, tried, now);
    }
    let attempt = tried.map(|tried| tried.attempt);
    let case = Case { ticket: entry.ticket(), progress: entry.progress(), attempt, caller, now };
    let settlement = settle::settle(desk.policy, entry.id(), &case);
    for recipient in &settlement.expired {
        mark(desk, &mut entry, *recipient, State::Failed, now);
        happened(desk, &entry, Happening::Expired, *recipient, tried);
    }
    for recipient in &settlement.unsaid {
        mark(desk, &mut entry, *recipient, State::Bounced, now);
    }
    let hint = |recipient| match tried?.outcome(recipient)? {
        Outcome::Deferred(failure) | Outcome::Rejected(failure) => failure.hint.clone(),
        Outcome::Accepted(_) => None,
    };
    let mut notices = Vec::new();
    // Kept locked until the original is gone or says that it is out.
    let bounce = bounce(desk, &mut entry, &settlement, &hint, now);
    let then = if bounce.is_ok() { settlement.then } else { Then::Keep };
    if let Some((id, _)) = complain(desk, &entry, bounce).as_ref().and_then(Option::as_ref) {
        notices.push(id.clone());
    }
    notices.extend(warn(desk, &mut entry, &settlement, &hint, now));
    let left = leave(desk, entry, then, &settlement, now);
    Conclusion { exit: settlement.refused.unwrap_or(Exit::Ok), left, notices }
}

fn record(desk: &Desk, entry: &mut Entry, tried: &Tried, now: Moment) {
    for (recipient, outcome) in tried.offered.iter().zip(&tried.attempt.outcomes) {
        let recorded = entry.record(*recipient, outcome, now);
        complain(desk, entry, recorded);
        let happening = match outcome {
            Outcome::Accepted(_) => Happening::Accepted,
            Outcome::Deferred(_) => Happening::Deferred,
            Outcome::Rejected(_) => Happening::Rejected,
        };
        happened(desk, entry, happening, *recipient, Some(tried));
    }
}

fn mark(desk: &Desk, entry: &mut Entry, recipient: usize, state: State, now: Moment) {
    let reason = entry.progress().recipients.get(recipient).map(|status| status.reason.clone()).unwrap_or_default();
    let marked = entry.mark(recipient, state, &reason, now);
    complain(desk, entry, marked);
}

type Notice = (QueueId, Option<Entry>);

/// Makes the bounce durable, when one is owed, and notes that in an entry that stays.
fn bounce(
    desk: &Desk,
    entry: &mut Entry,
    settlement: &Settlement,
    hint: &dyn Fn(usize) -> Option<String>,
    now: Moment,
) -> Result<Option<Notice>, SpoolError> {
    if settlement.bounce.is_empty() {
        return Ok(None);
    }
    let trouble = SpoolError::io("recording results", &desk.spool.path());
    entry.sync().map_err(trouble)?;
    let notice = notice::deposit(desk, entry, Subject::Failed(&settlement.bounce), hint, now)?;
    for recipient in &settlement.bounce {
        happened(desk, entry, Happening::Bounced, *recipient, None);
    }
    if settlement.then == Then::Keep {
        entry.mark_bounced().map_err(SpoolError::io("recording results", &desk.spool.path()))?;
    }
    Ok(Some(notice))
}

/// Makes the delay warning durable. One that cannot be made now is made after the next try.
fn warn(
    desk: &Desk,
    entry: &mut Entry,
    settlement: &Settlement,
    hint: &dyn Fn(usize) -> Option<String>,
    now: Moment,
) -> Option<QueueId> {
    let (recipients, until) = settlement.warn.as_ref()?;
    let made = notice::deposit(desk, entry, Subject::Late(recipients, *until), hint, now);
    let (id, _locked) = complain(desk, entry, made)?;
    let marked = entry.mark_warned();
    complain(desk, entry, marked);
    Some(id)
}

/// Takes the entry where it belongs. One that cannot go stays, and what is owed for it is done at a later look.
fn leave(desk: &Desk, mut entry: Entry, then: Then, settlement: &Settlement, now: Moment) -> Left {
    let path = desk.spool.path().join(entry.id().as_str());
    let (gone, left) = match then {
        Then::Remove => (entry.remove(), Left::Gone),
        Then::Bury => {
            for recipient in entry.progress().which(State::Failed) {
                happened(desk, &entry, Happening::Bounced, recipient, None);
            }
            (entry.bury("", now), Left::Dead)
        }
        Then::Keep => {
            let schedule = settlement.schedule;
            let kept = entry.sync();
            let noted = entry.reschedule(schedule.attempts, schedule.last, schedule.next, schedule.age);
            (kept.and(noted), Left::Queue)
        }
    };
    match gone {
        Ok(()) => left,
        Err(error) => {
            desk.log.note(&format!("{}: {error}", path.display()));
            Left::Queue
        }
    }
}

fn happened(desk: &Desk, entry: &Entry, happening: Happening, recipient: usize, tried: Option<&Tried>) {
    let mailbox = entry.ticket().envelope.recipients().get(recipient).map(|to| to.mailbox.to_string());
    let reason = entry.progress().recipients.get(recipient).map(|status| status.reason.as_str());
    desk.log.event(&Event {
        id: Some(entry.id().as_str()),
        message_id: Some(&entry.ticket().message_id),
        account: tried.map(|tried| tried.account),
        relay: tried.and_then(|tried| tried.outcome(recipient)).and_then(relay),
        recipient: mailbox.as_deref(),
        reply: reason.filter(|reason| !reason.is_empty()),
        ..Event::new(happening)
    });
}

fn relay(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Accepted(_) => None,
        Outcome::Deferred(Failure { relay, .. }) | Outcome::Rejected(Failure { relay, .. }) => Some(relay),
    }
}

/// Logs what could not be written; the mail goes on.
fn complain<T, E: std::fmt::Display>(desk: &Desk, entry: &Entry, result: Result<T, E>) -> Option<T> {
    result.map_err(|error| desk.log.note(&format!("{}: {error}", entry.id()))).ok()
}
