//! A message that this process holds: what is known about it, and how results are recorded. Every change is one write
//! in place, in blocks that are there already, so that it works on a full disk; what must survive a power cut says so.

use super::Spool;
use super::claim;
use super::durable;
use super::layout::{BLOCK, Layout};
use super::progress::{Progress, State, Status};
use super::queue_id::QueueId;
use super::region::Region;
use super::ticket::Ticket;
use crate::clock::Moment;
use crate::mail::outcome::Outcome;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

/// Which directory an entry lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Queue,
    /// Kept for a person: rejected while the caller waited, or a bounce that could not be delivered.
    Dead,
}

/// A durable message that this process holds; the lock ends when it is dropped.
#[derive(Debug)]
pub struct Entry {
    spool: Spool,
    place: Place,
    id: QueueId,
    pub(super) file: Arc<File>,
    layout: Layout,
    ticket: Ticket,
    progress: Progress,
    /// A recipient became final since the last `fdatasync`.
    unsynced: bool,
}

impl Entry {
    pub(super) fn new(
        spool: &Spool,
        place: Place,
        id: QueueId,
        file: Arc<File>,
        layout: Layout,
        ticket: Ticket,
        progress: Progress,
    ) -> Entry {
        Entry { spool: spool.clone(), place, id, file, layout, ticket, progress, unsynced: false }
    }

    /// The spool it is in.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Its name.
    pub fn id(&self) -> &QueueId {
        &self.id
    }

    /// What never changes.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// What does.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether some octet of the message is over 127.
    pub fn eight_bit(&self) -> bool {
        self.layout.eight_bit
    }

    /// The message header with its empty line.
    pub fn header(&self) -> Region {
        Region { file: self.file.clone(), start: self.layout.message(), size: self.layout.header }
    }

    /// The message body.
    pub fn body(&self) -> Region {
        let start = self.layout.message() + self.layout.header;
        Region { file: self.file.clone(), start, size: self.layout.body }
    }

    /// Records what became of a recipient. Call [`Entry::settle`] or [`Entry::sync`] before doing anything else for
    /// this message: until then a power cut forgets it, and the recipient gets the message twice.
    pub fn record(&mut self, recipient: usize, outcome: &Outcome, now: Moment) -> io::Result<()> {
        self.change(&[(recipient, Status::after(outcome, now))])
    }

    /// Records what became of several recipients in one write: what one reply decided is known of all or of none.
    pub fn record_all<'a>(
        &mut self,
        outcomes: impl Iterator<Item = (usize, &'a Outcome)>,
        now: Moment,
    ) -> io::Result<()> {
        let changes = outcomes.map(|(recipient, outcome)| (recipient, Status::after(outcome, now)));
        self.change(&changes.collect::<Vec<_>>())
    }

    /// Records a state of a recipient, as [`Entry::record`] does: for one that has expired.
    pub fn mark(&mut self, recipient: usize, state: State, reason: &str, now: Moment) -> io::Result<()> {
        self.change(&[(recipient, Status::new(state, reason, now))])
    }

    /// Writes the slots from the first to the last that changes, at once.
    fn change(&mut self, changes: &[(usize, Status)]) -> io::Result<()> {
        let indexes = || changes.iter().map(|(recipient, _)| *recipient);
        let (Some(first), Some(last)) = (indexes().min(), indexes().max()) else { return Ok(()) };
        if last >= self.progress.recipients.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such recipient"));
        }
        for (recipient, status) in changes {
            let before = std::mem::replace(&mut self.progress.recipients[*recipient], status.clone());
            self.unsynced |= status.state != State::Pending && status.state != before.state;
        }
        let slots: Vec<u8> = self.progress.recipients[first..=last].iter().flat_map(Status::slot).collect();
        self.file.write_all_at(&slots, Layout::slot(first))
    }

    /// Notes a try, and when the next one is due. Not synced: what a power cut forgets is tried sooner.
    pub fn reschedule(&mut self, attempts: u32, last: Moment, next: Moment, age: Duration) -> io::Result<()> {
        self.progress.attempts = attempts;
        self.progress.last = Moment::from_seconds(last.seconds());
        self.progress.next = Moment::from_seconds(next.seconds());
        self.progress.age = Duration::from_secs(age.as_secs());
        self.write_slot()
    }

    /// Puts it on hold for a person, durably.
    pub fn hold(&mut self) -> io::Result<()> {
        self.progress.held = true;
        self.write_slot()?;
        durable::sync_content(&self.file)
    }

    /// Ends that, durably; it is due at once.
    pub fn release(&mut self, now: Moment) -> io::Result<()> {
        self.progress.held = false;
        self.progress.next = Moment::from_seconds(now.seconds());
        self.write_slot()?;
        durable::sync_content(&self.file)
    }

    /// Notes durably that the delay warning is out; call it when that is durable itself.
    pub fn mark_warned(&mut self) -> io::Result<()> {
        self.progress.warned = true;
        self.write_slot()?;
        durable::sync_content(&self.file)
    }

    /// Notes durably that everyone who failed has been told of; call it when the bounce is durable itself.
    pub fn mark_bounced(&mut self) -> io::Result<()> {
        let failed = self.progress.which(State::Failed).into_iter();
        let bounced =
            |recipient: usize| Status { state: State::Bounced, ..self.progress.recipients[recipient].clone() };
        let changes: Vec<(usize, Status)> = failed.map(|recipient| (recipient, bounced(recipient))).collect();
        self.change(&changes)?;
        self.sync()
    }

    /// Makes what has been recorded durable, if something final has been.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            durable::sync_content(&self.file)?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Ends an attempt: removes the entry when everyone is accepted or bounced ([`Spool::sync`] makes that durable),
    /// else makes durable what is final and hands it back.
    pub fn settle(mut self) -> io::Result<Option<Entry>> {
        if self.progress.finished() {
            self.remove()?;
            return Ok(None);
        }
        self.sync()?;
        Ok(Some(self))
    }

    /// Ends the claim at once, also where a region or a child still shares the open file.
    pub fn let_go(self) {
        claim::unlock(&self.file);
    }

    /// Removes it. Durable with the next [`Spool::sync`], one for all entries of a connection: what a power cut
    /// brings back before is at worst sent twice.
    pub fn remove(self) -> io::Result<()> {
        durable::unlink(self.spool.directory(self.place), self.id.as_str())
    }

    /// Moves it to `dead/`, durably. Recipients still pending get the reason.
    pub fn bury(mut self, reason: &str, now: Moment) -> io::Result<()> {
        let pending = self.progress.which(State::Pending).into_iter();
        let changes: Vec<_> = pending.map(|recipient| (recipient, Status::new(State::Pending, reason, now))).collect();
        self.change(&changes)?;
        self.progress.last = Moment::from_seconds(now.seconds());
        self.relocate(Place::Dead)
    }

    /// Moves it from `dead/` back to `queue/`, durably: everyone not accepted is pending again, and due at once.
    pub fn revive(mut self, now: Moment) -> io::Result<()> {
        let failed = [State::Failed, State::Bounced].map(|state| self.progress.which(state)).concat().into_iter();
        let changes: Vec<_> = failed.map(|recipient| (recipient, Status::new(State::Pending, "", now))).collect();
        self.change(&changes)?;
        let now = Moment::from_seconds(now.seconds());
        let recipients = std::mem::take(&mut self.progress.recipients);
        self.progress = Progress { recipients, ..Progress::fresh(now, 0) };
        self.relocate(Place::Queue)
    }

    fn relocate(self, place: Place) -> io::Result<()> {
        self.write_slot()?;
        durable::sync_content(&self.file)?;
        let name = self.id.as_str();
        durable::relocate(self.spool.directory(self.place), name, self.spool.directory(place), name)
    }

    fn write_slot(&self) -> io::Result<()> {
        self.file.write_all_at(&self.progress.slot(), BLOCK as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Claim;
    use super::super::directory::{Access, Found};
    use super::super::tests::{BODY, Room};
    use super::*;
    use crate::mail::outcome::{Failure, Reply, Stage};

    const NOW: Moment = Moment(1_795_600_000_000_000);

    fn accepted() -> Outcome {
        Outcome::Accepted(Reply { code: 250, lines: vec!["2.0.0 OK".into()] })
    }

    fn failure(code: u16) -> Failure {
        let reply = Some(Reply { code, lines: vec!["no\r\nway".into()] });
        Failure { stage: Stage::Rcpt, relay: "mx:587".into(), reply, cause: String::new(), hint: None }
    }

    fn states(entry: &Entry) -> Vec<State> {
        entry.progress().recipients.iter().map(|status| status.state).collect()
    }

    #[test]
    fn an_entry_let_go_is_free_although_its_file_is_still_open() {
        let room = Room::make();
        let id = room.deposit(1);
        let entry = room.claim(&id);
        let shared = entry.body();
        assert!(matches!(room.spool.claim(&id), Ok(Claim::Busy)));
        entry.let_go();
        assert!(matches!(room.spool.claim(&id), Ok(Claim::Mine(_))));
        drop(shared);
    }

    #[test]
    fn what_is_recorded_outlives_the_process() {
        let room = Room::make();
        let id = room.deposit(3);
        let mut entry = room.claim(&id);
        let refused = [(2, Outcome::Rejected(failure(550))), (1, Outcome::Deferred(failure(451)))];
        entry.record(0, &accepted(), NOW).unwrap();
        entry.record_all(refused.iter().map(|(index, outcome)| (*index, outcome)), NOW).unwrap();
        entry.reschedule(1, NOW, NOW.after(Duration::from_secs(60)), Duration::from_secs(9)).unwrap();
        let entry = entry.settle().unwrap().expect("one is still pending");
        let before = entry.progress().clone();
        drop(entry);

        let entry = room.claim(&id);
        assert_eq!(states(&entry), [State::Accepted, State::Pending, State::Failed]);
        assert_eq!(entry.progress().recipients[1].reason, "mx:587 said 451 no  way (in reply to RCPT TO)");
        assert_eq!(entry.progress().attempts, 1);
        assert_eq!(entry.progress().next, before.next);
        assert_eq!(entry.body().read().unwrap(), BODY, "the message is untouched");
        assert!(entry.ticket().envelope.recipients().len() == 3);
    }

    #[test]
    fn an_entry_is_removed_only_when_nothing_is_owed() {
        let room = Room::make();
        let id = room.deposit(2);
        let mut entry = room.claim(&id);
        entry.record(0, &accepted(), NOW).unwrap();
        entry.record(1, &Outcome::Rejected(failure(550)), NOW).unwrap();
        let mut entry = entry.settle().unwrap().expect("a bounce is owed");
        entry.mark_bounced().unwrap();
        assert_eq!(states(&entry), [State::Accepted, State::Bounced]);
        assert!(entry.settle().unwrap().is_none());
        room.spool.sync().unwrap();
        assert!(matches!(room.spool.claim(&id).unwrap(), Claim::Gone));
        assert!(room.spool.peek(&id).unwrap().is_none());
    }

    #[test]
    fn a_result_is_one_write_that_needs_no_space() {
        use std::os::unix::fs::MetadataExt;
        let room = Room::make();
        let mut entry = room.claim(&room.deposit(2));
        let before = entry.file.metadata().unwrap();
        entry.mark(1, State::Failed, &"x".repeat(5000), NOW).unwrap();
        entry.hold().unwrap();
        entry.sync().unwrap();
        let after = entry.file.metadata().unwrap();
        assert_eq!((before.size(), before.blocks()), (after.size(), after.blocks()));
        assert!(entry.mark(2, State::Failed, "", NOW).is_err(), "no such recipient");
    }

    #[test]
    fn a_hold_lasts_until_it_is_released() {
        let room = Room::make();
        let id = room.deposit(1);
        room.claim(&id).hold().unwrap();
        assert!(room.spool.peek(&id).unwrap().unwrap().progress.held);
        let mut entry = room.claim(&id);
        entry.mark_warned().unwrap();
        entry.release(NOW).unwrap();
        drop(entry);
        let progress = room.spool.peek(&id).unwrap().unwrap().progress;
        assert_eq!((progress.held, progress.warned, progress.next), (false, true, NOW));
    }

    #[test]
    fn the_dead_can_come_back() {
        let room = Room::make();
        let id = room.deposit(3);
        let mut entry = room.claim(&id);
        entry.record(0, &accepted(), NOW).unwrap();
        entry.record(1, &Outcome::Rejected(failure(550)), NOW).unwrap();
        entry.bury("rejected", NOW).unwrap();
        assert_eq!((room.count("queue"), room.count("dead")), (0, 1));
        let peek = room.spool.peek_in(Place::Dead, &id).unwrap().unwrap();
        assert_eq!((peek.progress.last, peek.progress.recipients[2].reason.as_str()), (NOW, "rejected"));

        let Claim::Mine(entry) = room.spool.claim_in(Place::Dead, &id).unwrap() else { panic!() };
        entry.revive(NOW).unwrap();
        assert_eq!((room.count("queue"), room.count("dead")), (1, 0));
        let entry = room.claim(&id);
        assert_eq!(states(&entry), [State::Accepted, State::Pending, State::Pending]);
        assert_eq!(entry.progress().next, NOW);
    }

    #[test]
    fn whoever_waited_for_a_moved_entry_does_not_get_it() {
        let room = Room::make();
        let id = room.deposit(1);
        let directory = room.spool.directory(Place::Queue);
        let found = directory.find(id.as_str(), Access::Change).unwrap();
        let Found::Ours(_, found) = found else { panic!() };
        room.claim(&id).bury("x", NOW).unwrap();
        assert!(!directory.holds(id.as_str(), &found).unwrap());
    }
}
