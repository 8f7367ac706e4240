//! A spool with mail in it, for the tests of this room.

use super::conclude::{Conclusion, Desk, Readers, Tried, conclude};
use super::retry::Policy;
use super::settle::Caller;
use crate::clock::Moment;
use crate::log::Log;
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Envelope, Recipient, ReversePath};
use crate::mail::outcome::{Attempt, Failure, Outcome, Reply, Stage};
use crate::spool::tests::Room;
use crate::spool::{Entry, Peek, Place, QueueId, Shape, State, Ticket};

/// Addresses that nobody else reads for.
struct Themselves;

impl Readers for Themselves {
    fn of(&self, address: &Mailbox) -> Vec<Mailbox> {
        vec![address.clone()]
    }
}

pub struct Bench {
    pub room: Room,
    pub log: Log,
    pub policy: Policy,
}

/// A message; the empty reverse-path is the null one.
pub fn mail(from: &str, to: &[&str]) -> Ticket {
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let reverse_path = if from.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(from)) };
    let recipients = to.iter().map(|text| Recipient::new(mailbox(text))).collect();
    Ticket {
        envelope: Envelope::new(reverse_path, recipients).unwrap(),
        account: None,
        uid: 0,
        created: Moment::now(),
        message_id: "<1@web1>".into(),
    }
}

pub fn accepted() -> Outcome {
    Outcome::Accepted(Reply { code: 250, lines: vec!["2.0.0 OK".into()] })
}

pub fn deferred() -> Outcome {
    Outcome::Deferred(failure(Stage::Rcpt, 451, "4.7.1 later"))
}

pub fn rejected() -> Outcome {
    Outcome::Rejected(failure(Stage::Rcpt, 550, "5.1.1 no such user"))
}

pub fn failure(stage: Stage, code: u16, text: &str) -> Failure {
    let reply = Some(Reply { code, lines: vec![text.into()] });
    Failure { stage, relay: "relay.example[192.0.2.1]:587".into(), reply, cause: String::new(), hint: None }
}

pub fn attempt(outcomes: &[Outcome]) -> Attempt {
    Attempt { outcomes: outcomes.to_vec(), trouble: None }
}

impl Bench {
    pub fn new() -> Bench {
        Bench { room: Room::make(), log: Log::silent(), policy: Policy::default() }
    }

    pub fn desk(&self) -> Desk<'_> {
        let (spool, log, policy) = (&self.room.spool, &self.log, &self.policy);
        Desk { spool, log, policy, host: "web1.example.org", readers: &Themselves }
    }

    pub fn deposit(&self, ticket: Ticket) -> QueueId {
        let mut draft = self.room.spool.draft(&ticket).unwrap();
        let (header, body) = (b"Subject: hello\r\n\r\n", b"Hello\r\n");
        draft.writer().write_all(header).unwrap();
        draft.writer().write_all(body).unwrap();
        let shape = Shape { header: header.len() as u64, body: body.len() as u64, eight_bit: false };
        draft.commit(shape).unwrap().id().clone()
    }

    pub fn peek(&self, id: &QueueId) -> Peek {
        self.room.spool.peek(id).unwrap().unwrap()
    }

    /// The status letters of an entry in the queue.
    pub fn states(&self, id: &QueueId) -> String {
        let letter = |state| match state {
            State::Pending => 'N',
            State::Accepted => 'D',
            State::Failed => 'F',
            State::Bounced => 'B',
        };
        self.peek(id).progress.recipients.iter().map(|status| letter(status.state)).collect()
    }

    pub fn queue(&self) -> Vec<QueueId> {
        self.room.spool.queue().unwrap()
    }

    pub fn dead(&self) -> Vec<QueueId> {
        self.room.spool.ids(Place::Dead).unwrap()
    }

    /// Ages an entry by changing what it says of itself.
    pub fn age(&self, id: &QueueId, hours: u64, attempts: u32) {
        let mut entry = self.room.claim(id);
        let (last, next) = (entry.progress().last, entry.progress().next);
        entry.reschedule(attempts, last, next, std::time::Duration::from_secs(hours * 3600)).unwrap();
    }

    /// Concludes an attempt on everyone pending.
    pub fn conclude(&self, id: &QueueId, attempt: &Attempt, caller: Caller) -> Conclusion {
        let entry: Entry = self.room.claim(id);
        let offered = entry.progress().which(State::Pending);
        let tried = Tried { attempt, offered: &offered, account: "a" };
        conclude(&self.desk(), entry, Some(&tried), caller, Moment::now())
    }

    /// The text of a message in the queue.
    pub fn text(&self, id: &QueueId) -> String {
        let entry = self.room.claim(id);
        let bytes = [entry.header().read().unwrap(), entry.body().read().unwrap()].concat();
        String::from_utf8(bytes).unwrap()
    }
}
