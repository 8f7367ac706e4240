//! Several small messages through one session without waiting for each. With CHUNKING they share a flight: RSET, MAIL,
//! RCPT and BDAT with the message, for one after the other, before the reply to the first is in; a round trip is divided
//! by their number, and when the connection breaks, all that were under way are in doubt, so they are few. Without it,
//! each goes in one flight with the envelope of the next (RFC 2920 section 3.1): a round trip for each instead of two,
//! and only one in doubt.
//!
//! RSET before each MAIL, since a BDAT that was refused leaves the transaction in a state that nobody knows (RFC 3030
//! section 2). Its reply is also the mark that we and the relay count the same: one that took a refused message for
//! commands would answer something else.

use super::command::Flight;
use super::fault::Fault;
use super::handover::Verb;
use super::session::Session;
use super::transaction::{End, Ledger, Said, Step};
use super::{Observer, Patience, Watch};
use crate::mail::envelope::Envelope;
use crate::mail::outcome::{Attempt, Reply, Stage};
use crate::mail::wire::Wire;
use std::collections::VecDeque;

/// What goes out in one flight, in octets: no more than a single message that goes behind its envelope.
const MOST: u64 = 64 * 1024;
/// Recipients of one message. So few are never too many for a relay, which would want the others in a transaction of
/// their own (452 4.5.3).
const RECIPIENTS: usize = 10;

/// Messages on their way, and the replies that are still to come.
#[derive(Default)]
pub struct Series {
    flight: Flight,
    members: VecDeque<Member>,
}

struct Member {
    steps: Vec<Step>,
    ledger: Ledger,
    /// The message, where the relay wants to be asked for it first (DATA).
    held: Option<Wire>,
}

impl Member {
    /// Writes the envelope, and DATA where that asks for the message.
    fn ask(&self, flight: &mut Flight) -> Result<(), Fault> {
        self.steps.iter().try_for_each(|step| step.write(flight))?;
        self.held.as_ref().map_or(Ok(()), |wire| Verb::DataBehind.write(wire, flight))
    }
}

impl Series {
    /// Writes the envelope of the message whose turn it is, if it has not gone out with all the others.
    fn ask_next(&self, flight: &mut Flight) -> Result<(), Fault> {
        self.members.front().filter(|member| member.held.is_some()).map_or(Ok(()), |member| member.ask(flight))
    }
}

impl Session {
    /// Adds a message behind the others. `false`: it has to go alone, or by a connection of its own.
    pub fn add(&self, series: &mut Series, envelope: &Envelope, recipients: &[usize], wire: Wire) -> bool {
        let Some(steps) = self.steps(series.members.len(), envelope, recipients, &wire) else { return false };
        let mut member = Member { steps, ledger: Ledger::new(recipients.len()), held: None };
        let mut part = Flight::default();
        if Verb::choose(self, &wire) == Verb::DataBehind {
            member.held = Some(wire);
        } else if series.flight.octets().len() as u64 + wire.size() > MOST
            || member.ask(&mut part).and_then(|()| Verb::BdatBehind.write(&wire, &mut part)).is_err()
        {
            return false;
        }
        series.flight.append(part);
        series.members.push_back(member);
        true
    }

    /// The envelope's commands of the next message of a series, when it can be in one.
    fn steps(&self, before: usize, envelope: &Envelope, recipients: &[usize], wire: &Wire) -> Option<Vec<Step>> {
        let server = self.capabilities.limits;
        let allowed = server.mail.is_none_or(|limit| self.transactions + before < limit);
        let small = recipients.len() <= RECIPIENTS && wire.size() <= MOST && Verb::choose(self, wire).goes_behind();
        if !self.alive || !allowed || !small || self.refuse_message(envelope, wire).is_some() {
            return None;
        }
        let candidate =
            |(position, index): (usize, &usize)| self.candidate(position, envelope.recipients().get(*index)?).ok();
        let mut waiting = recipients.iter().enumerate().map(candidate).collect::<Option<VecDeque<_>>>()?;
        let batch = self.next_batch(&mut waiting);
        let whole = waiting.is_empty() && !batch.is_empty();
        let mail = self.mail(envelope, &batch, wire);
        whole.then(|| {
            [Step::Reset, Step::Mail(mail)].into_iter().chain(batch.into_iter().map(Step::Recipient)).collect()
        })
    }

    /// Sends the first flight. A break shows in what is heard of its messages.
    pub fn launch(&mut self, series: &mut Series, patience: &mut Patience, observer: &mut dyn Observer) {
        // Nobody would hear of what is found wrong.
        if series.members.is_empty() {
            return;
        }
        let mut watch = Watch { patience, observer };
        self.transactions += series.members.len();
        let mut flight = std::mem::take(&mut series.flight);
        let sent = series.ask_next(&mut flight).and_then(|()| self.dialogue.send(&flight, &mut watch));
        if let (Err(fault), Some(first)) = (sent, series.members.front_mut()) {
            self.end(End::Broke(Stage::Mail, fault), &mut first.ledger);
        }
    }

    /// What became of the next message of a series that was launched; `None` when all have been heard.
    pub fn hear_next(
        &mut self,
        series: &mut Series,
        patience: &mut Patience,
        observer: &mut dyn Observer,
    ) -> Option<Attempt> {
        let Member { steps, mut ledger, held } = series.members.pop_front()?;
        if self.alive {
            let mut watch = Watch { patience, observer };
            let heard = self.hear_envelope(steps, &mut ledger, &mut watch);
            let heard = heard.and_then(|said| self.hear_message(said, held, series, &mut ledger, &mut watch));
            if let Err(end) = heard {
                self.end(end, &mut ledger);
            }
        } else {
            // One that was held back cannot have reached the relay.
            let stage = if held.is_some() { Stage::Connect } else { Stage::Mail };
            ledger.wait(self.failure(stage, "the connection broke over a message before it"));
        }
        Some(self.sum_up(ledger))
    }

    fn hear_envelope(&mut self, steps: Vec<Step>, ledger: &mut Ledger, watch: &mut Watch) -> Result<Said, End> {
        let mut said = Said::default();
        for step in steps {
            let stage = step.stage();
            let reply = self.hear(stage, watch)?;
            if matches!(step, Step::Reset) && !(200..300).contains(&reply.code) {
                return Err(End::Broke(stage, Fault::Unexpected(reply)));
            }
            self.note(step, reply, &mut said, ledger);
        }
        said.defer_postponed(ledger);
        Ok(said)
    }

    fn hear_message(
        &mut self,
        said: Said,
        held: Option<Wire>,
        series: &Series,
        ledger: &mut Ledger,
        watch: &mut Watch,
    ) -> Result<(), End> {
        let reply = match held {
            Some(wire) => self.send_held(&wire, said.accepted.is_empty(), series, watch)?,
            None => self.hear(Stage::Data, watch)?,
        };
        if (300..400).contains(&reply.code) {
            return Err(End::Broke(Stage::Data, Fault::Unexpected(reply)));
        }
        self.unclean = said.accepted.is_empty() || reply.code >= 400;
        if said.accepted.is_empty() { Ok(()) } else { self.settle_accepted(&said.accepted, reply, ledger) }
    }

    /// Sends a message that was held back once the relay asks for it, or what ends DATA when nobody is to get it (RFC
    /// 2920 section 3.1), and behind it the next one's envelope. The reply that decides.
    fn send_held(&mut self, wire: &Wire, nobody: bool, series: &Series, watch: &mut Watch) -> Result<Reply, End> {
        let broke = |fault| End::Broke(Stage::Data, fault);
        let reply = self.hear(Stage::Data, watch)?;
        let mut flight = Flight::default();
        match (reply.code, nobody) {
            (354, true) => flight.message(b".\r\n"),
            (354, false) => {
                flight.note_message(wire.size());
                let read = wire.data(&mut |octets| {
                    flight.message(octets);
                    Ok(())
                });
                read.map_err(|error| broke(Fault::Message(error.to_string())))?;
            }
            (400.., _) => {}
            _ => return Err(broke(Fault::Unexpected(reply))),
        }
        series.ask_next(&mut flight).map_err(broke)?;
        if !flight.octets().is_empty() {
            self.dialogue.send(&flight, watch).map_err(broke)?;
        }
        if reply.code == 354 { self.hear(Stage::Data, watch) } else { Ok(reply) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Deaf, patience};
    use super::super::transaction::tests::{CHUNKING, PIPELINING, PLAIN, envelope, letters, wire, with};
    use super::*;

    /// Launches as many copies of one message as fit of `count`, behind one another, and hears them all.
    fn fly(session: &mut Session, count: usize, to: &[&str], body: &str) -> Vec<String> {
        let envelope = envelope(to);
        let everyone: Vec<usize> = (0..to.len()).collect();
        let mut series = Series::default();
        let added =
            (0..count).take_while(|_| session.add(&mut series, &envelope, &everyone, wire(body, false))).count();
        session.launch(&mut series, &mut patience(), &mut Deaf);
        let heard = std::iter::from_fn(|| session.hear_next(&mut series, &mut patience(), &mut Deaf));
        let fates: Vec<String> = heard.map(|attempt| letters(&attempt)).collect();
        assert_eq!(fates.len(), added);
        fates
    }

    const MESSAGE: &str = "C: RSET\nC: MAIL\nC: RCPT TO:<b@y.org>\nC: BDAT 9 LAST\n!OCTETS 9\n";
    const TAKEN: &str = "S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 250 ok\n";

    #[test]
    fn messages_in_one_flight_have_each_their_own_fate() {
        // What the relay says once it has all three.
        let cases: [(&str, [&str; 3]); 10] = [
            ("", ["A-", "A-", "A-"]),
            ("S: 250 reset\nS: 550 no\nS: 503 no\nS: 503 no\n", ["R-", "A-", "A-"]),
            ("S: 250 reset\nS: 250 ok\nS: 451 no\nS: 503 no\n", ["D-", "A-", "A-"]),
            ("S: 250 reset\nS: 250 ok\nS: 452 4.5.3 no\nS: 503 no\n", ["D-", "A-", "A-"]),
            ("S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 554 no\n", ["R-", "A-", "A-"]),
            (
                "S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 550 5.4.5 Daily user sending limit exceeded.\n",
                ["DH", "A-", "A-"],
            ),
            // It takes the octets of a refused message for commands: whatever comes next answers something else.
            ("S: 250 reset\nS: 550 no\nS: 503 no\nS: 503 no\nS: 500 what\n", ["R-", "DW", "DW"]),
            ("S: 502 no such command\n", ["DW", "DW", "DW"]),
            ("S: 250 reset\nS: 421 bye\n!CLOSE\n", ["DW", "DW", "DW"]),
            ("S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 reset\n!CLOSE\n", ["A-", "DW", "DW"]),
        ];
        for (first, expected) in cases {
            let others = TAKEN.repeat(if first.is_empty() { 3 } else { 2 });
            let script = [CHUNKING, &MESSAGE.repeat(3), first, &others].concat();
            let work = |session: &mut Session| fly(session, 3, &["b@y.org"], "hello\r\n");
            assert_eq!(with(&script, |_| {}, work).0, expected, "{first}");
        }
    }

    #[test]
    fn with_data_a_message_goes_with_the_envelope_of_the_next() {
        let envelope = "C: RSET\nC: MAIL\nC: RCPT\nC: DATA\n";
        let asked = "S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 354 go\n!BODY\n";
        let last = [asked, "S: 250 ok\n"].concat();
        // What the relay says of the first, and hears of it once it has asked; then the second's envelope.
        let cases: [(&str, &str, [&str; 2]); 7] = [
            (asked, "S: 250 ok\n", ["A-", "A-"]),
            (asked, "S: 554 no\n", ["R-", "A-"]),
            ("S: 250 reset\nS: 250 ok\nS: 550 no\nS: 354 go\nC: .\n", "S: 554 nobody\n", ["R-", "A-"]),
            ("S: 250 reset\nS: 250 ok\nS: 550 no\nS: 554 nobody\n", "", ["R-", "A-"]),
            ("S: 250 reset\nS: 550 no\nS: 503 no\nS: 503 no\n", "", ["R-", "A-"]),
            ("S: 250 reset\nS: 250 ok\nS: 250 ok\nS: 451 later\n", "", ["D-", "A-"]),
            (asked, "!CLOSE\n", ["DW", "DW"]),
        ];
        for (first, end, expected) in cases {
            let script = [PIPELINING, envelope, first, envelope, end, &last].concat();
            let work = |session: &mut Session| fly(session, 2, &["b@y.org"], "hello\r\n");
            assert_eq!(with(&script, |_| {}, work).0, expected, "{first}{end}");
        }
    }

    #[test]
    fn a_session_goes_on_behind_a_series() {
        let refused = "S: 250 reset\nS: 250 ok\nS: 550 no\nS: 503 no\n";
        let script = [CHUNKING, &MESSAGE.repeat(2), TAKEN, refused, MESSAGE, TAKEN].concat();
        let work = |session: &mut Session| {
            let first = fly(session, 2, &["b@y.org"], "hello\r\n");
            let (envelope, wire) = (envelope(&["b@y.org"]), wire("hello\r\n", false));
            (first, letters(&session.submit(&envelope, &[0], &wire, &mut patience(), &mut Deaf)))
        };
        assert_eq!(with(&script, |_| {}, work).0, (vec!["A-".into(), "R-".into()], "A-".into()));
    }

    #[test]
    fn what_cannot_share_a_flight_is_left_alone() {
        let none: Vec<String> = Vec::new();
        let alone = |hello: &str, to: &[&str], body: &str| with(hello, |_| {}, |session| fly(session, 2, to, body)).0;
        assert_eq!(alone(PLAIN, &["b@y.org"], "hello\r\n"), none, "no pipelining");
        assert_eq!(alone(CHUNKING, &["b@y.org"; 11], "hello\r\n"), none, "many recipients");
        assert_eq!(alone(CHUNKING, &["b@y.org"], &"x\r\n".repeat(30_000)), none, "a long message");
        let script = [CHUNKING, "C: RSET\nC: MAIL\nC: RCPT\nC: BDAT 40002 LAST\n!OCTETS 40002\n", TAKEN].concat();
        assert_eq!(alone(&script, &["b@y.org"], &"12\r\n".repeat(10_000)), ["A-"], "two of 40 KB");
        let limited = "S: 220 hi\nC: EHLO\nS: 250-hi\nS: 250-PIPELINING\nS: 250-CHUNKING\nS: 250 LIMITS MAILMAX=1\n";
        assert_eq!(alone(&[limited, MESSAGE, TAKEN].concat(), &["b@y.org"], "hello\r\n"), ["A-"], "MAILMAX=1");
    }
}
