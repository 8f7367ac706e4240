//! Looks at every address and port of an account at once, and at what lies around them when they do not answer. Facts
//! only; what they mean is network's.

use super::super::context::Context;
pub use super::control::Answer;
use super::control::{self, PATIENCE as CONTROL};
use crate::clock::Moment;
use crate::config::{Account, Endpoint, Tls, presets};
use crate::mail::outcome::Failure;
use crate::submission::{Direction, Knock, Observer, Patience, Probe, Symptom};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// How long one step at one address may take, a greeting included: servers make strangers wait, but not so long.
const STEP: Duration = Duration::from_secs(12);
const WHOLE: Duration = Duration::from_secs(40);

/// What was seen of an account's relay.
pub struct Survey {
    pub host: String,
    pub addresses: Result<Vec<IpAddr>, (Symptom, Failure)>,
    /// The configured endpoints at every address.
    pub knocks: Vec<Knock>,
    /// The usual ports that are not configured; looked at only when no configured one is good.
    pub spare: Vec<Knock>,
    /// What each name server says, when the resolver has no answer.
    pub servers: Vec<(IpAddr, Answer)>,
    pub around: Around,
}

/// What was seen around the relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Whether there is a way out of this host, by family.
    pub v4: bool,
    pub v6: bool,
    /// A name that cannot exist resolves.
    pub made_up_name: bool,
    /// An address that nobody has accepts mail connections.
    pub nobody_answers: bool,
    /// Whether the provider's web pages can be reached; `None` when that was not tried.
    pub web: Option<bool>,
    /// What time it is here and elsewhere; looked at when a certificate's dates are wrong.
    pub clock: Option<(Moment, Moment)>,
}

impl Survey {
    pub fn all(&self) -> impl Iterator<Item = &Knock> {
        self.knocks.iter().chain(&self.spare)
    }
}

/// Looks; `None` for an account without an endpoint.
pub fn survey(context: &Context, account: &Account) -> Option<Survey> {
    let scout = Scout { context, account };
    let host = account.endpoints.first()?.host.clone();
    let way = |nobody: IpAddr| has_way(nobody);
    let around = Around { v4: way(NOBODY_4.into()), v6: way(NOBODY_6.into()), ..Around::default() };
    let addresses = scout.resolve(&host, 0);
    let mut survey = Survey { host, addresses, knocks: Vec::new(), spare: Vec::new(), servers: Vec::new(), around };
    let addresses = match &survey.addresses {
        Ok(addresses) => addresses.clone(),
        Err((Symptom::NoSuchHost, _)) => return Some(survey),
        Err(_) => {
            survey.servers = control::ask_servers(&survey.host);
            return Some(survey);
        }
    };
    survey.knocks = scout.knock(&account.endpoints, &addresses);
    if survey.knocks.iter().any(|knock| matches!(knock.failed, Some((Symptom::Dates, _)))) {
        survey.around.clock = scout.time_elsewhere(&survey.knocks).map(|there| (Moment::now(), there));
    }
    if survey.knocks.iter().any(|knock| knock.failed.is_none()) || addresses.iter().all(IpAddr::is_loopback) {
        return Some(survey);
    }
    survey.spare = scout.knock(&spare(&account.endpoints, &survey.host), &addresses);
    survey.around.nobody_answers = connects(SocketAddr::new(NOBODY_4.into(), 587));
    survey.around.made_up_name = scout.resolve(&made_up_name(), 587).is_ok();
    survey.around.web = scout.provider_page();
    Some(survey)
}

/// Addresses for documentation (RFC 5737, RFC 3849): nobody has them.
const NOBODY_4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NOBODY_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

struct Scout<'a> {
    context: &'a Context<'a>,
    account: &'a Account,
}

impl Scout<'_> {
    fn probe<'b>(&'b self, endpoint: &'b Endpoint) -> Probe<'b> {
        let Scout { context, account } = *self;
        Probe { account, host: &context.process.host, roots: &context.roots, endpoint }
    }

    fn resolve(&self, host: &str, port: u16) -> Result<Vec<IpAddr>, (Symptom, Failure)> {
        let endpoint = Endpoint { host: host.to_owned(), port, tls: Tls::None };
        let found = self.probe(&endpoint).resolve(&mut patience())?;
        Ok(found.iter().map(SocketAddr::ip).collect())
    }

    /// Every endpoint at every address, all at once, told in that order.
    fn knock(&self, endpoints: &[Endpoint], addresses: &[IpAddr]) -> Vec<Knock> {
        let doors = endpoints.iter().flat_map(|endpoint| addresses.iter().map(move |address| (endpoint, *address)));
        thread::scope(|scope| {
            let knock = |(endpoint, address): (&Endpoint, IpAddr)| {
                let address = SocketAddr::new(address, endpoint.port);
                self.probe(endpoint).knock(address, STEP, &mut patience(), &mut Deaf)
            };
            let running: Vec<_> = doors.map(|door| scope.spawn(move || knock(door))).collect();
            running.into_iter().filter_map(|thread| thread.join().ok()).collect()
        })
    }

    /// Whether the web server that the provider's help is on can be reached.
    fn provider_page(&self) -> Option<bool> {
        let host = self.help_host()?;
        let addresses = self.resolve(&host, 443).unwrap_or_default();
        Some(addresses.into_iter().any(|address| connects(SocketAddr::new(address, 443))))
    }

    /// The host of the provider's help.
    fn help_host(&self) -> Option<String> {
        let help = self.account.provider.as_deref().and_then(presets::find)?.help?;
        Some(help.strip_prefix("https://")?.split('/').next()?.to_owned())
    }

    /// What time it is by the relay's greeting, else by the provider's web server, else by the relay's own.
    fn time_elsewhere(&self, knocks: &[Knock]) -> Option<Moment> {
        if let Some(date) = knocks.iter().find_map(|knock| control::greeted_date(knock.greeting.as_ref()?)) {
            return Some(date);
        }
        let host = self
            .help_host()
            .unwrap_or_else(|| knocks.first().map_or_else(String::new, |knock| knock.endpoint.host.clone()));
        let addresses = self.resolve(&host, 80).ok()?;
        addresses.iter().find_map(|address| control::web_date(SocketAddr::new(*address, 80), &host))
    }
}

/// The usual ports that the account does not have.
fn spare(endpoints: &[Endpoint], host: &str) -> Vec<Endpoint> {
    let usual = [(587, Tls::Starttls), (465, Tls::Implicit)].into_iter();
    let missing = usual.filter(|(port, _)| endpoints.iter().all(|endpoint| endpoint.port != *port));
    missing.map(|(port, tls)| Endpoint { host: host.to_owned(), port, tls }).collect()
}

fn patience() -> Patience {
    Patience { step: STEP, overall: Some(Instant::now() + WHOLE), foreground: None }
}

/// Whether packets to an address would leave this host. A datagram socket is connected without sending any.
fn has_way(address: IpAddr) -> bool {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 587))).is_ok()
}

fn connects(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, CONTROL).is_ok()
}

/// A name below a domain that does not exist (RFC 2606), new each time so that nobody has remembered it.
fn made_up_name() -> String {
    format!("mailchute-{}.invalid", Moment::now().0)
}

/// Ports are looked at all at once: their dialogues would be told in a jumble.
struct Deaf;

impl Observer for Deaf {
    fn line(&mut self, _: Direction, _: &str) {}
}
