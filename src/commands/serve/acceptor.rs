//! The half that local users talk to: SMTP over the socket, a thread for each caller, from his words to an entry in the
//! spool. It forgets all passwords before it hears a caller.

use super::bell::{self, Ring};
use super::census::Census;
use super::ledger::{Ledger, Refusal};
use super::listeners::{Arrival, Listener, Listeners};
use super::peer::Peer;
use super::tether::Tether;
use super::ward::Ward;
use crate::cli::{Global, Listing, Role};
use crate::commands::context::Context;
use crate::commands::dialogue::{Dialogue, Next, Pauses};
use crate::commands::doctor::health;
use crate::commands::taking::{self, Sender};
use crate::commands::{Failed, list_queue, monitor};
use crate::config::Senders;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::log::{Event, Happening};
use crate::process::Process;
use crate::server::{Form, Question, Session, Settings, Tongue, Transaction};
use crate::spool::{Place, Spool};
use crate::system;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::fmt;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a caller may be silent, and how long one message may take: our own client has all of it when it calls.
const IDLE: Duration = Duration::from_secs(60);
const PAUSES: Pauses = Pauses { silence: Duration::from_secs(30), message: Duration::from_secs(600) };
/// After how long without a caller an acceptor ends that is started again by the next one.
const IDLE_EXIT: Duration = Duration::from_secs(60);
/// How long callers in the middle of a message have when we are told to end.
const GRACE: Duration = Duration::from_secs(20);

/// What the threads share.
struct Counter<'a> {
    context: Mutex<Arc<Context<'a>>>,
    ledger: Mutex<Ledger>,
    census: Mutex<Census>,
    /// Callers in the middle of a message.
    busy: Mutex<usize>,
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
    let mut ward = (role == Role::Both).then(|| Ward::new(global));
    let counter = Arc::new(Counter {
        context: Mutex::new(Arc::new(context)),
        ledger: Mutex::default(),
        census: Mutex::default(),
        busy: Mutex::default(),
    });
    let mut quiet_since = Instant::now();
    // Threads are not waited for at the end: what they have begun and not made durable is still the caller's.
    thread::scope(|scope| {
        loop {
            if let Some(ward) = &mut ward
                && let Err(error) = ward.tend()
            {
                counter.context().log.note(&format!("cannot start the sender: {error}"));
            }
            let ends_idle = role == Role::Accept && listeners.are_passed;
            let timeout = ward.as_ref().and_then(Ward::due).or(ends_idle.then_some(IDLE_EXIT));
            let ready = wait(&signals, &tether, &listeners.all, timeout).map_err(Failed::system)?;
            for listener in ready.listeners.iter().filter_map(|index| listeners.all.get(*index)) {
                quiet_since = Instant::now();
                match listener.accept() {
                    Ok(Some(arrival)) => {
                        let counter = Arc::clone(&counter);
                        receive(counter, arrival, |serve| drop(thread::Builder::new().spawn_scoped(scope, serve)));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        // Out of descriptors or memory: those who are here leave some.
                        counter.context().log.note(&format!("cannot take a caller: {error}"));
                        thread::sleep(Duration::from_millis(100));
                    }
                }
            }
            let mut over = ready.tether && tether.is_cut();
            for signal in received(&mut signals) {
                match signal {
                    Signal::SIGCHLD => {
                        if let Some(said) = ward.as_mut().and_then(Ward::reap) {
                            counter.context().log.note(&said);
                        }
                    }
                    Signal::SIGHUP => {
                        counter.reload(process, global);
                        ward.iter().for_each(|ward| ward.signal(signal));
                    }
                    Signal::SIGUSR1 => ward.iter().for_each(|ward| ward.signal(signal)),
                    _ => over = true,
                }
            }
            if counter.ledger().connections() > 0 {
                quiet_since = Instant::now();
            }
            if over || ends_idle && quiet_since.elapsed() >= IDLE_EXIT {
                drop(listeners);
                finish(&counter, &mut signals, ward.as_mut());
                system::leave(Exit::Ok.code());
            }
        }
    })
}

fn load<'a>(process: &'a Process, global: &Global) -> Result<Context<'a>, Failed> {
    let mut context = Context::load(process, global)?;
    context.config.forget_secrets();
    Ok(context)
}

/// Waits until the callers in the middle of a message are through and the sender has ended, or for the time of grace.
fn finish(counter: &Counter, signals: &mut PipeReader, mut ward: Option<&mut Ward>) {
    let end = Instant::now() + GRACE;
    ward.iter().for_each(|ward| ward.signal(Signal::SIGTERM));
    loop {
        if let Some(ward) = &mut ward {
            ward.reap();
        }
        let sends = ward.as_ref().is_some_and(|ward| ward.is_running());
        if (*counter.busy() == 0 && !sends) || Instant::now() >= end {
            return;
        }
        let _ = wait(signals, &Tether(None), &[], Some(Duration::from_millis(20)));
        received(signals);
    }
}

/// What there is to do.
struct Ready {
    tether: bool,
    listeners: Vec<usize>,
}

fn wait(signals: &PipeReader, tether: &Tether, listeners: &[Listener], timeout: Option<Duration>) -> io::Result<Ready> {
    let mut waiting: Vec<PollFd> = listeners.iter().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)).collect();
    waiting.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
    if let Some(stdin) = &tether.0 {
        waiting.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
    }
    let timeout = timeout.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
    match poll(&mut waiting, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let is_ready = |fd: &PollFd| fd.any().unwrap_or(false);
    let count = listeners.len();
    let ready = (0..count).filter(|index| is_ready(&waiting[*index])).collect();
    Ok(Ready { tether: waiting.get(count + 1).is_some_and(is_ready), listeners: ready })
}

/// The signals that have come.
pub fn received(signals: &mut PipeReader) -> Vec<Signal> {
    let mut numbers = [0; 64];
    let count = signals.read(&mut numbers).unwrap_or(0);
    numbers[..count].iter().filter_map(|number| Signal::try_from(i32::from(*number)).ok()).collect()
}

/// Shows a caller in, or tells him why not: in one line, and without a thread of his own.
fn receive<'scope, 'a: 'scope>(
    counter: Arc<Counter<'a>>,
    arrival: Arrival,
    spawn: impl FnOnce(Box<dyn FnOnce() + Send + 'scope>),
) {
    let context = counter.context();
    let serve = &context.config.serve;
    let Some(peer) = Peer::of(&arrival) else {
        return arrival.dismiss("554 5.7.1 nobody knows who you are here");
    };
    if !peer.may_send(serve) {
        return arrival.dismiss("554 5.7.1 you are not served here");
    }
    let uid = peer.caller.uid;
    let booked = counter.ledger().connect(uid, &serve.quota, Instant::now());
    if let Err(refusal) = booked {
        return arrival.dismiss(&format!("421 4.7.0 {refusal}"));
    }
    spawn(Box::new(move || {
        let served = match &arrival {
            Arrival::Local(stream) => {
                let timeout =
                    stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(Some(PAUSES.silence)));
                timeout.and_then(|()| counter.serve(stream, Tongue::Ours, &peer))
            }
            Arrival::Loopback(stream) => {
                let timeout =
                    stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(Some(PAUSES.silence)));
                timeout.and_then(|()| counter.serve(stream, Tongue::Standard, &peer))
            }
        };
        // One who has gone has nothing to be told.
        drop(served);
        let mut ledger = counter.ledger();
        ledger.disconnect(uid);
        ledger.forget(Instant::now());
    }));
}

impl Arrival {
    /// Says one line and hangs up.
    fn dismiss(&self, line: &str) {
        let line = format!("{line}\r\n");
        // A line fits in every socket's buffer; nobody waits for who does not read it.
        let _ = match self {
            Arrival::Local(stream) => (&*stream).write_all(line.as_bytes()),
            Arrival::Loopback(stream) => (&*stream).write_all(line.as_bytes()),
        };
    }
}

impl<'a> Counter<'a> {
    fn context(&self) -> Arc<Context<'a>> {
        Arc::clone(&self.context.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> MutexGuard<'_, usize> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the configuration again; one that cannot be used changes nothing.
    fn reload(&self, process: &'a Process, global: &Global) {
        match load(process, global) {
            Ok(context) => *self.context.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(context),
            Err(failed) => self.context().log.note(&format!("the old configuration stays: {}", failed.reason())),
        }
    }

    /// One connection, from the greeting to its end.
    fn serve<S: AsFd>(&self, stream: &S, tongue: Tongue, peer: &Peer) -> io::Result<()>
    where
        for<'s> &'s S: Read + Write,
    {
        let context = self.context();
        let quota = &context.config.serve.quota;
        let relay = context.usual_account().and_then(|account| account.limits.size).unwrap_or(u64::MAX);
        let session = Session::new(Settings {
            max_recipients: quota.recipients,
            tongue,
            ..Settings::standard(context.process.host.clone(), Some(quota.size.min(relay)))
        });
        let mut dialogue = Dialogue::new(session, stream, stream, PAUSES);
        loop {
            match dialogue.next_message(IDLE) {
                Ok(Next::Message(transaction)) => {
                    *self.busy() += 1;
                    self.take(&context, *transaction, peer, &mut dialogue);
                    // The reply is on its way before the message counts as dealt with.
                    let told = dialogue.tell();
                    *self.busy() -= 1;
                    told?;
                }
                Ok(Next::Question(question)) => dialogue.answer(&self.answer(&context, question, peer)),
                Ok(Next::Over) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    dialogue.give_up();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes one message into the spool, and wakes the sender.
    fn take<R: Read + AsFd, W: Write>(
        &self,
        context: &Context,
        transaction: Transaction,
        peer: &Peer,
        dialogue: &mut Dialogue<R, W>,
    ) {
        let serve = &context.config.serve;
        let admitted = self.admit(context, peer);
        let kept = admitted.map_err(Failed::from).and_then(|()| {
            let bound = serve.senders == Senders::Own && peer.caller.uid != 0 && !peer.is_among(&serve.trusted);
            let sender = if bound { Sender::Himself } else { Sender::Free };
            taking::keep(context, &peer.caller, transaction, sender, dialogue)
        });
        match kept {
            Ok(entry) => {
                let (uid, pid) = (peer.caller.uid.to_string(), peer.pid.map(|pid| pid.to_string()));
                context.log.event(&Event {
                    id: Some(entry.id().as_str()),
                    message_id: Some(&entry.ticket().message_id),
                    uid: Some(&uid),
                    pid: pid.as_deref(),
                    program: peer.program.as_deref(),
                    ..Event::new(Happening::Queued)
                });
                dialogue.accepted(entry.id().as_str());
                self.census.lock().unwrap_or_else(PoisonError::into_inner).add(peer.caller.uid);
                let spool = entry.spool().clone();
                // The sender must find it unlocked.
                drop(entry);
                bell::ring(&context.config.spool, Ring::Due);
                monitor::count(context, &spool);
            }
            Err(failed) => {
                if !dialogue.is_cut() {
                    context.log.note(&format!("uid {}: not taken: {}", peer.caller.uid, failed.reason()));
                }
                dialogue.failed(&failed);
            }
        }
    }

    /// Whether he may have one more message now.
    fn admit(&self, context: &Context, peer: &Peer) -> Result<(), Refusal> {
        let (quota, uid, now) = (&context.config.serve.quota, peer.caller.uid, Instant::now());
        self.ledger().message(uid, quota, now)?;
        if uid == 0 {
            return Ok(());
        }
        let Ok(Some(spool)) = Spool::existing(&context.config.spool) else { return Ok(()) };
        let mut census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        if census.has_room(&spool, uid, quota.queued, now) { Ok(()) } else { Err(Refusal::Queued) }
    }

    fn answer(&self, context: &Context, question: Question, peer: &Peer) -> String {
        match question {
            Question::Flush => {
                bell::ring(&context.config.spool, if peer.caller.uid == 0 { Ring::All } else { Ring::Due });
                String::new()
            }
            Question::Health => health::lines(context, peer.caller.uid),
            Question::Queue(form) => {
                let whose = (peer.caller.uid != 0).then_some(peer.caller.uid);
                let form = match form {
                    Form::Mailq => list_queue::Form::Mailq,
                    Form::Json => list_queue::Form::Own(Listing::Json),
                    // Numbers and names of accounts, and nothing of anybody's mail: for whoever watches the machine.
                    Form::State => {
                        let state = context.spool().and_then(|spool| monitor::look(context, &spool));
                        return state.map_or_else(|error| error.to_string(), |state| state.to_string());
                    }
                };
                let mut text = Vec::new();
                let _ = list_queue::write(context, Place::Queue, form, whose, &mut text);
                String::from_utf8_lossy(&text).into_owned()
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Busy => "too many callers, try again",
            Refusal::Connections => "too many connections of yours, try again",
            Refusal::Rate => "too many messages of yours in this minute, try again",
            Refusal::Queued => "too many messages of yours wait, try again",
        })
    }
}

impl std::error::Error for Refusal {}

impl Explain for Refusal {
    fn exit(&self) -> Exit {
        Exit::TempFail
    }
}
