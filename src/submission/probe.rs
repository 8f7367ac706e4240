//! One address of an endpoint looked at without a login: how far it lets us come, and what kept us out. Also whether
//! an open session takes a sender. For those who diagnose and those who set up; no message is ever begun here.

use super::Watch;
use super::capabilities::Capabilities;
use super::certificate::Facts;
use super::classify::classify;
use super::command::Flight;
use super::connect::{self, Refusal};
use super::fault::Fault;
use super::offer::address;
use super::opening::{Opening, Setback};
use super::reply::{NoReply, told};
use super::session::Session;
use super::tls::Roots;
use super::{Observer, Patience};
use crate::config::{Account, Endpoint, Tls};
use crate::mail::address::Mailbox;
use crate::mail::outcome::{Failure, Reply, Stage};
use lettre::transport::smtp::commands::{Mail, Rset};
use nix::errno::Errno;
use std::net::SocketAddr;
use std::time::Duration;

/// One endpoint to be looked at, with what that needs.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    pub account: &'a Account,
    /// This host's name.
    pub host: &'a str,
    pub roots: &'a Roots,
    pub endpoint: &'a Endpoint,
}

/// What one address of an endpoint did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    pub endpoint: Endpoint,
    pub address: SocketAddr,
    pub greeting: Option<Reply>,
    /// Version and cipher suite.
    pub protection: Option<String>,
    /// Of the verified certificate.
    pub certificate: Option<Facts>,
    /// What was offered last: behind TLS, when it came to that.
    pub capabilities: Option<Capabilities>,
    /// What ended it before a login could have begun.
    pub failed: Option<(Symptom, Failure)>,
}

/// What kind of thing keeps us out; the words are the failure's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symptom {
    NoSuchHost,
    /// No name server answers.
    NoResolver,
    /// Nothing comes back when connecting.
    Dropped,
    Refused,
    /// There is no way to that address.
    Unreachable,
    /// This very host does not let us connect.
    Forbidden,
    /// Cut off before the first whole reply, or in the TLS handshake.
    CutOff,
    /// Connected, and nothing is said.
    Silent,
    /// What answers does not speak SMTP; `Web` when it speaks HTTP.
    Foreign,
    Web,
    NotTls,
    NoStarttls,
    Injected,
    Certificate,
    /// The certificate is good but for its dates.
    Dates,
    /// No form of TLS in common.
    Handshake,
    NoRoots,
    /// The relay's own word.
    TurnedAway,
    Other,
}

impl Probe<'_> {
    /// The addresses of the endpoint's host.
    pub fn resolve(&self, patience: &mut Patience) -> Result<Vec<SocketAddr>, (Symptom, Failure)> {
        let mut watch = Watch { patience, observer: &mut Deaf };
        connect::resolve(self.endpoint, &mut watch).map_err(|fault| {
            let failure = fault.failure(Stage::Resolve, &self.endpoint.host, self.endpoint);
            (Symptom::of(Stage::Resolve, &fault), failure)
        })
    }

    /// Connects to one address, hears the greeting, starts TLS, says EHLO and leaves. A greeting may take `greeting`.
    pub fn knock(
        &self,
        address: SocketAddr,
        greeting: Duration,
        patience: &mut Patience,
        observer: &mut dyn Observer,
    ) -> Knock {
        let mut knock = Knock {
            endpoint: self.endpoint.clone(),
            address,
            greeting: None,
            protection: None,
            certificate: None,
            capabilities: None,
            failed: None,
        };
        let mut watch = Watch { patience, observer };
        if let Err(setback) = self.enter(&mut knock, greeting, &mut watch) {
            knock.failed = Some((setback.symptom, setback.failure));
        }
        knock
    }

    fn enter(&self, knock: &mut Knock, greeting: Duration, watch: &mut Watch) -> Result<(), Setback> {
        let Probe { account, host, roots, endpoint } = *self;
        let relay = format!("{}:{}", endpoint.host, endpoint.port);
        let mut opening = Opening { account, host, roots, endpoint, greeting, relay };
        let (mut dialogue, address) = opening.reach(&[knock.address], watch)?;
        let loopback = address.ip().is_loopback();
        if endpoint.tls == Tls::Implicit {
            opening.start_tls(&mut dialogue, watch)?;
        }
        knock.greeting = Some(opening.hear_greeting(&mut dialogue, watch)?);
        let mut capabilities = opening.say_hello(&mut dialogue, loopback, watch)?;
        knock.capabilities = Some(capabilities.clone());
        if endpoint.tls == Tls::Starttls {
            opening.upgrade(&mut dialogue, &capabilities, watch)?;
            capabilities = opening.say_hello(&mut dialogue, loopback, watch)?;
        }
        knock.protection = dialogue.stream.protection();
        knock.certificate = dialogue.stream.certificate();
        knock.capabilities = Some(capabilities);
        dialogue.stream.send_last(b"QUIT\r\n");
        Ok(())
    }
}

impl Session {
    /// Asks whether the relay takes a sender: MAIL FROM, then RSET.
    pub fn try_sender(
        &mut self,
        sender: &Mailbox,
        patience: &mut Patience,
        observer: &mut dyn Observer,
    ) -> Result<Reply, Failure> {
        let mut watch = Watch { patience, observer };
        let failure =
            |reply, cause, hint| Failure { stage: Stage::Mail, relay: self.relay.clone(), reply, cause, hint };
        let broke = |fault: Fault| failure(None, fault.words(), fault.hint(Stage::Mail, &self.endpoint));
        let mut replies = Vec::new();
        for command in [Mail::new(Some(address(sender)), Vec::new()).to_string(), Rset.to_string()] {
            let mut flight = Flight::default();
            flight.command(&command).map_err(broke)?;
            replies.push(told(&self.dialogue.ask(&flight, &mut watch).map_err(broke)?));
        }
        let reply = replies.swap_remove(0);
        if reply.code == 250 {
            return Ok(reply);
        }
        let hint = classify(Stage::Mail, &reply).hint;
        Err(failure(Some(reply), String::new(), hint))
    }
}

impl Symptom {
    /// What a fault at that stage is a sign of.
    pub(super) fn of(stage: Stage, fault: &Fault) -> Symptom {
        let early = matches!(stage, Stage::Greeting | Stage::Tls | Stage::Ehlo | Stage::StartTls);
        match fault {
            Fault::NoSuchHost => Symptom::NoSuchHost,
            Fault::Resolver(_) => Symptom::NoResolver,
            Fault::Connect(refusals) => match refusals.first().map(|(_, refusal)| *refusal) {
                Some(Refusal::TimedOut) => Symptom::Dropped,
                Some(Refusal::Failed(Errno::ECONNREFUSED)) => Symptom::Refused,
                Some(Refusal::Failed(Errno::ECONNRESET)) => Symptom::CutOff,
                Some(Refusal::Failed(Errno::EACCES | Errno::EPERM)) => Symptom::Forbidden,
                Some(Refusal::Failed(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EADDRNOTAVAIL)) => {
                    Symptom::Unreachable
                }
                _ => Symptom::Other,
            },
            Fault::TimedOut if early => Symptom::Silent,
            Fault::Closed(_) | Fault::Broken(_) if early => Symptom::CutOff,
            Fault::Garbled(NoReply::Grammar(line)) if is_web(line) => Symptom::Web,
            Fault::Garbled(_) => Symptom::Foreign,
            Fault::NotTls => Symptom::NotTls,
            Fault::NoStarttls => Symptom::NoStarttls,
            Fault::Injected => Symptom::Injected,
            Fault::Certificate(..) => Symptom::Certificate,
            Fault::Dates(..) => Symptom::Dates,
            Fault::Handshake(_) | Fault::OldTls => Symptom::Handshake,
            Fault::Roots(_) => Symptom::NoRoots,
            _ => Symptom::Other,
        }
    }
}

fn is_web(line: &str) -> bool {
    let line = line.trim_start().to_ascii_lowercase();
    ["http/", "<html", "<!doctype"].iter().any(|start| line.starts_with(start))
}

/// Nobody listens to a resolver.
struct Deaf;

impl Observer for Deaf {
    fn line(&mut self, _: super::Direction, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Ears, Identity, Relay, account, patience, with_login};
    use super::*;

    fn knock(relay: &Relay, tls: Tls, identity: &Identity) -> Knock {
        let account = with_login(account(identity, &[(relay, tls)]), "alice", "secret");
        let roots = Roots::default();
        let endpoint = &account.endpoints[0];
        let probe = Probe { account: &account, host: "client.example", roots: &roots, endpoint };
        let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port));
        probe.knock(address, Duration::from_millis(300), &mut patience(), &mut Ears::default())
    }

    #[test]
    fn a_good_relay_is_described_and_no_login_is_tried() {
        let identity = Identity::good();
        let script = "S: 220 relay.test\nC: EHLO\nS: 250-relay.test\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n!TLS\n\
                      C: EHLO\nS: 250-relay.test\nS: 250 AUTH PLAIN\n";
        let relay = Relay::play(script, &identity);
        let found = knock(&relay, Tls::Starttls, &identity);
        assert_eq!(found.failed, None);
        assert_eq!(found.greeting.unwrap().lines, ["relay.test"]);
        assert_eq!(found.capabilities.unwrap().auth, ["PLAIN"]);
        assert_eq!(found.certificate.unwrap().issuer, "Test Authority");
        let heard = relay.heard();
        assert!(!heard.iter().any(|line| line.starts_with("AUTH")), "{heard:?}");
    }

    #[test]
    fn each_way_of_being_kept_out_has_its_symptom() {
        let good = Identity::good();
        let hello = "S: 220 x\nC: EHLO\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n!TLS\n";
        for (script, tls, identity, wanted) in [
            ("!CLOSE", Tls::Starttls, &good, Symptom::CutOff),
            ("!CLOSE", Tls::Implicit, &good, Symptom::CutOff),
            ("!HANG", Tls::Starttls, &good, Symptom::Silent),
            ("S: HTTP/1.1 302 Found", Tls::Starttls, &good, Symptom::Web),
            ("S: <!DOCTYPE html>", Tls::Starttls, &good, Symptom::Web),
            ("S: SSH-2.0-OpenSSH_9.6", Tls::Starttls, &good, Symptom::Foreign),
            ("S: 220 x\nC: ", Tls::Implicit, &good, Symptom::NotTls),
            ("S: 554 no", Tls::Starttls, &good, Symptom::TurnedAway),
            ("S: 220 x\nC: EHLO\nS: 250-x\nS: 250 XXXXXXXA", Tls::Starttls, &good, Symptom::NoStarttls),
            (
                "S: 220 x\nC: EHLO\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS- 220 go\\r\\n250 evil\\r\\n",
                Tls::Starttls,
                &good,
                Symptom::Injected,
            ),
            (hello, Tls::Starttls, &Identity::with("other.example", |_| {}), Symptom::Certificate),
        ] {
            let found = knock(&Relay::play(script, identity), tls, identity);
            assert_eq!(found.failed.map(|(symptom, _)| symptom), Some(wanted), "{script}");
        }
    }
}
