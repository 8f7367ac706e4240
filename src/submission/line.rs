//! A connection to a server that is no relay, a provider's web server: resolver, race, TLS and verifier as for relays,
//! and nothing of SMTP.

use super::connect;
use super::fault::Fault;
use super::stream::Stream;
use super::tls::{self, Roots};
use super::{Direction, Observer, Patience, Watch};
use crate::config::{Endpoint, Tls, Trust};
use zeroize::Zeroizing;

/// A connection on which both sides may say what they like.
pub struct Line(Stream);

impl Line {
    /// Connects, with TLS from the first octet; without TLS to loopback only.
    pub fn open(endpoint: &Endpoint, roots: &Roots, patience: &mut Patience) -> Result<Line, Fault> {
        let mut watch = Watch { patience, observer: &mut Deaf };
        let mut addresses = connect::resolve(endpoint, &mut watch)?;
        if endpoint.tls == Tls::None {
            addresses.retain(|address| address.ip().is_loopback());
        }
        let (socket, _) = connect::connect(&addresses, &mut watch)?;
        let mut stream = Stream::new(socket);
        if endpoint.tls != Tls::None {
            let client = tls::Client::new(&endpoint.host, &Trust::System, roots, None)?;
            stream.start_tls(client, &mut watch)?;
        }
        Ok(Line(stream))
    }

    /// Writes all of it.
    pub fn send(&mut self, octets: &[u8], patience: &mut Patience) -> Result<(), Fault> {
        self.0.send(octets, patience)
    }

    /// Waits for more and appends it; `false` is the end.
    pub fn receive(&mut self, octets: &mut Zeroizing<Vec<u8>>, patience: &mut Patience) -> Result<bool, Fault> {
        let end = patience.deadline();
        match self.0.receive(end, patience) {
            Ok(()) => {
                self.0.drain_into(octets);
                Ok(true)
            }
            Err(Fault::Closed(_)) => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

/// Nobody watches: what is said here are secrets.
struct Deaf;

impl Observer for Deaf {
    fn line(&mut self, _: Direction, _: &str) {}
}
