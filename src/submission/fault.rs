//! What broke between us and a relay, when it was not the relay's word: the words for people, what to do, whether it
//! holds the account, and whether another endpoint may do better.

use super::connect::Refusal;
use super::reply::NoReply;
use crate::config::{Endpoint, Tls};
use crate::mail::outcome::{Failure, Reply, Stage};
use nix::errno::Errno;
use std::net::SocketAddr;

/// One break. Whatever is not said to hold the account is waited out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The resolver says there is no such name.
    NoSuchHost,
    /// The resolver did not answer; its words.
    Resolver(String),
    /// No address could be connected to.
    Connect(Vec<(SocketAddr, Refusal)>),
    TimedOut,
    /// The peer ended the connection; what it had begun to say.
    Closed(Option<String>),
    /// The connection failed.
    Broken(Errno),
    Garbled(NoReply),
    /// A reply of a kind that cannot follow what was said.
    Unexpected(Reply),
    /// The relay spoke without being asked; an answer to nothing answers nothing.
    Unasked,
    /// Data behind the reply to STARTTLS: somebody on the path wants it believed inside TLS (CVE-2011-0411).
    Injected,
    NoStarttls,
    /// What answered does not speak TLS.
    NotTls,
    /// TLS failed after the handshake; its words.
    Tls(String),
    /// The handshake was ended by an alert or a violation; its words.
    Handshake(String),
    /// The relay knows no TLS that is safe.
    OldTls,
    /// The certificate is not good: why, and what to do.
    Certificate(String, Option<String>),
    /// The certificate that we show, or should: what is wrong, and what to do.
    OwnCertificate(String, Option<String>),
    /// The certificate does not hold now, if this host knows what time it is: why, and what to do.
    Dates(String, Option<String>),
    /// No trust anchors to verify with.
    Roots(String),
    /// A command would hold an octet that none may hold.
    Unsendable,
    /// Our own copy of the message cannot be read.
    Message(String),
}

impl Fault {
    /// What happened, without the place.
    pub fn words(&self) -> String {
        match self {
            Fault::NoSuchHost => "no such host".into(),
            Fault::Resolver(words) => words.clone(),
            Fault::Connect(refusals) => connect_words(refusals),
            Fault::TimedOut => "timed out".into(),
            Fault::Closed(None) => "the relay closed the connection".into(),
            Fault::Closed(Some(begun)) => format!("the relay closed the connection within a reply: {begun:?}"),
            Fault::Broken(errno) => errno_words(*errno),
            Fault::Garbled(why) => why.to_string(),
            Fault::Unexpected(reply) => format!("an answer that does not fit: {reply}"),
            Fault::Unasked => "a reply that answers nothing".into(),
            Fault::Injected => "data injected before TLS".into(),
            Fault::NoStarttls => "STARTTLS is not offered; nothing is ever sent in clear".into(),
            Fault::NotTls => "what answers does not speak TLS".into(),
            Fault::Tls(words) => format!("the TLS connection broke: {words}"),
            Fault::Handshake(words) => format!("no TLS connection: {words}"),
            Fault::OldTls => "the relay offers only TLS versions before 1.2, which are not safe".into(),
            Fault::Certificate(words, _) | Fault::OwnCertificate(words, _) | Fault::Dates(words, _) => words.clone(),
            Fault::Roots(words) => words.clone(),
            Fault::Unsendable => "a control character in an address or parameter".into(),
            Fault::Message(words) => format!("the message cannot be read: {words}"),
        }
    }

    /// What to do about it.
    pub fn hint(&self, stage: Stage, endpoint: &Endpoint) -> Option<String> {
        match self {
            Fault::NoSuchHost => Some(match super::classify::nearest_host(&endpoint.host) {
                Some(host) => format!("the server name is probably {host}: set host = \"{host}\""),
                None => format!("check the server name in host = \"{}\"", endpoint.host),
            }),
            Fault::Connect(refusals) => connect_hint(refusals, endpoint.port),
            Fault::TimedOut if stage == Stage::Greeting && endpoint.tls == Tls::Starttls => Some(format!(
                "nothing was said on port {}: a firewall or antivirus program stands between, or the port wants \
                 tls = \"implicit\"",
                endpoint.port
            )),
            Fault::Injected => {
                Some("the network between may be hostile: use port = 465 with tls = \"implicit\"".into())
            }
            Fault::NoStarttls => Some(
                "something on the path may hide it (antivirus, firewall), or the server name is wrong: try port = 465 \
                 with tls = \"implicit\""
                    .into(),
            ),
            Fault::NotTls => Some(format!("port {} may want tls = \"starttls\"", endpoint.port)),
            Fault::OldTls => Some(
                "the server's owner must allow TLS 1.2 or newer; or something on the way answers for the server: try \
                 another network"
                    .into(),
            ),
            Fault::Handshake(_) => Some("something on the way may cut TLS off: try the other port, 465 or 587".into()),
            Fault::Certificate(_, hint) | Fault::OwnCertificate(_, hint) | Fault::Dates(_, hint) => hint.clone(),
            Fault::Roots(_) => Some("install the package ca-certificates, or name a file with tls-ca-file".into()),
            _ => None,
        }
    }

    /// Whether a person must act before the account works again.
    pub fn holds(&self) -> bool {
        match self {
            Fault::Injected
            | Fault::NoStarttls
            | Fault::NotTls
            | Fault::Handshake(_)
            | Fault::OldTls
            | Fault::Certificate(..)
            | Fault::OwnCertificate(..)
            | Fault::Dates(..)
            | Fault::Roots(_)
            | Fault::Unsendable => true,
            Fault::NoSuchHost
            | Fault::Resolver(_)
            | Fault::Connect(_)
            | Fault::TimedOut
            | Fault::Closed(_)
            | Fault::Broken(_)
            | Fault::Garbled(_)
            | Fault::Unexpected(_)
            | Fault::Unasked
            | Fault::Tls(_)
            | Fault::Message(_) => false,
        }
    }

    /// Whether the account's next endpoint may do better. A bad certificate or injected data ends the attempt: that
    /// is no accident of one port.
    pub fn tries_next(&self) -> bool {
        !matches!(
            self,
            Fault::Injected
                | Fault::Certificate(..)
                | Fault::OwnCertificate(..)
                | Fault::Dates(..)
                | Fault::Roots(_)
                | Fault::Unsendable
                | Fault::Message(_)
        )
    }

    /// The failure as other rooms know it.
    pub fn failure(&self, stage: Stage, relay: &str, endpoint: &Endpoint) -> Failure {
        Failure { stage, relay: relay.to_owned(), reply: None, cause: self.words(), hint: self.hint(stage, endpoint) }
    }
}

/// `connection refused`, or address by address when they differ.
fn connect_words(refusals: &[(SocketAddr, Refusal)]) -> String {
    match refusals {
        [] => "no address to connect to".into(),
        [(_, first), rest @ ..] if rest.iter().all(|(_, refusal)| refusal == first) => first.words(),
        _ => {
            let each: Vec<String> =
                refusals.iter().map(|(address, refusal)| format!("[{}]: {}", address.ip(), refusal.words())).collect();
            each.join(", ")
        }
    }
}

fn connect_hint(refusals: &[(SocketAddr, Refusal)], port: u16) -> Option<String> {
    let any = |wanted: &[Refusal]| refusals.iter().any(|(_, refusal)| wanted.contains(refusal));
    let other = match port {
        465 => "port = 587",
        25 => "port = 587 or 465, since nearly every network blocks 25,",
        _ => "port = 465",
    };
    if any(&[Refusal::Failed(Errno::EACCES), Refusal::Failed(Errno::EPERM)]) {
        Some(format!("a firewall or policy of this very host forbids port {port}"))
    } else if any(&[Refusal::TimedOut]) {
        Some(format!(
            "port {port} is blocked by a firewall, an antivirus program or the provider of this network: try {other} \
             or another network"
        ))
    } else if any(&[Refusal::Failed(Errno::ECONNREFUSED), Refusal::Failed(Errno::ECONNRESET)]) {
        Some(format!("check host and port; a firewall may also answer for the server: try {other}"))
    } else {
        None
    }
}

/// An operating system's error in words.
pub fn errno_words(errno: Errno) -> String {
    match errno {
        Errno::EACCES | Errno::EPERM => "forbidden by this host".into(),
        Errno::ETIMEDOUT => "timed out".into(),
        Errno::EPIPE => "the relay closed the connection".into(),
        errno => errno.desc().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        Endpoint { host: "smtp.gmail.com".into(), port, tls: Tls::Starttls }
    }

    #[test]
    fn refusals_that_agree_are_said_once() {
        let refused = |ip: &str| (SocketAddr::new(ip.parse().unwrap(), 587), Refusal::Failed(Errno::ECONNREFUSED));
        let unreachable = ("[2001:db8::1]:587".parse().unwrap(), Refusal::Failed(Errno::ENETUNREACH));
        let words = |refusals: Vec<_>| Fault::Connect(refusals).words();
        assert_eq!(words(vec![refused("192.0.2.1"), refused("192.0.2.2")]), "connection refused");
        assert_eq!(
            words(vec![unreachable, refused("192.0.2.2")]),
            "[2001:db8::1]: network is unreachable, [192.0.2.2]: connection refused"
        );
    }

    #[test]
    fn a_blocked_port_is_named_with_the_way_out() {
        let fault = Fault::Connect(vec![("192.0.2.1:587".parse().unwrap(), Refusal::TimedOut)]);
        let failure = fault.failure(Stage::Connect, "smtp.gmail.com:587", &endpoint(587));
        assert_eq!(failure.to_string(), "smtp.gmail.com:587: connect: timed out");
        assert_eq!(
            failure.hint.as_deref(),
            Some(
                "port 587 is blocked by a firewall, an antivirus program or the provider of this network: try port = \
                 465 or another network"
            )
        );
    }

    #[test]
    fn only_what_a_person_must_mend_holds_the_account() {
        assert!(Fault::Certificate("expired".into(), None).holds());
        assert!(Fault::NoStarttls.holds() && Fault::NoStarttls.tries_next());
        assert!(!Fault::TimedOut.holds() && !Fault::NoSuchHost.holds() && !Fault::Unasked.holds());
        assert!(!Fault::Injected.tries_next());
    }
}
