//! `mailq`, `mailchute queue list`, `mailchute queue dead list`: what waits, read without taking it.

use super::context::Context;
use super::{Failed, handover};
use crate::cli::{Global, Listing};
use crate::clock::Moment;
use crate::exit::Exit;
use crate::process::Process;
use crate::queue;
use crate::queue::listing::{self, Row};
use crate::spool::{Hold, Place, QueueId, Spool};
use std::collections::HashSet;
use std::io::{self, BufWriter, Write};

/// What a listing looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What monitoring knows.
    Mailq,
    Own(Listing),
}

/// The listing that monitoring knows.
///
/// # Errors
/// The configuration or the spool cannot be read.
pub fn mailq(process: &Process, global: &Global) -> Result<Exit, Failed> {
    let context = Context::load(process, global)?;
    print(&context, Place::Queue, Form::Mailq)
}

/// What waits, for a person or as JSON.
pub fn list(context: &Context, place: Place, form: Listing) -> Result<Exit, Failed> {
    print(context, place, Form::Own(form))
}

/// One entry as it is listed; `None` when it is not there, or not of that user.
pub fn row(
    context: &Context,
    spool: &Spool,
    place: Place,
    id: &QueueId,
    whose: Option<u32>,
    claimed: &HashSet<u64>,
) -> Option<Row> {
    let peek = spool.peek_in(place, id).ok().flatten()?;
    if whose.is_some_and(|uid| uid != peek.ticket.uid) {
        return None;
    }
    let header = || queue::header(&peek.header).unwrap_or_default();
    let account = context.account_of(&peek.ticket, &header).ok().map(|account| account.name.as_str());
    let account = peek.ticket.account.as_deref().or(account);
    let hold = account.and_then(|account| spool.recall(account).hold);
    let standing = match place {
        Place::Queue if claimed.contains(&peek.inode) => listing::Place::Claimed,
        Place::Queue => listing::Place::Queue,
        Place::Dead => listing::Place::Dead,
    };
    Some(listing::row(id.as_str(), &peek.ticket, &peek.progress, peek.size, standing, account, hold.as_ref()))
}

fn holds(context: &Context) -> Result<Vec<(String, Hold)>, Failed> {
    let Some(spool) = Spool::existing(&context.config.spool)? else { return Ok(Vec::new()) };
    let names = context.config.accounts.iter().map(|account| account.name.clone());
    Ok(names.filter_map(|name| spool.recall(&name).hold.map(|hold| (name, hold))).collect())
}

fn print(context: &Context, place: Place, form: Form) -> Result<Exit, Failed> {
    if place == Place::Queue
        && let Some(spooler) = handover::spooler(context)
    {
        return handover::list(&spooler, form);
    }
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    write(context, place, form, None, &mut output)?;
    // A reader that went away has seen what it wanted.
    let _ = output.flush();
    Ok(Exit::Ok)
}

/// Writes a listing, of one user's messages or of all. Whether the writer takes it changes nothing.
///
/// # Errors
/// The spool cannot be read.
pub fn write(
    context: &Context,
    place: Place,
    form: Form,
    whose: Option<u32>,
    output: &mut dyn Write,
) -> Result<(), Failed> {
    let spool = Spool::existing(&context.config.spool)?;
    let ids = match &spool {
        Some(spool) => spool.ids(place)?,
        None => Vec::new(),
    };
    let claimed = spool.as_ref().map(Spool::claimed).unwrap_or_default();
    let mut rows = ids.iter().filter_map(|id| row(context, spool.as_ref()?, place, id, whose, &claimed));
    let _ = match form {
        Form::Mailq => listing::mailq(&mut rows, output),
        Form::Own(Listing::Json) => listing::json(&mut rows, output),
        Form::Own(Listing::Text) => listing::table(&holds(context)?, &mut rows, Moment::now(), output),
    };
    Ok(())
}
