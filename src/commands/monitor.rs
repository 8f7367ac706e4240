//! For those who watch many machines: `mailchute health`, and the file that Prometheus reads. Nothing here changes how
//! a message fares: it comes when everything about it is recorded, and what cannot be written is logged.

use super::context::Context;
use super::{Failed, handover};
use crate::cli::{Global, Health};
use crate::clock::Moment;
use crate::diagnostic::printable;
use crate::exit::Exit;
use crate::log::Happening;
use crate::process::{self, Process};
use crate::queue::condition::{self, Condition, Level, Limits};
use crate::queue::metrics;
use crate::route::RouteError;
use crate::spool::{Spool, SpoolError, Totals};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// One line for Nagios and its kin, and their exit statuses.
///
/// # Errors
/// None: what keeps us from looking is critical.
pub fn health(process: &Process, global: &Global, asked: &Health) -> Result<Exit, Failed> {
    let limits = Limits {
        warning_age: asked.warning_age,
        critical_age: asked.critical_age,
        warning_queued: asked.warning_queued,
        critical_queued: asked.critical_queued,
    };
    let (level, text) = match examine(process, global) {
        Ok(condition) => condition.judge(&limits, Moment::now()),
        // One line, and nothing that looks like numbers.
        Err(failed) => (Level::Critical, printable(&failed.told()).replace('|', "/")),
    };
    process::say(&format!("MAILCHUTE {level} - {text}\n"));
    Ok(match level {
        Level::Ok => Exit::Ok,
        Level::Warning => Exit::Warning,
        Level::Critical => Exit::Critical,
    })
}

fn examine(process: &Process, global: &Global) -> Result<Condition, Failed> {
    let context = Context::load(process, global)?;
    if let Some(spooler) = handover::spooler(&context) {
        return handover::condition(&spooler);
    }
    if context.config.accounts.is_empty() {
        return Err(RouteError::NoAccount { unreadable: context.config.unreadable.clone() }.into());
    }
    match Spool::existing(&context.config.spool)? {
        Some(spool) => Ok(look(&context, &spool)?),
        None => Ok(Condition::default()),
    }
}

/// How the queue stands.
///
/// # Errors
/// The spool cannot be read.
pub fn look(context: &Context, spool: &Spool) -> Result<Condition, SpoolError> {
    condition::look(spool, names(context))
}

fn names<'a>(context: &'a Context) -> impl Iterator<Item = &'a str> {
    context.config.accounts.iter().map(|account| account.name.as_str())
}

/// What Prometheus would read.
///
/// # Errors
/// The spool cannot be read.
pub fn text(context: &Context, spool: &Spool) -> Result<String, SpoolError> {
    Ok(metrics::render(&look(context, spool)?, &spool.totals(), names(context), Moment::now()))
}

/// Adds what this process has seen happen to the totals, where somebody wants to know them.
pub fn count(context: &Context, spool: &Spool) {
    if context.config.metrics_file.is_none() {
        return;
    }
    let take = |happening| context.log.take_count(happening);
    let accepted = take(Happening::Accepted);
    let totals = Totals {
        queued: take(Happening::Queued),
        accepted,
        deferred: take(Happening::Deferred),
        rejected: take(Happening::Rejected),
        expired: take(Happening::Expired),
        bounced: take(Happening::Bounced),
        held: take(Happening::Held),
        last_success: if accepted > 0 { Moment::now() } else { Moment::default() },
    };
    if totals == Totals::default() {
        return;
    }
    if let Err(error) = spool.count(&totals) {
        context.log.note(&error.to_string());
    }
}

/// Writes the file after a queue run.
pub fn publish(context: &Context, spool: &Spool) {
    count(context, spool);
    let Some(path) = &context.config.metrics_file else { return };
    let written = match text(context, spool) {
        Ok(text) => write(path, &text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = written {
        context.log.note(&format!("metrics-file {}: {error}", path.display()));
    }
}

/// For all to read, and whole at every moment. It need not survive a power cut.
#[allow(clippy::disallowed_methods, reason = "no mail; a reader must see the old file or the new one")]
fn write(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    // A name that is not read, and nobody else's.
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
