//! What a relay does, as data: how its connections are secured, what it offers, whom it lets in, and where it leaves
//! the path of good behaviour.

use super::certificates::{Certificate, ClientAuth};
use super::scram::{Cheat, Terms};
use std::time::Duration;

/// Everything a relay is told before it starts.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) security: Security,
    pub(super) certificate: Certificate,
    pub(super) client_auth: ClientAuth,
    pub(super) extensions: Vec<String>,
    pub(super) mechanisms: String,
    pub(super) terms: Terms,
    /// User name and password pairs that may log in; none means that nobody has to.
    pub(super) logins: Vec<(String, String)>,
    pub(super) rules: Vec<Rule>,
}

/// When TLS starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    Plain,
    Starttls,
    Implicit,
}

/// One exception from good behaviour.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// The start of a command line in any case, or one of the events that are no commands: `connect`, `login` (the
    /// credentials are complete), `body` (the first line of a message), `.` (its end).
    pub event: String,
    /// Only at this occurrence, counted from 1 over all connections.
    pub nth: Option<usize>,
    pub acts: Vec<Act>,
}

/// One thing a relay can do instead of its usual reply.
#[derive(Clone, Debug)]
pub enum Act {
    /// These lines, each ended with CRLF. A positive one has its usual consequences (250 accepts, 220 starts TLS).
    Say(String),
    /// These bytes as they are.
    Raw(Vec<u8>),
    /// These bytes one by one, so far apart.
    Drip(String, Duration),
    /// Nothing for a while; what follows is the next act, or the usual reply.
    Wait(Duration),
    /// Nothing until the client says something, which is not heard.
    Ignore,
    Close,
    /// The end of the connection without the end of TLS: what somebody on the way can do.
    Cut,
    /// The first half of what TLS makes of these lines, and then that.
    Half(String),
    /// The end of TLS, and these bytes behind it in clear.
    Undress(String),
    /// RST instead of FIN.
    Reset,
    /// Nothing, until the client gives up or the relay is stopped.
    Hang,
}

/// Says these lines.
pub fn say(lines: &str) -> Act {
    Act::Say(lines.to_string())
}

/// Sends these bytes as they are.
pub fn raw(bytes: impl AsRef<[u8]>) -> Act {
    Act::Raw(bytes.as_ref().to_vec())
}

impl Script {
    fn new(security: Security) -> Script {
        Script {
            security,
            certificate: Certificate::Good,
            client_auth: ClientAuth::None,
            extensions: ["PIPELINING", "SIZE 35882577", "8BITMIME", "ENHANCEDSTATUSCODES"].map(String::from).to_vec(),
            mechanisms: "PLAIN LOGIN".into(),
            terms: Terms::default(),
            logins: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// No TLS and no login: a relay on loopback.
    pub fn plain() -> Script {
        Script::new(Security::Plain)
    }

    /// As on port 587.
    pub fn starttls() -> Script {
        Script::new(Security::Starttls)
    }

    /// As on port 465.
    pub fn implicit() -> Script {
        Script::new(Security::Implicit)
    }

    pub fn security(&self) -> Security {
        self.security
    }

    /// Lets this user in, and nobody without a login.
    pub fn login(mut self, user: &str, password: &str) -> Script {
        self.logins.push((user.into(), password.into()));
        self
    }

    /// Offers these SASL mechanisms instead of PLAIN and LOGIN.
    pub fn mechanisms(mut self, mechanisms: &str) -> Script {
        self.mechanisms = mechanisms.into();
        self
    }

    /// Asks for so many rounds of SCRAM.
    pub fn rounds(mut self, rounds: u32) -> Script {
        self.terms.rounds = rounds;
        self
    }

    /// Cheats in SCRAM.
    pub fn cheating(mut self, cheat: Cheat) -> Script {
        self.terms.cheat = cheat;
        self
    }

    /// Wants to see a certificate of the client's.
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Script {
        self.client_auth = client_auth;
        self
    }

    /// Offers one more extension.
    pub fn offering(mut self, keyword: &str) -> Script {
        self.extensions.push(keyword.into());
        self
    }

    /// Offers nothing but STARTTLS and AUTH, where they apply.
    pub fn bare(mut self) -> Script {
        self.extensions.clear();
        self
    }

    /// Shows this certificate.
    pub fn certificate(mut self, certificate: Certificate) -> Script {
        self.certificate = certificate;
        self
    }

    /// Leaves good behaviour whenever `event` happens.
    pub fn when(self, event: &str, acts: impl Into<Vec<Act>>) -> Script {
        self.rule(event, None, acts.into())
    }

    /// Leaves good behaviour the `nth` time that `event` happens, counted from 1 over all connections.
    pub fn when_nth(self, event: &str, nth: usize, acts: impl Into<Vec<Act>>) -> Script {
        self.rule(event, Some(nth), acts.into())
    }

    fn rule(mut self, event: &str, nth: Option<usize>, acts: Vec<Act>) -> Script {
        self.rules.push(Rule { event: event.into(), nth, acts });
        self
    }
}

impl Rule {
    pub fn matches(&self, event: &str) -> bool {
        event.get(..self.event.len()).is_some_and(|start| start.eq_ignore_ascii_case(&self.event))
    }
}
