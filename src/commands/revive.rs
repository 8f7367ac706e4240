//! A message out of `dead/`, back into the queue. It may lie there because nothing was configured yet, so that its
//! local names stood for nobody; those are looked up again.

use super::context::Context;
use crate::clock::Moment;
use crate::mail::envelope::{Envelope, Recipient};
use crate::queue::conclude::Readers;
use crate::spool::{Entry, Shape, SpoolError, State, Ticket};
use std::io;

/// Puts it back, due at once; under a new id when it now goes to others than it did.
///
/// # Errors
/// It stays where it is; at worst a copy is in the queue already.
pub fn revive(context: &Context, entry: Entry) -> Result<(), SpoolError> {
    let trouble = SpoolError::io("moving an entry", &entry.spool().path());
    match readdressed(context, &entry) {
        Some(ticket) => {
            copy(&entry, &ticket)?;
            entry.remove().map_err(trouble)
        }
        None => entry.revive(Moment::now()).map_err(trouble),
    }
}

/// The ticket for whoever its recipients stand for now, when those are others and nobody has got it yet.
fn readdressed(context: &Context, entry: &Entry) -> Option<Ticket> {
    let old = &entry.ticket().envelope;
    if !entry.progress().which(State::Accepted).is_empty() {
        return None;
    }
    let recipients = old.recipients().iter().flat_map(|to| {
        let original = to.original.clone().unwrap_or_else(|| format!("rfc822;{}", to.mailbox));
        let readers = context.of(&to.mailbox).into_iter();
        readers.map(move |mailbox| {
            let original = if mailbox == to.mailbox { to.original.clone() } else { Some(original.clone()) };
            Recipient { mailbox, original, notify: to.notify }
        })
    });
    let mut envelope = Envelope::new(old.reverse_path().clone(), recipients.collect())?;
    (envelope.ret, envelope.envid) = (old.ret, old.envid.clone());
    (envelope != *old).then(|| Ticket { envelope, created: Moment::now(), ..entry.ticket().clone() })
}

fn copy(entry: &Entry, ticket: &Ticket) -> Result<(), SpoolError> {
    let mut draft = entry.spool().draft(ticket)?;
    let (header, body) = (entry.header(), entry.body());
    let shape = Shape { header: header.size(), body: body.size(), eight_bit: entry.eight_bit() };
    let copied: io::Result<()> = header.copy_to(draft.writer()).and_then(|()| body.copy_to(draft.writer()));
    copied.map_err(SpoolError::io("copying an entry", draft.home()))?;
    draft.commit(shape).map(drop)
}
