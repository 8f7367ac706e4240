//! The queue as people, scripts and monitoring read it. Pure: rows in, text out, one row at a time, so that the first
//! of a hundred thousand is seen at once.

pub mod json;
mod mailq;
mod show;
mod table;

pub use json::list as json;
pub use mailq::list as mailq;
pub use show::show;
pub use table::list as table;

use crate::clock::Moment;
use crate::spool::{Hold, Progress, State, Ticket};

/// One message as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub standing: Standing,
    /// Asked for by name, or chosen by the configuration of the moment.
    pub account: Option<String>,
    /// Empty for the null reverse-path.
    pub reverse_path: String,
    pub recipients: Vec<Line>,
    /// Octets of the message.
    pub size: u64,
    pub created: Moment,
    pub attempts: u32,
    /// `None` when only a person can start it.
    pub next_attempt: Option<Moment>,
    /// Why it waits, in the server's words.
    pub reason: Option<String>,
}

/// What the message is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Queued,
    /// A process works on it now.
    Active,
    /// Its account is held.
    AccountHeld,
    /// A person put it on hold.
    UserHeld,
    /// In `dead/`.
    Dead,
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub address: String,
    pub state: State,
    /// The last reply or cause; empty before the first try.
    pub reply: String,
}

impl Line {
    /// In one word.
    pub fn status(&self) -> &'static str {
        match self.state {
            State::Pending if self.reply.is_empty() => "queued",
            State::Pending => "deferred",
            State::Accepted => "accepted",
            State::Failed => "rejected",
            State::Bounced => "bounced",
        }
    }
}

/// Where an entry lies and who works on it: what its file does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Queue,
    /// In the queue, locked by some process.
    Claimed,
    Dead,
}

/// The row of an entry. `account` is the one it would go through now; `hold` is that account's.
pub fn row(
    id: &str,
    ticket: &Ticket,
    progress: &Progress,
    size: u64,
    place: Place,
    account: Option<&str>,
    hold: Option<&Hold>,
) -> Row {
    let recipients = ticket.envelope.recipients().iter().zip(&progress.recipients).map(|(recipient, status)| Line {
        address: recipient.mailbox.to_string(),
        state: status.state,
        reply: status.reason.clone(),
    });
    let recipients: Vec<Line> = recipients.collect();
    let standing = match place {
        Place::Dead => Standing::Dead,
        Place::Claimed => Standing::Active,
        Place::Queue if progress.held => Standing::UserHeld,
        Place::Queue if hold.is_some() => Standing::AccountHeld,
        Place::Queue => Standing::Queued,
    };
    let hold = hold.filter(|_| standing == Standing::AccountHeld);
    let said = |state: State| recipients.iter().find(|line| line.state == state && !line.reply.is_empty());
    let said = said(State::Pending).or_else(|| said(State::Failed)).or_else(|| said(State::Bounced));
    Row {
        id: id.to_string(),
        standing,
        account: account.map(str::to_string),
        reverse_path: ticket.envelope.reverse_path().to_string(),
        size,
        created: ticket.created,
        attempts: progress.attempts,
        next_attempt: match standing {
            Standing::UserHeld | Standing::Dead => None,
            _ => Some(hold.map_or(progress.next, |hold| progress.next.max(hold.next_probe))),
        },
        reason: hold.map(|hold| hold.reason.clone()).or_else(|| said.map(|line| line.reply.clone())),
        recipients,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::address::Mailbox;
    use crate::mail::envelope::{Envelope, Recipient, ReversePath};
    use crate::spool::Status;
    use std::time::Duration;

    /// A message to two, the second of which the relay has put off.
    pub fn sample(id: &str) -> Row {
        Row {
            id: id.to_string(),
            standing: Standing::Queued,
            account: Some("gmail".into()),
            reverse_path: "tester@lab.example.net".into(),
            recipients: vec![
                Line { address: "ann@example.org".into(), state: State::Accepted, reply: "250 2.0.0 OK".into() },
                Line {
                    address: "bob@example.org".into(),
                    state: State::Pending,
                    reply: "connect to 127.0.0.1[127.0.0.1]:25250: Connection refused".into(),
                },
            ],
            size: 283,
            created: Moment::from_seconds(1_795_529_045),
            attempts: 2,
            next_attempt: Some(Moment::from_seconds(1_795_529_165)),
            reason: Some("connect to 127.0.0.1[127.0.0.1]:25250: Connection refused".into()),
        }
    }

    fn hold() -> Hold {
        let (since, next_probe) = (Moment::from_seconds(10), Moment::from_seconds(900));
        Hold { since, last_failure: since, probes: 1, next_probe, reason: "535 5.7.8 no".into(), digest: "1".into() }
    }

    #[test]
    fn a_row_says_who_holds_the_message_and_why_it_waits() {
        let recipient = Recipient::new(Mailbox::parse("bob@example.org").unwrap());
        let ticket = Ticket {
            envelope: Envelope::new(ReversePath::Null, vec![recipient]).unwrap(),
            account: None,
            uid: 0,
            created: Moment::from_seconds(5),
            message_id: String::new(),
        };
        let status = Status { state: State::Pending, reason: "451 later".into(), at: Moment::default() };
        let next = Moment::from_seconds(60);
        let progress = Progress {
            attempts: 1,
            next,
            age: Duration::ZERO,
            last: Moment::default(),
            held: false,
            warned: false,
            recipients: vec![status],
        };
        let user_held = Progress { held: true, ..progress.clone() };
        let probe = Some(hold().next_probe);
        let held = hold();
        let cases = [
            (Place::Queue, &progress, None, Standing::Queued, Some(next), "451 later"),
            (Place::Claimed, &progress, None, Standing::Active, Some(next), "451 later"),
            (Place::Queue, &progress, Some(&held), Standing::AccountHeld, probe, "535 5.7.8 no"),
            (Place::Queue, &user_held, Some(&held), Standing::UserHeld, None, "451 later"),
            (Place::Dead, &progress, Some(&held), Standing::Dead, None, "451 later"),
        ];
        for (place, progress, hold, standing, next_attempt, reason) in cases {
            let row = row("A", &ticket, progress, 1, place, Some("gmail"), hold);
            assert_eq!(row.standing, standing);
            assert_eq!(row.next_attempt, next_attempt, "{standing:?}");
            assert_eq!(row.reason.as_deref(), Some(reason), "{standing:?}");
        }
    }
}
