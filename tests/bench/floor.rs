//! The least a client can do: the protocol, TLS, and nothing else. No spool, no configuration, no diagnosis. Run as a
//! program of its own: `--floor HOST PORT TLS VERB RECIPIENTS MESSAGES AUTHORITY MESSAGE`. Many messages with BDAT go in
//! flights of several, as many as we have under way. `--floor-deposit FOLDER` makes standard input durable, no more.

use super::sink::Offer;
use super::{NEEDS, Relay, Security};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// What the floor client is told, as it is written on its command line.
pub fn arguments(relay: &Relay, recipients: usize, messages: usize, authority: &Path, message: &Path) -> Vec<String> {
    let tls = if relay.security == Security::Implicit { "implicit" } else { "starttls" };
    let verb = if relay.offer == Offer::Chunking { "bdat" } else { "data" };
    let mut arguments = vec!["--floor".into(), relay.host.into(), relay.port.to_string(), tls.into(), verb.into()];
    arguments.extend([recipients.to_string(), messages.to_string()]);
    arguments.extend([authority, message].map(|path| path.to_string_lossy().into_owned()));
    arguments
}

/// Sends the message, which has its line ends and dots as DATA wants them already.
pub fn run(arguments: &[String]) -> io::Result<()> {
    let [host, port, tls, verb, recipients, messages, authority, message] = arguments else { panic!("{NEEDS}") };
    let number = |text: &String| text.parse::<usize>().map_err(io::Error::other);
    let stream = TcpStream::connect((host.as_str(), number(port)? as u16))?;
    stream.set_nodelay(true)?;
    let mut client = Client { stream, tls: None, input: Vec::new() };
    if tls == "implicit" {
        client.start_tls(host, authority)?;
    }
    client.replies(1)?;
    if tls == "starttls" {
        client.send(b"EHLO floor.example\r\n")?;
        client.replies(1)?;
        client.send(b"STARTTLS\r\n")?;
        client.replies(1)?;
        client.start_tls(host, authority)?;
    }
    client.send(b"EHLO floor.example\r\n")?;
    client.replies(1)?;
    client.send(b"AUTH PLAIN AGJlbmNoAHNlY3JldA==\r\n")?;
    client.replies(1)?;
    let mut left = number(messages)?;
    while left > 1 && verb == "bdat" {
        let together = left.min(WINDOW);
        client.messages(together, number(recipients)?, &fs::read(message)?)?;
        left -= together;
    }
    for _ in 0..left {
        client.message(verb == "bdat", number(recipients)?, File::open(message)?)?;
    }
    client.send(b"QUIT\r\n")
}

/// As many messages under way as we have.
const WINDOW: usize = 8;

/// File and directory durable, in the order that needs the fewest flushes.
pub fn deposit(folder: &Path) -> io::Result<()> {
    let name = std::process::id().to_string();
    let mut file = File::create(folder.join(name))?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

struct Client {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    input: Vec<u8>,
}

impl Client {
    fn message(&mut self, chunking: bool, recipients: usize, mut message: File) -> io::Result<()> {
        let mut flight = b"MAIL FROM:<bench@example.test>\r\n".to_vec();
        for recipient in 0..recipients {
            flight.extend_from_slice(format!("RCPT TO:<r{recipient}@example.test>\r\n").as_bytes());
        }
        if chunking {
            flight.extend_from_slice(format!("BDAT {} LAST\r\n", message.metadata()?.len()).as_bytes());
        } else {
            flight.extend_from_slice(b"DATA\r\n");
            self.send(&flight)?;
            self.replies(recipients + 2)?;
            flight.clear();
        }
        let mut piece = vec![0; 65536];
        loop {
            let got = message.read(&mut piece)?;
            flight.extend_from_slice(&piece[..got]);
            let is_last = got < piece.len();
            if is_last && !chunking {
                flight.extend_from_slice(b".\r\n");
            }
            self.send(&flight)?;
            flight.clear();
            if is_last {
                break;
            }
        }
        self.replies(if chunking { recipients + 2 } else { 1 })
    }

    /// Several in one flight.
    fn messages(&mut self, count: usize, recipients: usize, message: &[u8]) -> io::Result<()> {
        let mut one = b"MAIL FROM:<bench@example.test>\r\n".to_vec();
        one.extend((0..recipients).flat_map(|to| format!("RCPT TO:<r{to}@example.test>\r\n").into_bytes()));
        one.extend_from_slice(format!("BDAT {} LAST\r\n", message.len()).as_bytes());
        one.extend_from_slice(message);
        self.send(&one.repeat(count))?;
        self.replies(count * (recipients + 2))
    }

    fn start_tls(&mut self, host: &str, authority: &str) -> io::Result<()> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authority).map_err(io::Error::other)? {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            while connection.wants_write() {
                connection.write_tls(&mut self.stream)?;
            }
            connection.read_tls(&mut self.stream)?;
            connection.process_new_packets().map_err(io::Error::other)?;
        }
        // Finished stays unwritten: it goes with the next command.
        self.tls = Some(connection);
        Ok(())
    }

    fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.stream.write_all(octets) };
        tls.set_buffer_limit(None);
        tls.writer().write_all(octets)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }

    fn replies(&mut self, count: usize) -> io::Result<()> {
        let mut finals = 0;
        loop {
            while let Some(end) = memchr::memchr(b'\n', &self.input) {
                let is_final = self.input.get(3) == Some(&b' ');
                if matches!(self.input[0], b'4' | b'5') {
                    return Err(io::Error::other(String::from_utf8_lossy(&self.input[..end]).into_owned()));
                }
                self.input.drain(..=end);
                finals += usize::from(is_final);
                if finals == count {
                    return Ok(());
                }
            }
            let mut buffer = [0; 16384];
            let got = match &mut self.tls {
                None => self.stream.read(&mut buffer)?,
                Some(tls) => rustls::Stream::new(tls, &mut self.stream).read(&mut buffer)?,
            };
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input.extend_from_slice(&buffer[..got]);
        }
    }
}
