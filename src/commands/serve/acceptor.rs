//! The half that local users talk to, and what keeps it going: it holds the sockets, and the callers are heard by a
//! process that it splits off, which can die and be replaced without a caller losing more than his connection. All
//! passwords are forgotten before that.

use super::counter::{self, Word};
use super::listeners::Listeners;
use super::sender;
use super::tether::Tether;
use super::ward::Ward;
use super::worker::{self, Worker};
use crate::cli::{Global, Role};
use crate::commands::context::Context;
use crate::commands::{Failed, confinement};
use crate::exit::Exit;
use crate::process::Process;
use crate::system;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The least time between a death and the next start.
const BREATH: Duration = Duration::from_secs(1);

/// How long the sender has to end: its own time of grace, and a moment to bury its run. As process 1 of a container we
/// take it with us.
const WARD_GRACE: Duration = sender::GRACE.saturating_add(Duration::from_secs(5));

/// How many may hear out those that had begun: local users can have one after the other replaced.
const MOST_LEAVING: usize = 8;

/// What an acceptor has in hands.
struct Acceptor<'a> {
    context: Context<'a>,
    listeners: Listeners,
    /// Who hears callers now.
    clerk: Option<Worker>,
    /// When one was started.
    started: Option<Instant>,
    /// Who hears out those that had begun, the oldest first.
    leaving: Vec<Worker>,
    /// What users have had lately, from who heard callers before.
    books: Vec<u8>,
    ward: Option<Ward>,
}

/// Takes mail until it is told to end, and keeps a sender when it is both halves.
///
/// # Errors
/// The configuration, the spool or the socket cannot be used.
pub fn accept(process: &Process, global: &Global, role: Role) -> Result<Exit, Failed> {
    let context = load(process, global)?;
    context.spool()?;
    let mut signals =
        system::watch_signals(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD])
            .map_err(Failed::system)?;
    let listeners = Listeners::open(process, &context.config.serve)?;
    let mut tether = Tether::find();
    let ward = (role == Role::Both).then(|| Ward::new(global));
    let mut acceptor =
        Acceptor { context, listeners, clerk: None, started: None, leaving: Vec::new(), books: Vec::new(), ward };
    loop {
        acceptor.tend(role);
        let ready = wait(&signals, &tether, acceptor.clerk.as_ref(), acceptor.due()).map_err(Failed::system)?;
        let mut over = ready.tether && tether.is_cut();
        if ready.clerk {
            over |= acceptor.listen(None) == Some(Word::Idle);
        }
        for signal in received(&mut signals) {
            match signal {
                Signal::SIGCHLD => over |= acceptor.bury() == Some(Word::Idle),
                Signal::SIGHUP => {
                    match load(process, global) {
                        Ok(context) => acceptor.renew(context),
                        Err(failed) => {
                            acceptor.context.log.note(&format!("the old configuration stays: {}", failed.reason()));
                        }
                    }
                    acceptor.ward.iter().for_each(|ward| ward.signal(signal));
                }
                Signal::SIGUSR1 => acceptor.ward.iter().for_each(|ward| ward.signal(signal)),
                _ => over = true,
            }
        }
        if over {
            acceptor.finish(&mut signals);
            system::leave(Exit::Ok.code());
        }
    }
}

fn load<'a>(process: &'a Process, global: &Global) -> Result<Context<'a>, Failed> {
    let mut context = Context::load(process, global)?;
    context.config.forget_secrets();
    Ok(context)
}

impl<'a> Acceptor<'a> {
    /// Sees to it that somebody hears callers, and somebody sends.
    fn tend(&mut self, role: Role) {
        if let Some(ward) = &mut self.ward
            && let Err(error) = ward.tend()
        {
            self.context.log.note(&format!("cannot start the sender: {error}"));
        }
        if self.clerk.is_some() || self.breath().is_some_and(|left| !left.is_zero()) {
            return;
        }
        self.started = Some(Instant::now());
        let idle = (role == Role::Accept && self.listeners.are_passed).then_some(self.context.config.serve.idle_exit);
        let Acceptor { context, listeners, clerk, leaving, books, ward, .. } = self;
        let started = Worker::start(|leash| {
            // What holds others' leashes.
            drop((clerk.take(), std::mem::take(leaving), ward.take()));
            let listeners = std::mem::take(&mut listeners.all);
            let seen = confinement::before_callers(context);
            counter::attend(context, listeners, books, &seen, idle, leash);
        });
        match started {
            Ok(worker) => {
                self.clerk = Some(worker);
                self.books.clear();
            }
            Err(error) => self.context.log.note(&format!("nobody can hear callers now: {error}")),
        }
    }

    /// How long until somebody may be started.
    fn breath(&self) -> Option<Duration> {
        self.started.map(|started| BREATH.saturating_sub(started.elapsed()))
    }

    /// When it has to be looked after again.
    fn due(&self) -> Option<Duration> {
        let clerk = if self.clerk.is_none() { self.breath() } else { None };
        let ward = self.ward.as_ref().and_then(Ward::due);
        clerk.into_iter().chain(ward).min()
    }

    /// Hears the last word of who has heard callers; or finds him dead, perhaps buried with that status.
    fn listen(&mut self, buried: Option<WaitStatus>) -> Option<Word> {
        let mut clerk = self.clerk.take()?;
        let speech = clerk.speech();
        let word = Word::read(&speech);
        if word.is_none() && buried.is_none() {
            // Who has nothing more to say has no more to do.
            clerk.kill();
        }
        match (word, buried) {
            (Some((Word::Stale, books)), _) => self.books = books.to_vec(),
            (Some((Word::Idle, _)), _) => {}
            (None, _) => {
                let status = buried.or_else(|| clerk.bury()).map_or_else(String::new, worker::shown);
                self.context.log.note(&format!("the process that hears callers has ended {status}; another one will"));
                return None;
            }
        }
        if buried.is_none() {
            self.leave(clerk);
        }
        word.map(|(word, _)| word)
    }

    /// Has callers heard with another configuration from now on.
    fn renew(&mut self, context: Context<'a>) {
        self.context = context;
        if let Some(mut clerk) = self.clerk.take() {
            clerk.replace();
            self.leave(clerk);
            self.started = None;
        }
    }

    /// Lets one hear out those that had begun, unless too many do.
    fn leave(&mut self, clerk: Worker) {
        self.leaving.push(clerk);
        if self.leaving.len() > MOST_LEAVING {
            self.leaving.remove(0).kill();
        }
    }

    /// Waits until the callers in the middle of a message are through and the sender has ended, or for the time of
    /// grace that each of them has.
    fn finish(&mut self, signals: &mut PipeReader) {
        self.listeners.all.clear();
        self.leaving.extend(self.clerk.take());
        self.leaving.iter_mut().for_each(Worker::stop);
        self.ward.iter().for_each(|ward| ward.signal(Signal::SIGTERM));
        let begun = Instant::now();
        loop {
            self.bury();
            let sends = self.ward.as_ref().is_some_and(Ward::is_running);
            if self.leaving.is_empty() && !sends {
                return;
            }
            let past = |grace| begun.elapsed() >= grace;
            if past(counter::GRACE) {
                self.leaving.iter().for_each(Worker::kill);
                if !sends || past(WARD_GRACE) {
                    return;
                }
            }
            let _ = wait(signals, &Tether(None), None, Some(Duration::from_millis(20)));
            received(signals);
        }
    }

    /// Buries who has ended; the last word of who has heard callers, if it is he.
    fn bury(&mut self) -> Option<Word> {
        let mut word = None;
        for status in worker::reap() {
            self.leaving.retain(|worker| !worker.is(status));
            if self.clerk.as_ref().is_some_and(|clerk| clerk.is(status)) {
                word = self.listen(Some(status));
            }
            if let Some(said) = self.ward.as_mut().and_then(|ward| ward.ended(status)) {
                self.context.log.note(&said);
            }
        }
        word
    }
}

/// What there is to do.
struct Ready {
    tether: bool,
    clerk: bool,
}

fn wait(signals: &PipeReader, tether: &Tether, clerk: Option<&Worker>, timeout: Option<Duration>) -> io::Result<Ready> {
    // A missing one's place is kept by one that is asked anyway, so that positions stay.
    let clerk_fd = clerk.map_or(signals.as_fd(), |clerk| clerk.as_fd());
    let tether_fd = tether.0.as_ref().map_or(signals.as_fd(), |stdin| stdin.as_fd());
    let mut waiting = [signals.as_fd(), clerk_fd, tether_fd].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let timeout = timeout.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
    match poll(&mut waiting, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let [_, clerk_ready, tether_ready] = waiting.map(|fd| fd.any().unwrap_or(false));
    Ok(Ready { tether: tether.0.is_some() && tether_ready, clerk: clerk.is_some() && clerk_ready })
}

/// The signals that have come.
pub fn received(signals: &mut PipeReader) -> Vec<Signal> {
    let mut numbers = [0; 64];
    let count = signals.read(&mut numbers).unwrap_or(0);
    numbers[..count].iter().filter_map(|number| Signal::try_from(i32::from(*number)).ok()).collect()
}
