//! A scripted SMTP relay inside the test process: real sockets on loopback, real TLS, and a strict record of what a
//! client did. What it says is data ([`Script`]); the protocol itself lives in `session.rs`.
//!
//! Used by the black-box tests and by the quickstart.

pub mod base64;
pub mod certificates;
mod login;
#[path = "../../../../src/submission/md5.rs"]
mod md5;
pub mod record;
pub mod scram;
pub mod script;
mod session;
mod stream;

#[allow(unused_imports, reason = "each user of this module takes its own part")]
pub use self::{
    certificates::{Certificate, ClientAuth},
    record::{Conversation, Login, Received, Record},
    scram::Cheat,
    script::{Act, Script, Security, raw, say},
};

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket};
use std::collections::HashMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long [`Relay::wait_until`] waits before it calls the test failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay on a port of its own. Dropping it ends all its connections, and fails the test when a client offended
/// against the protocol.
pub struct Relay {
    port: u16,
    listener: Option<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    tolerant: bool,
}

/// What the acceptor and the sessions share.
struct Shared {
    play: Mutex<Arc<Play>>,
    record: Mutex<Record>,
    changed: Condvar,
    open: Mutex<HashMap<usize, TcpStream>>,
    stopping: AtomicBool,
}

/// A script being played: how often each rule's event has happened.
struct Play {
    script: Script,
    tls: Arc<rustls::ServerConfig>,
    happened: Vec<AtomicUsize>,
}

impl Relay {
    /// A relay that answers at once.
    pub fn start(script: Script) -> Relay {
        let mut relay = Relay::offline(script);
        relay.go_online();
        relay
    }

    /// A relay that refuses connections until [`Relay::go_online`]; its port is already its own.
    pub fn offline(script: Script) -> Relay {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let port = getsockname::<SockaddrIn>(socket.as_raw_fd()).unwrap().port();
        let shared = Shared {
            play: Mutex::new(Arc::new(Play::new(script))),
            record: Mutex::default(),
            changed: Condvar::new(),
            open: Mutex::default(),
            stopping: AtomicBool::new(false),
        };
        Relay { port, listener: Some(socket.into()), acceptor: None, shared: Arc::new(shared), tolerant: false }
    }

    /// Starts answering.
    pub fn go_online(&mut self) {
        let listener = self.listener.take().expect("a relay goes online once");
        listen(&listener, Backlog::new(128).unwrap()).unwrap();
        let shared = Arc::clone(&self.shared);
        self.acceptor = Some(thread::spawn(move || accept(&listener, &shared)));
    }

    /// Behaves differently from the next connection on.
    pub fn rewrite(&self, script: Script) {
        *self.shared.play.lock().unwrap() = Arc::new(Play::new(script));
    }

    /// Takes note of offences without failing the test: for clients that were made to offend.
    pub fn tolerant(mut self) -> Relay {
        self.tolerant = true;
        self
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How its connections are secured.
    pub fn security(&self) -> Security {
        self.shared.play.lock().unwrap().script.security
    }

    /// Everything seen so far.
    pub fn record(&self) -> Record {
        self.shared.record().clone()
    }

    /// The messages this relay has taken responsibility for.
    pub fn messages(&self) -> Vec<Received> {
        self.record().offers.into_iter().filter(|offer| offer.acknowledged).collect()
    }

    /// The one message it has taken.
    pub fn message(&self) -> Received {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "messages taken\n{}", self.transcript());
        messages.remove(0)
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.record().conversations.len()
    }

    /// Everything said, for a failing test's message.
    pub fn transcript(&self) -> String {
        self.record().conversations.iter().map(|conversation| format!("{conversation}--\n")).collect()
    }

    /// Waits until the record is as wanted.
    pub fn wait_until(&self, wanted: impl Fn(&Record) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut record = self.shared.record();
        while !wanted(&record) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the relay waited in vain; it has seen: {record:#?}");
            record = self.shared.changed.wait_timeout(record, left).unwrap().0;
        }
    }

    /// Waits until so many messages were taken.
    pub fn wait_for_messages(&self, count: usize) {
        self.wait_until(|record| record.offers.iter().filter(|offer| offer.acknowledged).count() >= count);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = TcpStream::connect(("127.0.0.1", self.port));
            let _ = acceptor.join();
        }
        for socket in self.shared.open.lock().unwrap().values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        if !self.tolerant && !thread::panicking() {
            assert_eq!(self.record().offences, [""; 0], "offences against the protocol\n{}", self.transcript());
        }
    }
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    /// Changes the record and wakes whoever waits for it.
    fn note<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let result = change(&mut self.record());
        self.changed.notify_all();
        result
    }
}

impl Play {
    fn new(script: Script) -> Play {
        let happened = script.rules.iter().map(|_| AtomicUsize::new(0)).collect();
        let tls = certificates::server_config(script.certificate, script.client_auth);
        Play { tls, happened, script }
    }

    /// Whether the script has something about an event, without letting it happen.
    fn acts_on(&self, event: &str) -> bool {
        self.script.rules.iter().any(|rule| rule.matches(event))
    }

    /// What the script says about an event that happens now.
    fn acts(&self, event: &str) -> &[Act] {
        let mut acts: &[Act] = &[];
        for (rule, happened) in self.script.rules.iter().zip(&self.happened).filter(|(rule, _)| rule.matches(event)) {
            let count = happened.fetch_add(1, Ordering::SeqCst) + 1;
            if acts.is_empty() && rule.nth.is_none_or(|nth| nth == count) {
                acts = &rule.acts;
            }
        }
        acts
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || session::serve(socket, &shared));
    }
}
