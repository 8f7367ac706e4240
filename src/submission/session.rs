//! From an account to a logged-in session: endpoint by endpoint, connect, TLS, EHLO, AUTH. What is learned before TLS
//! is forgotten with it; a password goes only to a relay that has proved who it is.

use super::capabilities::Capabilities;
use super::classify::{Login, Verdict, classify, classify_login};
use super::command::Flight;
use super::connect;
use super::dialogue::Dialogue;
use super::fault::Fault;
use super::reply::told;
use super::sasl::{self, Credentials, Mechanism};
use super::stream::Stream;
use super::tls::{self, Roots};
use super::{Observer, Patience, Watch};
use crate::config::{Account, Auth, Endpoint, Limits, Tls};
use crate::mail::outcome::{Failure, Reply, Stage, Trouble};
use crate::system;
use lettre::transport::smtp::commands::{Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;
use std::net::SocketAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a greeting may take while there is another endpoint to try.
const GREETING: Duration = Duration::from_secs(30);
/// The longest command line (RFC 5321 section 4.5.3.1.4), CRLF included.
const LINE: usize = 512;

/// A logged-in connection to an account's relay. After any error it is dead: it takes no more, and is dropped.
pub struct Session {
    pub(super) dialogue: Dialogue,
    pub(super) endpoint: Endpoint,
    pub(super) relay: String,
    pub(super) capabilities: Capabilities,
    pub(super) limits: Limits,
    pub(super) alive: bool,
    /// The last transaction did not reach its end of data: the next one begins with RSET.
    pub(super) unclean: bool,
    pub(super) transactions: usize,
}

impl Session {
    /// Connects (endpoints in order, addresses raced), starts TLS, says EHLO, logs in. `host` is this host's name.
    /// At most one login is tried, and the password is fetched only when it is due.
    pub fn open(
        account: &Account,
        host: &str,
        roots: &Roots,
        patience: &mut Patience,
        observer: &mut dyn Observer,
    ) -> Result<Session, Trouble> {
        let mut watch = Watch { patience, observer };
        let mut setbacks: Vec<Setback> = Vec::new();
        for (index, endpoint) in account.endpoints.iter().enumerate() {
            let greeting = if index + 1 < account.endpoints.len() { GREETING } else { Duration::MAX };
            let relay = format!("{}:{}", endpoint.host, endpoint.port);
            let mut opening = Opening { account, host, roots, endpoint, greeting, relay };
            match opening.run(&mut watch) {
                Ok(session) => return Ok(session),
                Err(setback) => {
                    watch.note(&setback.failure.to_string());
                    let is_last = !setback.tries_next || watch.patience.is_over();
                    setbacks.push(setback);
                    if is_last {
                        break;
                    }
                }
            }
        }
        Err(sum_up(setbacks, &account.name))
    }

    /// Whether another message may be submitted: no error happened, and the relay's limit of transactions (RFC 9422)
    /// is not reached.
    pub fn takes_more(&self) -> bool {
        self.alive && self.capabilities.limits.mail.is_none_or(|limit| self.transactions < limit)
    }

    /// Whether 8-bit content may be sent as it is (RFC 6152); else the caller encodes it before [`Session::submit`].
    pub fn takes_eight_bit(&self) -> bool {
        self.capabilities.eight_bit
    }

    /// What the relay offered behind TLS.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The relay as `host[address]:port`.
    pub fn relay(&self) -> &str {
        &self.relay
    }

    /// The endpoint that worked.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Says QUIT and does not wait.
    pub fn quit(mut self) {
        if self.alive {
            self.dialogue.stream.send_last(b"QUIT\r\n");
        }
    }
}

/// Why one endpoint did not work.
struct Setback {
    failure: Failure,
    holds: bool,
    /// The account's next endpoint may do better.
    tries_next: bool,
}

/// One try at one endpoint.
struct Opening<'a> {
    account: &'a Account,
    host: &'a str,
    roots: &'a Roots,
    endpoint: &'a Endpoint,
    greeting: Duration,
    relay: String,
}

impl Opening<'_> {
    fn run(&mut self, watch: &mut Watch) -> Result<Session, Setback> {
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
        if let Some(user) = &self.account.user {
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
        if let [only] = addresses.as_slice() {
            self.relay = self.named(only);
        }
        let (socket, address) =
            connect::connect(&addresses, watch).map_err(|fault| self.broke(Stage::Connect, &fault))?;
        self.relay = self.named(&address);
        watch.note(&format!("connected to {}", self.relay));
        Ok((Dialogue::new(Stream::new(socket)), address))
    }

    fn named(&self, address: &SocketAddr) -> String {
        format!("{}[{}]:{}", self.endpoint.host, address.ip(), self.endpoint.port)
    }

    fn start_tls(&self, dialogue: &mut Dialogue, watch: &mut Watch) -> Result<(), Setback> {
        let started = tls::Client::new(&self.endpoint.host, &self.account.trust, self.roots)
            .and_then(|client| dialogue.stream.start_tls(client, watch));
        started.map_err(|fault| self.broke(Stage::Tls, &fault))?;
        watch.note(&dialogue.stream.protection().unwrap_or_default());
        Ok(())
    }

    fn hear_greeting(&self, dialogue: &mut Dialogue, watch: &mut Watch) -> Result<(), Setback> {
        let end = watch.patience.within(self.greeting);
        let greeting = dialogue.reply_until(end, watch).map_err(|fault| self.broke(Stage::Greeting, &fault))?;
        self.expect(Stage::Greeting, told(&greeting), 220).map(|_| ())
    }

    fn say_hello(&self, dialogue: &mut Dialogue, loopback: bool, watch: &mut Watch) -> Result<Capabilities, Setback> {
        let client = self.client_id(dialogue);
        let reply = self.ask(Stage::Ehlo, &Ehlo::new(client.clone()), dialogue, watch)?;
        if reply.code >= 500 && self.endpoint.tls == Tls::None && loopback {
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

    fn upgrade(&self, dialogue: &mut Dialogue, offered: &Capabilities, watch: &mut Watch) -> Result<(), Setback> {
        if !offered.starttls {
            return Err(self.broke(Stage::StartTls, &Fault::NoStarttls));
        }
        let reply = self.ask(Stage::StartTls, &Starttls, dialogue, watch)?;
        if reply.code != 220 {
            let waits = reply.code == 421;
            let hint = Fault::NoStarttls.hint(Stage::StartTls, self.endpoint);
            let failure = self.failure(Stage::StartTls, Some(reply), String::new(), hint);
            return Err(Setback { failure, holds: !waits, tries_next: !waits });
        }
        self.start_tls(dialogue, watch)
    }

    fn log_in(
        &self,
        user: &str,
        safe: bool,
        dialogue: &mut Dialogue,
        capabilities: &Capabilities,
        watch: &mut Watch,
    ) -> Result<(), Setback> {
        if !safe {
            return Err(self.held(
                Stage::Auth,
                "no login without TLS".into(),
                Some("set tls = \"starttls\" or \"implicit\", or leave out user".into()),
            ));
        }
        if capabilities.auth.is_empty() {
            return Err(self.held(
                Stage::Auth,
                "a user is configured, but the relay offers no login".into(),
                Some("another port may offer it; if the relay wants none, leave out user".into()),
            ));
        }
        let asked = match &self.account.auth {
            Auth::Auto => None,
            Auth::Mechanism(name) => Some(self.asked_mechanism(name, capabilities)?),
        };
        let secret = match asked {
            Some(Mechanism::External) => Zeroizing::new(Vec::new()),
            _ => self.secret()?,
        };
        let credentials = Credentials {
            user,
            secret: &secret,
            is_token: self.account.secret.as_ref().is_some_and(|secret| secret.is_token()),
            host: &self.endpoint.host,
            port: self.endpoint.port,
            binding: dialogue.stream.channel_binding(),
        };
        let choices = match asked {
            Some(mechanism) if credentials.is_token && !mechanism.takes_token() => {
                let cause =
                    format!("a token is never sent as a password, which auth = {:?} asks for", mechanism.name());
                return Err(self.held(Stage::Auth, cause, Some("leave out auth".into())));
            }
            Some(mechanism) => vec![mechanism],
            None => credentials.choices(&capabilities.auth),
        };
        let mut refused = None;
        for mechanism in choices {
            match self.exchange(mechanism, &credentials, dialogue, capabilities, watch)? {
                Ok(()) => return Ok(()),
                // The mechanism was refused, not the password: another one is no second try at the password.
                Err((reply, setback)) if reply.code == 504 => refused = Some(setback),
                Err((_, setback)) => return Err(setback),
            }
        }
        Err(refused.unwrap_or_else(|| {
            let cause = format!("no common way to log in; the relay offers {}", capabilities.auth.join(" "));
            let hint = if credentials.is_token {
                "the relay takes no OAuth 2 tokens: use a password"
            } else {
                "the relay takes no passwords: use OAuth 2 with token-command"
            };
            self.held(Stage::Auth, cause, Some(hint.into()))
        }))
    }

    fn asked_mechanism(&self, name: &str, capabilities: &Capabilities) -> Result<Mechanism, Setback> {
        let known = Mechanism::named(name);
        let offered = capabilities.auth.iter().any(|offer| offer.eq_ignore_ascii_case(name));
        known.filter(|_| offered).ok_or_else(|| {
            let cause = match known {
                Some(_) => format!("auth = {name:?} is not offered; the relay offers {}", capabilities.auth.join(" ")),
                None => format!("auth = {name:?} is no way to log in that is known here"),
            };
            self.held(Stage::Auth, cause, Some("leave out auth, and the best way is taken".into()))
        })
    }

    fn secret(&self) -> Result<Zeroizing<Vec<u8>>, Setback> {
        let Some(source) = &self.account.secret else {
            let hint = "set password-command, password-file or another source of the password";
            return Err(self.held(Stage::Secret, "the account has a user but no password".into(), Some(hint.into())));
        };
        system::hide_memory();
        let password = source.fetch().map_err(|error| self.held(Stage::Secret, error.to_string(), None))?;
        Ok(tidied(password.expose(), &self.endpoint.host))
    }

    /// One login. The inner error is the relay's refusal.
    #[allow(clippy::type_complexity, reason = "the two ways it ends are told apart at the one call")]
    fn exchange(
        &self,
        mechanism: Mechanism,
        credentials: &Credentials,
        dialogue: &mut Dialogue,
        capabilities: &Capabilities,
        watch: &mut Watch,
    ) -> Result<Result<(), (Reply, Setback)>, Setback> {
        let broke = |fault: Fault| Setback { tries_next: false, ..self.broke(Stage::Auth, &fault) };
        let Some(mut exchange) = credentials.begin(mechanism, &capabilities.auth) else {
            return Err(self.held(Stage::Auth, "this system has no random numbers".into(), None));
        };
        let mut flight = Flight::default();
        let lead = format!("AUTH {} ", mechanism.name());
        match exchange.first(LINE - lead.len() - 2) {
            Some(first) => flight.secret(&lead, sasl::encode(&first).as_bytes()),
            None => flight.command(&format!("{}\r\n", lead.trim_end())),
        }
        .map_err(broke)?;
        loop {
            let reply = told(&dialogue.ask(&flight, watch).map_err(broke)?);
            match reply.code {
                200..=299 if exchange.may_end() => return Ok(Ok(())),
                200..=299 => {
                    let cause = "the relay accepted the login without proving that it knows the password";
                    return Err(self.held(Stage::Auth, cause.into(), None));
                }
                334 => {}
                300..=399 => return Err(broke(Fault::Unexpected(reply))),
                _ => {
                    let setback = self.refused_login(mechanism, &reply, exchange.complaint(), credentials);
                    return Ok(Err((reply, setback)));
                }
            }
            let challenge = reply.lines.first().and_then(|line| sasl::decode(line)).unwrap_or_default();
            flight = Flight::default();
            match exchange.respond(&challenge) {
                Ok(answer) => flight.secret("", sasl::encode(&answer).as_bytes()).map_err(broke)?,
                Err(words) => {
                    dialogue.stream.send_last(b"*\r\n");
                    return Err(self.held(Stage::Auth, format!("{}: {words}", mechanism.name()), None));
                }
            }
        }
    }

    fn refused_login(
        &self,
        mechanism: Mechanism,
        reply: &Reply,
        complaint: Option<&str>,
        credentials: &Credentials,
    ) -> Setback {
        let login = Login {
            user: credentials.user,
            host: &self.endpoint.host,
            app_password: is_app_password(credentials.secret),
        };
        let explanation =
            if credentials.is_token { classify(Stage::Auth, reply) } else { classify_login(reply, login) };
        let holds = explanation.verdict == Verdict::Account || reply.code >= 500;
        let complaint = complaint.map(|words| format!("the token was refused ({words}): get a new one for this user"));
        let hint = complaint.or_else(|| match mechanism {
            Mechanism::Scram(..) | Mechanism::CramMd5 if self.account.auth == Auth::Auto => {
                let name = mechanism.name();
                let other = format!("if the password is right, the server cannot check {name}: set auth = \"plain\"");
                Some(explanation.hint.map_or(other.clone(), |hint| format!("{hint}; {other}")))
            }
            _ => explanation.hint,
        });
        let failure = self.failure(Stage::Auth, Some(reply.clone()), String::new(), hint);
        Setback { failure, holds, tries_next: false }
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
                Err(Setback { failure, holds, tries_next: false })
            }
        }
    }

    fn broke(&self, stage: Stage, fault: &Fault) -> Setback {
        let failure = fault.failure(stage, &self.relay, self.endpoint);
        Setback { failure, holds: fault.holds(), tries_next: fault.tries_next() }
    }

    fn held(&self, stage: Stage, cause: String, hint: Option<String>) -> Setback {
        Setback { failure: self.failure(stage, None, cause, hint), holds: true, tries_next: false }
    }

    fn failure(&self, stage: Stage, reply: Option<Reply>, cause: String, hint: Option<String>) -> Failure {
        Failure { stage, relay: self.relay.clone(), reply, cause, hint }
    }
}

/// One trouble out of the setbacks of all endpoints: the one that ended the tries; else the first that a person can
/// mend, else the first, with the others told behind it.
fn sum_up(mut setbacks: Vec<Setback>, account: &str) -> Trouble {
    let chosen = match setbacks.last() {
        None => {
            let cause = "no endpoint is configured".into();
            let relay = format!("account {account}");
            return Trouble::Held(Failure { stage: Stage::Connect, relay, reply: None, cause, hint: None });
        }
        Some(last) if !last.tries_next => setbacks.len() - 1,
        Some(_) => setbacks.iter().position(|setback| setback.holds).unwrap_or(0),
    };
    let Setback { mut failure, holds, tries_next } = setbacks.remove(chosen);
    if tries_next && failure.reply.is_none() {
        for other in setbacks {
            failure.cause = format!("{}; {}", failure.cause, other.failure);
        }
    }
    if holds { Trouble::Held(failure) } else { Trouble::Waiting(failure) }
}

/// A name that can be nothing but this host.
fn is_local_name(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Google shows App Passwords in four groups with blanks, which are not part of them.
fn tidied(secret: &[u8], host: &str) -> Zeroizing<Vec<u8>> {
    if host.ends_with("gmail.com") || host.ends_with("googlemail.com") {
        let text = Zeroizing::new(String::from_utf8_lossy(secret).into_owned());
        let mut bare = Zeroizing::new(String::with_capacity(text.len()));
        bare.extend(text.chars().filter(|c| !c.is_whitespace()));
        if is_app_password(bare.as_bytes()) {
            return bare.as_bytes().to_vec().into();
        }
    }
    secret.to_vec().into()
}

fn is_app_password(secret: &[u8]) -> bool {
    secret.len() == 16 && secret.iter().all(u8::is_ascii_lowercase)
}

#[cfg(test)]
mod tests;
