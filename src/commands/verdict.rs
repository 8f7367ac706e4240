//! What the caller is told of an attempt: nothing when all is well or only waits; else what failed, in the server's
//! words, what to do, and where the message is now.

use super::Failed;
use crate::cli::ErrorMode;
use crate::diagnostic::{self, Explain};
use crate::exit::Exit;
use crate::mail::envelope::Envelope;
use crate::mail::outcome::{Attempt, Failure, Outcome, Stage, Trouble};
use crate::process;
use crate::queue::conclude::{Conclusion, Left};
use crate::spool::{QueueId, SpoolError};
use std::fmt;

/// Failures told together, and where the message is.
#[derive(Debug)]
struct Told {
    lines: Vec<String>,
    hints: Vec<String>,
    exit: Exit,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Told {}

impl Explain for Told {
    fn exit(&self) -> Exit {
        self.exit
    }

    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }
}

impl Told {
    fn add(&mut self, who: Option<&str>, failure: &Failure) {
        let line = match who {
            Some(who) => format!("{who}: {failure}"),
            None => failure.to_string(),
        };
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
        if let Some(hint) = failure.hint.clone().filter(|hint| !self.hints.contains(hint)) {
            self.hints.push(hint);
        }
    }
}

/// Every refused recipient once; all of them in one line when the message was refused as a whole.
fn refusals(attempt: &Attempt, envelope: &Envelope) -> Told {
    let mut told = Told { lines: Vec::new(), hints: Vec::new(), exit: Exit::Ok };
    for (recipient, outcome) in envelope.recipients().iter().zip(&attempt.outcomes) {
        if let Outcome::Rejected(failure) = outcome {
            let address = recipient.mailbox.to_string();
            let who = (failure.stage == Stage::Rcpt).then_some(address.as_str());
            told.add(who, failure);
        }
    }
    told
}

/// Tells of an attempt whose message is in the spool, or was. `passed` is why the accounts before the last are held.
pub fn tell(
    attempt: &Attempt,
    passed: &[Failure],
    envelope: &Envelope,
    id: &QueueId,
    conclusion: &Conclusion,
    errors: ErrorMode,
) {
    if errors == ErrorMode::Quiet {
        return;
    }
    let mut told = refusals(attempt, envelope);
    if !told.lines.is_empty() {
        match (conclusion.left, conclusion.notices.is_empty()) {
            (Left::Dead, _) => told.hints.push(format!("the message is kept: mailchute queue show {id}")),
            (_, false) => told.hints.push("a bounce tells the sender of it".into()),
            _ => {}
        }
    }
    // What a fallback took is no news; what none could take waits for a person.
    let held = match &attempt.trouble {
        Some(Trouble::Held(failure)) => Some(failure),
        Some(Trouble::Waiting(_)) | None => None,
    };
    let held: Vec<&Failure> = passed.iter().filter(|_| conclusion.left == Left::Queue).chain(held).collect();
    if !held.is_empty() {
        held.iter().for_each(|failure| told.add(None, failure));
        told.hints.push(format!("the message is safe in the queue as {id}; it goes out when this is mended"));
    }
    if !told.lines.is_empty() {
        process::complain(&diagnostic::render(&told));
    }
}

/// Decides for a message that is nowhere but in our memory: what the relay took is done; for anything else the caller
/// still owns it.
///
/// # Errors
/// Not everybody was served.
pub fn without_spool(
    attempt: &Attempt,
    envelope: &Envelope,
    spool: SpoolError,
    errors: ErrorMode,
) -> Result<Exit, Failed> {
    let all = |wanted: fn(&Outcome) -> bool| attempt.outcomes.iter().all(wanted);
    if all(|outcome| matches!(outcome, Outcome::Accepted(_))) {
        return Ok(Exit::Ok);
    }
    let mut told = refusals(attempt, envelope);
    if all(|outcome| matches!(outcome, Outcome::Rejected(failure) if failure.stage == Stage::Rcpt)) {
        told.exit = Exit::NoUser;
    } else if all(|outcome| !matches!(outcome, Outcome::Deferred(_))) {
        // Also when some have got it: nobody can be told by mail, and another try would only send it to them twice.
        told.exit = Exit::Unavailable;
    } else {
        told.exit = Exit::TempFail;
        told.lines.push(diagnostic::chain(&spool));
        told.hints.extend(spool.hints());
        for outcome in &attempt.outcomes {
            if let Outcome::Deferred(failure) = outcome {
                told.add(None, failure);
            }
        }
    }
    if errors == ErrorMode::Quiet {
        return Ok(told.exit);
    }
    Err(told.into())
}
