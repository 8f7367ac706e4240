//! The bytes of one connection, in clear or through TLS, read by lines.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// One side of a connection, with what was read ahead.
pub struct Stream {
    socket: TcpStream,
    tls: Option<Box<StreamOwned<ServerConnection, TcpStream>>>,
    ahead: Vec<u8>,
}

impl Stream {
    pub fn new(socket: TcpStream) -> Stream {
        Stream { socket, tls: None, ahead: Vec::new() }
    }

    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the client has shown a certificate, which was verified.
    pub fn has_client_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.conn.peer_certificates().is_some())
    }

    /// The `tls-exporter` channel binding (RFC 9266).
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        let connection = &self.tls.as_ref()?.conn;
        connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
    }

    /// What the client sent beyond what was read.
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Shakes hands: the version, and the name that the client asked for.
    pub fn start_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<(String, Option<String>)> {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(connection, self.socket.try_clone()?);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        let version = tls.conn.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
        let name = tls.conn.server_name().map(str::to_string);
        self.tls = Some(Box::new(tls));
        Ok((version, name))
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
            None => self.socket.write_all(bytes),
        }
    }

    /// The next line with its line feed.
    pub fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.ahead[searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.ahead.split_off(searched + end + 1);
                return Ok(std::mem::replace(&mut self.ahead, rest));
            }
            searched = self.ahead.len();
            self.fill()?;
        }
    }

    /// Exactly so many bytes.
    pub fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < count {
            self.fill()?;
        }
        let rest = self.ahead.split_off(count);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    /// Reads and forgets until the client is gone.
    pub fn drain(&mut self) {
        loop {
            self.ahead.clear();
            if self.fill().is_err() {
                return;
            }
        }
    }

    /// Ends the connection in an orderly way, TLS included.
    pub fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.conn.send_close_notify();
            let _ = tls.conn.complete_io(&mut tls.sock);
        }
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        let count = match &mut self.tls {
            Some(tls) => tls.read(&mut piece)?,
            None => self.socket.read(&mut piece)?,
        };
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.ahead.extend_from_slice(&piece[..count]);
        Ok(())
    }
}
