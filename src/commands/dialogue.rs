//! A server session on a pair of streams. While a message comes in, it is a reader of that message, which ends with
//! an error when the client goes away before the end: a message without its end is no message.

use super::Failed;
use crate::exit::Exit;
use crate::server::{Event, Question, Session, Transaction};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Its octets are read from the dialogue.
    Message(Box<Transaction>),
    /// To be answered.
    Question(Question),
    /// The client said QUIT or went away between messages.
    Over,
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
    pauses: Pauses,
    /// When a message that has begun must be whole.
    deadline: Option<Instant>,
}

/// How long a client may take in the middle of a message.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// Between two octets.
    pub silence: Duration,
    /// From its beginning to its end.
    pub message: Duration,
}

impl Pauses {
    /// RFC 5321 section 4.5.3.2.5 gives three minutes a block; a program that we serve alone may take a day.
    pub const ALONE: Pauses = Pauses { silence: Duration::from_secs(600), message: Duration::from_secs(86_400) };
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
    Asked(Question),
    Text,
    Whole,
    Cut,
    Over,
}

impl<R: Read + AsFd, W: Write> Dialogue<R, W> {
    pub fn new(session: Session, reader: R, writer: W, pauses: Pauses) -> Dialogue<R, W> {
        let (input, text, end, deadline) = (Vec::new(), Vec::new(), End::Reached, None);
        Dialogue { session, reader, writer, input, taken: 0, text, end, pauses, deadline }
    }

    /// Goes on to the next message; its octets are then read from `self`.
    ///
    /// # Errors
    /// `TimedOut` when the client was silent for so long, and may be asked again; anything else ends the session.
    pub fn next_message(&mut self, idle: Duration) -> io::Result<Next> {
        self.deadline = None;
        loop {
            match self.pump(idle)? {
                Happened::Begun(transaction) => {
                    (self.end, self.text) = (End::Ahead, Vec::new());
                    self.deadline = Instant::now().checked_add(self.pauses.message);
                    return Ok(Next::Message(Box::new(transaction)));
                }
                Happened::Asked(question) => return Ok(Next::Question(question)),
                Happened::Over => return Ok(Next::Over),
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
        let _ = self.reply();
    }

    /// The message is durable under this id.
    pub fn accepted(&mut self, id: &str) {
        self.session.accepted(id);
    }

    /// The message was not taken.
    pub fn failed(&mut self, failed: &Failed) {
        let (code, enhanced) = match failed.exit() {
            Exit::DataErr => (554, "5.6.0"),
            Exit::NoUser => (550, "5.1.1"),
            Exit::NoPerm => (550, "5.7.1"),
            Exit::Unavailable | Exit::Usage => (554, "5.0.0"),
            Exit::Config => (451, "4.3.5"),
            Exit::Ok | Exit::NoInput | Exit::Software | Exit::OsErr | Exit::IoErr | Exit::TempFail => (451, "4.3.0"),
            Exit::Warning | Exit::Critical => (451, "4.3.0"),
        };
        self.session.declined(code, enhanced, &failed.told());
    }

    /// What was asked for.
    pub fn answer(&mut self, text: &str) {
        self.session.answer(text);
    }

    /// Says what became of the message at once, unless some of it is still to come.
    ///
    /// # Errors
    /// The client does not listen.
    pub fn tell(&mut self) -> io::Result<()> {
        if self.end != End::Reached {
            return Ok(());
        }
        let mut nothing: &[u8] = &[];
        let _ = self.session.next(&mut nothing);
        self.reply()
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
                Some(Event::Asked(question)) => return Ok(Happened::Asked(question)),
                Some(Event::Abort) => return Ok(Happened::Cut),
                Some(Event::Quit) => {
                    self.reply()?;
                    return Ok(Happened::Over);
                }
                None => {
                    self.reply()?;
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

    fn reply(&mut self) -> io::Result<()> {
        let replies = self.session.take_replies();
        if replies.is_empty() {
            return Ok(());
        }
        self.writer.write_all(replies.as_bytes())?;
        self.writer.flush()
    }

    fn fill(&mut self, idle: Duration) -> io::Result<usize> {
        let left = self.deadline.map_or(idle, |end| end.saturating_duration_since(Instant::now()));
        wait(&self.reader, idle.min(left))?;
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

impl<R: Read + AsFd, W: Write> Read for Dialogue<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.text.is_empty() {
            match self.end {
                End::Reached => return Ok(0),
                End::Cut => return Err(ErrorKind::UnexpectedEof.into()),
                End::Ahead => {}
            }
            match self.pump(self.pauses.silence)? {
                Happened::Whole => self.end = End::Reached,
                Happened::Cut | Happened::Over | Happened::Begun(_) | Happened::Asked(_) => self.end = End::Cut,
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
