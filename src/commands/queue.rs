//! `mailchute queue`: acting on single entries.

use super::context::Context;
use super::{Failed, list_queue, monitor, revive, run_queue};
use crate::cli::{DeadCommand, Global, QueueCommand, Removal, Selection, Waiting};
use crate::clock::Moment;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::process::{self, Process};
use crate::queue;
use crate::queue::hold::Occasion;
use crate::queue::listing;
use crate::queue::run;
use crate::spool::{Claim, Entry, Place, QueueId};
use std::fmt;
use std::io;

/// Does what was asked of the queue.
///
/// # Errors
/// An id that names no entry, an entry that another process has in hands, a spool that cannot be used.
pub fn act(process: &Process, global: &Global, command: QueueCommand) -> Result<Exit, Failed> {
    let context = Context::load(process, global)?;
    match command {
        QueueCommand::List(form) => list_queue::list(&context, Place::Queue, form),
        QueueCommand::Dead(DeadCommand::List(form)) => list_queue::list(&context, Place::Dead, form),
        QueueCommand::Flush(Waiting::All) => run_queue::by_hand(process, global, Selection::All),
        QueueCommand::Flush(Waiting::Due) => run_queue::by_timer(&context),
        QueueCommand::Show(id) => show(&context, &id),
        QueueCommand::Metrics => {
            process::say(&monitor::text(&context, &context.spool()?)?);
            Ok(Exit::Ok)
        }
        QueueCommand::Retry(ids) => {
            let spool = context.spool()?;
            for id in parse(&ids)? {
                let selection = run::Selection::Id(id.as_str().to_owned());
                run_queue::run(&context, &spool, &selection, Occasion::ByHand)?;
            }
            Ok(Exit::Ok)
        }
        QueueCommand::Hold(ids) => each(&context, Place::Queue, &ids, |mut entry| plain(entry.hold())),
        QueueCommand::Release(ids) => {
            each(&context, Place::Queue, &ids, |mut entry| plain(entry.release(Moment::now())))
        }
        QueueCommand::Remove(Removal::Ids(ids)) => each(&context, Place::Queue, &ids, |entry| plain(entry.remove())),
        QueueCommand::Remove(Removal::All) => clear(&context, |_| true),
        QueueCommand::Remove(Removal::OlderThan(age)) => {
            let now = Moment::now();
            clear(&context, |entry| now.since(entry.ticket().created) > age)
        }
        QueueCommand::Dead(DeadCommand::Retry(ids)) => {
            each(&context, Place::Dead, &ids, |entry| Ok(revive::revive(&context, entry)?))
        }
        QueueCommand::Dead(DeadCommand::Remove(ids)) => {
            each(&context, Place::Dead, &ids, |entry| plain(entry.remove()))
        }
    }
}

fn show(context: &Context, id: &str) -> Result<Exit, Failed> {
    let spool = context.spool()?;
    let id = QueueId::parse(id).ok_or_else(|| Unmet::NoSuch(id.to_owned()))?;
    for place in [Place::Queue, Place::Dead] {
        let row = list_queue::row(context, &spool, place, &id, None, &spool.claimed());
        let (Some(row), Some(peek)) = (row, spool.peek_in(place, &id)?) else { continue };
        let header = queue::header(&peek.header).map_err(Failed::system)?;
        process::say(&listing::show(&row, &header, Moment::now()));
        return Ok(Exit::Ok);
    }
    Err(Unmet::NoSuch(id.to_string()).into())
}

fn plain(done: io::Result<()>) -> Result<(), Failed> {
    done.map_err(Failed::system)
}

/// Does something to each entry named; the first that cannot be had ends it.
fn each(
    context: &Context,
    place: Place,
    ids: &[String],
    act: impl Fn(Entry) -> Result<(), Failed>,
) -> Result<Exit, Failed> {
    let spool = context.spool()?;
    for id in parse(ids)? {
        match spool.claim_in(place, &id)? {
            Claim::Mine(entry) => act(entry)?,
            Claim::Busy => return Err(Unmet::Busy(id.to_string()).into()),
            Claim::Gone => return Err(Unmet::NoSuch(id.to_string()).into()),
            Claim::Unusable(why) => return Err(Unmet::Unusable(id.to_string(), why).into()),
        }
    }
    spool.sync().map_err(Failed::system)?;
    Ok(Exit::Ok)
}

/// Removes every entry of the queue that is free and chosen.
fn clear(context: &Context, chosen: impl Fn(&Entry) -> bool) -> Result<Exit, Failed> {
    let spool = context.spool()?;
    for id in spool.queue()? {
        if let Claim::Mine(entry) = spool.claim(&id)?
            && chosen(&entry)
        {
            entry.remove().map_err(Failed::system)?;
        }
    }
    spool.sync().map_err(Failed::system)?;
    Ok(Exit::Ok)
}

fn parse(ids: &[String]) -> Result<Vec<QueueId>, Unmet> {
    ids.iter().map(|id| QueueId::parse(id).ok_or_else(|| Unmet::NoSuch(id.clone()))).collect()
}

/// Why an entry could not be had.
#[derive(Debug)]
enum Unmet {
    NoSuch(String),
    Busy(String),
    Unusable(String, String),
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmet::NoSuch(id) => write!(f, "{id}: no such entry"),
            Unmet::Busy(id) => write!(f, "{id}: being sent now"),
            Unmet::Unusable(id, why) => write!(f, "{id}: {why}"),
        }
    }
}

impl std::error::Error for Unmet {}

impl Explain for Unmet {
    fn exit(&self) -> Exit {
        match self {
            Unmet::NoSuch(_) | Unmet::Unusable(..) => Exit::DataErr,
            Unmet::Busy(_) => Exit::TempFail,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Unmet::NoSuch(_) => vec!["mailchute queue list names those there are".into()],
            Unmet::Busy(_) | Unmet::Unusable(..) => Vec::new(),
        }
    }
}
