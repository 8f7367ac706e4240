//! A relay that plays a script, in a thread of the test. A script is text, one step a line:
//!
//! ```text
//! S: 250 ok        says it and CRLF
//! S- 250-part      says it and nothing behind it
//! C: MAIL FROM     hears a line that begins so
//! C:               hears any line
//! !TLS             becomes the TLS server
//! !BODY            hears a message up to its dot
//! !OCTETS 12       hears so many octets
//! !CLOSE           closes, with whatever is unread
//! !HANG            says nothing until the client has gone
//! ```
//!
//! At the end of the script it hears the client out.

use super::{Direction, Observer, Patience};
use crate::config::{Account, Endpoint, Limits, Password, Secret, Tls, Trust};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::NamedTempFile;

/// A relay at work.
pub struct Relay {
    pub port: u16,
    thread: JoinHandle<Vec<String>>,
}

impl Relay {
    /// Plays a script in clear, or with `identity` behind `!TLS`, to one client.
    pub fn play(script: &str, identity: &Identity) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = script.to_owned();
        let config = Arc::clone(&identity.config);
        let thread = thread::spawn(move || {
            let socket = listener.accept().unwrap().0;
            drop(listener);
            Player { side: Side::Clear(BufReader::new(socket)), heard: Vec::new() }.play(&script, config)
        });
        Relay { port, thread }
    }

    /// What the client said, once the script is over.
    pub fn heard(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

enum Side {
    Clear(BufReader<TcpStream>),
    Tls(Box<BufReader<StreamOwned<ServerConnection, TcpStream>>>),
    Gone,
}

struct Player {
    side: Side,
    heard: Vec<String>,
}

impl Player {
    fn play(mut self, script: &str, config: Arc<ServerConfig>) -> Vec<String> {
        for step in script.lines().map(str::trim).filter(|step| !step.is_empty()) {
            match step.split_at(3.min(step.len())) {
                ("S: ", text) => self.say(&format!("{text}\r\n")),
                ("S:", _) => self.say("\r\n"),
                ("S- ", text) => self.say(&text.replace("\\r", "\r").replace("\\n", "\n")),
                ("C: " | "C:", text) => {
                    let line = self.hear();
                    assert!(line.starts_with(text), "expected {text:?}, heard {line:?} after {:?}", self.heard);
                    self.heard.push(line);
                }
                _ => match step.split_once(' ').unwrap_or((step, "")) {
                    ("!TLS", _) => self.start_tls(Arc::clone(&config)),
                    ("!BODY", _) => self.hear_message(),
                    ("!OCTETS", count) => self.hear_octets(count.parse().unwrap()),
                    ("!CLOSE", _) => return self.heard,
                    ("!HANG", _) => {}
                    _ => panic!("no such step: {step}"),
                },
            }
        }
        while self.is_there() {
            match self.hear() {
                line if line.is_empty() => break,
                line => self.heard.push(line),
            }
        }
        self.heard
    }

    fn is_there(&self) -> bool {
        !matches!(self.side, Side::Gone)
    }

    fn say(&mut self, text: &str) {
        // A client that has hung up is judged by what it makes of it, not here.
        let _ = match &mut self.side {
            Side::Clear(socket) => socket.get_mut().write_all(text.as_bytes()),
            Side::Tls(socket) => socket.get_mut().write_all(text.as_bytes()).and_then(|()| socket.get_mut().flush()),
            Side::Gone => Ok(()),
        };
    }

    fn reader(&mut self) -> &mut dyn BufRead {
        match &mut self.side {
            Side::Clear(socket) => socket,
            Side::Tls(socket) => socket,
            Side::Gone => panic!("the relay is gone"),
        }
    }

    /// One line without its end; empty when the client has gone.
    fn hear(&mut self) -> String {
        let mut line = Vec::new();
        let _ = self.reader().read_until(b'\n', &mut line);
        String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()
    }

    fn hear_message(&mut self) {
        loop {
            let mut line = Vec::new();
            if self.reader().read_until(b'\n', &mut line).unwrap() == 0 {
                panic!("the message has no end");
            }
            if line == b".\r\n" {
                return;
            }
            self.heard.push(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
        }
    }

    fn hear_octets(&mut self, count: usize) {
        let mut octets = vec![0; count];
        self.reader().read_exact(&mut octets).unwrap();
        self.heard.push(String::from_utf8_lossy(&octets).into_owned());
    }

    fn start_tls(&mut self, config: Arc<ServerConfig>) {
        let Side::Clear(socket) = std::mem::replace(&mut self.side, Side::Gone) else { panic!("TLS twice") };
        let mut connection = ServerConnection::new(config).unwrap();
        let mut socket = socket.into_inner();
        while connection.is_handshaking() {
            if connection.complete_io(&mut socket).is_err() {
                return;
            }
        }
        self.side = Side::Tls(Box::new(BufReader::new(StreamOwned::new(connection, socket))));
    }
}

/// A certificate of a relay, and the authority that signed it.
pub struct Identity {
    config: Arc<ServerConfig>,
    pub leaf: CertificateDer<'static>,
    /// The authority's certificate in PEM.
    pub authority: NamedTempFile,
}

impl Identity {
    /// Good for `localhost`, signed by an authority of its own.
    pub fn good() -> Identity {
        Identity::with("localhost", |_| {})
    }

    /// For `name`, with changes.
    pub fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "Test Authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        Identity::new(certificate.der().clone(), &key, &authority_certificate.pem())
    }

    /// Signed by nobody but itself.
    pub fn self_signed() -> Identity {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        Identity::new(made.cert.der().clone(), &made.signing_key, &made.cert.pem())
    }

    fn new(leaf: CertificateDer<'static>, key: &KeyPair, authority: &str) -> Identity {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.clone()], key)
            .unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(authority.as_bytes()).unwrap();
        Identity { config: Arc::new(config), leaf, authority: file }
    }
}

/// An account for relays on `localhost` that are trusted as `identity` says.
pub fn account(identity: &Identity, endpoints: &[(&Relay, Tls)]) -> Account {
    let endpoint = |(relay, tls): &(&Relay, Tls)| Endpoint { host: "localhost".into(), port: relay.port, tls: *tls };
    Account {
        endpoints: endpoints.iter().map(endpoint).collect(),
        trust: Trust::File(identity.authority.path().to_owned()),
        certificate: None,
        ehlo_name: Some("client.example".into()),
        limits: Limits { connections: 1, ..Limits::default() },
        ..Account::sample()
    }
}

/// The same account with a login.
pub fn with_login(account: Account, user: &str, password: &str) -> Account {
    let secret = Secret::Literal(Password::new(password.as_bytes().to_vec()));
    Account { user: Some(user.into()), secret: Some(secret), ..account }
}

/// Long enough for a loaded machine, short enough for a test that waits for it.
pub fn patience() -> Patience {
    Patience { step: Duration::from_secs(10), overall: None, foreground: None }
}

/// An observer that remembers.
#[derive(Default)]
pub struct Ears(pub Vec<String>);

impl Observer for Ears {
    fn line(&mut self, direction: Direction, text: &str) {
        let sign = match direction {
            Direction::Client => '>',
            Direction::Server => '<',
            Direction::Note => '-',
        };
        self.0.push(format!("{sign} {text}"));
    }
}

/// An observer that does not listen.
pub struct Deaf;

impl Observer for Deaf {
    fn line(&mut self, _: Direction, _: &str) {}
}
