//! A mailer of one page around the spool, for the crash campaigns to prove themselves on and for mutants to live in:
//! `put SPOOL RECIPIENT... < message` deposits, `flush SPOOL PORT` delivers to a relay on this host in plain SMTP,
//! bounces what is rejected, and `bench SPOOL` measures looking at a queue.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, clippy::unwrap_used, reason = "a test program")]

use mailchute::clock::Moment;
use mailchute::diagnostic::{Explain, render};
use mailchute::mail::address::Mailbox;
use mailchute::mail::envelope::{Envelope, Recipient, ReversePath};
use mailchute::mail::outcome::{Failure, Outcome, Reply, Stage};
use mailchute::spool::{Claim, Entry, QueueId, Shape, Spool, SpoolError, State, Ticket};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["put", spool, recipients @ ..] => put(Path::new(spool), recipients),
        ["flush", spool, port] => flush(Path::new(spool), port.parse().unwrap()),
        ["bench", spool] => bench(Path::new(spool)),
        _ => return ExitCode::from(64),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Input) => ExitCode::from(74),
        Err(Trouble::Spool(error)) => {
            let _ = io::stderr().write_all(render(&error).as_bytes());
            ExitCode::from(u8::try_from(error.exit().code()).unwrap())
        }
        Err(Trouble::Io(_)) => ExitCode::from(75),
    }
}

enum Trouble {
    Input,
    Spool(SpoolError),
    Io(#[allow(dead_code, reason = "shown when debugging")] io::Error),
}

impl From<SpoolError> for Trouble {
    fn from(error: SpoolError) -> Trouble {
        Trouble::Spool(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Io(error)
    }
}

fn put(path: &Path, recipients: &[&str]) -> Result<(), Trouble> {
    let mut message = Vec::new();
    io::stdin().read_to_end(&mut message).map_err(|_| Trouble::Input)?;
    let recipients = recipients.iter().map(|to| Recipient::new(Mailbox::parse(to).unwrap())).collect();
    let from = ReversePath::Mailbox(Mailbox::parse("alice@example.com").unwrap());
    let ticket = ticket(Envelope::new(from, recipients).unwrap());
    let header = message.windows(4).position(|four| four == b"\r\n\r\n").map_or(message.len(), |at| at + 4);
    let spool = Spool::open(path)?;
    let mut draft = spool.draft(&ticket)?;
    // In pieces, as a pipe delivers it.
    for piece in message.chunks(60_000) {
        draft.writer().write_all(piece)?;
    }
    draft.commit(shape(header, message.len() - header))?;
    Ok(())
}

fn ticket(envelope: Envelope) -> Ticket {
    Ticket { envelope, account: None, uid: 0, created: Moment::now(), message_id: String::new() }
}

fn shape(header: usize, body: usize) -> Shape {
    Shape { header: header as u64, body: body as u64, eight_bit: false }
}

fn flush(path: &Path, port: u16) -> Result<(), Trouble> {
    let spool = Spool::open(path)?;
    spool.tidy(Moment::now(), Spool::KEEP)?;
    let mut session = None;
    for id in spool.queue()? {
        if let Claim::Mine(entry) = spool.claim(&id)? {
            // What one entry cannot have must not keep the others waiting.
            if attempt(&spool, entry, &mut session, port).is_err() {
                session = None;
            }
        }
    }
    spool.sync()?;
    Ok(())
}

fn attempt(spool: &Spool, mut entry: Entry, session: &mut Option<Session>, port: u16) -> Result<(), Trouble> {
    let pending = entry.progress().which(State::Pending);
    if !pending.is_empty() {
        if session.is_none() {
            *session = Some(Session::open(port)?);
        }
        let now = Moment::now();
        let outcomes = session.as_mut().unwrap().submit(&entry, &pending)?;
        entry.record_all(outcomes.iter().map(|(index, outcome)| (*index, outcome)), now)?;
        let progress = entry.progress();
        let attempts = progress.attempts + 1;
        if !progress.finished() {
            entry.reschedule(attempts, now, now, Duration::ZERO)?;
        }
    }
    let Some(mut entry) = entry.settle()? else { return Ok(()) };
    let failed = entry.progress().which(State::Failed);
    if failed.is_empty() {
        return Ok(());
    }
    if let ReversePath::Mailbox(sender) = entry.ticket().envelope.reverse_path().clone() {
        bounce(spool, entry.id(), sender)?;
    }
    entry.mark_bounced()?;
    entry.settle()?;
    Ok(())
}

fn bounce(spool: &Spool, original: &QueueId, sender: Mailbox) -> Result<(), Trouble> {
    let header = format!("Message-ID: <bounce-of-{original}>\r\n\r\n");
    let envelope = Envelope::new(ReversePath::Null, vec![Recipient::new(sender)]).unwrap();
    let mut draft = spool.draft(&ticket(envelope))?;
    draft.writer().write_all(header.as_bytes())?;
    draft.commit_as(QueueId::derived(original, "bounce"), shape(header.len(), 0))?;
    Ok(())
}

/// A plain SMTP session of the simplest kind.
struct Session(BufReader<TcpStream>);

impl Session {
    fn open(port: u16) -> io::Result<Session> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut session = Session(BufReader::new(stream));
        session.expect_positive()?;
        session.say("EHLO stand-in.example\r\n")?;
        session.expect_positive()?;
        Ok(session)
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            if !line.ends_with('\n') || !line.is_char_boundary(4) || line.len() < 5 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes()[3] == b' ' {
                let code = line[..3].parse().map_err(|_| io::ErrorKind::InvalidData)?;
                return Ok(Reply { code, lines: vec![line[4..].trim_end().to_string()] });
            }
        }
    }

    fn expect_positive(&mut self) -> io::Result<Reply> {
        let reply = self.reply()?;
        if reply.code < 400 { Ok(reply) } else { Err(io::ErrorKind::ConnectionAborted.into()) }
    }

    fn submit(&mut self, entry: &Entry, pending: &[usize]) -> io::Result<Vec<(usize, Outcome)>> {
        let envelope = &entry.ticket().envelope;
        self.say(&format!("MAIL FROM:<{}>\r\n", envelope.reverse_path()))?;
        self.expect_positive()?;
        let (mut outcomes, mut welcome) = (Vec::new(), Vec::new());
        for recipient in pending {
            self.say(&format!("RCPT TO:<{}>\r\n", envelope.recipients()[*recipient].mailbox))?;
            let reply = self.reply()?;
            if reply.code < 400 {
                welcome.push(*recipient);
            } else {
                outcomes.push((*recipient, refusal(reply)));
            }
        }
        if welcome.is_empty() {
            self.say("RSET\r\n")?;
            self.expect_positive()?;
            return Ok(outcomes);
        }
        self.say("DATA\r\n")?;
        self.expect_positive()?;
        let message = [entry.header().read()?, entry.body().read()?].concat();
        let mut wire = Vec::new();
        for line in message.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        // A mutant may be sending half a message; the relay must see its end all the same.
        if !wire.ends_with(b"\r\n") {
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        self.0.get_mut().write_all(&wire)?;
        let reply = self.reply()?;
        let verdict = if reply.code < 400 { Outcome::Accepted(reply) } else { refusal(reply) };
        outcomes.extend(welcome.into_iter().map(|recipient| (recipient, verdict.clone())));
        Ok(outcomes)
    }
}

fn refusal(reply: Reply) -> Outcome {
    let permanent = reply.code >= 500;
    let failure =
        Failure { stage: Stage::Rcpt, relay: "relay".into(), reply: Some(reply), cause: String::new(), hint: None };
    if permanent { Outcome::Rejected(failure) } else { Outcome::Deferred(failure) }
}

fn bench(path: &Path) -> Result<(), Trouble> {
    let spool = Spool::open(path)?;
    let start = Instant::now();
    let ids = spool.queue()?;
    let listed = start.elapsed();
    let seen = ids.iter().filter(|id| matches!(spool.peek(id), Ok(Some(_)))).count();
    let peeked = start.elapsed() - listed;
    println!("{seen} entries: listed in {listed:?}, peeked at in {peeked:?}");
    Ok(())
}
