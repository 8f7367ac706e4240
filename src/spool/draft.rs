//! An entry being written. Nothing is visible to anyone until it is complete, and nothing is left of it when the
//! process dies before.

use super::Spool;
use super::claim::{self, Claim};
use super::directory::{Access, Directory, Found};
use super::durable::{self, Birth, Unnamed, Unpublished};
use super::entry::{Entry, Place};
use super::error::SpoolError;
use super::layout::{BLOCK, Layout};
use super::progress::Progress;
use super::queue_id::QueueId;
use super::region::Region;
use super::ticket::Ticket;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// What the message turned out to be, in octets as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The header with its empty line.
    pub header: u64,
    pub body: u64,
    /// Some octet is over 127.
    pub eight_bit: bool,
}

/// An entry being written.
pub struct Draft {
    spool: Spool,
    id: QueueId,
    unnamed: Unnamed,
    sink: Sink,
    ticket: Ticket,
    progress: Progress,
    /// Octets of the envelope.
    envelope: u64,
}

impl Draft {
    pub(super) fn new(spool: &Spool, ticket: &Ticket, birth: Birth) -> Result<Draft, SpoolError> {
        let queue = spool.directory(Place::Queue);
        let trouble = |doing| SpoolError::io(doing, queue.path());
        let id = QueueId::new(ticket.created);
        let unnamed = Unnamed::create(queue, id.as_str(), birth).map_err(trouble("creating an entry"))?;
        let file = unnamed.file().clone();
        // Held until the entry is dropped: nobody else picks it up between its name and its durability.
        claim::lock(&file).map_err(trouble("locking an entry"))?;
        let progress = Progress::fresh(ticket.created, ticket.envelope.recipients().len());
        let envelope = ticket.write();
        let mut sink = Sink { file, position: BLOCK as u64, waiting: progress.write(), crc: crc32fast::Hasher::new() };
        sink.write_all(&envelope).map_err(trouble("writing an entry"))?;
        let envelope = envelope.len() as u64;
        Ok(Draft { spool: spool.clone(), id, unnamed, sink, ticket: ticket.clone(), progress, envelope })
    }

    /// The name it will have, unless [`Draft::commit_as`] gives it another.
    pub fn id(&self) -> &QueueId {
        &self.id
    }

    /// Writes message bytes, canonical: the header with its empty line, then the body.
    pub fn writer(&mut self) -> &mut dyn Write {
        &mut self.sink
    }

    /// The message as far as it has been written, to be read again.
    pub fn content(&mut self) -> io::Result<Region> {
        self.sink.flush()?;
        let start = Layout::offset_for(self.progress.recipients.len()) + self.envelope;
        Ok(Region { file: self.sink.file.clone(), start, size: self.sink.position - start })
    }

    /// Writes the message elsewhere as far as it has come, also what the disk would not take.
    pub fn salvage(&self, output: &mut dyn Write) -> io::Result<()> {
        let start = Layout::offset_for(self.progress.recipients.len()) + self.envelope;
        // What was not written yet may still begin before the message.
        let written = self.sink.position.max(start);
        let region = Region { file: self.sink.file.clone(), start, size: written - start };
        region.copy_to(output)?;
        let before = usize::try_from(written - self.sink.position).unwrap_or(usize::MAX);
        output.write_all(self.sink.waiting.get(before..).unwrap_or_default())
    }

    /// The directory it would stand in.
    pub fn home(&self) -> &std::path::Path {
        self.spool.directory(Place::Queue).path()
    }

    /// Makes it durable in `queue/`: header, link, fsync(file), fsync(directory). From then on it is never lost.
    ///
    /// # Errors
    /// Nothing is left in the queue then, except for `SpoolError::Doubtful`.
    pub fn commit(mut self, shape: Shape) -> Result<Entry, SpoolError> {
        let layout = self.complete(shape)?;
        self.publish_anew(Place::Queue)?;
        Ok(self.into_entry(layout))
    }

    /// Like [`Draft::commit`], under a name that belongs to this one message ([`QueueId::derived`]), so that it
    /// exists once however often its maker is killed and starts again: what was there already is made durable and
    /// handed out instead of the new one. `None` when another process has it in hands, or has just finished it.
    pub fn commit_as(mut self, id: QueueId, shape: Shape) -> Result<Option<Entry>, SpoolError> {
        let layout = self.complete(shape)?;
        self.id = id;
        if self.publish(Place::Queue)? == Published::Yes {
            return Ok(Some(self.into_entry(layout)));
        }
        let queue = self.spool.directory(Place::Queue).clone();
        match self.spool.claim(&self.id)? {
            Claim::Mine(entry) => {
                let synced = durable::sync_file(&entry.file).and_then(|()| durable::sync_directory(&queue));
                synced.map_err(SpoolError::io("making an entry durable", queue.path()))?;
                Ok(Some(entry))
            }
            Claim::Busy => {
                self.sync_existing(&queue).map_err(SpoolError::io("making an entry durable", queue.path()))?;
                Ok(None)
            }
            Claim::Gone => Ok(None),
            // What a power cut left of an earlier try has been set aside, and the name is free again.
            Claim::Unusable(_) => match self.publish(Place::Queue)? {
                Published::Yes => Ok(Some(self.into_entry(layout))),
                Published::Taken => {
                    let path = queue.path().join(self.id.as_str());
                    Err(SpoolError::Unsafe { path, why: "in the place of an entry" })
                }
            },
        }
    }

    /// Makes it durable in `dead/` instead, every recipient with this reason: kept for a person, never sent.
    pub fn bury(mut self, shape: Shape, reason: &str) -> Result<QueueId, SpoolError> {
        self.complete(shape)?;
        for (index, status) in self.progress.recipients.iter_mut().enumerate() {
            status.reason = reason.to_string();
            let written = self.sink.file.write_all_at(&status.slot(), Layout::slot(index));
            written.map_err(SpoolError::io("writing an entry", self.spool.directory(Place::Dead).path()))?;
        }
        self.publish_anew(Place::Dead)?;
        Ok(self.id)
    }

    /// Writes what is waiting, and the first block last.
    fn complete(&mut self, shape: Shape) -> Result<Layout, SpoolError> {
        let recipients = self.progress.recipients.len();
        let offset = Layout::offset_for(recipients);
        let trouble = SpoolError::io("writing an entry", self.spool.directory(Place::Queue).path());
        let written = self.sink.flush().and_then(|()| {
            let length = self.sink.position - offset;
            let Shape { header, body, eight_bit } = shape;
            if header.checked_add(body).and_then(|message| message.checked_add(self.envelope)) != Some(length) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "header and body are not what was written"));
            }
            let crc = self.sink.crc.clone().finalize();
            let layout = Layout { offset, length, header, body, crc, recipients, eight_bit };
            self.sink.file.write_all_at(&layout.write(), 0)?;
            Ok(layout)
        });
        written.map_err(trouble)
    }

    /// Publishes under its own id, and under another one when that is taken.
    fn publish_anew(&mut self, place: Place) -> Result<(), SpoolError> {
        while self.publish(place)? == Published::Taken {
            self.id = QueueId::new(self.ticket.created);
        }
        Ok(())
    }

    fn publish(&mut self, place: Place) -> Result<Published, SpoolError> {
        let directory = self.spool.directory(place);
        match durable::publish(&mut self.unnamed, directory, self.id.as_str()) {
            Ok(()) => Ok(Published::Yes),
            Err(Unpublished::Taken) => Ok(Published::Taken),
            Err(Unpublished::Undone(source)) => {
                Err(SpoolError::io("making an entry durable", directory.path())(source))
            }
            Err(Unpublished::Doubtful(source)) => {
                Err(SpoolError::Doubtful { path: directory.path().join(self.id.as_str()), source })
            }
        }
    }

    /// Who died behind giving it its name may not have made it durable; that it is locked now says nothing.
    fn sync_existing(&self, queue: &Directory) -> io::Result<()> {
        if let Found::Ours(file, _) = queue.find(self.id.as_str(), Access::Look)? {
            durable::sync_file(&file)?;
        }
        durable::sync_directory(queue)
    }

    fn into_entry(self, layout: Layout) -> Entry {
        let Draft { spool, id, sink, ticket, progress, .. } = self;
        Entry::new(&spool, Place::Queue, id, sink.file, layout, ticket, progress)
    }
}

#[derive(PartialEq, Eq)]
enum Published {
    Yes,
    Taken,
}

/// Collected before they are written.
const WAITING: usize = 64 << 10;

/// Writes behind a position of its own and sums up what passes.
struct Sink {
    file: Arc<File>,
    position: u64,
    waiting: Vec<u8>,
    crc: crc32fast::Hasher,
}

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.waiting.len() + octets.len() > WAITING {
            self.flush()?;
        }
        self.crc.update(octets);
        if octets.len() >= WAITING {
            self.file.write_all_at(octets, self.position)?;
            self.position += octets.len() as u64;
        } else {
            self.waiting.extend_from_slice(octets);
        }
        Ok(octets.len())
    }

    /// Hands what is waiting to the kernel.
    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.waiting, self.position)?;
        self.position += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "plants what others would")]
mod tests {
    use super::super::tests::{BODY, HEADER, Room, SHAPE};
    use super::super::ticket::tests::sample;
    use super::*;
    use std::fs;

    fn draft(room: &Room, birth: Birth) -> Draft {
        let mut draft = Draft::new(&room.spool, &sample(2), birth).unwrap();
        draft.writer().write_all(HEADER).unwrap();
        draft.writer().write_all(BODY).unwrap();
        draft
    }

    const BIRTHS: [Birth; 2] = [Birth::Nameless, Birth::Temporary];

    #[test]
    fn what_is_committed_is_found_whole() {
        for birth in BIRTHS {
            let room = Room::make();
            let id = draft(&room, birth).commit(SHAPE).unwrap().id().clone();
            assert_eq!(room.spool.queue().unwrap(), std::slice::from_ref(&id));
            assert_eq!(room.count("queue"), 1);
            let entry = room.claim(&id);
            assert_eq!(entry.ticket(), &sample(2));
            assert_eq!(entry.progress(), &Progress::fresh(sample(2).created, 2));
            assert_eq!((entry.header().read().unwrap(), entry.body().read().unwrap()), (HEADER.into(), BODY.into()));
            assert!(entry.eight_bit());
        }
    }

    #[test]
    fn a_dropped_or_misfit_draft_leaves_nothing() {
        for birth in BIRTHS {
            let room = Room::make();
            drop(draft(&room, birth));
            assert_eq!(room.count("queue"), 0);
            let error = draft(&room, birth).commit(Shape { body: 0, ..SHAPE }).unwrap_err();
            assert!(matches!(error, SpoolError::Io { .. }), "{error}");
            assert_eq!(room.count("queue"), 0);
        }
    }

    #[test]
    fn a_committed_entry_is_in_its_depositors_hands() {
        let room = Room::make();
        let entry = draft(&room, Birth::Nameless).commit(SHAPE).unwrap();
        assert!(matches!(room.spool.claim(entry.id()).unwrap(), Claim::Busy));
        let id = entry.id().clone();
        drop(entry);
        room.claim(&id);
    }

    #[test]
    fn a_draft_can_be_committed_in_another_thread() {
        let room = Room::make();
        let draft = draft(&room, Birth::Nameless);
        let entry = std::thread::spawn(move || draft.commit(SHAPE).unwrap()).join().unwrap();
        assert_eq!(entry.body().read().unwrap(), BODY);
    }

    #[test]
    fn what_was_written_can_be_read_before_the_commit() {
        let room = Room::make();
        let mut first = draft(&room, Birth::Nameless);
        assert_eq!(first.content().unwrap().read().unwrap(), [HEADER, BODY].concat());
        let mut second = room.spool.draft(&sample(2)).unwrap();
        let body = first.content().unwrap().part(SHAPE.header, SHAPE.body).read().unwrap();
        second.writer().write_all(&body).unwrap();
        drop(first);
        let entry = second.commit(Shape { header: 0, ..SHAPE }).unwrap();
        assert_eq!(entry.body().read().unwrap(), BODY);
    }

    #[test]
    fn pieces_of_every_size_arrive_in_order() {
        let room = Room::make();
        let mut draft = room.spool.draft(&sample(1)).unwrap();
        let body: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
        let mut rest = body.as_slice();
        for size in [1, 100, WAITING - 1, WAITING, 3, WAITING + 1, 5, 300_000].into_iter().cycle() {
            let (piece, more) = rest.split_at(size.min(rest.len()));
            draft.writer().write_all(piece).unwrap();
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        let id = draft.commit(Shape { header: 0, body: 700_000, eight_bit: true }).unwrap().id().clone();
        assert_eq!(room.claim(&id).body().read().unwrap(), body);
    }

    #[test]
    fn what_is_made_once_exists_once() {
        for birth in BIRTHS {
            let room = Room::make();
            let bounce = QueueId::derived(&room.deposit(1), "bounce");
            let first = draft(&room, birth).commit_as(bounce.clone(), SHAPE).unwrap().unwrap();
            assert_eq!(first.id(), &bounce);
            assert!(draft(&room, birth).commit_as(bounce.clone(), SHAPE).unwrap().is_none(), "in other hands");
            drop(first);
            let again = draft(&room, birth).commit_as(bounce.clone(), SHAPE).unwrap().unwrap();
            assert_eq!(again.id(), &bounce);
            assert_eq!(room.count("queue"), 2);
        }
    }

    #[test]
    fn what_a_power_cut_left_of_it_is_made_anew() {
        let room = Room::make();
        let bounce = QueueId::derived(&room.deposit(1), "bounce");
        drop(draft(&room, Birth::Nameless).commit_as(bounce.clone(), SHAPE).unwrap());
        let path = room.path("queue").join(bounce.as_str());
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(2048).unwrap();
        let entry = draft(&room, Birth::Nameless).commit_as(bounce, SHAPE).unwrap().unwrap();
        assert_eq!(entry.body().read().unwrap(), BODY);
        assert_eq!(room.spool.corrupt().unwrap().len(), 1);
    }

    #[test]
    fn what_is_buried_at_once_has_its_reason_and_is_not_in_the_queue() {
        let room = Room::make();
        let id = draft(&room, Birth::Nameless).bury(SHAPE, "no account").unwrap();
        assert_eq!(room.count("queue"), 0);
        let peek = room.spool.peek_in(Place::Dead, &id).unwrap().unwrap();
        assert_eq!(peek.progress.recipients.iter().map(|r| r.reason.as_str()).collect::<Vec<_>>(), ["no account"; 2]);
    }
}
