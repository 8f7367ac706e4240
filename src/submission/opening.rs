//! One endpoint of an account, from its name to a session: connect, TLS, EHLO, AUTH. What is learned before TLS is
//! forgotten with it.

use super::Watch;
use super::capabilities::Capabilities;
use super::classify::{Verdict, classify};
use super::command::Flight;
use super::connect;
use super::dialogue::Dialogue;
use super::fault::Fault;
use super::probe::Symptom;
use super::reply::told;
use super::session::Session;
use super::stream::Stream;
use super::tls::{self, Roots};
use crate::config::{Account, Endpoint, Tls};
use crate::mail::outcome::{Failure, Reply, Stage};
use lettre::transport::smtp::commands::{Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;
use std::net::SocketAddr;
use std::time::Duration;

/// Why one endpoint did not work.
pub struct Setback {
    pub failure: Failure,
    /// A person must act before the account works again.
    pub holds: bool,
    /// The account's next endpoint may do better.
    pub tries_next: bool,
    pub symptom: Symptom,
}

/// One try at one endpoint.
pub struct Opening<'a> {
    pub account: &'a Account,
    /// This host's name.
    pub host: &'a str,
    pub roots: &'a Roots,
    pub endpoint: &'a Endpoint,
    /// How long the greeting may take.
    pub greeting: Duration,
    /// The relay as it is known so far.
    pub relay: String,
}

impl Opening<'_> {
    /// From nothing to a session.
    pub fn run(&mut self, watch: &mut Watch) -> Result<Session, Setback> {
        let (mut dialogue, address) = self.connect(watch)?;
        let loopback = address.ip().is_loopback();
        if self.endpoint.tls == Tls::Implicit {
            self.start_tls(&mut dialogue, watch)?;
        }
        self.hear_greeting(&mut dialogue, watch)?;
        let mut capabilities = self.say_hello(&mut dialogue, loopback, watch)?;
        if self.endpoint.tls == Tls::Starttls {
            self.upgrade(&mut dialogue, &capabilities, watch)?;
            capabilities = self.say_hello(&mut dialogue, loopback, watch)?;
        }
        if let Some(user) = self.account.login() {
            let safe = self.endpoint.tls != Tls::None || (loopback && is_local_name(&self.endpoint.host));
            if let Err(setback) = self.log_in(user, safe, &mut dialogue, &capabilities, watch) {
                dialogue.stream.send_last(b"QUIT\r\n");
                return Err(setback);
            }
        }
        Ok(Session {
            dialogue,
            endpoint: self.endpoint.clone(),
            relay: self.relay.clone(),
            capabilities,
            limits: self.account.limits,
            alive: true,
            unclean: false,
            transactions: 0,
        })
    }

    fn connect(&mut self, watch: &mut Watch) -> Result<(Dialogue, SocketAddr), Setback> {
        let addresses = connect::resolve(self.endpoint, watch).map_err(|fault| self.broke(Stage::Resolve, &fault))?;
        self.reach(&addresses, watch)
    }

    /// Connects to whichever of these addresses answers first.
    pub(super) fn reach(
        &mut self,
        addresses: &[SocketAddr],
        watch: &mut Watch,
    ) -> Result<(Dialogue, SocketAddr), Setback> {
        if let [only] = addresses {
            self.relay = self.named(only);
        }
        let (socket, address) =
            connect::connect(addresses, watch).map_err(|fault| self.broke(Stage::Connect, &fault))?;
        self.relay = self.named(&address);
        watch.note(&format!("connected to {}", self.relay));
        Ok((Dialogue::new(Stream::new(socket)), address))
    }

    fn named(&self, address: &SocketAddr) -> String {
        format!("{}[{}]:{}", self.endpoint.host, address.ip(), self.endpoint.port)
    }

    pub(super) fn start_tls(&self, dialogue: &mut Dialogue, watch: &mut Watch) -> Result<(), Setback> {
        let started =
            tls::Client::new(&self.endpoint.host, &self.account.trust, self.roots, self.account.certificate.as_ref())
                .and_then(|client| dialogue.stream.start_tls(client, watch));
        started.map_err(|fault| match fault {
            // Who speaks before TLS has begun at all is no attacker: the port is one that begins in clear.
            Fault::Injected if self.endpoint.tls == Tls::Implicit => self.broke(Stage::Tls, &Fault::NotTls),
            fault => self.broke(Stage::Tls, &fault),
        })?;
        watch.note(&dialogue.stream.protection().unwrap_or_default());
        Ok(())
    }

    pub(super) fn hear_greeting(&self, dialogue: &mut Dialogue, watch: &mut Watch) -> Result<Reply, Setback> {
        let end = watch.patience.within(self.greeting);
        let greeting = dialogue.reply_until(end, watch).map_err(|fault| self.broke(Stage::Greeting, &fault))?;
        self.expect(Stage::Greeting, told(&greeting), 220)
    }

    pub(super) fn say_hello(
        &self,
        dialogue: &mut Dialogue,
        loopback: bool,
        watch: &mut Watch,
    ) -> Result<Capabilities, Setback> {
        let client = self.client_id(dialogue);
        let reply = self.ask(Stage::Ehlo, &Ehlo::new(client.clone()), dialogue, watch)?;
        if matches!(reply.code, 500 | 502) && self.endpoint.tls == Tls::None && loopback {
            // An old relay on this host. Anywhere else, EHLO refused is no reason to do with less than we need.
            let reply = self.ask(Stage::Ehlo, &format!("HELO {client}\r\n"), dialogue, watch)?;
            return self.expect(Stage::Ehlo, reply, 250).map(|_| Capabilities::default());
        }
        self.expect(Stage::Ehlo, reply, 250).map(|reply| Capabilities::from_ehlo(&reply))
    }

    /// The configured name, else the host's when it is qualified, else the address (RFC 5321 section 4.1.4).
    fn client_id(&self, dialogue: &Dialogue) -> ClientId {
        let name = self.account.ehlo_name.as_deref().unwrap_or(self.host);
        let qualified = name.contains('.') && !name.starts_with("localhost.");
        if qualified || self.account.ehlo_name.is_some() {
            return ClientId::Domain(name.to_owned());
        }
        match dialogue.stream.socket().local_addr() {
            Ok(SocketAddr::V4(address)) => ClientId::Ipv4(*address.ip()),
            Ok(SocketAddr::V6(address)) => ClientId::Ipv6(*address.ip()),
            Err(_) => ClientId::Ipv4([127, 0, 0, 1].into()),
        }
    }

    pub(super) fn upgrade(
        &self,
        dialogue: &mut Dialogue,
        offered: &Capabilities,
        watch: &mut Watch,
    ) -> Result<(), Setback> {
        if !offered.starttls {
            return Err(self.broke(Stage::StartTls, &Fault::NoStarttls));
        }
        let reply = self.ask(Stage::StartTls, &Starttls, dialogue, watch)?;
        if reply.code != 220 {
            let waits = reply.code == 421;
            let hint = Fault::NoStarttls.hint(Stage::StartTls, self.endpoint);
            let failure = self.failure(Stage::StartTls, Some(reply), String::new(), hint);
            let symptom = if waits { Symptom::TurnedAway } else { Symptom::NoStarttls };
            return Err(Setback { failure, holds: !waits, tries_next: !waits, symptom });
        }
        self.start_tls(dialogue, watch)
    }

    /// Sends a command and reads its reply, whatever it is.
    fn ask(
        &self,
        stage: Stage,
        command: &impl std::fmt::Display,
        dialogue: &mut Dialogue,
        watch: &mut Watch,
    ) -> Result<Reply, Setback> {
        let mut flight = Flight::default();
        let asked = flight.command(command).and_then(|()| dialogue.ask(&flight, watch));
        asked.map(|response| told(&response)).map_err(|fault| self.broke(stage, &fault))
    }

    /// Takes the reply that lets us go on; any other is a setback.
    fn expect(&self, stage: Stage, reply: Reply, code: u16) -> Result<Reply, Setback> {
        match reply.code {
            got if got == code => Ok(reply),
            0..=399 => Err(self.broke(stage, &Fault::Unexpected(reply))),
            _ => {
                let explanation = classify(stage, &reply);
                let holds = explanation.verdict == Verdict::Account || explanation.verdict == Verdict::Message;
                let failure = self.failure(stage, Some(reply), String::new(), explanation.hint);
                Err(Setback { failure, holds, tries_next: false, symptom: Symptom::TurnedAway })
            }
        }
    }

    pub(super) fn broke(&self, stage: Stage, fault: &Fault) -> Setback {
        let failure = fault.failure(stage, &self.relay, self.endpoint);
        Setback { failure, holds: fault.holds(), tries_next: fault.tries_next(), symptom: Symptom::of(stage, fault) }
    }

    pub(super) fn held(&self, stage: Stage, cause: String, hint: Option<String>) -> Setback {
        let failure = self.failure(stage, None, cause, hint);
        Setback { failure, holds: true, tries_next: false, symptom: Symptom::Other }
    }

    pub(super) fn failure(&self, stage: Stage, reply: Option<Reply>, cause: String, hint: Option<String>) -> Failure {
        Failure { stage, relay: self.relay.clone(), reply, cause, hint }
    }
}

/// A name that can be nothing but this host.
fn is_local_name(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_of_loopback_itself_is_local() {
        for (host, local) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("192.0.2.1", false),
            ("localhost.x.org", false),
            ("mail.x.org", false),
        ] {
            assert_eq!(is_local_name(host), local, "{host}");
        }
    }
}
