//! From an account to a logged-in session, endpoint by endpoint, and what can be asked of the session.

use super::capabilities::Capabilities;
use super::dialogue::Dialogue;
use super::opening::{Opening, Setback};
use super::tls::Roots;
use super::{Observer, Patience, Watch};
use crate::config::{Account, Endpoint, Limits};
use crate::mail::outcome::{Failure, Stage, Trouble};
use std::time::Duration;

/// How long a greeting may take while there is another endpoint to try.
const GREETING: Duration = Duration::from_secs(30);

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
    let Setback { mut failure, holds, tries_next, .. } = setbacks.remove(chosen);
    if tries_next && failure.reply.is_none() {
        for other in setbacks {
            failure.cause = format!("{}; {}", failure.cause, other.failure);
        }
    }
    if holds { Trouble::Held(failure) } else { Trouble::Waiting(failure) }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod logins;
#[cfg(test)]
mod model;
