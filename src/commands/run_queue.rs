//! `sendmail -q`, `mailchute queue flush`, and the look at the queue behind a success: what waits is tried again.

use super::context::Context;
use super::courier::Courier;
use super::{Failed, confinement, detach, handover, monitor};
use crate::cli::{self, Global};
use crate::exit::Exit;
use crate::process::{self, Process};
use crate::queue::hold::Occasion;
use crate::queue::run::{Run, Selection, Tally};
use crate::spool::{QueueId, Spool};
use crate::system::{self, Side};
use std::collections::HashSet;
use std::io::IsTerminal;
use std::sync::atomic::AtomicBool;

/// Tries everything chosen that no person has put on hold; success even when all of it still waits.
///
/// # Errors
/// The configuration or the spool cannot be used.
pub fn by_hand(process: &Process, global: &Global, selection: cli::Selection) -> Result<Exit, Failed> {
    let context = Context::load(process, global)?;
    if let Some(spooler) = handover::spooler(&context) {
        return handover::flush(&spooler, &selection);
    }
    let selection = match selection {
        cli::Selection::All => Selection::All,
        cli::Selection::Id(text) => Selection::Id(text),
        cli::Selection::Recipient(text) => Selection::Recipient(text),
        cli::Selection::Sender(text) => Selection::Sender(text),
    };
    if let Some(spool) = Spool::existing(&context.config.spool)? {
        let tally = run(&context, &spool, &selection, Occasion::ByHand)?;
        summary(&tally);
    }
    Ok(Exit::Ok)
}

/// Tries what is due, for a timer.
///
/// # Errors
/// The spool cannot be used.
pub fn by_timer(context: &Context) -> Result<Exit, Failed> {
    if let Some(spool) = Spool::existing(&context.config.spool)? {
        run(context, &spool, &Selection::All, Occasion::DueOnly)?;
    }
    Ok(Exit::Ok)
}

/// Tries what is due, by a detached child, after a message has gone through: a laptop needs no daemon. One process at
/// a time: a hundred senders must not look through a long queue a hundred times, over as many connections.
pub fn flush_behind(context: &Context, spool: &Spool) {
    if !spool.is_waiting().unwrap_or_default() {
        return;
    }
    // Shared with the child, and so kept until that is done.
    let Ok(Some(_turn)) = spool.turn() else { return };
    if matches!(detach::split(), Ok(Side::Child)) {
        let _ = run(context, spool, &Selection::All, Occasion::DueOnly);
        system::leave(Exit::Ok.code());
    }
}

/// Sends messages that have just come in, and then what is due, by a detached child; this process lives on.
pub fn send_behind(context: &Context, spool: &Spool, ids: HashSet<QueueId>) {
    if matches!(detach::split_off(), Ok(Side::Child)) {
        let _ = run(context, spool, &Selection::These(ids), Occasion::NewMessage);
        if let Ok(Some(_turn)) = spool.turn() {
            let _ = run(context, spool, &Selection::All, Occasion::DueOnly);
        }
        system::leave(Exit::Ok.code());
    }
}

/// Goes once through the queue.
///
/// # Errors
/// The queue cannot be listed.
pub fn run(context: &Context, spool: &Spool, selection: &Selection, occasion: Occasion) -> Result<Tally, Failed> {
    run_until(context, spool, selection, occasion, &AtomicBool::new(false))
}

/// Goes once through the queue, but begins no message any more once `stop` is true.
///
/// # Errors
/// The queue cannot be listed.
pub fn run_until(
    context: &Context,
    spool: &Spool,
    selection: &Selection,
    occasion: Occasion,
    stop: &AtomicBool,
) -> Result<Tally, Failed> {
    confinement::before_relays(context);
    let courier = Courier::new(context);
    let watch: &(dyn Fn(&Tally) + Sync) = if std::io::stderr().is_terminal() { &bar } else { &|_| {} };
    let run = Run {
        desk: context.desk(spool),
        courier: &courier,
        selection,
        occasion,
        keep_dead: context.config.queue.keep_dead,
        watch,
        stop,
    };
    let done = run.once();
    monitor::publish(context, spool);
    Ok(done?)
}

/// One line that is written over: `sending 12 of 40, 3.5 per second`.
fn bar(tally: &Tally) {
    let rate = tally.done as f64 / tally.elapsed.as_secs_f64().max(0.001);
    process::complain(&format!("\rsending {} of {}, {rate:.1} per second ", tally.done, tally.total));
}

fn summary(tally: &Tally) {
    if std::io::stderr().is_terminal() && tally.total > 0 {
        let Tally { finished, deferred, dead, .. } = tally;
        process::complain(&format!("\r\x1b[K{finished} done, {deferred} still waiting, {dead} given up\n"));
    }
}
