//! One message through an open session: MAIL, RCPT, DATA or BDAT in as few flights as the relay allows, and what
//! became of each recipient. Only a reply to the end of the message accepts; only a 5yz reply about it rejects.

use super::classify::{Verdict, classify};
use super::command::Flight;
use super::fault::Fault;
use super::handover::Verb;
use super::offer::Candidate;
use super::reply::told;
use super::session::Session;
use super::{Observer, Patience, Watch};
use crate::mail::envelope::Envelope;
use crate::mail::outcome::{Attempt, Failure, Outcome, Reply, Stage, Trouble};
use crate::mail::wire::Wire;
use lettre::transport::smtp::commands::{Mail, Rset};
use lettre::transport::smtp::response::Severity;
use std::collections::VecDeque;

/// Commands sent before their replies are read, in octets: less than any socket buffer holds of replies.
const BATCH: usize = 32 * 1024;

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
        let mut ledger = Ledger::new(recipients.len());
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
            let transacted = self.transact(envelope, batch, wire, &mut ledger, &mut watch);
            watch.patience.doubt(false);
            match transacted {
                Ok(postponed) => postponed.into_iter().rev().for_each(|candidate| waiting.push_front(candidate)),
                Err(end) => self.end(end, &mut ledger),
            }
            waiting.retain(|candidate| ledger.outcomes[candidate.position].is_none());
        }
        self.sum_up(ledger)
    }

    /// The attempt; whoever is undecided waits.
    pub(super) fn sum_up(&self, mut ledger: Ledger) -> Attempt {
        let undecided = match &ledger.trouble {
            Some(trouble) => trouble.failure().clone(),
            None => self.failure(Stage::Mail, "the relay takes no more on this connection"),
        };
        ledger.settle_all(|| Outcome::Deferred(undecided.clone()));
        Attempt { outcomes: ledger.outcomes.into_iter().flatten().collect(), trouble: ledger.trouble }
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
        let mut said = self.say_envelope(steps, verb, wire, ledger, watch)?;
        if said.accepted.is_empty() {
            self.unclean = true;
            said.defer_postponed(ledger);
            if said.verb_sent {
                self.end_without_recipients(verb, watch)?;
            }
            return Ok(Vec::new());
        }
        let reply = self.hand_over(verb, said.verb_sent, wire, watch)?;
        self.settle_accepted(&said.accepted, reply, ledger)?;
        Ok(said.postponed.into_iter().map(|(candidate, _)| candidate).collect())
    }

    /// The envelope, flight by flight, with `verb` behind the last one when it goes there.
    fn say_envelope(
        &mut self,
        mut steps: VecDeque<Step>,
        verb: Verb,
        wire: &Wire,
        ledger: &mut Ledger,
        watch: &mut Watch,
    ) -> Result<Said, End> {
        let mut said = Said::default();
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
                said.verb_sent = true;
            }
            let stage = expected.first().map_or(Stage::Mail, Step::stage);
            watch.patience.doubt(said.verb_sent && verb == Verb::BdatBehind);
            self.dialogue.send(&flight, watch).map_err(|fault| End::Broke(stage, fault))?;
            for step in expected {
                let reply = self.hear(step.stage(), watch)?;
                self.note(step, reply, &mut said, ledger);
            }
        }
        Ok(said)
    }

    /// Takes the reply to one envelope command.
    pub(super) fn note(&self, step: Step, reply: Reply, said: &mut Said, ledger: &mut Ledger) {
        let positive = (200..300).contains(&reply.code);
        match step {
            // Refused or not, MAIL's reply shows where we stand.
            Step::Reset => {}
            Step::Mail(_) if positive => {}
            Step::Mail(_) => {
                said.mail_refused = true;
                let (verdict, failure) = self.judge(Stage::Mail, reply);
                if verdict == Verdict::Account {
                    ledger.hold(failure.clone());
                }
                ledger.settle_all(|| outcome(verdict, failure.clone()));
            }
            Step::Recipient(_) if said.mail_refused => {}
            Step::Recipient(candidate) if positive => said.accepted.push(candidate.position),
            Step::Recipient(candidate) => match self.judge(Stage::Rcpt, reply) {
                (Verdict::Split, failure) => said.postponed.push((candidate, failure)),
                (verdict, failure) => {
                    if verdict == Verdict::Account {
                        ledger.hold(failure.clone());
                    }
                    ledger.settle(candidate.position, outcome(verdict, failure));
                }
            },
        }
    }

    /// Gives the accepted recipients what the reply to the message says.
    pub(super) fn settle_accepted(&mut self, accepted: &[usize], reply: Reply, ledger: &mut Ledger) -> Result<(), End> {
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
    pub(super) fn hear(&mut self, stage: Stage, watch: &mut Watch) -> Result<Reply, End> {
        let response = self.dialogue.reply(watch).map_err(|fault| End::Broke(stage, fault))?;
        let reply = told(&response);
        if response.code().severity == Severity::PositiveIntermediate && stage != Stage::Data {
            return Err(End::Broke(stage, Fault::Unexpected(reply)));
        }
        self.unless_closing(stage, reply)
    }

    /// The reply, unless it is 421.
    pub(super) fn unless_closing(&self, stage: Stage, reply: Reply) -> Result<Reply, End> {
        if reply.code == 421 { Err(End::Closing(self.judge(stage, reply).1)) } else { Ok(reply) }
    }

    /// What a refusing reply means, and the failure it makes.
    fn judge(&self, stage: Stage, reply: Reply) -> (Verdict, Failure) {
        let explanation = classify(stage, &reply);
        let failure = Failure { reply: Some(reply), hint: explanation.hint, ..self.failure(stage, "") };
        (explanation.verdict, failure)
    }

    /// The session is dead, and whoever is undecided stays so.
    pub(super) fn end(&mut self, end: End, ledger: &mut Ledger) {
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

    /// A failure that is not the relay's word.
    pub(super) fn failure(&self, stage: Stage, cause: &str) -> Failure {
        Failure { stage, relay: self.relay.clone(), reply: None, cause: cause.into(), hint: None }
    }
}

/// How a transaction ended early, and the session with it.
pub enum End {
    /// The relay said 421.
    Closing(Failure),
    /// The connection failed, or what came over it was no SMTP.
    Broke(Stage, Fault),
}

/// One command of the envelope.
pub enum Step {
    Reset,
    Mail(Mail),
    Recipient(Candidate),
}

impl Step {
    pub fn stage(&self) -> Stage {
        match self {
            Step::Reset | Step::Mail(_) => Stage::Mail,
            Step::Recipient(_) => Stage::Rcpt,
        }
    }

    pub fn write(&self, flight: &mut Flight) -> Result<(), Fault> {
        match self {
            Step::Reset => flight.command(&Rset),
            Step::Mail(mail) => flight.command(mail),
            Step::Recipient(candidate) => flight.command(&candidate.command),
        }
    }
}

/// What the relay has said of the envelope so far.
#[derive(Default)]
pub struct Said {
    mail_refused: bool,
    /// DATA, or BDAT with the message, is out.
    verb_sent: bool,
    /// Places among the outcomes.
    pub accepted: Vec<usize>,
    /// For the next transaction, or deferred when there is none.
    postponed: Vec<(Candidate, Failure)>,
}

impl Said {
    /// There is no next transaction.
    pub fn defer_postponed(&mut self, ledger: &mut Ledger) {
        for (candidate, failure) in self.postponed.drain(..) {
            ledger.settle(candidate.position, Outcome::Deferred(failure));
        }
    }
}

/// The outcomes as they become known; the first word counts.
pub struct Ledger {
    outcomes: Vec<Option<Outcome>>,
    trouble: Option<Trouble>,
}

impl Ledger {
    pub fn new(recipients: usize) -> Ledger {
        Ledger { outcomes: vec![None; recipients], trouble: None }
    }

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

    pub fn wait(&mut self, failure: Failure) {
        self.trouble.get_or_insert(Trouble::Waiting(failure));
    }
}

fn outcome(verdict: Verdict, failure: Failure) -> Outcome {
    match verdict {
        Verdict::Message => Outcome::Rejected(failure),
        Verdict::Account | Verdict::Transient | Verdict::Split => Outcome::Deferred(failure),
    }
}

#[cfg(test)]
pub mod tests;
