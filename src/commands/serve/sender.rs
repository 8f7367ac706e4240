//! The half that has the password and the network: runs the queue when the bell rings, when something is due, when a
//! signal says so. It listens to nobody but its own spool; and it is another process that listens to the relay, one for
//! each run, shut in with what that run needs.

use super::acceptor::received;
use super::bell::{Bell, Ring};
use super::tether::Tether;
use super::worker::{self, Leash, Worker};
use crate::cli::Global;
use crate::clock::Moment;
use crate::commands::context::Context;
use crate::commands::{Failed, confinement, run_queue};
use crate::exit::Exit;
use crate::process::Process;
use crate::queue::hold::Occasion;
use crate::queue::run::Selection;
use crate::spool::{Place, Spool};
use crate::system;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest sleep: whatever a clock that jumps or an entry laid there by hand would have us miss.
const LOOK: Duration = Duration::from_secs(300);
/// The wait for what is due and could not be tried: its account is held, or another process has it in hands.
const AGAIN: Duration = Duration::from_secs(60);
/// How long messages that are being sent have when we are told to end.
pub const GRACE: Duration = Duration::from_secs(60);

/// Sends until it is told to end.
///
/// # Errors
/// The configuration or the spool cannot be used.
pub fn send(process: &Process, global: &Global) -> Result<Exit, Failed> {
    let mut context = Context::load(process, global)?;
    let spool = context.spool()?;
    let mut signals = system::watch_signals(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1])
        .map_err(Failed::system)?;
    let mut tether = Tether::find();
    let bell = match Bell::hang(&context.config.spool, || !tether.is_cut_already()) {
        Ok(None) => return Ok(Exit::Ok),
        Ok(bell) => bell,
        Err(error) => {
            context.log.note(&format!("no bell, so the queue is only looked at now and then: {error}"));
            None
        }
    };
    let mut run: Option<Worker> = None;
    let mut wanted = Some(Ring::Due);
    let (mut next, mut end) = (Instant::now(), None);
    loop {
        if run.is_none() && end.is_some() {
            return Ok(Exit::Ok);
        }
        if run.is_none()
            && let Some(ring) = wanted.take()
        {
            reload(&mut context, process, global);
            next = Instant::now() + AGAIN;
            match Worker::start(|leash| go(&context, &spool, ring, leash)) {
                Ok(worker) => run = Some(worker),
                Err(error) => context.log.note(&format!("the queue cannot be run now: {error}")),
            }
        }
        let until = match (&run, end) {
            (_, Some(end)) => end,
            (Some(_), None) => Instant::now() + LOOK,
            (None, None) => next,
        };
        let ready = wait(&signals, &tether, bell.as_ref(), run.as_ref(), until).map_err(Failed::system)?;
        if let Some(mut ended) = run.take_if(|_| ready.run) {
            next = Instant::now() + learn(&context, &mut ended);
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
            run.iter_mut().for_each(Worker::stop);
            end = Some(Instant::now() + GRACE);
            tether = Tether(None);
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            run.iter().for_each(Worker::kill);
            return Ok(Exit::TempFail);
        }
        if run.is_none() && ready.nothing {
            wanted = wanted.max(Some(Ring::Due));
        }
    }
}

/// Reads the configuration again, so that a changed password needs no signal; one that cannot be used changes nothing.
fn reload<'a>(context: &mut Context<'a>, process: &'a Process, global: &Global) {
    match Context::load(process, global) {
        Ok(fresh) => *context = fresh,
        Err(failed) => context.log.note(&format!("the old configuration stays: {}", failed.reason())),
    }
}

/// One run, in its own process. Its last word is how long it is, in milliseconds, until something is due.
fn go(context: &Context, spool: &Spool, ring: Ring, leash: Leash) {
    let occasion = match ring {
        Ring::Due => Occasion::DueOnly,
        Ring::All => Occasion::ByHand,
    };
    let Leash { mut over, mut word } = leash;
    confinement::before_relays(context);
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let listen = move || {
        let _ = over.read(&mut [0]);
        told.store(true, Ordering::Relaxed);
    };
    // Without it the run goes to its end, or is killed when the time of grace is over.
    let _ = thread::Builder::new().spawn(listen);
    if let Err(failed) = run_queue::run_until(context, spool, &Selection::All, occasion, &stop) {
        context.log.note(&failed.reason());
    }
    let due = u64::try_from(until_due(spool).as_millis()).unwrap_or(u64::MAX);
    let _ = word.write_all(&due.to_be_bytes());
}

/// How long it is until something is due, as a run that is over has left word. One that died has not: what it had in
/// hands waits as it was, and is tried again.
fn learn(context: &Context, ended: &mut Worker) -> Duration {
    let word = ended.heard().map(|word| Duration::from_millis(u64::from_be_bytes(word)));
    let status = ended.bury();
    if word.is_none() {
        context.log.note(&format!("a run of the queue has ended {}", status.map_or_else(String::new, worker::shown)));
    }
    // As process 1 of a container: those whose parents are gone.
    worker::reap();
    word.unwrap_or(AGAIN)
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
    /// The run is over.
    run: bool,
    /// The time is over.
    nothing: bool,
}

fn wait(
    signals: &PipeReader,
    tether: &Tether,
    bell: Option<&Bell>,
    run: Option<&Worker>,
    until: Instant,
) -> io::Result<Ready> {
    let readable = PollFlags::POLLIN;
    // A missing one's place is kept by one that is asked anyway, so that positions stay.
    let run_fd = run.map_or(signals.as_fd(), |run| run.as_fd());
    let tether_fd = tether.0.as_ref().map_or(signals.as_fd(), |stdin| stdin.as_fd());
    let mut waiting: Vec<PollFd> =
        [signals.as_fd(), run_fd, tether_fd].map(|fd| PollFd::new(fd, readable)).into_iter().collect();
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
    Ok(Ready {
        tether: tether.0.is_some() && is_ready(2),
        run: run.is_some() && is_ready(1),
        nothing: count == Some(0),
    })
}
