//! One request to a web server and its answer: HTTP/1.1 (RFC 9112) over the same verified TLS that relays get, or in
//! clear to this very host. An answer is bounded in size and time, no redirect is followed, nothing is kept open.

use crate::config::Url;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::submission::{Fault, Line, Patience, Roots};
use httparse::{EMPTY_HEADER, Status};
use std::fmt;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The longest head of an answer, and the longest body, in octets.
const HEAD: usize = 16 * 1024;
pub const BODY: usize = 64 * 1024;
const HEADERS: usize = 100;

/// Asks web servers.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    pub roots: &'a Roots,
}

/// What a server answered.
pub struct Answer {
    pub status: u16,
    /// At most [`BODY`] octets; zeroed when dropped, for it may hold a token.
    pub body: Zeroizing<Vec<u8>>,
}

/// How long a request and its answer may take, and each step of them.
pub const WHOLE: Duration = Duration::from_secs(30);
pub const STEP: Duration = Duration::from_secs(10);

/// So long, for one request that nobody waits for but us.
pub fn patience() -> Patience {
    Patience { step: STEP, overall: Some(Instant::now() + WHOLE), foreground: None }
}

impl Client<'_> {
    /// GET.
    ///
    /// # Errors
    /// No answer, or none that is HTTP and within bounds. A status of 400 and more is an answer.
    pub fn get(&self, url: &Url, patience: &mut Patience) -> Result<Answer, HttpError> {
        let request = format!("GET {} HTTP/1.1\r\n{}\r\n", url.target(), fields(url));
        self.ask(url, request.as_bytes(), patience)
    }

    /// POST of a form, `name=value&...`, which [`form`] makes. Errors as for [`Client::get`].
    pub fn post_form(&self, url: &Url, form: &str, patience: &mut Patience) -> Result<Answer, HttpError> {
        let (target, length) = (url.target(), form.len());
        let mut request = Zeroizing::new(String::with_capacity(length + 4096));
        request.push_str(&format!("POST {target} HTTP/1.1\r\n{}", fields(url)));
        request.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
        request.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        request.push_str(form);
        self.ask(url, request.as_bytes(), patience)
    }

    fn ask(&self, url: &Url, request: &[u8], patience: &mut Patience) -> Result<Answer, HttpError> {
        let error = |trouble| HttpError { server: url.authority(), trouble };
        let talk = |patience: &mut Patience| {
            let mut line = Line::open(url.endpoint(), self.roots, patience).map_err(Trouble::Broken)?;
            line.send(request, patience).map_err(Trouble::Broken)?;
            hear(&mut |octets| line.receive(octets, patience).map_err(Trouble::Broken))
        };
        talk(patience).map_err(error)
    }
}

/// The header fields of every request.
fn fields(url: &Url) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let host = url.authority();
    format!("Host: {host}\r\nUser-Agent: mailchute/{version}\r\nAccept: */*\r\nConnection: close\r\n")
}

/// Names and values as a form or the query of an address holds them (application/x-www-form-urlencoded).
pub fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    // Three octets for each at most, so that no half of a secret is left behind by a growing string.
    let most = fields.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut text = Zeroizing::new(String::with_capacity(most));
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        escape(name, &mut text);
        text.push('=');
        escape(value, &mut text);
    }
    text
}

fn escape(words: &str, text: &mut String) {
    for octet in words.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(octet.into()),
            _ => text.extend(['%', hex(octet >> 4), hex(octet & 15)]),
        }
    }
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

/// Appends what comes next; `false` is the end.
type Source<'a> = dyn FnMut(&mut Zeroizing<Vec<u8>>) -> Result<bool, Trouble> + 'a;

/// Reads one answer.
fn hear(more: &mut Source) -> Result<Answer, Trouble> {
    // As large as it may become, one read beyond the bounds with it: it never moves and leaves nothing behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(2 * (HEAD + BODY)));
    loop {
        let head = loop {
            if let Some(head) = read_head(&octets)? {
                break head;
            }
            if octets.len() > HEAD {
                return Err(Trouble::TooLong);
            }
            if !more(&mut octets)? {
                return Err(Trouble::Short);
            }
        };
        octets.drain(..head.length);
        // Such as 100 Continue: the answer follows.
        if head.status >= 200 {
            let body = match head.frame {
                _ if matches!(head.status, 204 | 304) => Zeroizing::new(Vec::new()),
                Frame::Chunks => chunks(&mut octets, more)?,
                Frame::Length(length) => exactly(length, &mut octets, more)?,
                Frame::End => until_the_end(octets, more)?,
            };
            return Ok(Answer { status: head.status, body });
        }
    }
}

struct Head {
    status: u16,
    /// Its own length in octets.
    length: usize,
    frame: Frame,
}

/// Where the body ends (RFC 9112 section 6.3).
enum Frame {
    Chunks,
    Length(usize),
    End,
}

/// The head once it is there whole.
fn read_head(octets: &[u8]) -> Result<Option<Head>, Trouble> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(octets) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Trouble::Garbled),
    };
    let mut frame = Frame::End;
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(Trouble::Garbled);
            }
            frame = Frame::Chunks;
        } else if header.name.eq_ignore_ascii_case("content-length") && !matches!(frame, Frame::Chunks) {
            let length = value.parse().ok().filter(|_| value.bytes().all(|octet| octet.is_ascii_digit()));
            frame = Frame::Length(length.ok_or(Trouble::Garbled)?);
        }
    }
    Ok(Some(Head { status: response.code.unwrap_or_default(), length, frame }))
}

fn exactly(length: usize, octets: &mut Zeroizing<Vec<u8>>, more: &mut Source) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    if length > BODY {
        return Err(Trouble::TooLong);
    }
    while octets.len() < length {
        if !more(octets)? {
            return Err(Trouble::Short);
        }
    }
    Ok(Zeroizing::new(octets.drain(..length).collect()))
}

fn chunks(octets: &mut Zeroizing<Vec<u8>>, more: &mut Source) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let mut body = Zeroizing::new(Vec::with_capacity(BODY));
    loop {
        match httparse::parse_chunk_size(octets) {
            // Trailers may follow and say nothing that is asked here.
            Ok(Status::Complete((_, 0))) => return Ok(body),
            Ok(Status::Complete((lead, size))) => {
                let size = usize::try_from(size).ok().filter(|size| *size <= BODY - body.len());
                let size = size.ok_or(Trouble::TooLong)?;
                octets.drain(..lead);
                let chunk = exactly(size + 2, octets, more)?;
                if !chunk.ends_with(b"\r\n") {
                    return Err(Trouble::Garbled);
                }
                body.extend_from_slice(&chunk[..size]);
            }
            Ok(Status::Partial) if octets.len() > HEAD => return Err(Trouble::Garbled),
            Ok(Status::Partial) => {
                if !more(octets)? {
                    return Err(Trouble::Short);
                }
            }
            Err(_) => return Err(Trouble::Garbled),
        }
    }
}

fn until_the_end(mut octets: Zeroizing<Vec<u8>>, more: &mut Source) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    while more(&mut octets)? {
        if octets.len() > BODY {
            return Err(Trouble::TooLong);
        }
    }
    if octets.len() > BODY { Err(Trouble::TooLong) } else { Ok(octets) }
}

/// Why a web server gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// The host, with its port when that is not the usual one.
    pub server: String,
    pub trouble: Trouble,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection, or it broke.
    Broken(Fault),
    /// What answers does not speak HTTP.
    Garbled,
    /// It ended before the answer did.
    Short,
    /// More than we take.
    TooLong,
}

impl HttpError {
    /// Whether waiting may be enough; else a person must act, as with a certificate that is not good.
    pub fn passes(&self) -> bool {
        !matches!(&self.trouble, Trouble::Broken(fault) if fault.holds())
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match &self.trouble {
            // The words were made for relays, and this is none.
            Trouble::Broken(fault) => fault.words().replace("the relay", "the server"),
            Trouble::Garbled => "what answers does not speak HTTP".into(),
            Trouble::Short => "the server closed the connection within its answer".into(),
            Trouble::TooLong => format!("an answer of more than {BODY} octets"),
        };
        write!(f, "{}: {words}", self.server)
    }
}

impl std::error::Error for HttpError {}

impl Explain for HttpError {
    fn exit(&self) -> Exit {
        if self.passes() { Exit::TempFail } else { Exit::Config }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match &self.trouble {
            Trouble::Broken(Fault::Certificate(..)) => {
                "check this host's clock; a proxy, firewall or antivirus program that reads HTTPS shows this too: add \
                 its root to the system's trusted certificates"
            }
            Trouble::Broken(Fault::Roots(_)) => "install the package ca-certificates",
            Trouble::Garbled | Trouble::TooLong => "a portal of this network may have answered: open a web page first",
            Trouble::Broken(_) | Trouble::Short => return Vec::new(),
        };
        vec![hint.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    /// What comes of an answer that arrives in these pieces.
    fn heard(pieces: &[&str]) -> Result<(u16, String), Trouble> {
        let mut pieces = pieces.iter();
        let answer = hear(&mut |octets| {
            let piece = pieces.next();
            octets.extend_from_slice(piece.map(|piece| piece.as_bytes()).unwrap_or_default());
            Ok(piece.is_some())
        })?;
        Ok((answer.status, String::from_utf8(answer.body.to_vec()).unwrap()))
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        let ok = |status, body: &str| Ok((status, body.to_owned()));
        for (pieces, wanted) in [
            (&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more"][..], ok(200, "{}")),
            (&["HTTP/1.1 4", "00 Bad\r\ncontent-length:3\r", "\n\r\na", "bc"], ok(400, "abc")),
            (&["HTTP/1.0 200 OK\r\n\r\nall ", "of it"], ok(200, "all of it")),
            (&["HTTP/1.1 204 None\r\n\r\n"], ok(204, "")),
            (&["HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"], ok(200, "x")),
            (
                &[
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1",
                    "0;x=y\r\n0123456789abcdef",
                    "\r\n0\r\n\r\n",
                ],
                ok(200, "abc0123456789abcdef"),
            ),
            (&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"], Err(Trouble::Short)),
            (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"], Err(Trouble::Short)),
            (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde"], Err(Trouble::Garbled)),
            (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc"], Err(Trouble::Garbled)),
            (&["HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc"], Err(Trouble::Garbled)),
            (&["HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n"], Err(Trouble::TooLong)),
            (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"], Err(Trouble::TooLong)),
            (
                &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nffffffffffffffff\r\n"],
                Err(Trouble::TooLong),
            ),
            (&["220 relay ESMTP\r\n"], Err(Trouble::Garbled)),
            (&[], Err(Trouble::Short)),
        ] {
            assert_eq!(heard(pieces), wanted, "{pieces:?}");
        }
    }

    #[test]
    fn nothing_grows_beyond_its_bound() {
        let long = "x".repeat(HEAD);
        assert_eq!(heard(&["HTTP/1.1 200 OK\r\nX: ", &long, &long]), Err(Trouble::TooLong));
        assert_eq!(heard(&["HTTP/1.1 200 OK\r\n\r\n", &long, &long, &long, &long, "y"]), Err(Trouble::TooLong));
    }

    #[test]
    fn a_form_is_escaped() {
        assert_eq!(
            form(&[("scope", "https://x/ a"), ("b", "&=+ä~")]).as_str(),
            "scope=https%3A%2F%2Fx%2F%20a&b=%26%3D%2B%C3%A4~"
        );
        assert_eq!(form(&[]).as_str(), "");
    }

    #[test]
    fn a_form_is_posted_and_the_answer_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/token", listener.local_addr().unwrap())).unwrap();
        let server = thread::spawn(move || {
            let mut socket = listener.accept().unwrap().0;
            let mut octets = [0; 4096];
            let mut request = String::new();
            while !request.ends_with("a=b") {
                let count = socket.read(&mut octets).unwrap();
                request.push_str(std::str::from_utf8(&octets[..count]).unwrap());
            }
            socket.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}").unwrap();
            request
        });
        let roots = Roots::default();
        let answer = Client { roots: &roots }.post_form(&url, "a=b", &mut patience()).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (401, b"{}".as_slice()));
        let request = server.join().unwrap();
        assert!(request.starts_with("POST /token HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
        assert!(request.ends_with("Content-Length: 3\r\n\r\na=b"), "{request}");
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        let error = Client { roots: &Roots::default() }.get(&url, &mut patience()).err().unwrap();
        assert_eq!(error.to_string(), format!("{address}: connection refused"));
    }
}
