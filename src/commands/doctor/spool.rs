//! Whether the spool can be used, and what lies in it.

use super::super::context::Context;
use super::super::list_queue;
use super::check::{Check, Group};
use crate::clock::Moment;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::spool::{Place, Spool, SpoolError};
use std::time::Duration;

/// Entries that nobody has tried for so long after their time show that nothing runs the queue.
const FORGOTTEN: Duration = Duration::from_secs(6 * 3600);

/// Opens the spool as a send would, without making one, and counts.
pub fn checks(context: &Context) -> Vec<Check> {
    let path = context.config.spool.display().to_string();
    match Spool::existing(&context.config.spool) {
        Ok(None) => vec![Check::good(Group::Spool, path, "not made yet")],
        Err(error) => vec![unusable(&error)],
        Ok(Some(spool)) => match count(context, &spool) {
            Ok(count) => judge(&path, &count),
            Err(error) => vec![unusable(&error)],
        },
    }
}

fn unusable(error: &SpoolError) -> Check {
    let check = Check::bad(Group::Spool, "", error.to_string(), error.exit());
    error.hints().into_iter().fold(check.because("mail cannot be kept until the relay has it"), Check::fix)
}

/// What lies in a spool.
#[derive(Default)]
struct Count {
    waiting: usize,
    /// How long the first entry has been due.
    overdue: Option<Duration>,
    dead: usize,
    corrupt: usize,
    /// Held accounts, each with the reason.
    held: Vec<(String, String)>,
    full: Option<String>,
}

fn count(context: &Context, spool: &Spool) -> Result<Count, SpoolError> {
    let now = Moment::now();
    let ids = spool.ids(Place::Queue)?;
    let claimed = spool.claimed();
    let rows = ids.iter().filter_map(|id| list_queue::row(context, spool, Place::Queue, id, None, &claimed));
    let due = rows.filter_map(|row| row.next_attempt).min();
    let held = context.config.accounts.iter().filter_map(|account| {
        let reason = spool.recall(&account.name).hold?.reason;
        Some((account.name.clone(), reason))
    });
    Ok(Count {
        waiting: ids.len(),
        overdue: due.map(|due| now.since(due)),
        dead: spool.ids(Place::Dead)?.len(),
        corrupt: spool.corrupt()?.len(),
        held: held.collect(),
        full: spool.check_room().err().map(|error| error.to_string()),
    })
}

fn judge(path: &str, count: &Count) -> Vec<Check> {
    let mut checks = vec![match count.waiting {
        0 => Check::good(Group::Spool, path, "nothing waits"),
        1 => Check::good(Group::Spool, path, "1 message waits"),
        waiting => Check::good(Group::Spool, path, format!("{waiting} messages wait")),
    }];
    if count.overdue.is_some_and(|overdue| overdue > FORGOTTEN) {
        checks.push(
            Check::warning(Group::Spool, "queue", "what is due has not been tried for hours")
                .because("nothing runs the queue on this host")
                .fix("mailchute queue flush, and a timer or cron job that does it"),
        );
    }
    if let Some(full) = &count.full {
        checks.push(Check::bad(Group::Spool, "", full.clone(), Exit::TempFail).fix("make room on that disk"));
    }
    for (account, reason) in &count.held {
        checks.push(
            Check::warning(Group::Spool, format!("account {account}"), format!("held: {reason}"))
                .because("the last try failed in a way that a person must mend")
                .fix("when it is mended: mailchute queue flush"),
        );
    }
    if count.dead > 0 {
        checks.push(
            Check::warning(Group::Spool, "dead", format!("{} given up", count.dead)).fix("mailchute queue dead list"),
        );
    }
    if count.corrupt > 0 {
        checks.push(
            Check::warning(Group::Spool, "corrupt", format!("{} damaged or never complete", count.corrupt))
                .fix(format!("look into {path}/corrupt")),
        );
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_spool_is_said_and_what_a_person_should_do_about_it() {
        let of = |count: Count| -> Vec<String> {
            judge("/spool", &count).into_iter().map(|check| format!("{}: {}", check.subject, check.found)).collect()
        };
        assert_eq!(of(Count::default()), ["/spool: nothing waits"]);
        let count = Count {
            waiting: 2,
            overdue: Some(2 * FORGOTTEN),
            dead: 1,
            corrupt: 1,
            held: vec![("work".into(), "login refused".into())],
            full: Some("/spool: full".into()),
        };
        assert_eq!(
            of(count),
            [
                "/spool: 2 messages wait",
                "queue: what is due has not been tried for hours",
                ": /spool: full",
                "account work: held: login refused",
                "dead: 1 given up",
                "corrupt: 1 damaged or never complete",
            ]
        );
    }
}
