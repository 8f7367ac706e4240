//! One session: which command may follow which, what is replied, when a message begins and ends.

use super::body::{Piece, Text};
use super::command::{self, COMMANDS, Command, Refusal};
use super::event::{Event, Question, Settings, Tongue};
use super::line::{Ends, Line, Lines};
use super::transaction::{Forward, Transaction, Wishes, too_big};
use std::fmt::{Display, Write};

/// The server's side of one connection.
pub struct Session {
    settings: Settings,
    replies: String,
    lines: Lines,
    /// How the first line ended, and so all do.
    ends: Option<Ends>,
    phase: Phase,
    mail: Mail,
    /// What is to be said at the end of the message; once it is known, the octets before the end are skipped.
    verdict: Option<Verdict>,
    /// Whether the driver has a draft open.
    draft: bool,
    /// Octets of the message so far.
    size: u64,
    /// Command lines since the last message was accepted.
    commands: u32,
}

/// What the next octets are.
enum Phase {
    Command,
    /// [`Event::Begin`] for DATA has been given; the driver may have failed to open a draft.
    Opening,
    Text(Text),
    Chunk {
        left: u64,
        last: bool,
    },
    /// [`Event::End`] has been given.
    Deciding,
    Closed,
}

/// What is known of the transaction.
enum Mail {
    None,
    Envelope(Transaction),
    /// Some chunk of BDAT was taken; only more chunks may follow.
    Chunks,
}

enum Verdict {
    Accepted(String),
    Not(Refusal),
}

/// Command lines without a message in between, after which a client is taken to be mad.
const MOST_COMMANDS: u32 = 10_000;

impl Session {
    /// A session that has its greeting to write.
    pub fn new(settings: Settings) -> Session {
        let mut session = Session {
            settings,
            replies: String::new(),
            lines: Lines::default(),
            ends: None,
            phase: Phase::Command,
            mail: Mail::None,
            verdict: None,
            draft: false,
            size: 0,
            commands: 0,
        };
        let greeting = format!("220 {} ESMTP mailchute", session.settings.host);
        session.reply(greeting);
        session
    }

    /// The replies to write now. Commands may come in groups (RFC 2920), so they are written when the input is used
    /// up.
    pub fn take_replies(&mut self) -> String {
        std::mem::take(&mut self.replies)
    }

    /// Takes octets from the front of the input until something has to be done; `None` when the input is used up.
    /// Must be called until then, even when the input is already empty.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Event<'a>> {
        loop {
            let event = match &mut self.phase {
                Phase::Command => {
                    let line = self.lines.next(input)?;
                    self.line(line)
                }
                Phase::Opening => self.open_text(),
                Phase::Text(text) => match text.next(input)? {
                    Piece::Octets(octets) => self.octets(octets),
                    Piece::End => self.end(),
                },
                Phase::Chunk { left: 0, last: true } => self.end(),
                Phase::Chunk { left: 0, last: false } => self.end_of_chunk(),
                Phase::Chunk { left, .. } => {
                    let size = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                    let (octets, rest) = input.split_at(size);
                    if octets.is_empty() {
                        return None;
                    }
                    *left -= octets.len() as u64;
                    *input = rest;
                    self.octets(octets)
                }
                Phase::Deciding => self.decided(),
                Phase::Closed => return None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// The message is durable under this id.
    pub fn accepted(&mut self, id: &str) {
        self.verdict = Some(Verdict::Accepted(command::words(id)));
    }

    /// The message could not be taken now. May be said from [`Event::Begin`] on; the rest of the message is skipped.
    pub fn failed(&mut self, why: &str) {
        self.give_up(Refusal::new(451, "4.3.0", why));
    }

    /// The message will never be taken. May be said from [`Event::Begin`] on; the rest of the message is skipped.
    pub fn refused(&mut self, why: &str) {
        self.give_up(Refusal::new(554, "5.0.0", why));
    }

    /// As [`Session::failed`] or [`Session::refused`], with a code of its own (RFC 3463).
    pub fn declined(&mut self, code: u16, enhanced: &'static str, why: &str) {
        self.give_up(Refusal::new(code, enhanced, why));
    }

    /// What was asked for, line by line.
    pub fn answer(&mut self, text: &str) {
        for line in text.lines() {
            self.reply(format_args!("250-{line}"));
        }
        self.reply("250 2.0.0 Ok");
    }

    /// The client has gone: a message without its end is no message.
    pub fn end_of_input(&mut self) -> Option<Event<'static>> {
        self.phase = Phase::Closed;
        std::mem::take(&mut self.draft).then_some(Event::Abort)
    }

    /// The client has been silent for too long.
    pub fn timed_out(&mut self) -> Option<Event<'static>> {
        let refusal = Refusal::new(421, "4.4.2", format!("{} idle for too long", self.settings.host));
        self.reply(refusal);
        self.end_of_input()
    }

    fn reply(&mut self, line: impl Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.replies, "{line}\r\n");
    }

    fn line(&mut self, line: Line) -> Option<Event<'static>> {
        self.commands += 1;
        if self.commands > MOST_COMMANDS {
            self.reply(Refusal::new(421, "4.7.0", "too many commands without a message"));
            self.phase = Phase::Closed;
            return Some(Event::Quit);
        }
        let parsed = match line {
            Line::TooLong => Err(Refusal::new(500, "5.5.2", "line too long")),
            Line::Complete(line, ends) => {
                self.ends.get_or_insert(ends);
                command::parse(&line, self.settings.max_size)
            }
        };
        let answer = parsed.and_then(|command| self.command(command));
        answer.unwrap_or_else(|refusal| {
            self.reply(refusal);
            None
        })
    }

    fn command(&mut self, command: Command) -> Result<Option<Event<'static>>, Refusal> {
        match command {
            Command::Ehlo => {
                let offer = self.offer();
                self.replies.push_str(&offer);
                return Ok(self.reset());
            }
            Command::Helo => {
                let host = format!("250 {}", self.settings.host);
                self.reply(host);
                return Ok(self.reset());
            }
            Command::Mail(transaction) => self.mail(transaction)?,
            Command::Rcpt(forward) => self.recipient(forward)?,
            Command::Data => return self.data().map(Some),
            Command::Bdat { size, last } => return Ok(self.chunk(size, last)),
            Command::Rset => {
                self.reply("250 2.0.0 Ok");
                return Ok(self.reset());
            }
            Command::Noop => self.reply("250 2.0.0 Ok"),
            Command::Vrfy => self.reply("252 2.0.0 send mail, and it will show"),
            Command::Queue(form) if self.settings.tongue == Tongue::Ours => {
                return Ok(Some(Event::Asked(Question::Queue(form))));
            }
            Command::Flush if self.settings.tongue == Tongue::Ours => return Ok(Some(Event::Asked(Question::Flush))),
            Command::Health if self.settings.tongue == Tongue::Ours => return Ok(Some(Event::Asked(Question::Health))),
            Command::Queue(_) | Command::Health => return Err(Refusal::unknown()),
            Command::Flush => {
                return Err(Refusal::new(458, "4.3.0", "no mail is kept for others; use sendmail -q"));
            }
            Command::Help => self.reply(format_args!("214 2.0.0 {COMMANDS}")),
            Command::Quit => {
                self.reply("221 2.0.0 Bye");
                self.phase = Phase::Closed;
                return Ok(Some(Event::Quit));
            }
        }
        Ok(None)
    }

    fn offer(&self) -> String {
        let size = self.settings.max_size.map_or("SIZE".to_owned(), |max| format!("SIZE {max}"));
        format!(
            "250-{}\r\n250-PIPELINING\r\n250-{size}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n\
             250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 HELP\r\n",
            self.settings.host
        )
    }

    fn mail(&mut self, transaction: Transaction) -> Result<(), Refusal> {
        let Mail::None = self.mail else { return Err(Refusal::order("MAIL has been given")) };
        if self.settings.tongue == Tongue::Standard && transaction.wishes != Wishes::default() {
            return Err(Refusal::new(555, "5.5.4", "unknown parameter"));
        }
        self.mail = Mail::Envelope(transaction);
        self.reply("250 2.1.0 Ok");
        Ok(())
    }

    fn recipient(&mut self, forward: Forward) -> Result<(), Refusal> {
        let Mail::Envelope(transaction) = &mut self.mail else { return Err(Refusal::order("MAIL comes first")) };
        if transaction.recipients.len() >= self.settings.max_recipients {
            return Err(Refusal::new(452, "4.5.3", "too many recipients"));
        }
        transaction.recipients.push(forward);
        self.reply("250 2.1.5 Ok");
        Ok(())
    }

    /// The transaction, once it has what a message needs.
    fn begin(&mut self, next: Mail) -> Result<Event<'static>, Refusal> {
        match std::mem::replace(&mut self.mail, next) {
            Mail::Envelope(transaction) if !transaction.recipients.is_empty() => {
                self.draft = true;
                self.size = 0;
                Ok(Event::Begin(transaction))
            }
            other => {
                let refusal = match &other {
                    Mail::None => "MAIL comes first",
                    Mail::Envelope(_) => "RCPT comes first",
                    Mail::Chunks => "only BDAT may follow BDAT",
                };
                self.mail = other;
                Err(Refusal::order(refusal))
            }
        }
    }

    fn data(&mut self) -> Result<Event<'static>, Refusal> {
        let event = self.begin(Mail::None)?;
        self.phase = Phase::Opening;
        Ok(event)
    }

    fn open_text(&mut self) -> Option<Event<'static>> {
        if self.verdict.is_some() {
            return self.decided();
        }
        self.reply("354 end with a dot on a line by itself");
        self.phase = Phase::Text(Text::new(self.ends.unwrap_or(Ends::Crlf)));
        None
    }

    /// The octets of a chunk come whether it may stand here or not, so a refused one is skipped, and only then
    /// answered.
    fn chunk(&mut self, left: u64, last: bool) -> Option<Event<'static>> {
        self.phase = Phase::Chunk { left, last };
        if let Mail::Chunks = self.mail {
            return None;
        }
        match self.begin(Mail::Chunks) {
            Ok(event) => Some(event),
            Err(refusal) => {
                self.phase = Phase::Chunk { left, last: true };
                self.verdict = Some(Verdict::Not(refusal));
                None
            }
        }
    }

    fn octets<'a>(&mut self, octets: &'a [u8]) -> Option<Event<'a>> {
        if self.verdict.is_some() {
            return None;
        }
        self.size += octets.len() as u64;
        if self.settings.max_size.is_some_and(|max| self.size > max) {
            self.give_up(too_big(self.settings.max_size));
            return Some(Event::Abort);
        }
        Some(Event::Data(octets))
    }

    fn end_of_chunk(&mut self) -> Option<Event<'static>> {
        self.phase = Phase::Command;
        match &self.verdict {
            Some(Verdict::Not(refusal)) => {
                let refusal = refusal.clone();
                self.reply(refusal);
            }
            Some(Verdict::Accepted(_)) | None => self.reply("250 2.0.0 Ok"),
        }
        None
    }

    fn end(&mut self) -> Option<Event<'static>> {
        if self.verdict.is_some() {
            return self.decided();
        }
        self.phase = Phase::Deciding;
        Some(Event::End)
    }

    /// Says what became of the message. A driver that has said nothing has not taken it.
    fn decided(&mut self) -> Option<Event<'static>> {
        match self.verdict.take() {
            Some(Verdict::Accepted(id)) => {
                self.commands = 0;
                self.reply(format_args!("250 2.0.0 Ok: queued as {id}"));
            }
            Some(Verdict::Not(refusal)) => self.reply(refusal),
            None => self.reply(Refusal::new(451, "4.3.0", "not taken")),
        }
        self.draft = false;
        self.mail = Mail::None;
        self.phase = Phase::Command;
        None
    }

    fn give_up(&mut self, refusal: Refusal) {
        self.draft = false;
        // The first reason is the reason: a driver whose draft was aborted for its size has only seen it cut off.
        self.verdict.get_or_insert(Verdict::Not(refusal));
    }

    /// Forgets the transaction, as RSET asks.
    fn reset(&mut self) -> Option<Event<'static>> {
        self.mail = Mail::None;
        self.verdict = None;
        std::mem::take(&mut self.draft).then_some(Event::Abort)
    }
}

#[cfg(test)]
mod tests;
