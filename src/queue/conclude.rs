//! Carries out what `settle` decides, in the order that loses nothing: results are recorded first, a bounce is durable
//! before its recipients are marked, and only then does an entry leave the queue. What cannot be done now stays owed,
//! and is done at a later look.

use super::notice::{self, Subject};
use super::retry::Policy;
use super::settle::{self, Caller, Case, Settlement, Then};
use crate::clock::Moment;
use crate::exit::Exit;
use crate::log::{Event, Happening, Log};
use crate::mail::address::Mailbox;
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
    pub readers: &'a dyn Readers,
}

/// Knows who reads what is sent to an address. `commands` makes one of `route`.
pub trait Readers: Sync {
    /// Whoever an alias names for an address of this host, where nobody has a mailbox; any other address itself.
    fn of(&self, address: &Mailbox) -> Vec<Mailbox>;
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
    // Whoever hears of a refusal owns the message again; while it is in the queue, we do.
    let exit = if left == Left::Queue { Exit::Ok } else { settlement.refused.unwrap_or(Exit::Ok) };
    Conclusion { exit, left, notices }
}

fn record(desk: &Desk, entry: &mut Entry, tried: &Tried, now: Moment) {
    // All of it before anything is logged: a death between the relay's reply and its record is a message sent twice.
    let outcomes = || tried.offered.iter().zip(&tried.attempt.outcomes);
    let recorded = entry.record_all(outcomes().map(|(recipient, outcome)| (*recipient, outcome)), now);
    complain(desk, entry, recorded);
    for (recipient, outcome) in outcomes() {
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
            // Before a child is started behind it, which would hold the claim as long as it runs.
            entry.let_go();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::envelope::{Notify, Recipient, Return, ReversePath};
    use crate::mail::outcome::{Stage, Trouble};
    use crate::queue::bench::{Bench, accepted, attempt, deferred, failure, mail, rejected};

    const ME: &str = "me@web1.example.org";

    #[test]
    fn a_message_that_everyone_has_is_gone() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org", "b@x.org"]));
        let conclusion = bench.conclude(&id, &attempt(&[accepted(), accepted()]), Caller::Waits);
        assert_eq!(conclusion, Conclusion { exit: Exit::Ok, left: Left::Gone, notices: Vec::new() });
        assert_eq!(bench.queue(), []);
    }

    #[test]
    fn a_deferred_recipient_stays_queued_and_the_accepted_one_is_not_tried_again() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org", "b@x.org"]));
        let conclusion = bench.conclude(&id, &attempt(&[accepted(), deferred()]), Caller::Gone);
        assert_eq!(conclusion.left, Left::Queue);
        assert_eq!(bench.states(&id), "DN");
        let progress = bench.peek(&id).progress;
        assert_eq!(progress.attempts, 1);
        assert!(progress.next > Moment::now());
        assert!(progress.recipients[1].reason.contains("451 4.7.1 later"), "{progress:?}");
    }

    #[test]
    fn a_message_that_is_refused_while_the_caller_waits_lies_in_dead_and_is_not_bounced() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org"]));
        let conclusion = bench.conclude(&id, &attempt(&[rejected()]), Caller::Waits);
        assert_eq!(conclusion, Conclusion { exit: Exit::NoUser, left: Left::Dead, notices: Vec::new() });
        assert_eq!((bench.queue(), bench.dead()), (vec![], vec![id.clone()]));
        let dead = bench.room.spool.peek_in(crate::spool::Place::Dead, &id).unwrap().unwrap();
        assert!(dead.progress.recipients[0].reason.contains("550 5.1.1 no such user"));
    }

    #[test]
    fn a_refused_message_that_cannot_leave_the_queue_stays_ours_and_is_bounced_later() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org"]));
        std::fs::remove_dir(bench.room.path("dead")).unwrap();
        let conclusion = bench.conclude(&id, &attempt(&[rejected()]), Caller::Waits);
        assert_eq!(conclusion, Conclusion { exit: Exit::Ok, left: Left::Queue, notices: Vec::new() });
        assert_eq!(bench.states(&id), "F");
    }

    #[test]
    fn those_who_are_refused_are_bounced_and_the_others_are_served() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org", "b@x.org"]));
        let conclusion = bench.conclude(&id, &attempt(&[accepted(), rejected()]), Caller::Waits);
        assert_eq!((conclusion.exit, conclusion.left), (Exit::Ok, Left::Gone));
        assert_eq!(bench.queue(), conclusion.notices);
        let bounce = &conclusion.notices[0];
        let envelope = bench.peek(bounce).ticket.envelope;
        assert_eq!(*envelope.reverse_path(), ReversePath::Null);
        assert_eq!(envelope.recipients()[0].mailbox.to_string(), ME);
        let text = bench.text(bounce);
        assert!(text.contains("Final-Recipient: rfc822; b@x.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"), "{text}");
        assert!(!text.contains("a@x.org"), "{text}");
        assert!(text.contains("\r\nSubject: hello\r\n") && !text.contains("\r\nHello\r\n"), "{text}");
    }

    #[test]
    fn a_bounce_of_a_bounce_lies_in_dead() {
        let bench = Bench::new();
        let id = bench.deposit(mail("", &[ME]));
        let conclusion = bench.conclude(&id, &attempt(&[rejected()]), Caller::Gone);
        assert_eq!(conclusion, Conclusion { exit: Exit::Ok, left: Left::Dead, notices: Vec::new() });
        assert_eq!((bench.queue(), bench.dead()), (vec![], vec![id]));
    }

    #[test]
    fn the_original_stays_while_its_bounce_cannot_be_made_durable() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org"]));
        // Something foreign has the bounce's name: the commit fails as on a broken disk.
        let obstacle = bench.room.path("queue").join(QueueId::derived(&id, "bounce 0").as_str());
        std::fs::create_dir(&obstacle).unwrap();
        let conclusion = bench.conclude(&id, &attempt(&[rejected()]), Caller::Gone);
        assert_eq!((conclusion.left, conclusion.notices.len()), (Left::Queue, 0));
        assert_eq!(bench.states(&id), "F");
        assert!(bench.peek(&id).progress.next > Moment::now());

        std::fs::remove_dir(&obstacle).unwrap();
        let entry = bench.room.claim(&id);
        let conclusion = conclude(&bench.desk(), entry, None, Caller::Gone, Moment::now());
        assert_eq!((conclusion.left, bench.queue()), (Left::Gone, conclusion.notices));
    }

    #[test]
    fn a_bounce_that_is_there_already_is_not_made_twice() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org"]));
        let mut entry = bench.room.claim(&id);
        entry.record(0, &rejected(), Moment::now()).unwrap();
        let hint = |_| None;
        drop(notice::deposit(&bench.desk(), &entry, Subject::Failed(&[0]), &hint, Moment::now()).unwrap());
        // Killed here; the next run finds the failure recorded and the bounce unmarked.
        assert_eq!(bench.queue().len(), 2);
        let conclusion = conclude(&bench.desk(), entry, None, Caller::Gone, Moment::now());
        assert_eq!(conclusion.left, Left::Gone);
        assert_eq!(bench.queue(), [QueueId::derived(&id, "bounce 0")]);
    }

    #[test]
    fn an_old_message_is_bounced_with_its_last_reply() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org"]));
        bench.age(&id, 200, 40);
        let conclusion = bench.conclude(&id, &attempt(&[deferred()]), Caller::Gone);
        assert_eq!(conclusion.left, Left::Gone);
        let text = bench.text(&conclusion.notices[0]);
        assert!(text.contains("Status: 4.4.7\r\n") && text.contains("451 4.7.1 later"), "{text}");
    }

    #[test]
    fn a_late_message_is_announced_once_and_stays() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org"]));
        bench.age(&id, 5, 9);
        let first = bench.conclude(&id, &attempt(&[deferred()]), Caller::Gone);
        assert_eq!((first.left, first.notices.len()), (Left::Queue, 1));
        assert!(bench.text(&first.notices[0]).contains("Action: delayed\r\n"));
        let second = bench.conclude(&id, &attempt(&[deferred()]), Caller::Gone);
        assert_eq!((second.left, second.notices.len()), (Left::Queue, 0));
    }

    #[test]
    fn a_held_account_leaves_the_message_as_it_was_with_the_reason() {
        let bench = Bench::new();
        let id = bench.deposit(mail(ME, &["a@x.org"]));
        let before = bench.peek(&id).progress;
        let refused = Trouble::Held(failure(Stage::Auth, 535, "5.7.8 no"));
        let conclusion = bench.conclude(&id, &Attempt::failed(refused, 1), Caller::Waits);
        assert_eq!((conclusion.exit, conclusion.left), (Exit::Ok, Left::Queue));
        let after = bench.peek(&id).progress;
        assert_eq!((after.attempts, after.next, after.age), (before.attempts, before.next, before.age));
        assert!(after.recipients[0].reason.contains("535 5.7.8 no"));
    }

    #[test]
    fn what_the_sender_asked_of_the_bounce_is_done() {
        let bench = Bench::new();
        let mut never = mail(ME, &["a@x.org"]);
        let recipient =
            Recipient { notify: Some(Notify::NEVER), ..Recipient::new(never.envelope.recipients()[0].mailbox.clone()) };
        never.envelope =
            crate::mail::envelope::Envelope::new(never.envelope.reverse_path().clone(), vec![recipient]).unwrap();
        let id = bench.deposit(never);
        let conclusion = bench.conclude(&id, &attempt(&[rejected()]), Caller::Gone);
        assert_eq!((conclusion.left, conclusion.notices.len()), (Left::Gone, 0));

        let mut full = mail(ME, &["a@x.org"]);
        full.envelope.ret = Some(Return::Full);
        full.envelope.envid = Some("QQ1".into());
        let id = bench.deposit(full);
        let conclusion = bench.conclude(&id, &attempt(&[rejected()]), Caller::Gone);
        let text = bench.text(&conclusion.notices[0]);
        assert!(text.contains("\r\nSubject: hello\r\n\r\nHello\r\n"), "{text}");
        assert!(text.contains("\r\nOriginal-Envelope-Id: QQ1\r\n"), "{text}");
    }
}
