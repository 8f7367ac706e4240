//! A port of this host on which a browser brings the answer (RFC 8252 section 7.3): one connection after the other,
//! each bounded in octets and time, and nothing believed without our own state in it.

use crate::config::Redirect;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The longest request, in octets: codes have a few hundred, cookies of other local servers come along.
const LONGEST: usize = 32 * 1024;
/// How long one connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The port, open.
pub struct Door {
    listener: TcpListener,
    redirect: Redirect,
    port: u16,
}

/// What a request is.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The permission, as a code.
    Code(Zeroizing<String>),
    /// The person, or the provider, said no; its words.
    Declined(String),
    /// An answer, but not to our question.
    Stranger,
    /// Anything else, such as a favicon.
    Nothing,
}

impl Door {
    /// Listens where the client is registered to be called back; never beyond this host.
    pub fn open(redirect: &Redirect) -> Result<Door, Closed> {
        let bare = redirect.host.trim_start_matches('[').trim_end_matches(']');
        let ip = bare.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let closed = |source| Closed { address: (ip, redirect.port.unwrap_or(0)), source };
        let listener = TcpListener::bind((ip, redirect.port.unwrap_or(0))).map_err(closed)?;
        listener.set_nonblocking(true).map_err(closed)?;
        let port = listener.local_addr().map_err(closed)?.port();
        Ok(Door { listener, redirect: redirect.clone(), port })
    }

    /// What the browser is told to come back to.
    pub fn uri(&self) -> String {
        self.redirect.uri(self.port)
    }

    pub fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Hears one request out, and answers it. A connection that says nothing in time is nothing.
    pub fn hear(&self, state: &str) -> Verdict {
        let Ok((mut socket, _)) = self.listener.accept() else { return Verdict::Nothing };
        let Some(request) = read(&mut socket) else { return Verdict::Nothing };
        let verdict = match request_target(&request) {
            Some(target) if self.is_ours(target) => judge(target, state),
            _ => Verdict::Nothing,
        };
        let (status, words) = match &verdict {
            Verdict::Code(_) => ("200 OK", "mailchute has what it needs. You can close this window.\n"),
            Verdict::Declined(_) => ("200 OK", "It was not allowed. You can close this window.\n"),
            Verdict::Stranger => ("400 Bad Request", "This does not answer what mailchute asked.\n"),
            Verdict::Nothing => ("404 Not Found", "There is nothing here.\n"),
        };
        let length = words.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{words}"
        );
        let _ = socket.write_all(answer.as_bytes());
        verdict
    }

    fn is_ours(&self, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        path == self.redirect.path || (path == "/" && self.redirect.path.is_empty())
    }
}

/// The head of a request.
fn read(socket: &mut TcpStream) -> Option<Zeroizing<Vec<u8>>> {
    let end = Instant::now() + PATIENCE;
    socket.set_nonblocking(false).ok()?;
    socket.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut octets = Zeroizing::new(vec![0; LONGEST]);
    let mut filled = 0;
    while !octets[..filled].windows(4).any(|four| four == b"\r\n\r\n") {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || filled == LONGEST {
            return None;
        }
        socket.set_read_timeout(Some(left)).ok()?;
        match socket.read(&mut octets[filled..]) {
            Ok(0) => return None,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    octets.truncate(filled);
    Some(octets)
}

/// What a GET asks for.
fn request_target(request: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(request.split(|octet| *octet == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    (words.next() == Some("GET")).then(|| words.next()).flatten().filter(|target| target.starts_with('/'))
}

/// Path and query of an address that was pasted.
pub fn target_of(address: &str) -> &str {
    let behind = address.split_once("://").map_or(address, |(_, behind)| behind);
    behind.find(['/', '?']).map_or("", |start| &behind[start..])
}

/// What the answer in a query is, to the question with this state (RFC 6749 sections 4.1.2 and 4.1.2.1).
pub fn judge(target: &str, state: &str) -> Verdict {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).and_then(|(_, value)| unescape(value))
    };
    let (code, error) = (value("code"), value("error"));
    if code.is_none() && error.is_none() {
        return Verdict::Nothing;
    }
    if value("state").is_none_or(|found| *found != *state) {
        return Verdict::Stranger;
    }
    match (code, error) {
        (_, Some(error)) => {
            let words = match value("error_description") {
                Some(described) => format!("{} ({})", *error, *described),
                None => error.to_string(),
            };
            Verdict::Declined(words.chars().take(300).collect())
        }
        (Some(code), None) if !code.is_empty() => Verdict::Code(code),
        _ => Verdict::Nothing,
    }
}

/// A value of a query as it was before it was escaped; `None` when it cannot have been.
fn unescape(value: &str) -> Option<Zeroizing<String>> {
    let mut octets = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            octet => octet,
        });
    }
    std::str::from_utf8(&octets).ok().map(|text| Zeroizing::new(text.to_owned()))
}

/// The port cannot be had.
#[derive(Debug)]
pub struct Closed {
    address: (IpAddr, u16),
    source: io::Error,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ip, port) = self.address;
        write!(f, "cannot listen on {}: {}", std::net::SocketAddr::new(ip, port), self.source)
    }
}

impl std::error::Error for Closed {}

impl Explain for Closed {
    fn exit(&self) -> Exit {
        Exit::TempFail
    }

    fn hints(&self) -> Vec<String> {
        vec!["the port is that of redirect-url in oauth2; without one there, any free port is taken".into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_with_our_state_is_believed() {
        let code = |code: &str| Verdict::Code(Zeroizing::new(code.to_owned()));
        for (target, wanted) in [
            ("/?state=s&code=4%2F0Abc-_", code("4/0Abc-_")),
            ("/?code=a+b&scope=x&state=s#", code("a b")),
            ("/?code=a&state=t", Verdict::Stranger),
            ("/?code=a&state=", Verdict::Stranger),
            ("/?code=a", Verdict::Stranger),
            ("/?error=access_denied", Verdict::Stranger),
            ("/?error=access_denied&state=s", Verdict::Declined("access_denied".into())),
            ("/?error=x&error_description=No%20way&state=s&code=a", Verdict::Declined("x (No way)".into())),
            ("/?state=s", Verdict::Nothing),
            ("/?code=&state=s", Verdict::Nothing),
            ("/?code=%zz&state=s", Verdict::Nothing),
            ("/favicon.ico", Verdict::Nothing),
            ("", Verdict::Nothing),
        ] {
            assert_eq!(judge(target, "s"), wanted, "{target}");
        }
    }

    #[test]
    fn an_address_is_pasted_in_whole_or_in_part() {
        for (pasted, target) in [
            ("http://127.0.0.1:4711/?code=a", "/?code=a"),
            ("127.0.0.1:4711/?code=a", "/?code=a"),
            ("http://localhost:4711?code=a", "?code=a"),
            ("nonsense", ""),
            ("", ""),
        ] {
            assert_eq!(target_of(pasted), target, "{pasted}");
        }
    }

    #[test]
    fn a_request_is_answered_and_others_are_told_off() {
        let door = Door::open(&Redirect::default()).unwrap();
        let address = door.listener().local_addr().unwrap();
        let ask = |request: &str| {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(request.as_bytes()).unwrap();
            let verdict = door.hear("s");
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            (verdict, answer)
        };
        let (verdict, answer) = ask("GET /?code=c&state=s HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(verdict, Verdict::Code(Zeroizing::new("c".into())));
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("You can close this window.\n"),
            "{answer}"
        );
        for (request, status) in [
            ("GET /other?code=c&state=s HTTP/1.1\r\n\r\n", "404"),
            ("POST /?code=c&state=s HTTP/1.1\r\n\r\n", "404"),
            ("GET /?code=c&state=t HTTP/1.1\r\n\r\n", "400"),
            ("nonsense\r\n\r\n", "404"),
        ] {
            let (verdict, answer) = ask(request);
            assert!(matches!(verdict, Verdict::Nothing | Verdict::Stranger), "{request}");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Door::open(&Redirect { port: Some(port), ..Redirect::default() }).err().unwrap();
        assert!(error.to_string().starts_with(&format!("cannot listen on 127.0.0.1:{port}: ")), "{error}");
    }
}
