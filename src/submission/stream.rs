//! The octets to and from a relay, plain or TLS, every wait bounded by `Patience`. One write for a flight, records as
//! long as they may be, and never a wait for writing alone: what comes in meanwhile is taken, so that two full socket
//! buffers cannot lock both sides.

use super::Watch;
use super::certificate::{self, Facts};
use super::fault::Fault;
use super::patience::Patience;
use super::tls::Client;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Instant;
use zeroize::Zeroize;

/// Octets taken in without being asked for while we write; beyond it the peer is no SMTP server.
const UNREAD: usize = 256 * 1024;
const PIECE: usize = 4 * 1024;

/// A connected, non-blocking socket, with TLS once it has been started.
pub struct Stream {
    socket: TcpStream,
    tls: Option<Box<Client>>,
    inbox: Vec<u8>,
    /// The peer has ended its side.
    ended: bool,
}

impl Stream {
    /// Takes a socket that does not block.
    pub fn new(socket: TcpStream) -> Stream {
        Stream { socket, tls: None, inbox: Vec::new(), ended: false }
    }

    /// The socket, for its addresses.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Goes through the TLS handshake. Nothing may be unread before it. The last message of a TLS 1.3 handshake stays
    /// unwritten until the next flight or read, so that it shares a packet with the next command.
    pub fn start_tls(&mut self, client: Client, watch: &mut Watch) -> Result<(), Fault> {
        if !self.is_quiet()? {
            return Err(Fault::Injected);
        }
        let end = watch.patience.deadline();
        let mut client = Box::new(client);
        flush(&mut client, &self.socket, watch.patience, end)?;
        client.prepare()?;
        while client.connection.is_handshaking() {
            flush(&mut client, &self.socket, watch.patience, end)?;
            wait(&self.socket, PollFlags::POLLIN, watch.patience, end)?;
            match client.connection.read_tls(&mut &self.socket) {
                Ok(0) => return Err(Fault::Closed(None)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(broken(&error)),
            }
            if let Err(error) = client.connection.process_new_packets() {
                // The alert tells the server's owner what we did not like.
                let _ = client.connection.write_tls(&mut &self.socket);
                return Err(client.fault(&error));
            }
        }
        self.tls = Some(client);
        Ok(())
    }

    /// The negotiated protocol in words; `None` in clear.
    pub fn protection(&self) -> Option<String> {
        let connection = &self.tls.as_ref()?.connection;
        let version = connection.protocol_version()?.as_str()?.replace("TLSv1_", "TLS 1.");
        Some(format!("{version}, {}", connection.negotiated_cipher_suite()?.suite().as_str()?))
    }

    /// What the peer's certificate says of itself; `None` in clear.
    pub fn certificate(&self) -> Option<Facts> {
        let chain = self.tls.as_ref()?.connection.peer_certificates()?;
        certificate::facts(chain.first()?)
    }

    /// The `tls-exporter` channel binding (RFC 9266): TLS 1.3 only, where it is safe without further conditions.
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        let connection = &self.tls.as_ref()?.connection;
        if connection.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
            return None;
        }
        connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
    }

    /// Writes all of it; the time limit starts now.
    pub fn send(&mut self, mut octets: &[u8], patience: &mut Patience) -> Result<(), Fault> {
        let end = patience.deadline();
        if let Some(client) = &mut self.tls {
            client.connection.writer().write_all(octets).map_err(|error| broken(&error))?;
            octets = &[];
        }
        loop {
            let written = match &mut self.tls {
                Some(client) if !client.connection.wants_write() => return Ok(()),
                Some(client) => client.connection.write_tls(&mut &self.socket),
                None if octets.is_empty() => return Ok(()),
                None => (&self.socket).write(octets),
            };
            match written {
                Ok(count) if self.tls.is_none() => octets = &octets[count..],
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let either = if self.ended { PollFlags::POLLOUT } else { PollFlags::POLLOUT | PollFlags::POLLIN };
                    wait(&self.socket, either, patience, end)?;
                    self.take_in()?;
                    if self.inbox.len() > UNREAD {
                        return Err(Fault::Unasked);
                    }
                }
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    /// Waits until there is more in the inbox.
    pub fn receive(&mut self, end: Instant, patience: &mut Patience) -> Result<(), Fault> {
        if let Some(client) = &mut self.tls {
            flush(client, &self.socket, patience, end)?;
        }
        let before = self.inbox.len();
        loop {
            self.take_in()?;
            if self.inbox.len() > before {
                return Ok(());
            }
            if self.ended {
                return Err(Fault::Closed(None));
            }
            wait(&self.socket, PollFlags::POLLIN, patience, end)?;
        }
    }

    /// What has come in and was not consumed.
    pub fn inbox(&self) -> &[u8] {
        &self.inbox
    }

    /// Forgets the first `count` octets of the inbox.
    pub fn consume(&mut self, count: usize) {
        self.inbox.drain(..count);
    }

    /// Moves what has come in, and leaves no copy of it.
    pub fn drain_into(&mut self, octets: &mut Vec<u8>) {
        octets.extend_from_slice(&self.inbox);
        self.inbox.zeroize();
    }

    /// Whether nothing has come in that was not asked for. Does not wait. The peer's end of the connection is no
    /// octet: it shows at the next read.
    pub fn is_quiet(&mut self) -> Result<bool, Fault> {
        self.take_in()?;
        Ok(self.inbox.is_empty())
    }

    /// Whether the peer has ended its side and said nothing that is still unread.
    pub fn has_ended(&self) -> bool {
        self.ended && self.inbox.is_empty()
    }

    /// Writes as much of it as goes without waiting, and says that no more will come.
    pub fn send_last(&mut self, octets: &[u8]) {
        match &mut self.tls {
            Some(client) => {
                let _ = client.connection.writer().write_all(octets);
                client.connection.send_close_notify();
                let _ = client.connection.write_tls(&mut &self.socket);
            }
            None => {
                let _ = (&self.socket).write(octets);
            }
        }
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// Takes what is there into the inbox, one read at most.
    fn take_in(&mut self) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        let count = match &mut self.tls {
            Some(client) => take_in_tls(client, &self.socket, &mut self.inbox),
            None => {
                let start = self.inbox.len();
                self.inbox.resize(start + PIECE, 0);
                let result = (&self.socket).read(&mut self.inbox[start..]);
                self.inbox.truncate(start + result.as_ref().copied().unwrap_or(0));
                result
            }
        };
        match count {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(self.unreadable(&error)),
        }
        Ok(())
    }

    fn unreadable(&self, error: &io::Error) -> Fault {
        let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let told = self.tls.as_ref().zip(of_tls).map(|(client, error)| client.later_fault(error));
        told.unwrap_or_else(|| broken(error))
    }
}

/// Reads once and decrypts. Zero is the end; a session ticket is octets read and none in the inbox.
fn take_in_tls(client: &mut Client, socket: &TcpStream, inbox: &mut Vec<u8>) -> io::Result<usize> {
    let count = client.connection.read_tls(&mut &*socket)?;
    if count == 0 {
        return Ok(0);
    }
    let state = client.connection.process_new_packets().map_err(io::Error::other)?;
    let start = inbox.len();
    inbox.resize(start + state.plaintext_bytes_to_read(), 0);
    client.connection.reader().read_exact(&mut inbox[start..])?;
    Ok(if state.peer_has_closed() && inbox.len() == start { 0 } else { count })
}

/// Writes what TLS has ready.
fn flush(client: &mut Client, socket: &TcpStream, patience: &mut Patience, end: Instant) -> Result<(), Fault> {
    while client.connection.wants_write() {
        match client.connection.write_tls(&mut &*socket) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait(socket, PollFlags::POLLOUT, patience, end)?,
            Err(error) => return Err(broken(&error)),
        }
    }
    Ok(())
}

fn wait(socket: &TcpStream, events: PollFlags, patience: &mut Patience, end: Instant) -> Result<(), Fault> {
    match patience.poll(&mut [PollFd::new(socket.as_fd(), events)], end) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::TimedOut),
        Err(errno) => Err(Fault::Broken(errno)),
    }
}

fn broken(error: &io::Error) -> Fault {
    match error.raw_os_error() {
        Some(errno) => Fault::Broken(Errno::from_raw(errno)),
        None => Fault::Tls(error.to_string()),
    }
}
