//! What changes about a message, and its place on the disk: one slot for the message and one for each recipient, all
//! there from the start, each changed by a single write. A slot that a power cut tore reads as "due now".

use super::layout::{BLOCK, Layout, block};
use crate::clock::Moment;
use crate::diagnostic::printable;
use crate::mail::outcome::Outcome;
use std::time::Duration;

/// What changes: the queue's view of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Tries so far.
    pub attempts: u32,
    /// Not before this; whole seconds.
    pub next: Moment,
    /// The sum of capped intervals between tries: survives a jumping clock. Whole seconds.
    pub age: Duration,
    /// The last try, else the arrival; in `dead/` the burial. Whole seconds.
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
    /// Whole seconds.
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

impl Progress {
    /// A message that has just arrived: due at once.
    pub fn fresh(created: Moment, recipients: usize) -> Progress {
        let created = Moment::from_seconds(created.seconds());
        let status = Status { state: State::Pending, reason: String::new(), at: created };
        Progress {
            attempts: 0,
            next: created,
            age: Duration::ZERO,
            last: created,
            held: false,
            warned: false,
            recipients: vec![status; recipients],
        }
    }

    /// Whether nothing is left to be tried or told.
    pub fn finished(&self) -> bool {
        self.recipients.iter().all(|status| matches!(status.state, State::Accepted | State::Bounced))
    }

    /// The indexes of the recipients in one state.
    pub fn which(&self, state: State) -> Vec<usize> {
        let indexes = self.recipients.iter().enumerate();
        indexes.filter(|(_, status)| status.state == state).map(|(index, _)| index).collect()
    }

    /// The message slot.
    pub fn slot(&self) -> Vec<u8> {
        let Progress { attempts, next, age, last, held, warned, .. } = self;
        let (next, last, age) = (next.seconds(), last.seconds(), age.as_secs());
        let word = |flag: &bool| if *flag { "yes" } else { "no" };
        let (held, warned) = (word(held), word(warned));
        block(format!("attempts {attempts} next {next} age {age} last {last} held {held} warned {warned}"))
    }

    /// All slots, in their order on the disk.
    pub fn write(&self) -> Vec<u8> {
        let mut slots = self.slot();
        slots.extend(self.recipients.iter().flat_map(Status::slot));
        slots
    }

    /// Reads all slots, from the message slot on. Never an error: what cannot be read is due now.
    pub fn read(slots: &[u8]) -> Progress {
        let mut slots = slots.chunks(BLOCK);
        let mut progress = Progress::fresh(Moment::default(), 0);
        let line = String::from_utf8_lossy(slots.next().unwrap_or_default());
        let mut words = line.split_ascii_whitespace();
        while let (Some(word), Some(value)) = (words.next(), words.next()) {
            let seconds = || Moment::from_seconds(value.parse().unwrap_or_default());
            match word {
                "attempts" => progress.attempts = value.parse().unwrap_or_default(),
                "next" => progress.next = seconds(),
                "age" => progress.age = Duration::from_secs(value.parse().unwrap_or_default()),
                "last" => progress.last = seconds(),
                "held" => progress.held = value == "yes",
                "warned" => progress.warned = value == "yes",
                _ => {}
            }
        }
        progress.recipients = slots.map(Status::read).collect();
        progress
    }

    /// Octets of the slots for so many recipients, and where they begin.
    pub fn region(recipients: usize) -> std::ops::Range<usize> {
        BLOCK..usize::try_from(Layout::offset_for(recipients)).unwrap_or(usize::MAX)
    }
}

impl Status {
    /// A state entered now.
    pub fn new(state: State, reason: &str, now: Moment) -> Status {
        Status { state, reason: reason.to_string(), at: Moment::from_seconds(now.seconds()) }
    }

    /// What an attempt makes of a recipient.
    pub fn after(outcome: &Outcome, now: Moment) -> Status {
        match outcome {
            Outcome::Accepted(reply) => Status::new(State::Accepted, &reply.to_string(), now),
            Outcome::Deferred(failure) => Status::new(State::Pending, &failure.to_string(), now),
            Outcome::Rejected(failure) => Status::new(State::Failed, &failure.to_string(), now),
        }
    }

    /// The slot: the status byte first, so that a torn write leaves the old one or the new one.
    pub fn slot(&self) -> Vec<u8> {
        let reason = printable(&self.reason.replace(['\r', '\n', '\t'], " "));
        block(format!("{} {} {reason}", self.state.letter(), self.at.seconds()))
    }

    fn read(slot: &[u8]) -> Status {
        let state = slot.first().map_or(State::Pending, |letter| State::from_letter(*letter));
        let line = String::from_utf8_lossy(slot.get(2..).unwrap_or_default());
        let (at, reason) = line.split_once(' ').unwrap_or((&line, ""));
        let reason = reason.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_string();
        Status { state, reason, at: Moment::from_seconds(at.trim().parse().unwrap_or_default()) }
    }
}

impl State {
    fn letter(self) -> char {
        match self {
            State::Pending => 'N',
            State::Accepted => 'D',
            State::Failed => 'F',
            State::Bounced => 'B',
        }
    }

    /// Any other byte is damage, and then sending twice is better than not at all.
    fn from_letter(letter: u8) -> State {
        match letter {
            b'D' => State::Accepted,
            b'F' => State::Failed,
            b'B' => State::Bounced,
            _ => State::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Progress {
        let status =
            |state, reason: &str| Status { state, reason: reason.into(), at: Moment::from_seconds(1_795_529_100) };
        Progress {
            attempts: 3,
            next: Moment::from_seconds(1_795_530_000),
            age: Duration::from_secs(86_400),
            last: Moment::from_seconds(1_795_529_100),
            held: true,
            warned: true,
            recipients: vec![
                status(State::Accepted, "250 2.0.0 OK"),
                status(State::Failed, "550 5.1.1 kein Postfach für bob"),
                status(State::Pending, ""),
                status(State::Bounced, "x"),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Progress::read(&sample().write()), sample());
        assert_eq!(sample().write().len(), Progress::region(4).len());
    }

    #[test]
    fn a_reason_cannot_leave_its_slot() {
        let status =
            Status { reason: "a\r\nD 1 \x1b[31m".to_string() + &"ü".repeat(900), ..sample().recipients[1].clone() };
        let slot = status.slot();
        assert_eq!(slot.len(), BLOCK);
        assert_eq!(slot.iter().filter(|byte| **byte < b' ').count(), 1, "only the line feed at the end");
        let back = Status::read(&slot);
        assert!(back.reason.starts_with("a  D 1 \\x1b[31müü"), "{}", back.reason);
        assert_eq!(back.state, State::Failed);
    }

    #[test]
    fn a_torn_slot_is_due_now_and_keeps_its_status_byte() {
        for keep in 0..BLOCK {
            let mut slots = sample().write();
            slots[keep..BLOCK].fill(0);
            slots[BLOCK + 1 + keep.min(500)..2 * BLOCK].fill(0xff);
            let progress = Progress::read(&slots);
            assert!(progress.next <= sample().next, "{keep}");
            assert_eq!(progress.recipients[0].state, State::Accepted);
        }
        assert_eq!(Progress::read(&[]).next, Moment(0));
    }

    #[test]
    fn only_accepted_and_bounced_is_finished() {
        let mut progress = sample();
        assert!(!progress.finished());
        assert_eq!(progress.which(State::Failed), [1]);
        progress.recipients.retain(|status| matches!(status.state, State::Accepted | State::Bounced));
        assert!(progress.finished());
    }
}
