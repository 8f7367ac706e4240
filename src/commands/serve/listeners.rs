//! The sockets that callers come to: those that systemd has passed, or our own.

use crate::config::{Serve, is_socket};
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::process::Process;
use crate::system;
use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt};
use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// One of them. Accepting does not wait.
pub enum Listener {
    Local(UnixListener),
    Loopback(TcpListener),
}

/// A caller.
pub enum Arrival {
    Local(UnixStream),
    Loopback(TcpStream),
}

/// All of them, and whether another process keeps them when we end.
pub struct Listeners {
    pub all: Vec<Listener>,
    pub are_passed: bool,
}

impl Listeners {
    /// Takes over what was passed; when nothing was, makes what the configuration names.
    pub fn open(process: &Process, serve: &Serve) -> Result<Listeners, Deaf> {
        let passed = system::take_sockets(process.passed_sockets());
        if !passed.is_empty() {
            let all = passed.into_iter().map(adopt).collect::<Result<_, _>>()?;
            return Ok(Listeners { all, are_passed: true });
        }
        let mut all = vec![Listener::Local(bind(&serve.socket).map_err(Deaf::at(&serve.socket.display()))?)];
        if let Some(address) = serve.listen {
            all.push(Listener::Loopback(TcpListener::bind(address).map_err(Deaf::at(&address))?));
        }
        for listener in &all {
            listener.do_not_wait().map_err(Deaf::at(&"its socket"))?;
        }
        Ok(Listeners { all, are_passed: false })
    }
}

impl Listener {
    /// The next caller; `None` when there is none any more.
    pub fn accept(&self) -> io::Result<Option<Arrival>> {
        let arrival = match self {
            Listener::Local(listener) => listener.accept().map(|(stream, _)| Arrival::Local(stream)),
            Listener::Loopback(listener) => listener.accept().map(|(stream, _)| Arrival::Loopback(stream)),
        };
        match arrival {
            Ok(arrival) => Ok(Some(arrival)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn do_not_wait(&self) -> io::Result<()> {
        match self {
            Listener::Local(listener) => listener.set_nonblocking(true),
            Listener::Loopback(listener) => listener.set_nonblocking(true),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Local(listener) => listener.as_fd(),
            Listener::Loopback(listener) => listener.as_fd(),
        }
    }
}

/// A passed socket, if it is of a kind that we serve.
fn adopt(socket: OwnedFd) -> Result<Listener, Deaf> {
    let wrong = |why: &str| Deaf { place: "a socket that was passed".into(), cause: io::Error::other(why.to_string()) };
    let is_stream = getsockopt(&socket, sockopt::SockType).is_ok_and(|kind| kind == SockType::Stream);
    let is_open = getsockopt(&socket, sockopt::AcceptConn).is_ok_and(|listens| listens);
    let address: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(|_| wrong("not a socket"))?;
    if !is_stream || !is_open {
        return Err(wrong("not a stream socket that listens"));
    }
    let listener = match address.family() {
        Some(AddressFamily::Unix) => Listener::Local(socket.into()),
        Some(AddressFamily::Inet | AddressFamily::Inet6) => {
            let listener = TcpListener::from(socket);
            if !listener.local_addr().is_ok_and(|address| address.ip().is_loopback()) {
                return Err(wrong("other machines could reach it"));
            }
            Listener::Loopback(listener)
        }
        _ => return Err(wrong("neither a local socket nor TCP")),
    };
    listener.do_not_wait().map_err(Deaf::at(&"a socket that was passed"))?;
    Ok(listener)
}

/// How long a socket that somebody listens on is looked at.
const MOMENT: Duration = Duration::from_secs(2);

/// Makes the socket, open to everybody: whom we serve is decided for each caller. It comes into its place whole, and
/// stays there when we end, so that whoever calls between two spoolers knows to wait.
#[allow(clippy::disallowed_methods, reason = "a socket has no contents to make durable")]
fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        match DirBuilder::new().mode(0o755).create(folder) {
            // Callers of all users must come through, whatever our umask is.
            Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o755))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    // What a killed spooler has left notices it in a moment.
    let end = Instant::now() + MOMENT;
    while is_socket(path) && UnixStream::connect(path).is_ok() {
        if Instant::now() >= end {
            return Err(io::Error::new(ErrorKind::AddrInUse, "another spooler listens there"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let fresh = path.with_extension(format!("{}", std::process::id()));
    let _ = fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh)?;
    let placed = fs::set_permissions(&fresh, Permissions::from_mode(0o666)).and_then(|()| fs::rename(&fresh, path));
    if placed.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    placed.map(|()| listener)
}

/// Nobody can call us.
#[derive(Debug)]
pub struct Deaf {
    place: String,
    cause: io::Error,
}

impl Deaf {
    fn at(place: &dyn fmt::Display) -> impl FnOnce(io::Error) -> Deaf + use<> {
        let place = place.to_string();
        move |cause| Deaf { place, cause }
    }
}

impl fmt::Display for Deaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.cause)
    }
}

impl std::error::Error for Deaf {}

impl Explain for Deaf {
    fn exit(&self) -> Exit {
        Exit::TempFail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_open_to_all_replaces_a_dead_one_and_leaves_a_living_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/submit.sock");
        drop(bind(&path).unwrap());
        let living = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        drop(living);
    }

    #[test]
    fn only_a_listening_stream_socket_of_this_machine_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let local = UnixListener::bind(folder.path().join("s")).unwrap();
        assert!(matches!(adopt(local.into()), Ok(Listener::Local(_))));
        let loopback = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(adopt(loopback.into()), Ok(Listener::Loopback(_))));
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(adopt(one.into()).is_err());
        assert!(adopt(tempfile::tempfile().unwrap().into()).is_err());
        if let Ok(everywhere) = TcpListener::bind("0.0.0.0:0") {
            assert!(adopt(everywhere.into()).is_err());
        }
    }
}
