//! The relay of the bench: as fast as a thread and rustls can be, one thread a connection, counting what it sees.

use super::world::{FAR, NEAR};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

/// What the sink has seen since it was last asked.
#[derive(Default)]
pub struct Tally {
    pub connections: AtomicU64,
    pub messages: AtomicU64,
    /// Recipients of accepted messages.
    pub recipients: AtomicU64,
    /// Octets of message content, as they came with DATA or BDAT.
    pub octets: AtomicU64,
    /// How often the sink had answered everything and waited for the client.
    pub flights: AtomicU64,
    first: Mutex<Option<Instant>>,
}

/// The numbers of a [`Tally`] at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub connections: u64,
    pub messages: u64,
    pub octets: u64,
    pub flights: u64,
}

impl Tally {
    /// Reads and resets.
    pub fn take(&self) -> Seen {
        *self.first.lock().unwrap() = None;
        self.recipients.store(0, Ordering::SeqCst);
        Seen {
            connections: self.connections.swap(0, Ordering::SeqCst),
            messages: self.messages.swap(0, Ordering::SeqCst),
            octets: self.octets.swap(0, Ordering::SeqCst),
            flights: self.flights.swap(0, Ordering::SeqCst),
        }
    }

    /// Messages so far, without resetting.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::SeqCst)
    }

    /// Recipients served so far: of one message more than of its transactions, which may be many.
    pub fn recipients(&self) -> u64 {
        self.recipients.load(Ordering::SeqCst)
    }

    /// When the first connection came.
    pub fn first_connection(&self) -> Option<Instant> {
        *self.first.lock().unwrap()
    }

    fn connected(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        self.first.lock().unwrap().get_or_insert_with(Instant::now);
    }
}

/// What EHLO offers besides STARTTLS and AUTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// PIPELINING, 8BITMIME, SIZE, CHUNKING.
    Chunking,
    /// The same without CHUNKING.
    Data,
}

/// A running sink.
pub struct Sink {
    pub starttls_port: u16,
    pub implicit_port: u16,
    pub tally: Arc<Tally>,
    pub offer: Offer,
}

/// The bench's certificate authority, and the server configuration of a certificate for `localhost` under it.
pub struct Identity {
    pub ca_pem: String,
    server: Arc<ServerConfig>,
}

impl Identity {
    pub fn new() -> Identity {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca.distinguished_name.push(rcgen::DnType::CommonName, "mailchute bench CA");
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![NEAR.to_string(), FAR.to_string()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        Identity { ca_pem: ca_certificate.pem(), server: Arc::new(server) }
    }
}

impl Sink {
    /// Listens on two ports of the kernel's choice.
    pub fn start(identity: &Identity, offer: Offer) -> Sink {
        let tally = Arc::new(Tally::default());
        let listen = |implicit: bool| {
            let listener = TcpListener::bind("0.0.0.0:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let (server, tally) = (Arc::clone(&identity.server), Arc::clone(&tally));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (server, tally) = (Arc::clone(&server), Arc::clone(&tally));
                    thread::spawn(move || {
                        tally.connected();
                        let _ = Connection::new(stream, tally, offer, server).serve(implicit);
                    });
                }
            });
            port
        };
        Sink { starttls_port: listen(false), implicit_port: listen(true), tally: Arc::clone(&tally), offer }
    }
}

struct Connection {
    stream: TcpStream,
    tls: Option<ServerConnection>,
    server: Arc<ServerConfig>,
    input: Vec<u8>,
    at: usize,
    output: Vec<u8>,
    /// Of the transaction under way.
    recipients: u64,
    tally: Arc<Tally>,
    offer: Offer,
}

impl Connection {
    fn new(stream: TcpStream, tally: Arc<Tally>, offer: Offer, server: Arc<ServerConfig>) -> Connection {
        let _ = stream.set_nodelay(true);
        Connection {
            stream,
            tls: None,
            server,
            input: Vec::new(),
            at: 0,
            output: Vec::new(),
            recipients: 0,
            tally,
            offer,
        }
    }

    fn serve(&mut self, implicit: bool) -> io::Result<()> {
        if implicit {
            self.start_tls()?;
        }
        self.say("220 localhost ESMTP sink");
        loop {
            let line = self.line()?;
            let text = String::from_utf8_lossy(&line).trim_end().to_string();
            let verb = text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.ehlo(),
                "HELO" => self.say("250 localhost"),
                "STARTTLS" => {
                    self.say("220 go ahead");
                    self.flush()?;
                    self.start_tls()?;
                }
                "AUTH" => self.authenticate(&text)?,
                "MAIL" | "RSET" | "NOOP" => {
                    self.recipients = 0;
                    self.say("250 2.0.0 ok");
                }
                "RCPT" => {
                    self.recipients += 1;
                    self.say("250 2.1.5 ok");
                }
                "DATA" => {
                    self.say("354 go");
                    self.data()?;
                }
                "BDAT" => self.bdat(&text)?,
                "QUIT" => {
                    self.say("221 2.0.0 bye");
                    return self.flush();
                }
                _ => self.say("500 5.5.1 what"),
            }
        }
    }

    fn ehlo(&mut self) {
        let mut lines = vec!["localhost", "PIPELINING", "8BITMIME", "SIZE 1000000000", "ENHANCEDSTATUSCODES"];
        if self.offer == Offer::Chunking {
            lines.push("CHUNKING");
        }
        lines.push(if self.tls.is_some() { "AUTH PLAIN LOGIN" } else { "STARTTLS" });
        for (n, line) in lines.iter().enumerate() {
            self.say(&format!("250{}{line}", if n + 1 == lines.len() { ' ' } else { '-' }));
        }
    }

    fn authenticate(&mut self, text: &str) -> io::Result<()> {
        let mut words = text.split(' ').skip(1);
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let steps = match (mechanism.as_str(), words.next()) {
            ("PLAIN", Some(_)) => 0,
            ("PLAIN", None) | ("LOGIN", Some(_)) => 1,
            _ => 2,
        };
        for step in 0..steps {
            self.say(if step == 0 && steps == 2 { "334 VXNlcm5hbWU6" } else { "334 UGFzc3dvcmQ6" });
            self.line()?;
        }
        self.say("235 2.7.0 ok");
        Ok(())
    }

    /// Everything up to CRLF.CRLF, by hops from line feed to line feed.
    fn data(&mut self) -> io::Result<()> {
        self.flush()?;
        let mut octets = 0;
        let mut tail: Vec<u8> = b"\r\n".to_vec();
        loop {
            if self.at == self.input.len() {
                self.fill()?;
            }
            let seen = tail.len();
            tail.extend_from_slice(&self.input[self.at..]);
            if let Some(end) = memchr::memmem::find(&tail, b"\r\n.\r\n") {
                self.at += end + 5 - seen;
                octets += end + 5 - seen;
                break;
            }
            octets += self.input.len() - self.at;
            self.at = self.input.len();
            let keep = tail.len().saturating_sub(4);
            tail.drain(..keep);
        }
        self.accepted(octets);
        Ok(())
    }

    fn bdat(&mut self, text: &str) -> io::Result<()> {
        let mut words = text.split(' ').skip(1);
        let size: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let mut left = size;
        while left > 0 {
            if self.at == self.input.len() {
                self.fill()?;
            }
            let took = left.min(self.input.len() - self.at);
            self.at += took;
            left -= took;
        }
        if last {
            self.accepted(size);
        } else {
            self.tally.octets.fetch_add(size as u64, Ordering::SeqCst);
            self.say("250 2.0.0 ok");
        }
        Ok(())
    }

    fn accepted(&mut self, octets: usize) {
        self.tally.octets.fetch_add(octets as u64, Ordering::SeqCst);
        self.tally.messages.fetch_add(1, Ordering::SeqCst);
        self.tally.recipients.fetch_add(self.recipients, Ordering::SeqCst);
        self.say("250 2.0.0 ok queued");
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input[self.at..]) {
                let line = self.input[self.at..=self.at + end].to_vec();
                self.at += end + 1;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    /// Answers what is owed, then waits for the client: one flight.
    fn fill(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.tally.flights.fetch_add(1, Ordering::SeqCst);
        }
        self.flush()?;
        self.input.drain(..self.at);
        self.at = 0;
        let mut buffer = [0; 65536];
        let got = match &mut self.tls {
            None => self.stream.read(&mut buffer)?,
            Some(tls) => rustls::Stream::new(tls, &mut self.stream).read(&mut buffer)?,
        };
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&buffer[..got]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let output = std::mem::take(&mut self.output);
        match &mut self.tls {
            None => self.stream.write_all(&output),
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls, &mut self.stream);
                stream.write_all(&output)?;
                stream.flush()
            }
        }
    }

    fn start_tls(&mut self) -> io::Result<()> {
        self.tls = Some(ServerConnection::new(Arc::clone(&self.server)).map_err(io::Error::other)?);
        Ok(())
    }
}
