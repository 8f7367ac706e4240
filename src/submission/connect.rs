//! From a name and a port to a connected socket: resolves within a time limit, races the addresses (RFC 8305 with one
//! thread), tells the errors apart.

use super::Watch;
use super::fault::{Fault, errno_words};
use crate::config::Endpoint;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect as begin, getsockopt, socket, sockopt,
};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long one address may take.
const PER_ADDRESS: Duration = Duration::from_secs(10);
/// How long an address is alone before the next one is tried beside it (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Why one address did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TimedOut,
    Failed(Errno),
}

impl Refusal {
    /// It in words, for people.
    pub fn words(self) -> String {
        match self {
            Refusal::TimedOut => "timed out".into(),
            Refusal::Failed(errno) => errno_words(errno),
        }
    }
}

/// The addresses of a host, IPv6 and IPv4 in turns.
pub fn resolve(endpoint: &Endpoint, watch: &mut Watch) -> Result<Vec<SocketAddr>, Fault> {
    let bare = endpoint.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&endpoint.host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, endpoint.port)]);
    }
    let end = watch.patience.deadline();
    let mut answer = ask_resolver(endpoint);
    loop {
        let waiting_in_foreground = watch.patience.foreground.is_some();
        let Some(nap) = watch.patience.nap(end) else {
            return Err(Fault::Resolver("the name server does not answer".into()));
        };
        if waiting_in_foreground && watch.patience.foreground.is_none() {
            // Detaching forks, and a thread does not follow into the child.
            answer = ask_resolver(endpoint);
        }
        match answer.recv_timeout(nap) {
            Ok(Ok(addresses)) => return Ok(in_turns(addresses)),
            Ok(Err(fault)) => return Err(fault),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Fault::Resolver("the resolver failed".into())),
        }
    }
}

/// Connects to whichever address answers first.
pub fn connect(addresses: &[SocketAddr], watch: &mut Watch) -> Result<(TcpStream, SocketAddr), Fault> {
    let mut waiting: VecDeque<SocketAddr> = addresses.iter().copied().collect();
    let mut runners: Vec<Runner> = Vec::new();
    let mut refusals = Vec::new();
    let mut next_start = Instant::now();
    loop {
        if runners.is_empty() || Instant::now() >= next_start {
            if let Some(address) = waiting.pop_front() {
                match Runner::start(address, watch.patience.within(PER_ADDRESS)) {
                    Ok(runner) => runners.push(runner),
                    Err(errno) => {
                        refusals.push((address, Refusal::Failed(errno)));
                        continue;
                    }
                }
                next_start = Instant::now() + STAGGER;
            } else if runners.is_empty() {
                return Err(Fault::Connect(refusals));
            }
        }
        let first_end = runners.iter().map(|runner| runner.end).min().unwrap_or(next_start);
        let wake = if waiting.is_empty() { first_end } else { first_end.min(next_start) };
        let mut polled: Vec<PollFd> =
            runners.iter().map(|runner| PollFd::new(runner.socket.as_fd(), PollFlags::POLLOUT)).collect();
        watch.patience.poll(&mut polled, wake).map_err(Fault::Broken)?;
        let ready: Vec<bool> = polled.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let mut kept = Vec::new();
        for (runner, ready) in runners.into_iter().zip(ready) {
            match runner.look(ready) {
                State::Connected(socket, address) => return Ok((socket, address)),
                State::Running(runner) => kept.push(runner),
                // The next address need not wait for its turn any longer.
                State::Refused(address, refusal) => {
                    refusals.push((address, refusal));
                    next_start = Instant::now();
                }
            }
        }
        runners = kept;
    }
}

/// One address being connected to.
struct Runner {
    socket: OwnedFd,
    address: SocketAddr,
    end: Instant,
}

enum State {
    Connected(TcpStream, SocketAddr),
    Running(Runner),
    Refused(SocketAddr, Refusal),
}

impl Runner {
    fn start(address: SocketAddr, end: Instant) -> Result<Runner, Errno> {
        let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
        match begin(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(Runner { socket, address, end }),
            Err(errno) => Err(errno),
        }
    }

    fn look(self, ready: bool) -> State {
        let failure = if ready {
            getsockopt(&self.socket, sockopt::SocketError).unwrap_or_else(|errno| errno as i32)
        } else if Instant::now() >= self.end {
            return State::Refused(self.address, Refusal::TimedOut);
        } else {
            return State::Running(self);
        };
        if failure != 0 {
            let refusal = match Errno::from_raw(failure) {
                Errno::ETIMEDOUT => Refusal::TimedOut,
                errno => Refusal::Failed(errno),
            };
            return State::Refused(self.address, refusal);
        }
        let socket = TcpStream::from(self.socket);
        // Else the last piece of a message waits for the acknowledgement of the piece before it.
        let _ = socket.set_nodelay(true);
        State::Connected(socket, self.address)
    }
}

/// Asks getaddrinfo in a thread of its own: it knows no time limit.
fn ask_resolver(endpoint: &Endpoint) -> mpsc::Receiver<Result<Vec<SocketAddr>, Fault>> {
    let (sender, receiver) = mpsc::channel();
    let (host, port) = (endpoint.host.clone(), endpoint.port);
    let work = move || {
        let found = (host.as_str(), port).to_socket_addrs();
        let _ = sender.send(found.map(Iterator::collect).map_err(|error| resolver_fault(&error.to_string())));
    };
    // No thread is a dropped sender, which the receiver takes for a failed resolver.
    let _ = thread::Builder::new().name("resolver".into()).spawn(work);
    receiver
}

/// Tells "there is no such name" from "nobody answered": the standard library hands on only gai_strerror's words.
fn resolver_fault(words: &str) -> Fault {
    let words = words.trim_start_matches("failed to lookup address information: ");
    // EAI_NONAME and EAI_NODATA in the words of glibc and musl.
    let unknown = ["Name or service not known", "No address associated with hostname", "Name does not resolve"];
    if unknown.iter().any(|unknown| words.contains(unknown)) {
        Fault::NoSuchHost
    } else {
        Fault::Resolver(words.to_lowercase())
    }
}

/// The resolver's order kept within each family, families in turns, its first one first (RFC 8305 section 4).
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut turns = Vec::new();
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns.dedup();
    turns
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Deaf, patience};
    use super::*;
    use crate::config::Tls;
    use std::net::TcpListener;

    fn watched<T>(work: impl FnOnce(&mut Watch) -> T) -> T {
        work(&mut Watch { patience: &mut patience(), observer: &mut Deaf })
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address where nothing listens: a socket bound and never listened on holds it.
    fn refusing() -> (OwnedFd, SocketAddr) {
        use nix::sys::socket::{bind, getsockname};
        let holder = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
        bind(holder.as_raw_fd(), &SockaddrStorage::from("127.0.0.1:0".parse::<SocketAddr>().unwrap())).unwrap();
        let name: SockaddrStorage = getsockname(holder.as_raw_fd()).unwrap();
        let port = name.as_sockaddr_in().unwrap().port();
        (holder, SocketAddr::new("127.0.0.1".parse().unwrap(), port))
    }

    #[test]
    fn the_first_address_that_answers_wins() {
        let (_holder, dead) = refusing();
        let (_listener, alive) = listener();
        let (socket, address) = watched(|watch| connect(&[dead, alive], watch)).unwrap();
        assert_eq!(address, alive);
        assert!(socket.nodelay().unwrap());
    }

    #[test]
    fn every_address_is_tried_before_giving_up() {
        let (_one, first) = refusing();
        let (_two, second) = refusing();
        let refused = Refusal::Failed(Errno::ECONNREFUSED);
        let fault = watched(|watch| connect(&[first, second], watch)).unwrap_err();
        assert_eq!(fault, Fault::Connect(vec![(first, refused), (second, refused)]));
    }

    #[test]
    fn a_literal_asks_no_name_server() {
        for (host, expected) in [("127.0.0.1", "127.0.0.1:25"), ("::1", "[::1]:25"), ("[::1]", "[::1]:25")] {
            let endpoint = Endpoint { host: host.into(), port: 25, tls: Tls::None };
            assert_eq!(watched(|watch| resolve(&endpoint, watch)).unwrap(), [expected.parse().unwrap()]);
        }
    }

    #[test]
    fn families_take_turns() {
        let all = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"].map(|text| text.parse().unwrap());
        let turns = in_turns(all.to_vec());
        assert_eq!(turns, [all[0], all[3], all[1], all[2]]);
    }

    #[test]
    fn an_unknown_name_is_not_a_silent_name_server() {
        let lead = "failed to lookup address information: ";
        assert_eq!(resolver_fault(&format!("{lead}Name or service not known")), Fault::NoSuchHost);
        assert_eq!(
            resolver_fault(&format!("{lead}Temporary failure in name resolution")),
            Fault::Resolver("temporary failure in name resolution".into())
        );
    }
}
