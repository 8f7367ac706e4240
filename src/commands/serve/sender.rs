//! The half that has the password and the network: runs the queue when the bell rings, when something is due, when a
//! signal says so. It listens to nobody but its own spool.

use super::acceptor::received;
use super::bell::{Bell, Ring};
use super::tether::Tether;
use crate::cli::Global;
use crate::clock::Moment;
use crate::commands::context::Context;
use crate::commands::{Failed, run_queue};
use crate::exit::Exit;
use crate::process::Process;
use crate::queue::hold::Occasion;
use crate::queue::run::Selection;
use crate::spool::{Place, Spool};
use crate::system;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::io::{self, PipeReader, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// The longest sleep: whatever a clock that jumps or an entry laid there by hand would have us miss.
const LOOK: Duration = Duration::from_secs(300);
/// The wait for what is due and could not be tried: its account is held, or another process has it in hands.
const AGAIN: Duration = Duration::from_secs(60);
/// How long messages that are being sent have when we are told to end.
const GRACE: Duration = Duration::from_secs(60);

/// Sends until it is told to end.
///
/// # Errors
/// The configuration or the spool cannot be used.
pub fn send(process: &Process, global: &Global) -> Result<Exit, Failed> {
    let mut context = Arc::new(Context::load(process, global)?);
    let spool = context.spool()?;
    let mut signals = system::watch_signals(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1])
        .map_err(Failed::system)?;
    let bell = Bell::hang(&context.config.spool)
        .inspect_err(|error| {
            context.log.note(&format!("no bell, so the queue is only looked at now and then: {error}"))
        })
        .ok();
    let mut tether = Tether::find();
    let (mut finished, told) = io::pipe().map_err(Failed::system)?;
    let told = Mutex::new(told);
    let stop = AtomicBool::new(false);
    let next = Mutex::new(Instant::now());
    let mut wanted = Some(Ring::Due);
    thread::scope(|scope| {
        let mut run: Option<ScopedJoinHandle<()>> = None;
        let mut end: Option<Instant> = None;
        loop {
            if run.is_none() && end.is_some() {
                return Ok(Exit::Ok);
            }
            if run.is_none()
                && let Some(ring) = wanted.take()
            {
                reload(&mut context, process, global);
                let (context, spool, stop, next, told) = (Arc::clone(&context), &spool, &stop, &next, &told);
                let started = thread::Builder::new().spawn_scoped(scope, move || {
                    go(&context, spool, ring, stop);
                    *next.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + until_due(spool);
                    let _ = told.lock().unwrap_or_else(PoisonError::into_inner).write_all(b".");
                });
                run = Some(started.map_err(Failed::system)?);
            }
            let until = match (&run, end) {
                (_, Some(end)) => end,
                (Some(_), None) => Instant::now() + LOOK,
                (None, None) => *next.lock().unwrap_or_else(PoisonError::into_inner),
            };
            let ready = wait(&signals, &tether, bell.as_ref(), &finished, until).map_err(Failed::system)?;
            if ready.finished {
                let _ = io::Read::read(&mut finished, &mut [0]);
                run = None;
            }
            if let Some(ring) = bell.as_ref().and_then(Bell::heard) {
                wanted = wanted.max(Some(ring));
            }
            let mut over = ready.tether && tether.is_cut();
            for signal in received(&mut signals) {
                match signal {
                    Signal::SIGHUP => wanted = wanted.max(Some(Ring::Due)),
                    Signal::SIGUSR1 => wanted = Some(Ring::All),
                    _ => over = true,
                }
            }
            if over && end.is_none() {
                stop.store(true, Ordering::Relaxed);
                end = Some(Instant::now() + GRACE);
                tether = Tether(None);
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                system::leave(Exit::TempFail.code());
            }
            if run.is_none() && ready.nothing {
                wanted = wanted.max(Some(Ring::Due));
            }
        }
    })
}

/// Reads the configuration again, so that a changed password needs no signal; one that cannot be used changes nothing.
fn reload<'a>(context: &mut Arc<Context<'a>>, process: &'a Process, global: &Global) {
    match Context::load(process, global) {
        Ok(fresh) => *context = Arc::new(fresh),
        Err(failed) => context.log.note(&format!("the old configuration stays: {}", failed.reason())),
    }
}

fn go(context: &Context, spool: &Spool, ring: Ring, stop: &AtomicBool) {
    let occasion = match ring {
        Ring::Due => Occasion::DueOnly,
        Ring::All => Occasion::ByHand,
    };
    if let Err(failed) = run_queue::run_until(context, spool, &Selection::All, occasion, stop) {
        context.log.note(&failed.reason());
    }
}

/// How long until the next entry is due.
fn until_due(spool: &Spool) -> Duration {
    let now = Moment::now();
    let ids = spool.ids(Place::Queue).unwrap_or_default();
    let waiting = ids.iter().filter_map(|id| spool.peek(id).ok().flatten()).filter(|peek| !peek.progress.held);
    let soonest = waiting.map(|peek| peek.progress.next).min();
    match soonest {
        None => LOOK,
        Some(next) if next <= now => AGAIN,
        Some(next) => next.since(now).min(LOOK),
    }
}

/// What there is to do.
struct Ready {
    tether: bool,
    finished: bool,
    /// The time is over.
    nothing: bool,
}

fn wait(
    signals: &PipeReader,
    tether: &Tether,
    bell: Option<&Bell>,
    finished: &PipeReader,
    until: Instant,
) -> io::Result<Ready> {
    let readable = PollFlags::POLLIN;
    let mut waiting = vec![PollFd::new(signals.as_fd(), readable), PollFd::new(finished.as_fd(), readable)];
    // A closed descriptor's place is kept by one that is asked anyway, so that positions stay.
    let tether_fd = tether.0.as_ref().map_or(signals.as_fd(), |stdin| stdin.as_fd());
    waiting.push(PollFd::new(tether_fd, readable));
    if let Some(bell) = bell {
        waiting.push(PollFd::new(bell.0.as_fd(), readable));
    }
    let left = until.saturating_duration_since(Instant::now());
    // Rounded up, so that it is never woken a moment too early, again and again.
    let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    let count = match poll(&mut waiting, timeout) {
        Ok(count) => Some(count),
        Err(Errno::EINTR) => None,
        Err(errno) => return Err(errno.into()),
    };
    let is_ready = |index: usize| waiting.get(index).and_then(PollFd::any).unwrap_or(false);
    Ok(Ready { tether: tether.0.is_some() && is_ready(2), finished: is_ready(1), nothing: count == Some(0) })
}
