//! Commands out, replies in, with whoever listens hearing both. Knows the order of octets, not of commands; and what
//! must not be heard, for relays that repeat what they refuse.

use super::command::Flight;
use super::fault::Fault;
use super::reply::{Assembler, NoReply, told};
use super::stream::Stream;
use super::{Direction, Watch};
use lettre::transport::smtp::response::Response;
use std::time::Instant;
use zeroize::Zeroizing;

/// A conversation with one relay.
pub struct Dialogue {
    pub stream: Stream,
    hushed: Vec<Zeroizing<String>>,
}

impl Dialogue {
    /// Begins where the connection begins: nothing is said yet.
    pub fn new(stream: Stream) -> Dialogue {
        Dialogue { stream, hushed: Vec::new() }
    }

    /// Does not repeat this, nor a start of it, when it comes back in a reply.
    pub fn hush(&mut self, secret: &str) {
        if secret.len() >= TELLING {
            self.hushed.push(Zeroizing::new(secret.to_string()));
        }
    }

    /// Forgets what was to be hushed.
    pub fn forget(&mut self) {
        self.hushed.clear();
    }

    /// A text of the relay's without what was hushed.
    pub fn censored(&self, text: &str) -> String {
        self.hushed.iter().fold(text.to_string(), |text, secret| without(&text, secret))
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
                    Fault::Closed(None) => Fault::Closed(assembler.fragment().map(|words| self.censored(&words))),
                    fault => fault,
                })?;
            }
            let (taken, response) = assembler.take(self.stream.inbox()).map_err(|fault| self.garbled(fault))?;
            self.stream.consume(taken);
            if let Some(response) = response {
                let said = Response::new(response.code(), response.message().map(|line| self.censored(line)).collect());
                observe(&said, watch);
                // A challenge is to be answered as it came.
                let is_challenge = u16::from(response.code()) / 100 == 3;
                return Ok(if is_challenge { response } else { said });
            }
        }
    }

    fn garbled(&self, what: NoReply) -> Fault {
        Fault::Garbled(match what {
            NoReply::Grammar(line) => NoReply::Grammar(self.censored(&line)),
            what => what,
        })
    }

    /// Sends one command and reads its reply.
    pub fn ask(&mut self, flight: &Flight, watch: &mut Watch) -> Result<Response, Fault> {
        self.send(flight, watch)?;
        self.reply(watch)
    }
}

/// So many octets of a secret tell it from other words.
const TELLING: usize = 6;

/// Every place where `secret` begins, as far as it goes on, becomes four asterisks.
fn without(text: &str, secret: &str) -> String {
    let start: String = secret.chars().take(TELLING).collect();
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&start) {
        let same = rest[at..].chars().zip(secret.chars()).take_while(|(a, b)| a == b);
        let length: usize = same.map(|(letter, _)| letter.len_utf8()).sum();
        shown.push_str(&rest[..at]);
        shown.push_str("****");
        rest = &rest[at + length..];
    }
    shown + rest
}

fn observe(response: &Response, watch: &mut Watch) {
    let mut lines = response.message().peekable();
    while let Some(line) = lines.next() {
        let separator = if lines.peek().is_some() { '-' } else { ' ' };
        watch.observer.line(Direction::Server, &format!("{}{separator}{line}", response.code()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_comes_back_is_not_repeated() {
        for (text, shown) in [
            ("unknown AUTH PLAIN c2VjcmV0IQ== here", "unknown AUTH PLAIN **** here"),
            ("cut off: AUTH PLAIN c2VjcmV0", "cut off: AUTH PLAIN ****"),
            ("c2VjcmV0IQ==c2VjcmV0IQ==", "********"),
            ("c2Vjc", "c2Vjc"),
            ("", ""),
        ] {
            assert_eq!(without(text, "c2VjcmV0IQ=="), shown);
        }
        assert_eq!(without("wrong: äöüäöüß", "äöüäöüß"), "wrong: ****");
    }
}
