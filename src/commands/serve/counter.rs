//! Where local callers are heard: SMTP over the socket, a thread for each caller, from his words to an entry in the
//! spool. Knows no passwords, and is shut in before it hears anybody.

use super::bell::{self, Ring};
use super::census::Census;
use super::ledger::{Ledger, Refusal};
use super::listeners::{Arrival, Listener};
use super::peer::Peer;
use super::worker::Leash;
use crate::cli::Listing;
use crate::commands::context::Context;
use crate::commands::dialogue::{Dialogue, Next, Pauses};
use crate::commands::doctor::health;
use crate::commands::taking::{self, Sender};
use crate::commands::{Failed, list_queue, monitor};
use crate::config::Senders;
use crate::exit::Exit;
use crate::log::{Event, Happening};
use crate::sandbox::Seen;
use crate::server::{Form, Question, Session, Settings, Tongue, Transaction};
use crate::spool::{Place, Spool};
use crate::system;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a caller may be silent, and how long one message may take: our own client has all of it when it calls.
const IDLE: Duration = Duration::from_secs(60);
const PAUSES: Pauses = Pauses { silence: Duration::from_secs(30), message: Duration::from_secs(600) };
/// How long callers in the middle of a message have when it is time to end.
pub const GRACE: Duration = Duration::from_secs(20);

/// How long those who are here when another takes our place are heard before they have that time only.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the threads share.
struct Counter<'a> {
    context: &'a Context<'a>,
    ledger: Mutex<Ledger>,
    census: Mutex<Census>,
    /// Callers in the middle of a message.
    busy: Mutex<usize>,
}

/// One caller's stay, for a thread of its own.
type Visit<'scope> = Box<dyn FnOnce() + Send + 'scope>;

/// The last word of a process that has heard callers; without one it has died, or was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nobody has called for so long.
    Idle,
    /// What it has seen of the system is not so any more.
    Stale,
}

impl Word {
    const ALL: [Word; 2] = [Word::Idle, Word::Stale];

    /// The word, and the books that may come with it.
    pub fn read(speech: &[u8]) -> Option<(Word, &[u8])> {
        Word::ALL.into_iter().find_map(|word| Some((word, speech.strip_prefix(&word.octet())?)))
    }

    fn octet(self) -> [u8; 1] {
        match self {
            Word::Idle => *b"i",
            Word::Stale => *b"s",
        }
    }
}

/// Why nobody new is let in any more.
enum Ending {
    /// It is said to the one that made us.
    Known(Word),
    /// Another hears those who come from now on: who is here is heard out.
    Replaced,
    /// It is over: who is in the middle of a message is heard out, for a while.
    Told,
}

/// Hears callers, with the books of who did before, until it is told to end, until what it has `seen` has changed, or
/// until nobody has come for `idle`. Then nobody new is heard.
pub fn attend(
    context: &Context,
    listeners: Vec<Listener>,
    books: &[u8],
    seen: &Seen,
    idle: Option<Duration>,
    leash: Leash,
) {
    let ledger = Mutex::new(Ledger::go_on(books, Instant::now()));
    let counter = Counter { context, ledger, census: Mutex::default(), busy: Mutex::default() };
    let Leash { mut over, mut word } = leash;
    // Whoever is left behind is so by the end of this process, which is the end of his thread.
    thread::scope(|scope| {
        let mut ending = counter.hear(&listeners, seen, idle, &mut over, |serve| {
            drop(thread::Builder::new().spawn_scoped(scope, serve));
        });
        drop(listeners);
        if let Ending::Known(last) = ending {
            let mut speech = last.octet().to_vec();
            if last == Word::Stale {
                speech.extend(counter.ledger().hand_over(&context.config.serve.quota, Instant::now()));
            }
            let _ = word.write_all(&speech);
        }
        let end = Instant::now() + PATIENCE;
        while !matches!(ending, Ending::Told) && counter.ledger().connections() > 0 && Instant::now() < end {
            if wait(&over, &[], Some(Duration::from_millis(100))).is_ok_and(|ready| ready.over) {
                ending = heard(&mut over);
            }
        }
        let end = Instant::now() + GRACE;
        while *counter.busy() > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        system::leave(Exit::Ok.code())
    })
}

/// What we are told: a word, or by its end that it is over.
fn heard(over: &mut PipeReader) -> Ending {
    match over.read(&mut [0]) {
        Ok(1..) => Ending::Replaced,
        Ok(0) | Err(_) => Ending::Told,
    }
}

/// What there is to do.
struct Ready {
    over: bool,
    listeners: Vec<usize>,
}

fn wait(over: &impl AsFd, listeners: &[Listener], timeout: Option<Duration>) -> io::Result<Ready> {
    let listening = listeners.iter().map(AsFd::as_fd);
    let mut waiting: Vec<PollFd> =
        listening.chain([over.as_fd()]).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let timeout = timeout.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
    match poll(&mut waiting, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let is_ready = |index: &usize| waiting.get(*index).and_then(PollFd::any).unwrap_or(false);
    let count = listeners.len();
    Ok(Ready { over: is_ready(&count), listeners: (0..count).filter(is_ready).collect() })
}

/// Shows a caller in, or tells him why not: in one line, and without a thread of his own.
fn receive<'scope, S: FnOnce(Visit<'scope>)>(counter: &'scope Counter<'_>, arrival: Arrival, spawn: S) {
    let serve = &counter.context.config.serve;
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

impl Counter<'_> {
    /// Lets callers in, each by his own thread.
    fn hear<'scope, S: FnMut(Visit<'scope>)>(
        &'scope self,
        listeners: &[Listener],
        seen: &Seen,
        idle: Option<Duration>,
        over: &mut PipeReader,
        mut spawn: S,
    ) -> Ending {
        let mut quiet_since = Instant::now();
        loop {
            let left = idle.map(|idle| idle.saturating_sub(quiet_since.elapsed()));
            let Ok(ready) = wait(over, listeners, left) else { return Ending::Told };
            if ready.over {
                return heard(over);
            }
            if !ready.listeners.is_empty() && !seen.holds() {
                return Ending::Known(Word::Stale);
            }
            for listener in ready.listeners.iter().filter_map(|index| listeners.get(*index)) {
                quiet_since = Instant::now();
                match listener.accept() {
                    Ok(Some(arrival)) => receive(self, arrival, &mut spawn),
                    Ok(None) => {}
                    Err(error) => {
                        // Out of descriptors or memory: those who are here leave some.
                        self.context.log.note(&format!("cannot take a caller: {error}"));
                        thread::sleep(Duration::from_millis(100));
                    }
                }
            }
            if self.ledger().connections() > 0 {
                quiet_since = Instant::now();
            }
            if idle.is_some_and(|idle| quiet_since.elapsed() >= idle) {
                return Ending::Known(Word::Idle);
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> MutexGuard<'_, usize> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection, from the greeting to its end.
    fn serve<S: AsFd>(&self, stream: &S, tongue: Tongue, peer: &Peer) -> io::Result<()>
    where
        for<'s> &'s S: Read + Write,
    {
        let context = self.context;
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
                    self.take(*transaction, peer, &mut dialogue);
                    // The reply is on its way before the message counts as dealt with.
                    let told = dialogue.tell();
                    *self.busy() -= 1;
                    told?;
                }
                Ok(Next::Question(question)) => dialogue.answer(&self.answer(question, peer)),
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
    fn take<R: Read + AsFd, W: Write>(&self, transaction: Transaction, peer: &Peer, dialogue: &mut Dialogue<R, W>) {
        let context = self.context;
        let serve = &context.config.serve;
        let admitted = self.admit(peer);
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
                let spool = entry.spool().clone();
                self.census.lock().unwrap_or_else(PoisonError::into_inner).add(peer.caller.uid);
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
    fn admit(&self, peer: &Peer) -> Result<(), Refusal> {
        let (quota, uid, now) = (&self.context.config.serve.quota, peer.caller.uid, Instant::now());
        self.ledger().message(uid, quota, now)?;
        if uid == 0 {
            return Ok(());
        }
        let Ok(Some(spool)) = Spool::existing(&self.context.config.spool) else { return Ok(()) };
        let mut census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        if census.has_room(&spool, uid, quota.queued, now) { Ok(()) } else { Err(Refusal::Queued) }
    }

    fn answer(&self, question: Question, peer: &Peer) -> String {
        let context = self.context;
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
