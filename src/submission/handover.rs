//! The message itself on its way: with DATA or BDAT, behind the envelope or after it, in writes of a fixed size however
//! long it is.

use super::command::Flight;
use super::fault::Fault;
use super::reply::told;
use super::session::Session;
use super::transaction::End;
use super::{Direction, Watch};
use crate::mail::outcome::{Reply, Stage};
use crate::mail::wire::Wire;
use lettre::transport::smtp::commands::Data;
use std::io;
use std::time::Instant;

/// A message up to this size goes out behind its envelope, before the envelope's replies are in.
const SMALL: u64 = 64 * 1024;
/// A message goes out in writes of this size.
const PIECE: usize = 64 * 1024;

/// How the message goes: with which command, and whether in one flight with the envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    BdatBehind,
    BdatAfter,
    DataBehind,
    DataAfter,
}

impl Verb {
    /// The way with the fewest flights.
    pub fn choose(session: &Session, wire: &Wire) -> Verb {
        match (session.capabilities.chunking, session.capabilities.pipelining) {
            (true, true) if wire.size() <= SMALL => Verb::BdatBehind,
            (true, _) => Verb::BdatAfter,
            (false, true) => Verb::DataBehind,
            (false, false) => Verb::DataAfter,
        }
    }

    /// Whether it is sent before the envelope's replies are in.
    pub fn goes_behind(self) -> bool {
        matches!(self, Verb::BdatBehind | Verb::DataBehind)
    }

    fn is_bdat(self) -> bool {
        matches!(self, Verb::BdatBehind | Verb::BdatAfter)
    }

    /// The command, and with `BdatBehind` the message too.
    pub fn write(self, wire: &Wire, flight: &mut Flight) -> Result<(), Fault> {
        if !self.is_bdat() {
            return flight.command(&Data);
        }
        flight.command(&format!("BDAT {} LAST\r\n", wire.size()))?;
        flight.note_message(wire.size());
        if self == Verb::BdatBehind {
            let start = flight.octets().len();
            let read = wire.bdat(&mut |octets| {
                flight.message(octets);
                Ok(())
            });
            read.map_err(|error| Fault::Message(error.to_string()))?;
            if (flight.octets().len() - start) as u64 != wire.size() {
                return Err(Fault::Message("it is not as long as was announced".into()));
            }
        }
        Ok(())
    }
}

impl Session {
    /// The rest of a flight that went out although, as we know now, nobody is to get the message.
    pub(super) fn end_without_recipients(&mut self, verb: Verb, watch: &mut Watch) -> Result<(), End> {
        let reply = self.hear(Stage::Data, watch)?;
        let reply = match (verb, reply.code) {
            (Verb::DataBehind, 354) => {
                // RFC 2920 section 3.1: such a server gets its end of data and will refuse it.
                let mut flight = Flight::default();
                flight.message(b".\r\n");
                self.dialogue.send(&flight, watch).map_err(|fault| End::Broke(Stage::Data, fault))?;
                self.hear(Stage::Data, watch)?
            }
            (Verb::DataBehind, 200..=299) => return Err(End::Broke(Stage::Data, Fault::Unexpected(reply))),
            _ => reply,
        };
        match reply.code {
            300..=399 => Err(End::Broke(Stage::Data, Fault::Unexpected(reply))),
            _ => Ok(()),
        }
    }

    /// Sends the message, if it is not on its way, and reads the reply that decides.
    pub(super) fn hand_over(
        &mut self,
        verb: Verb,
        sent_behind: bool,
        wire: &Wire,
        watch: &mut Watch,
    ) -> Result<Reply, End> {
        let broke = |fault| End::Broke(Stage::Data, fault);
        let mut flight = Flight::default();
        match verb {
            Verb::BdatBehind => {
                let reply = self.hear(Stage::Data, watch)?;
                self.unclean = reply.code >= 400;
                return Ok(reply);
            }
            Verb::BdatAfter => verb.write(wire, &mut flight).map_err(broke)?,
            Verb::DataBehind | Verb::DataAfter => {
                if !sent_behind {
                    verb.write(wire, &mut flight).map_err(broke)?;
                    self.dialogue.send(&flight, watch).map_err(broke)?;
                    flight = Flight::default();
                }
                let reply = self.hear(Stage::Data, watch)?;
                match reply.code {
                    354 => {}
                    400..=599 => {
                        self.unclean = true;
                        return Ok(reply);
                    }
                    _ => return Err(broke(Fault::Unexpected(reply))),
                }
                flight.note_message(wire.size());
            }
        }
        if let Some(reply) = self.send_message(verb, &flight, wire, watch).map_err(broke)? {
            self.alive = false;
            return self.unless_closing(Stage::Data, reply);
        }
        let reply = self.hear(Stage::Data, watch)?;
        self.unclean = verb == Verb::BdatAfter && reply.code >= 400;
        Ok(reply)
    }

    /// Writes the message behind `lead`. A reply that comes before the end can only refuse it, and is returned.
    fn send_message(
        &mut self,
        verb: Verb,
        lead: &Flight,
        wire: &Wire,
        watch: &mut Watch,
    ) -> Result<Option<Reply>, Fault> {
        for line in lead.shown() {
            watch.observer.line(Direction::Client, &line);
        }
        let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
        piece.extend_from_slice(lead.octets());
        let mut count = 0;
        let mut broke = None;
        let stream = &mut self.dialogue.stream;
        let patience = &mut *watch.patience;
        // A piece goes out when the next one comes, so that the last one stays here until it is seen that no reply came
        // before it.
        let mut sink = |octets: &[u8]| {
            if piece.len() >= PIECE {
                let sent = stream.send(&piece, patience).and_then(|()| stream.is_quiet());
                piece.clear();
                match sent {
                    Ok(true) => {}
                    Ok(false) => broke = Some(Fault::Unasked),
                    Err(fault) => broke = Some(fault),
                }
            }
            piece.extend_from_slice(octets);
            count += octets.len() as u64;
            if broke.is_some() { Err(io::Error::other("not sent")) } else { Ok(()) }
        };
        let written = if verb.is_bdat() { wire.bdat(&mut sink) } else { wire.data(&mut sink) };
        if let Some(fault) = broke {
            return self.last_words(fault, watch).map(Some);
        }
        written.map_err(|error| Fault::Message(error.to_string()))?;
        if verb.is_bdat() && count != wire.size() {
            return Err(Fault::Message("it is not as long as was announced".into()));
        }
        match self.dialogue.stream.is_quiet() {
            Ok(true) => {}
            Ok(false) => return self.last_words(Fault::Unasked, watch).map(Some),
            Err(fault) => return Err(fault),
        }
        watch.patience.doubt(true);
        match self.dialogue.stream.send(&piece, watch.patience) {
            Ok(()) => Ok(None),
            Err(fault) => self.last_words(fault, watch).map(Some),
        }
    }

    /// What a relay that broke off, or spoke out of turn, has said: believed when it refuses.
    fn last_words(&mut self, fault: Fault, watch: &mut Watch) -> Result<Reply, Fault> {
        if self.dialogue.stream.inbox().is_empty() && self.dialogue.stream.is_quiet().unwrap_or(true) {
            return Err(fault);
        }
        match self.dialogue.reply_until(Instant::now(), watch) {
            Ok(response) if !response.is_positive() => Ok(told(&response)),
            _ => Err(fault),
        }
    }
}
