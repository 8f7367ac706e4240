//! A server session on a pair of streams. While a message comes in, it is a reader of that message, which ends with
//! an error when the client goes away before the end: a message without its end is no message.

use crate::server::{Event, Session, Transaction};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// Whether the same message may be taken another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    Temporary,
    Permanent,
}

/// A session and its streams.
pub struct Dialogue<R, W> {
    session: Session,
    reader: R,
    writer: W,
    /// What has come in, and how much of it the session has taken.
    input: Vec<u8>,
    taken: usize,
    /// Octets of the message that nobody has read yet.
    text: Vec<u8>,
    end: End,
}

/// How far the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Ahead,
    Reached,
    Cut,
}

/// What the session made of the input.
enum Happened {
    Begun(Transaction),
    Text,
    Whole,
    Cut,
    Over,
}

impl<R: Read + AsFd, W: Write> Dialogue<R, W> {
    pub fn new(session: Session, reader: R, writer: W) -> Dialogue<R, W> {
        Dialogue { session, reader, writer, input: Vec::new(), taken: 0, text: Vec::new(), end: End::Reached }
    }

    /// Goes on to the next message; its octets are then read from `self`. `None` when the client said QUIT or went
    /// away between messages.
    ///
    /// # Errors
    /// `TimedOut` when the client was silent for so long, and may be asked again; anything else ends the session.
    pub fn next_message(&mut self, idle: Duration) -> io::Result<Option<Transaction>> {
        loop {
            match self.pump(idle)? {
                Happened::Begun(transaction) => {
                    (self.end, self.text) = (End::Ahead, Vec::new());
                    return Ok(Some(transaction));
                }
                Happened::Over => return Ok(None),
                // What is left of a message that was refused before its end.
                Happened::Text | Happened::Whole | Happened::Cut => self.text.clear(),
            }
        }
    }

    /// Whether the client went away in the middle of a message.
    pub fn is_cut(&self) -> bool {
        self.end == End::Cut
    }

    /// Tells a client that was silent for too long that this is the end.
    pub fn give_up(&mut self) {
        self.session.timed_out();
        // Nobody may be there to hear it.
        let _ = self.answer();
    }

    /// The message is durable under this id.
    pub fn accepted(&mut self, id: &str) {
        self.session.accepted(id);
    }

    /// The message was not taken.
    pub fn failed(&mut self, why: &str, persistence: Persistence) {
        match persistence {
            Persistence::Temporary => self.session.failed(why),
            Persistence::Permanent => self.session.refused(why),
        }
    }

    /// Feeds the session until something happens.
    fn pump(&mut self, idle: Duration) -> io::Result<Happened> {
        loop {
            let mut rest = &self.input[self.taken..];
            let before = rest.len();
            let event = self.session.next(&mut rest);
            self.taken += before - rest.len();
            match event {
                Some(Event::Begin(transaction)) => return Ok(Happened::Begun(transaction)),
                Some(Event::Data(octets)) => {
                    self.text.extend_from_slice(octets);
                    return Ok(Happened::Text);
                }
                Some(Event::End) => return Ok(Happened::Whole),
                Some(Event::Abort) => return Ok(Happened::Cut),
                Some(Event::Quit) => {
                    self.answer()?;
                    return Ok(Happened::Over);
                }
                None => {
                    self.answer()?;
                    if self.fill(idle)? == 0 {
                        return Ok(match self.session.end_of_input() {
                            Some(_) => Happened::Cut,
                            None => Happened::Over,
                        });
                    }
                }
            }
        }
    }

    fn answer(&mut self) -> io::Result<()> {
        let replies = self.session.take_replies();
        if replies.is_empty() {
            return Ok(());
        }
        self.writer.write_all(replies.as_bytes())?;
        self.writer.flush()
    }

    fn fill(&mut self, idle: Duration) -> io::Result<usize> {
        wait(&self.reader, idle)?;
        self.input.clear();
        self.taken = 0;
        self.input.resize(1 << 16, 0);
        let got = loop {
            match self.reader.read(&mut self.input) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.input.truncate(*got.as_ref().unwrap_or(&0));
        got
    }
}

/// How long a client may pause in the middle of a message (RFC 5321 section 4.5.3.2.5 gives three minutes a block).
const PAUSE: Duration = Duration::from_secs(600);

impl<R: Read + AsFd, W: Write> Read for Dialogue<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.text.is_empty() {
            match self.end {
                End::Reached => return Ok(0),
                End::Cut => return Err(ErrorKind::UnexpectedEof.into()),
                End::Ahead => {}
            }
            match self.pump(PAUSE)? {
                Happened::Whole => self.end = End::Reached,
                Happened::Cut | Happened::Over | Happened::Begun(_) => self.end = End::Cut,
                Happened::Text => {}
            }
        }
        let count = buffer.len().min(self.text.len());
        buffer[..count].copy_from_slice(&self.text[..count]);
        self.text.drain(..count);
        Ok(count)
    }
}

fn wait(reader: &impl AsFd, idle: Duration) -> io::Result<()> {
    let timeout = PollTimeout::try_from(idle).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) => return Ok(()),
        }
    }
}
