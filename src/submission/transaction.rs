//! One message through an open session: MAIL, RCPT, DATA or BDAT in as few flights as the relay allows, and what
//! became of each recipient. Only a reply to the end of the message accepts; only a 5yz reply about it rejects.

use super::classify::{Verdict, classify};
use super::command::Flight;
use super::fault::Fault;
use super::reply::told;
use super::session::Session;
use super::{Observer, Patience, Watch};
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Envelope, Recipient, ReversePath};
use crate::mail::outcome::{Attempt, Failure, Outcome, Reply, Stage, Trouble};
use crate::mail::wire::Wire;
use lettre::Address;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter, RcptParameter};
use lettre::transport::smtp::response::Severity;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::time::Instant;

/// A message up to this size goes out behind its envelope, before the envelope's replies are in.
const SMALL: u64 = 64 * 1024;
/// Commands sent before their replies are read, in octets: less than any socket buffer holds of replies.
const BATCH: usize = 32 * 1024;
/// A message goes out in writes of this size.
const PIECE: usize = 64 * 1024;

impl Session {
    /// One message to the recipients whose indexes are given; the outcomes are in that order. More recipients than the
    /// relay takes at once go out in several transactions.
    pub fn submit(
        &mut self,
        envelope: &Envelope,
        recipients: &[usize],
        wire: &Wire,
        patience: &mut Patience,
        observer: &mut dyn Observer,
    ) -> Attempt {
        if !self.alive {
            let failure = self.failure(Stage::Mail, "the connection is no longer usable");
            return Attempt::failed(Trouble::Waiting(failure), recipients.len());
        }
        let mut watch = Watch { patience, observer };
        let mut ledger = Ledger { outcomes: vec![None; recipients.len()], trouble: None };
        if let Some(failure) = self.refuse_message(envelope, wire) {
            ledger.settle_all(|| Outcome::Rejected(failure.clone()));
        }
        let mut waiting = VecDeque::new();
        for (position, &index) in recipients.iter().enumerate() {
            match envelope.recipients().get(index).map(|recipient| self.candidate(position, recipient)) {
                Some(Ok(candidate)) if ledger.outcomes[position].is_none() => waiting.push_back(candidate),
                Some(Err(failure)) => ledger.settle(position, Outcome::Rejected(failure)),
                Some(Ok(_)) | None => {}
            }
        }
        while !waiting.is_empty() && ledger.trouble.is_none() && self.takes_more() {
            let batch = self.next_batch(&mut waiting);
            match self.transact(envelope, batch, wire, &mut ledger, &mut watch) {
                Ok(postponed) => postponed.into_iter().rev().for_each(|candidate| waiting.push_front(candidate)),
                Err(end) => self.end(end, &mut ledger),
            }
            waiting.retain(|candidate| ledger.outcomes[candidate.position].is_none());
        }
        let undecided = match &ledger.trouble {
            Some(trouble) => trouble.failure().clone(),
            None => self.failure(Stage::Mail, "the relay takes no more on this connection"),
        };
        ledger.settle_all(|| Outcome::Deferred(undecided.clone()));
        Attempt { outcomes: ledger.outcomes.into_iter().flatten().collect(), trouble: ledger.trouble }
    }

    /// Why the message as a whole cannot go through this relay, before a byte of it is sent.
    fn refuse_message(&self, envelope: &Envelope, wire: &Wire) -> Option<Failure> {
        let limit = self.capabilities.size.flatten().into_iter().chain(self.limits.size).min();
        if let Some(limit) = limit.filter(|&limit| wire.size() > limit) {
            let cause = format!("5.3.4 the message has {} octets, the relay takes {limit}", wire.size());
            let hint = Some("send a link, or in parts".into());
            return Some(Failure { hint, ..self.failure(Stage::Mail, &cause) });
        }
        match envelope.reverse_path() {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => {
                let cause = self.unsendable(mailbox)?;
                let hint = Some("set from in the account to an ASCII address".into());
                Some(Failure { hint, ..self.failure(Stage::Mail, cause) })
            }
        }
    }

    fn candidate(&self, position: usize, recipient: &Recipient) -> Result<Candidate, Failure> {
        if let Some(cause) = self.unsendable(&recipient.mailbox) {
            return Err(self.failure(Stage::Rcpt, cause));
        }
        let command = Rcpt::new(address(&recipient.mailbox), self.recipient_parameters(recipient));
        if Flight::default().command(&command).is_err() {
            return Err(self.failure(Stage::Rcpt, &Fault::Unsendable.words()));
        }
        let domain = recipient.mailbox.domain().to_lowercase();
        Ok(Candidate { position, command, domain, smtputf8: recipient.mailbox.needs_smtputf8() })
    }

    fn unsendable(&self, mailbox: &Mailbox) -> Option<&'static str> {
        if mailbox.needs_smtputf8() && !self.capabilities.smtputf8 {
            Some("5.6.7 the address needs SMTPUTF8 (RFC 6531), which the relay does not offer")
        } else if mailbox.with_ascii_domain().is_none() {
            Some("5.1.2 the domain is no name that DNS can have")
        } else {
            None
        }
    }

    /// NOTIFY and ORCPT (RFC 3461 section 4).
    fn recipient_parameters(&self, recipient: &Recipient) -> Vec<RcptParameter> {
        let mut parameters = Vec::new();
        if self.capabilities.dsn {
            let mut add = |keyword: &str, value: String| {
                parameters.push(RcptParameter::Other { keyword: keyword.into(), value: Some(value) });
            };
            if let Some(notify) = recipient.notify {
                add("NOTIFY", notify.to_string());
            }
            if let Some(original) = recipient.original.as_ref().filter(|original| is_xtext_source(original)) {
                add("ORCPT", original.clone());
            }
        }
        parameters
    }

    fn mail(&self, envelope: &Envelope, batch: &[Candidate], wire: &Wire) -> Mail {
        let mut parameters = Vec::new();
        if self.capabilities.size.is_some() {
            parameters.extend(usize::try_from(wire.size()).map(MailParameter::Size));
        }
        if wire.eight_bit() && self.capabilities.eight_bit {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let sender = match envelope.reverse_path() {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        };
        let needs_smtputf8 = sender.is_some_and(Mailbox::needs_smtputf8);
        if needs_smtputf8 || batch.iter().any(|candidate| candidate.smtputf8) {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if self.capabilities.dsn {
            let mut add = |keyword: &str, value: String| {
                parameters.push(MailParameter::Other { keyword: keyword.into(), value: Some(value) });
            };
            if let Some(ret) = envelope.ret {
                add("RET", ret.to_string());
            }
            if let Some(envid) = envelope.envid.as_ref().filter(|envid| is_xtext_source(envid)) {
                add("ENVID", envid.clone());
            }
        }
        Mail::new(sender.map(address), parameters)
    }

    /// As many recipients as one transaction takes.
    fn next_batch(&self, waiting: &mut VecDeque<Candidate>) -> Vec<Candidate> {
        let server = self.capabilities.limits;
        let most = self.limits.recipients.min(server.recipients.unwrap_or(usize::MAX)).max(1);
        let most_domains = server.domains.unwrap_or(usize::MAX);
        let mut domains = HashSet::new();
        let mut batch = Vec::new();
        let mut left = VecDeque::new();
        for candidate in waiting.drain(..) {
            let fits = domains.len() < most_domains || domains.contains(&candidate.domain);
            if batch.len() < most && fits {
                domains.insert(candidate.domain.clone());
                batch.push(candidate);
            } else {
                left.push_back(candidate);
            }
        }
        *waiting = left;
        batch
    }

    /// One transaction. Returns the recipients that the relay wants in the next one.
    fn transact(
        &mut self,
        envelope: &Envelope,
        batch: Vec<Candidate>,
        wire: &Wire,
        ledger: &mut Ledger,
        watch: &mut Watch,
    ) -> Result<Vec<Candidate>, End> {
        self.transactions += 1;
        let mail = self.mail(envelope, &batch, wire);
        let reset = std::mem::take(&mut self.unclean).then_some(Step::Reset);
        let mut steps: VecDeque<Step> = reset.into_iter().chain([Step::Mail(mail)]).collect();
        steps.extend(batch.into_iter().map(Step::Recipient));
        let verb = Verb::choose(self, wire);
        let mut said = Said::default();
        let mut sent_behind = false;
        while !steps.is_empty() && !said.mail_refused {
            let mut flight = Flight::default();
            let mut expected = Vec::new();
            while let Some(step) = steps.pop_front() {
                step.write(&mut flight).map_err(|fault| End::Broke(step.stage(), fault))?;
                expected.push(step);
                if !self.capabilities.pipelining || flight.octets().len() >= BATCH {
                    break;
                }
            }
            if steps.is_empty() && verb.goes_behind() {
                verb.write(wire, &mut flight).map_err(|fault| End::Broke(Stage::Data, fault))?;
                sent_behind = true;
            }
            let stage = expected.first().map_or(Stage::Mail, Step::stage);
            self.dialogue.send(&flight, watch).map_err(|fault| End::Broke(stage, fault))?;
            for step in expected {
                let reply = self.hear(step.stage(), watch)?;
                self.note(step, reply, &mut said, ledger)?;
            }
        }
        if said.accepted.is_empty() {
            self.unclean = true;
            for (candidate, failure) in said.postponed {
                ledger.settle(candidate.position, Outcome::Deferred(failure));
            }
            if sent_behind {
                self.end_without_recipients(verb, watch)?;
            }
            return Ok(Vec::new());
        }
        let reply = self.hand_over(verb, sent_behind, wire, watch)?;
        self.settle_accepted(&said.accepted, reply, ledger)?;
        Ok(said.postponed.into_iter().map(|(candidate, _)| candidate).collect())
    }

    /// Takes the reply to one envelope command.
    fn note(&mut self, step: Step, reply: Reply, said: &mut Said, ledger: &mut Ledger) -> Result<(), End> {
        let positive = (200..300).contains(&reply.code);
        match step {
            // Refused or not, MAIL's reply shows where we stand.
            Step::Reset => Ok(()),
            Step::Mail(_) if positive => Ok(()),
            Step::Recipient(_) if said.mail_refused => Ok(()),
            Step::Recipient(candidate) if positive => {
                said.accepted.push(candidate.position);
                Ok(())
            }
            Step::Mail(_) => {
                said.mail_refused = true;
                let (verdict, failure) = self.judge(Stage::Mail, reply);
                if verdict == Verdict::Account {
                    ledger.hold(failure.clone());
                }
                ledger.settle_all(|| outcome(verdict, failure.clone()));
                Ok(())
            }
            Step::Recipient(candidate) => {
                let (verdict, failure) = self.judge(Stage::Rcpt, reply);
                match verdict {
                    Verdict::Split => said.postponed.push((candidate, failure)),
                    Verdict::Account => {
                        ledger.hold(failure.clone());
                        ledger.settle(candidate.position, Outcome::Deferred(failure));
                    }
                    verdict => ledger.settle(candidate.position, outcome(verdict, failure)),
                }
                Ok(())
            }
        }
    }

    /// The rest of a flight that went out although, as we know now, nobody is to get the message.
    fn end_without_recipients(&mut self, verb: Verb, watch: &mut Watch) -> Result<(), End> {
        let reply = self.hear(Stage::Data, watch)?;
        if verb == Verb::DataBehind && reply.code == 354 {
            // RFC 2920 section 3.1: such a server gets its end of data and will refuse it.
            let mut flight = Flight::default();
            flight.message(b".\r\n");
            self.dialogue.send(&flight, watch).map_err(|fault| End::Broke(Stage::Data, fault))?;
            self.hear(Stage::Data, watch)?;
        }
        Ok(())
    }

    /// Sends the message, if it is not on its way, and reads the reply that decides.
    fn hand_over(&mut self, verb: Verb, sent_behind: bool, wire: &Wire, watch: &mut Watch) -> Result<Reply, End> {
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
            return Ok(reply);
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
            watch.observer.line(super::Direction::Client, &line);
        }
        let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
        piece.extend_from_slice(lead.octets());
        let mut count = 0;
        let mut broke = None;
        let stream = &mut self.dialogue.stream;
        let patience = &mut *watch.patience;
        let mut sink = |octets: &[u8]| {
            piece.extend_from_slice(octets);
            count += octets.len() as u64;
            if piece.len() < PIECE {
                return Ok(());
            }
            let sent = stream.send(&piece, patience);
            piece.clear();
            sent.map_err(|fault| {
                broke = Some(fault);
                io::Error::other("not sent")
            })
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

    fn settle_accepted(&mut self, accepted: &[usize], reply: Reply, ledger: &mut Ledger) -> Result<(), End> {
        match reply.code {
            200..=299 => accepted.iter().for_each(|&at| ledger.settle(at, Outcome::Accepted(reply.clone()))),
            300..=399 => return Err(End::Broke(Stage::Data, Fault::Unexpected(reply))),
            _ => {
                let (verdict, failure) = self.judge(Stage::Data, reply);
                if verdict == Verdict::Account {
                    ledger.hold(failure.clone());
                }
                accepted.iter().for_each(|&at| ledger.settle(at, outcome(verdict, failure.clone())));
            }
        }
        Ok(())
    }

    /// Reads one reply. 421 ends the session whatever was asked (RFC 5321 section 3.8), and so does an intermediate
    /// reply to anything but DATA.
    fn hear(&mut self, stage: Stage, watch: &mut Watch) -> Result<Reply, End> {
        let response = self.dialogue.reply(watch).map_err(|fault| End::Broke(stage, fault))?;
        let reply = told(&response);
        if reply.code == 421 {
            return Err(End::Closing(self.judge(stage, reply).1));
        }
        if response.code().severity == Severity::PositiveIntermediate && stage != Stage::Data {
            return Err(End::Broke(stage, Fault::Unexpected(reply)));
        }
        Ok(reply)
    }

    fn judge(&self, stage: Stage, reply: Reply) -> (Verdict, Failure) {
        let explanation = classify(stage, &reply);
        let failure = Failure { reply: Some(reply), hint: explanation.hint, ..self.failure(stage, "") };
        (explanation.verdict, failure)
    }

    fn end(&mut self, end: End, ledger: &mut Ledger) {
        self.alive = false;
        match end {
            End::Closing(failure) => ledger.wait(failure),
            End::Broke(stage, fault) => {
                let failure = fault.failure(stage, &self.relay, &self.endpoint);
                match fault {
                    // Nothing is wrong with the account when our own copy cannot be read.
                    Fault::Message(_) => ledger.settle_all(|| Outcome::Deferred(failure.clone())),
                    _ => ledger.wait(failure),
                }
            }
        }
    }

    fn failure(&self, stage: Stage, cause: &str) -> Failure {
        Failure { stage, relay: self.relay.clone(), reply: None, cause: cause.into(), hint: None }
    }
}

/// How a transaction ended early, and the session with it.
enum End {
    /// The relay said 421.
    Closing(Failure),
    Broke(Stage, Fault),
}

/// A recipient that can be offered to the relay.
struct Candidate {
    /// Its place among the outcomes.
    position: usize,
    command: Rcpt,
    domain: String,
    smtputf8: bool,
}

/// One command of the envelope.
enum Step {
    Reset,
    Mail(Mail),
    Recipient(Candidate),
}

impl Step {
    fn stage(&self) -> Stage {
        match self {
            Step::Reset | Step::Mail(_) => Stage::Mail,
            Step::Recipient(_) => Stage::Rcpt,
        }
    }

    fn write(&self, flight: &mut Flight) -> Result<(), Fault> {
        match self {
            Step::Reset => flight.command(&Rset),
            Step::Mail(mail) => flight.command(mail),
            Step::Recipient(candidate) => flight.command(&candidate.command),
        }
    }
}

/// How the message goes: with which command, and whether in one flight with the envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    BdatBehind,
    BdatAfter,
    DataBehind,
    DataAfter,
}

impl Verb {
    fn choose(session: &Session, wire: &Wire) -> Verb {
        match (session.capabilities.chunking, session.capabilities.pipelining) {
            (true, true) if wire.size() <= SMALL => Verb::BdatBehind,
            (true, _) => Verb::BdatAfter,
            (false, true) => Verb::DataBehind,
            (false, false) => Verb::DataAfter,
        }
    }

    fn goes_behind(self) -> bool {
        matches!(self, Verb::BdatBehind | Verb::DataBehind)
    }

    fn is_bdat(self) -> bool {
        matches!(self, Verb::BdatBehind | Verb::BdatAfter)
    }

    /// The command, and with `BdatBehind` the message too.
    fn write(self, wire: &Wire, flight: &mut Flight) -> Result<(), Fault> {
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

/// What the relay has said of the envelope so far.
#[derive(Default)]
struct Said {
    mail_refused: bool,
    accepted: Vec<usize>,
    postponed: Vec<(Candidate, Failure)>,
}

/// The outcomes as they become known; the first word counts.
struct Ledger {
    outcomes: Vec<Option<Outcome>>,
    trouble: Option<Trouble>,
}

impl Ledger {
    fn settle(&mut self, position: usize, outcome: Outcome) {
        self.outcomes[position].get_or_insert(outcome);
    }

    fn settle_all(&mut self, outcome: impl Fn() -> Outcome) {
        for place in &mut self.outcomes {
            place.get_or_insert_with(&outcome);
        }
    }

    fn hold(&mut self, failure: Failure) {
        self.trouble.get_or_insert(Trouble::Held(failure));
    }

    fn wait(&mut self, failure: Failure) {
        self.trouble.get_or_insert(Trouble::Waiting(failure));
    }
}

fn outcome(verdict: Verdict, failure: Failure) -> Outcome {
    match verdict {
        Verdict::Message => Outcome::Rejected(failure),
        Verdict::Account | Verdict::Transient | Verdict::Split => Outcome::Deferred(failure),
    }
}

/// As lettre's commands want it; the domain in A-labels, which every relay understands.
fn address(mailbox: &Mailbox) -> Address {
    let ascii = mailbox.with_ascii_domain();
    let mailbox = ascii.as_ref().unwrap_or(mailbox);
    Address::new_dangerous(mailbox.local(), mailbox.domain())
}

/// Whether lettre's xtext is right for it (RFC 3461 section 4): anything else is left out, for it only informs.
fn is_xtext_source(text: &str) -> bool {
    text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}

#[cfg(test)]
mod tests;
