//! From standard input to a message that is safe: into a draft entry; when the spool takes nothing, into memory, so
//! that it can at least be submitted at once.

use super::Failed;
use crate::mail::encode;
use crate::mail::header::Header;
use crate::mail::message::Body;
use crate::process;
use crate::spool::{Draft, Entry, Region, Shape, Spool, SpoolError, Ticket};
use crate::system;
use std::fs::File;
use std::io::{self, BufRead, Seek, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A message that has been read whole.
pub struct Filled {
    pub vessel: Vessel,
    pub shape: Shape,
}

/// What holds it.
#[allow(clippy::large_enum_variant, reason = "there is one, and it is nearly always a draft")]
pub enum Vessel {
    /// An entry that is written but not yet durable.
    Draft(Draft),
    /// A nameless file in memory, and why it is not in the spool.
    Memory(File, SpoolError),
}

impl Vessel {
    fn start(spool: Result<Spool, SpoolError>, ticket: &Ticket) -> io::Result<Vessel> {
        match spool.and_then(|spool| spool.draft(ticket)) {
            Ok(draft) => Ok(Vessel::Draft(draft)),
            Err(error) => Ok(Vessel::Memory(File::from(system::scratch()?), error)),
        }
    }

    /// The message as far as it has been written.
    pub fn content(&mut self) -> io::Result<Region> {
        match self {
            Vessel::Draft(draft) => draft.content(),
            Vessel::Memory(file, _) => Region::whole(file.try_clone()?),
        }
    }

    /// A second vessel for the same message.
    fn again(self, spool: Option<Spool>, ticket: &Ticket) -> io::Result<Vessel> {
        match (self, spool) {
            (Vessel::Draft(_), Some(spool)) => Vessel::start(Ok(spool), ticket),
            (Vessel::Memory(_, error), _) => Vessel::start(Err(error), ticket),
            (draft, None) => Ok(draft),
        }
    }

    /// Starts to make the message durable.
    pub fn commit(self, shape: Shape) -> Committing {
        match self {
            Vessel::Draft(draft) => Committing::start(draft, shape),
            Vessel::Memory(_, error) => Committing::done(Err(error)),
        }
    }

    /// Makes the message durable, for a caller with nothing else to do meanwhile.
    pub fn commit_now(self, shape: Shape) -> Committing {
        Committing::done(match self {
            Vessel::Draft(draft) => draft.commit(shape),
            Vessel::Memory(_, error) => Err(error),
        })
    }

    /// Takes what a draft could not write to its disk, and goes on in memory.
    fn fall_back(&mut self, error: io::Error) -> io::Result<()> {
        let Vessel::Draft(draft) = self else { return Err(error) };
        let mut file = File::from(system::scratch()?);
        draft.salvage(&mut file)?;
        let error = SpoolError::io("writing an entry", draft.home())(error);
        *self = Vessel::Memory(file, error);
        Ok(())
    }
}

impl Write for Vessel {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Vessel::Draft(draft) => match draft.writer().write(octets) {
                Ok(written) => Ok(written),
                Err(error) => {
                    self.fall_back(error)?;
                    self.write(octets)
                }
            },
            Vessel::Memory(file, _) => file.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Vessel::Draft(draft) => match draft.writer().flush() {
                Ok(()) => Ok(()),
                Err(error) => self.fall_back(error),
            },
            Vessel::Memory(file, _) => file.flush(),
        }
    }
}

/// Reads the rest of the message into an entry of the spool. The header is final, but for the MIME fields of a body
/// that must be encoded to be sent at all.
///
/// # Errors
/// The input ends in an error, or holds what no mail can.
pub fn fill<R: BufRead>(
    spool: Result<Spool, SpoolError>,
    ticket: &Ticket,
    header: Header,
    body: &mut Body<R>,
) -> Result<Filled, Failed> {
    let again = spool.as_ref().ok().cloned();
    let mut vessel = Vessel::start(spool, ticket).map_err(Failed::system)?;
    let header_size = write_header(&mut vessel, &header).map_err(Failed::system)?;
    let nature = body.copy_to(&mut vessel)?;
    vessel.flush().map_err(Failed::system)?;
    if !encode::unfit(&nature) {
        let shape = Shape { header: header_size, body: nature.size, eight_bit: nature.eight_bit || !header.is_ascii() };
        return Ok(Filled { vessel, shape });
    }
    // The slow path, for a line or an octet that no relay takes: the message is written anew.
    let raw = vessel.content().map_err(Failed::system)?.part(header_size, nature.size);
    let mut encoded = system::scratch().map(File::from).map_err(Failed::system)?;
    let (header, nature) = encode::rework(header, &raw, nature.size, &mut encoded)?;
    let mut vessel = vessel.again(again, ticket).map_err(Failed::system)?;
    let header_size = write_header(&mut vessel, &header).map_err(Failed::system)?;
    encoded.rewind().and_then(|()| io::copy(&mut encoded, &mut vessel)).map_err(Failed::system)?;
    vessel.flush().map_err(Failed::system)?;
    let shape = Shape { header: header_size, body: nature.size, eight_bit: nature.eight_bit || !header.is_ascii() };
    Ok(Filled { vessel, shape })
}

fn write_header(vessel: &mut Vessel, header: &Header) -> io::Result<u64> {
    let mut octets = header.to_bytes();
    octets.extend_from_slice(b"\r\n");
    vessel.write_all(&octets)?;
    Ok(octets.len() as u64)
}

/// A commit under way in a thread of its own, so that the disk's flushes cost no time while the connection is opened.
#[derive(Clone)]
pub struct Committing(Arc<Mutex<Commit>>);

struct Commit {
    answer: Receiver<Result<Entry, SpoolError>>,
    result: Option<Result<Entry, SpoolError>>,
    /// The entry has been taken: it is as safe as before, and the deadline may still ask.
    taken: bool,
}

impl Committing {
    /// Starts to make the draft durable.
    pub fn start(draft: Draft, shape: Shape) -> Committing {
        let (hand_over, take) = mpsc::channel::<Draft>();
        let (tell, answer) = mpsc::channel();
        let thread = thread::Builder::new().stack_size(128 * 1024).spawn(move || {
            if let Ok(draft) = take.recv() {
                let _ = tell.send(commit(draft, shape));
            }
        });
        // A system that gives no thread still commits, only not at the same time.
        let result = match thread {
            Ok(_) => hand_over.send(draft).err().map(|unsent| commit(unsent.0, shape)),
            Err(_) => Some(commit(draft, shape)),
        };
        Committing(Arc::new(Mutex::new(Commit { answer, result, taken: false })))
    }

    /// A commit that is over.
    pub fn done(result: Result<Entry, SpoolError>) -> Committing {
        Committing(Arc::new(Mutex::new(Commit { answer: mpsc::channel().1, result: Some(result), taken: false })))
    }

    /// Waits for the end of the commit; whether the message is safe.
    pub fn is_safe(&self) -> bool {
        let mut commit = self.lock();
        commit.taken || commit.wait().is_ok()
    }

    /// Waits for the end of the commit and takes the entry.
    ///
    /// # Errors
    /// Nothing is in the queue.
    pub fn finish(&self) -> Result<Entry, SpoolError> {
        let mut commit = self.lock();
        commit.taken = commit.wait().is_ok();
        commit.result.take().unwrap_or_else(|| Err(interrupted()))
    }

    fn lock(&self) -> MutexGuard<'_, Commit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commit {
    fn wait(&mut self) -> &Result<Entry, SpoolError> {
        let answer = &self.answer;
        self.result.get_or_insert_with(|| answer.recv().unwrap_or_else(|_| Err(interrupted())))
    }
}

fn commit(draft: Draft, shape: Shape) -> Result<Entry, SpoolError> {
    draft.commit(shape).inspect(|_| process::message_is_safe())
}

/// The committing thread died, which it never does.
fn interrupted() -> SpoolError {
    SpoolError::io("making an entry durable", "".as_ref())(io::ErrorKind::Interrupted.into())
}
