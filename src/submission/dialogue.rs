//! Commands out, replies in, with whoever listens hearing both. Knows the order of octets, not of commands.

use super::command::Flight;
use super::fault::Fault;
use super::reply::{Assembler, told};
use super::stream::Stream;
use super::{Direction, Watch};
use lettre::transport::smtp::response::Response;
use std::time::Instant;

/// A conversation with one relay.
pub struct Dialogue {
    pub stream: Stream,
}

impl Dialogue {
    /// Begins where the connection begins: nothing is said yet.
    pub fn new(stream: Stream) -> Dialogue {
        Dialogue { stream }
    }

    /// Sends a flight. Something received that answers nothing is an error, for it would be taken as the answer; but a
    /// relay may say that it closes (421) at any time.
    pub fn send(&mut self, flight: &Flight, watch: &mut Watch) -> Result<(), Fault> {
        if !self.stream.is_quiet()? {
            return Err(match self.reply_until(Instant::now(), watch) {
                Ok(response) if u16::from(response.code()) == 421 => Fault::Unexpected(told(&response)),
                _ => Fault::Unasked,
            });
        }
        if self.stream.has_ended() {
            return Err(Fault::Closed(None));
        }
        for line in flight.shown() {
            watch.observer.line(Direction::Client, &line);
        }
        self.stream.send(flight.octets(), watch.patience)
    }

    /// Reads one reply; the time limit for the whole of it starts now.
    pub fn reply(&mut self, watch: &mut Watch) -> Result<Response, Fault> {
        let end = watch.patience.deadline();
        self.reply_until(end, watch)
    }

    /// Reads one reply that must be complete at `end`. A connection that ends before the last line is no reply.
    pub fn reply_until(&mut self, end: Instant, watch: &mut Watch) -> Result<Response, Fault> {
        let mut assembler = Assembler::default();
        loop {
            if self.stream.inbox().is_empty() {
                self.stream.receive(end, watch.patience).map_err(|fault| match fault {
                    Fault::Closed(None) => Fault::Closed(assembler.fragment()),
                    fault => fault,
                })?;
            }
            let (taken, response) = assembler.take(self.stream.inbox()).map_err(Fault::Garbled)?;
            self.stream.consume(taken);
            if let Some(response) = response {
                observe(&response, watch);
                return Ok(response);
            }
        }
    }

    /// Sends one command and reads its reply.
    pub fn ask(&mut self, flight: &Flight, watch: &mut Watch) -> Result<Response, Fault> {
        self.send(flight, watch)?;
        self.reply(watch)
    }
}

fn observe(response: &Response, watch: &mut Watch) {
    let mut lines = response.message().peekable();
    while let Some(line) = lines.next() {
        let separator = if lines.peek().is_some() { '-' } else { ' ' };
        watch.observer.line(Direction::Server, &format!("{}{separator}{line}", response.code()));
    }
}
