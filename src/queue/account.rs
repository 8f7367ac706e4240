//! What the queue remembers of an account between runs: that it is held, since when and why.

use super::hold::{self, Occasion};
use crate::clock::Moment;
use crate::log::{Event, Happening, Log};
use crate::mail::outcome::Failure;
use crate::spool::{Memory, Spool};

/// Whether an account may be tried now; `digest` is that of its present configuration.
pub fn is_open(spool: &Spool, account: &str, digest: &str, occasion: Occasion, now: Moment) -> bool {
    hold::open(spool.recall(account).hold.as_ref(), digest, occasion, now)
}

/// Holds an account, or holds it for longer. A hold that cannot be written is only less patient: the next run tries
/// again.
pub fn failed(spool: &Spool, log: &Log, account: &str, digest: &str, failure: &Failure, now: Moment) {
    let reason = failure.to_string();
    let memory = spool.recall(account);
    let hold = hold::failed(memory.hold, digest, &reason, now);
    log.event(&Event {
        account: Some(account),
        relay: Some(&failure.relay),
        reply: Some(&reason),
        ..Event::new(Happening::Held)
    });
    if let Err(error) = spool.remember(account, &Memory { hold: Some(hold), ..memory }) {
        log.note(&error.to_string());
    }
}

/// Ends the hold of an account that works.
pub fn worked(spool: &Spool, log: &Log, account: &str) {
    let memory = spool.recall(account);
    if memory.hold.is_none() {
        return;
    }
    log.note(&format!("account {account} works again"));
    if let Err(error) = spool.remember(account, &Memory { hold: None, ..memory }) {
        log.note(&error.to_string());
    }
}
