//! Writes the mails that tell a sender what became of a message, durably, each under a name that its subject decides:
//! however often we are killed, a sender gets one.

use super::conclude::Desk;
use crate::clock::Moment;
use crate::log::{Event, Happening};
use crate::mail::address::Mailbox;
use crate::mail::bounce::{self, Action, Fate, Report};
use crate::mail::envelope::{Envelope, Recipient, Return, ReversePath};
use crate::mail::header::Header;
use crate::spool::{Entry, QueueId, Shape, SpoolError, Ticket};
use std::io;

/// What a notice is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Recipients who will not get the message.
    Failed(&'a [usize]),
    /// Recipients who wait, and until when they are tried.
    Late(&'a [usize], Moment),
}

/// A whole message over this many octets is returned as its header, whatever RET asked (RFC 3461 section 4.3 leaves
/// that open).
const WHOLE_LIMIT: u64 = 1 << 20;

/// Makes a notice durable in the queue. Its id; and its entry, still locked, when nobody else has it: drop that once
/// the original says that the notice is out.
pub fn deposit(
    desk: &Desk,
    entry: &Entry,
    subject: Subject,
    hint: &dyn Fn(usize) -> Option<String>,
    now: Moment,
) -> Result<(QueueId, Option<Entry>), SpoolError> {
    let path = desk.spool.path();
    let original = entry.ticket();
    let ReversePath::Mailbox(to) = original.envelope.reverse_path() else {
        // Callers ask `settle`, which never answers a null reverse-path; writing to nobody must not look like success.
        return Err(SpoolError::io("writing a bounce to nobody", &path)(io::ErrorKind::InvalidInput.into()));
    };
    let id = QueueId::derived(entry.id(), &tag(subject));
    let (header, body) = write(desk, entry, subject, hint, to, &id, now)
        .map_err(SpoolError::io("reading a message to bounce it", &path))?;
    let header = [header.to_bytes().as_slice(), b"\r\n"].concat();
    let readers = desk.readers.of(to).into_iter().map(Recipient::new);
    let Some(envelope) = Envelope::new(ReversePath::Null, readers.collect()) else {
        return Err(SpoolError::io("writing a bounce to nobody", &path)(io::ErrorKind::InvalidInput.into()));
    };
    let ticket = Ticket {
        envelope,
        account: original.account.clone(),
        uid: original.uid,
        created: now,
        message_id: format!("<{id}@{}>", desk.host),
    };
    let mut draft = desk.spool.draft(&ticket)?;
    let written = draft.writer().write_all(&header).and_then(|()| draft.writer().write_all(&body));
    written.map_err(SpoolError::io("writing a bounce", &path))?;
    let eight_bit = !body.is_ascii() || !header.is_ascii();
    let shape = Shape { header: header.len() as u64, body: body.len() as u64, eight_bit };
    let made = draft.commit_as(id.clone(), shape)?;
    desk.log.event(&Event {
        id: Some(id.as_str()),
        message_id: Some(&ticket.message_id),
        recipient: Some(&to.to_string()),
        ..Event::new(Happening::Queued)
    });
    Ok((id, made))
}

/// The same recipients, the same name.
fn tag(subject: Subject) -> String {
    let (word, indexes) = match subject {
        Subject::Failed(indexes) => ("bounce", indexes),
        Subject::Late(..) => ("delay", &[][..]),
    };
    indexes.iter().fold(word.to_string(), |tag, index| format!("{tag} {index}"))
}

fn write(
    desk: &Desk,
    entry: &Entry,
    subject: Subject,
    hint: &dyn Fn(usize) -> Option<String>,
    to: &Mailbox,
    id: &QueueId,
    now: Moment,
) -> io::Result<(Header, Vec<u8>)> {
    let ticket = entry.ticket();
    let header = super::header(&entry.header())?;
    // RFC 3461 section 4.3: RET is about failures.
    let whole = matches!(subject, Subject::Failed(_))
        && ticket.envelope.ret == Some(Return::Full)
        && entry.body().size() <= WHOLE_LIMIT;
    let body = if whole { Some(entry.body().read()?) } else { None };
    let indexes = match subject {
        Subject::Failed(indexes) | Subject::Late(indexes, _) => indexes,
    };
    let hints: Vec<Option<String>> = indexes.iter().map(|index| hint(*index)).collect();
    let fates = indexes.iter().zip(&hints).filter_map(|(index, hint)| {
        let words = entry.progress().recipients.get(*index)?.reason.as_str();
        let action = match subject {
            Subject::Failed(_) => Action::failed(words),
            Subject::Late(_, until) => Action::Delayed { until },
        };
        Some(Fate { recipient: ticket.envelope.recipients().get(*index)?, action, words, hint: hint.as_deref() })
    });
    let fates: Vec<Fate> = fates.collect();
    Ok(bounce::compose(&Report {
        host: desk.host,
        id: id.as_str(),
        original: entry.id().as_str(),
        to,
        now,
        arrival: ticket.created,
        envid: ticket.envelope.envid.as_deref(),
        fates: &fates,
        header: &header,
        body: body.as_deref(),
    }))
}
