//! The least a client can do: the protocol, TLS, and nothing else. No spool, no configuration, no diagnosis.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// One line of a job for the floor client.
pub struct Job {
    pub port: u16,
    pub implicit: bool,
    pub chunking: bool,
    pub recipients: usize,
    /// Messages on the one connection, one round trip each.
    pub messages: usize,
    pub ca_pem: String,
    pub message: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    input: Vec<u8>,
}

/// Sends the job's messages.
pub fn run(job: &Job) -> io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", job.port))?;
    stream.set_nodelay(true)?;
    let mut client = Client { stream, tls: None, input: Vec::new() };
    if job.implicit {
        client.start_tls(&job.ca_pem)?;
    }
    client.replies(1)?;
    if !job.implicit {
        client.send(b"EHLO floor.example\r\n")?;
        client.replies(1)?;
        client.send(b"STARTTLS\r\n")?;
        client.replies(1)?;
        client.start_tls(&job.ca_pem)?;
    }
    client.send(b"EHLO floor.example\r\n")?;
    client.replies(1)?;
    client.send(b"AUTH PLAIN AGJlbmNoAHNlY3JldA==\r\n")?;
    client.replies(1)?;
    for _ in 0..job.messages {
        let mut flight = b"MAIL FROM:<bench@example.test>\r\n".to_vec();
        for n in 0..job.recipients {
            flight.extend_from_slice(format!("RCPT TO:<r{n}@example.test>\r\n").as_bytes());
        }
        if job.chunking {
            flight.extend_from_slice(format!("BDAT {} LAST\r\n", job.message.len()).as_bytes());
            flight.extend_from_slice(&job.message);
            client.send(&flight)?;
            client.replies(job.recipients + 2)?;
        } else {
            flight.extend_from_slice(b"DATA\r\n");
            client.send(&flight)?;
            client.replies(job.recipients + 2)?;
            let mut body = job.message.clone();
            body.extend_from_slice(b".\r\n");
            client.send(&body)?;
            client.replies(1)?;
        }
    }
    client.send(b"QUIT\r\n")
}

impl Client {
    fn start_tls(&mut self, ca_pem: &str) -> io::Result<()> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        self.tls = Some(ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?);
        Ok(())
    }

    fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(octets),
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls, &mut self.stream);
                stream.write_all(octets)?;
                stream.flush()
            }
        }
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
