//! The bytes of one connection, in clear or through TLS, read by lines.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// One side of a connection, with what was read ahead.
pub struct Stream {
    socket: TcpStream,
    tls: Option<Box<StreamOwned<ServerConnection, TcpStream>>>,
    ahead: Vec<u8>,
    /// What was received outside TLS.
    pub clear: Vec<u8>,
}

impl Stream {
    pub fn new(socket: TcpStream) -> Stream {
        Stream { socket, tls: None, ahead: Vec::new(), clear: Vec::new() }
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
            if let Err(error) = tls.conn.complete_io(&mut tls.sock) {
                // Whatever the client still says, it says to somebody it does not know.
                let _ = self.socket.set_read_timeout(Some(Duration::from_secs(5)));
                let _ = (&self.socket).take(1 << 20).read_to_end(&mut self.clear);
                return Err(error);
            }
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

    /// Reads something and forgets it.
    pub fn ignore(&mut self) -> io::Result<()> {
        self.fill()?;
        self.ahead.clear();
        Ok(())
    }

    /// Ends the connection in an orderly way, TLS included.
    pub fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.conn.send_close_notify();
            let _ = tls.conn.complete_io(&mut tls.sock);
        }
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Ends the connection, but not TLS; before that, sends the first half of the record that these bytes would be.
    pub fn cut(&mut self, bytes: &[u8]) {
        if let Some(tls) = &mut self.tls {
            let mut record = Vec::new();
            let _ = tls.conn.writer().write_all(bytes);
            let _ = tls.conn.write_tls(&mut record);
            let _ = self.socket.write_all(&record[..record.len() / 2]);
        }
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        self.listen_on();
    }

    /// Ends TLS, and says these bytes in clear.
    pub fn undress(&mut self, bytes: &[u8]) {
        if let Some(tls) = &mut self.tls {
            tls.conn.send_close_notify();
            let _ = tls.conn.write_tls(&mut tls.sock);
        }
        let _ = self.socket.write_all(bytes);
        self.listen_on();
    }

    /// Hears the client out, who may take it that TLS is over.
    fn listen_on(&mut self) {
        if let Some(mut tls) = self.tls.take() {
            // What the client has sent before it could know is still TLS.
            while tls.conn.read_tls(&mut tls.sock).is_ok_and(|count| count > 0) {
                match tls.conn.process_new_packets() {
                    Ok(state) => {
                        let mut text = vec![0; state.plaintext_bytes_to_read()];
                        let _ = tls.conn.reader().read_exact(&mut text);
                    }
                    Err(_) => break,
                }
            }
        }
        let _ = self.socket.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = (&self.socket).take(1 << 20).read_to_end(&mut self.clear);
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        let count = match &mut self.tls {
            Some(tls) => tls.read(&mut piece)?,
            None => {
                let count = self.socket.read(&mut piece)?;
                self.clear.extend_from_slice(&piece[..count]);
                count
            }
        };
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.ahead.extend_from_slice(&piece[..count]);
        Ok(())
    }
}
