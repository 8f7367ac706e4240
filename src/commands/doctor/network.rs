//! What the facts of a survey mean: which of the many ways a network can be broken this one is, and the way out. Pure.

use super::check::{Check, Group};
use super::reach::{Around, Survey};
use crate::config::{Endpoint, Tls, presets};
use crate::exit::Exit;
use crate::mail::outcome::Failure;
use crate::submission::{Capabilities, Knock, Symptom};
use std::net::IpAddr;

/// A line for the name, one for each port at each address. `soon` is the day (`2026-12-08`) before which a certificate
/// should not end.
pub fn checks(survey: &Survey, soon: &str) -> Vec<Check> {
    let mut checks: Vec<Check> = name(survey).into_iter().collect();
    let works = survey.knocks.iter().any(|knock| knock.failed.is_none());
    for knock in &survey.knocks {
        let check = match &knock.failed {
            None => good(knock, soon),
            Some((symptom, failure)) => bad(knock, *symptom, failure, survey),
        };
        checks.push(if works { check.mild() } else { check });
    }
    for knock in survey.spare.iter().filter(|knock| knock.failed.is_none()) {
        checks.push(good(knock, soon).fix(setting(&knock.endpoint)));
    }
    checks
}

/// What DNS says.
fn name(survey: &Survey) -> Option<Check> {
    let Survey { host, around, .. } = survey;
    match &survey.addresses {
        Ok(_) if host.parse::<IpAddr>().is_ok() => None,
        Ok(_) if around.made_up_name => Some(
            Check::warning(Group::Dns, host, "names that cannot exist resolve as well")
                .because("this network answers every name with its own address: a captive portal, or a filter")
                .fix("open a web page and sign in to the network"),
        ),
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            Some(Check::good(Group::Dns, host, addresses.join(", ")))
        }
        Err((Symptom::NoSuchHost, failure)) if is_known(host) => Some(
            Check::bad(Group::Dns, host, &*failure.cause, Exit::Unavailable)
                .because("the name is right, but the name server of this network does not give it out")
                .fix("try another network, or another name server in /etc/resolv.conf"),
        ),
        Err((Symptom::NoSuchHost, failure)) => Some(
            Check::failed(Group::Dns, host, failure, Exit::Config).because("no name server knows a host of that name"),
        ),
        Err((_, failure)) => {
            let check = Check::failed(Group::Dns, host, failure, Exit::Unavailable);
            Some(if around.v4 || around.v6 {
                check
                    .because("no name server answers, though this host has a network")
                    .fix("look at the nameserver lines in /etc/resolv.conf, or resolvectl status")
            } else {
                offline(check)
            })
        }
    }
}

/// Whether a provider has this host, so that it cannot be misspelt.
fn is_known(host: &str) -> bool {
    presets::all().iter().any(|preset| preset.host.as_deref() == Some(host))
}

fn offline(check: Check) -> Check {
    check.because("this host has no network at all").fix("connect it; mail waits in the queue meanwhile")
}

fn good(knock: &Knock, soon: &str) -> Check {
    let mut found = match (&knock.protection, &knock.certificate) {
        (Some(protection), Some(facts)) => {
            format!("{protection}, certificate by {} until {}", facts.issuer, facts.last_day)
        }
        (Some(protection), None) => protection.clone(),
        (None, _) => "in clear".to_owned(),
    };
    if let Some(capabilities) = &knock.capabilities {
        found = format!("{found}; offers {}", offers(capabilities));
    }
    let check = Check::good(Group::Port, door(knock), found);
    match &knock.certificate {
        Some(facts) if !facts.last_day.is_empty() && facts.last_day.as_str() < soon => check
            .because(format!("the certificate ends on {}", facts.last_day))
            .fix("the server's owner must renew it")
            .warned(),
        _ => check,
    }
}

fn offers(capabilities: &Capabilities) -> String {
    let Capabilities { pipelining, chunking, eight_bit, smtputf8, dsn, size, auth, .. } = capabilities;
    let mut words: Vec<String> = [
        (pipelining, "PIPELINING"),
        (chunking, "CHUNKING"),
        (eight_bit, "8BITMIME"),
        (smtputf8, "SMTPUTF8"),
        (dsn, "DSN"),
    ]
    .into_iter()
    .filter(|(offered, _)| **offered)
    .map(|(_, word)| word.to_owned())
    .collect();
    words.extend(size.flatten().map(|size| format!("SIZE {size}")));
    if !auth.is_empty() {
        words.push(format!("AUTH {}", auth.join(" ")));
    }
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

/// `587 on 192.0.2.1`.
fn door(knock: &Knock) -> String {
    format!("{} on {}", knock.endpoint.port, knock.address.ip())
}

fn setting(endpoint: &Endpoint) -> String {
    match endpoint.tls {
        Tls::Implicit if endpoint.port != 465 => format!("port = {}, tls = \"implicit\"", endpoint.port),
        Tls::Starttls if endpoint.port != 587 => format!("port = {}, tls = \"starttls\"", endpoint.port),
        Tls::Implicit | Tls::Starttls | Tls::None => format!("port = {}", endpoint.port),
    }
}

fn bad(knock: &Knock, symptom: Symptom, failure: &Failure, survey: &Survey) -> Check {
    let exit = match symptom {
        Symptom::NotTls | Symptom::NoStarttls | Symptom::Injected | Symptom::Certificate | Symptom::NoRoots => {
            Exit::Config
        }
        _ => Exit::Unavailable,
    };
    let check = Check::failed(Group::Port, door(knock), failure, exit);
    let hints = check.fixes.clone();
    let check = Check { fixes: Vec::new(), ..check };
    let check = Diagnosis { knock, survey }.explain(check, symptom);
    // Our own hint, when the diagnosis has nothing better.
    if check.fixes.is_empty() { Check { fixes: hints, ..check } } else { check }
}

/// One door that stayed shut, among all that was seen.
struct Diagnosis<'a> {
    knock: &'a Knock,
    survey: &'a Survey,
}

impl Diagnosis<'_> {
    fn explain(&self, check: Check, symptom: Symptom) -> Check {
        let port = self.knock.endpoint.port;
        match symptom {
            Symptom::Dropped => self.dropped(check),
            Symptom::Unreachable if self.knock.address.is_ipv6() && self.sibling().is_some() => {
                check.because("this host has no IPv6; its other addresses work, so that is harmless").praised()
            }
            Symptom::Unreachable if !self.has_way() => offline(check),
            Symptom::Unreachable => check.because("a router on the way says that there is no way to that address"),
            Symptom::Refused => self.elsewhere(check.because(if self.survey.all().all(is_refused) {
                "nothing listens there, or a firewall answers for the server: the host name may be wrong"
            } else {
                "nothing listens on that port, or a firewall answers for the server"
            })),
            Symptom::Forbidden => check
                .because(
                    "this very host forbids it: a firewall rule for outgoing mail, SELinux, or a container's policy",
                )
                .fix(format!("allow connections to port {port} here; it may work for another user, such as root")),
            Symptom::CutOff => self.elsewhere(check.because(
                "something on the way cuts mail connections: a firewall, an antivirus program, or the server",
            )),
            Symptom::Silent => self.silent(check),
            Symptom::Web => check
                .because("a web server answers in place of the mail server: the network wants you to sign in first")
                .fix("open a web page and sign in to the network, then try again"),
            Symptom::Foreign => check.because("what listens there is no mail server").fix("check host and port"),
            Symptom::NotTls => self.not_tls(check),
            Symptom::NoStarttls => self.no_starttls(check),
            Symptom::Injected => {
                check.because("somebody between adds replies of his own: an attack, or a broken proxy")
            }
            Symptom::Certificate => self.stranger(check),
            Symptom::NoRoots => check.because("there is nothing to verify certificates with"),
            Symptom::TurnedAway => check.because("the server does not want to talk with this host"),
            Symptom::NoSuchHost | Symptom::NoResolver | Symptom::Other => check,
        }
    }

    /// Packets vanish: which of the reasons is it?
    fn dropped(&self, check: Check) -> Check {
        let Around { nobody_answers, web, .. } = self.survey.around;
        let Knock { endpoint, address, .. } = self.knock;
        if let Some(sibling) = self.sibling() {
            let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
            return if sibling.address.is_ipv6() == address.is_ipv6() {
                check.because("that one address does not answer, others do")
            } else {
                check
                    .because(format!("{family} is broken on this network; the other family works, and is used"))
                    .fix(format!("mend {family} on the router, or turn it off on this host"))
            };
        }
        if !self.has_way() {
            return offline(check);
        }
        let port = endpoint.port;
        let blocked = format!(
            "port {port} is blocked: packets to it vanish in a firewall, an antivirus program or the provider's network"
        );
        if let Some(other) = self.working() {
            return check.because(blocked).fix(format!("{}, which works here", setting(&other.endpoint)));
        }
        if nobody_answers {
            return check
                .because("this network intercepts mail connections: an address that nobody has accepts them")
                .fix("use another network, or a VPN");
        }
        match web {
            Some(true) => check
                .because("every mail port is blocked here, while the web can be reached")
                .fix("ask the owner of this network or the hosting provider to open port 587 or 465")
                .fix("use a relay that listens on 2525 or 443"),
            Some(false) => check
                .because("neither mail nor web servers can be reached: the connection to the internet is down")
                .fix("mend it; mail waits in the queue meanwhile"),
            None => check.because(blocked),
        }
    }

    fn silent(&self, check: Check) -> Check {
        let Endpoint { port, tls, .. } = self.knock.endpoint;
        match tls {
            Tls::Starttls | Tls::None if port == 465 => check
                .because("port 465 speaks TLS from the first byte, and waits for us to begin")
                .fix("tls = \"implicit\""),
            Tls::Implicit if port == 587 => check.because("port 587 begins in clear").fix("tls = \"starttls\""),
            _ => self.elsewhere(check.because(
                "something accepts the connection and says nothing: an antivirus program, a proxy, or a server that is \
                 overloaded",
            )),
        }
    }

    fn not_tls(&self, check: Check) -> Check {
        match self.knock.endpoint.port {
            465 => self.elsewhere(check.because(
                "port 465 should speak TLS from the first byte: the server is another one, or the network wants you to \
                 sign in first",
            )),
            port => check.because(format!("port {port} does not begin with TLS")).fix("tls = \"starttls\""),
        }
    }

    fn no_starttls(&self, check: Check) -> Check {
        let said: Vec<&str> = self.knock.greeting.iter().flat_map(|reply| &reply.lines).map(String::as_str).collect();
        let said = said.join(" ");
        if said.contains("****") || said.contains("XXXX") {
            return self.elsewhere(
                check
                    .because("a Cisco firewall rewrites the dialogue and hides STARTTLS (its ESMTP inspection)")
                    .fix("its owner: no inspect esmtp"),
            );
        }
        let check = check.because(match self.other_name() {
            Some(name) => format!(
                "what answers calls itself {name}: unless that is the provider's name, the network redirects mail \
                 connections"
            ),
            None => "something on the way hides STARTTLS, or the server has none; the password was not sent".to_owned(),
        });
        self.elsewhere(check)
    }

    /// A certificate that is not good.
    fn stranger(&self, check: Check) -> Check {
        let hint = |check: Check| match &self.knock.failed {
            Some((_, failure)) => failure.hint.clone().into_iter().fold(check, Check::fix),
            None => check,
        };
        match self.other_name() {
            Some(name) => hint(check.because(format!("what answers calls itself {name}; the password was not sent"))),
            None => hint(check.because("whoever answers cannot prove to be the relay; the password was not sent")),
        }
    }

    /// The name in the greeting, when it shares no domain with the host's: `ghosted.example`.
    fn other_name(&self) -> Option<&str> {
        if self.knock.address.ip().is_loopback() {
            return None;
        }
        let name = self.knock.greeting.as_ref()?.lines.first()?.split_whitespace().next()?;
        let domain = |name: &str| name.rsplit('.').take(2).map(str::to_lowercase).collect::<Vec<_>>();
        (name.contains('.') && domain(name) != domain(&self.survey.host)).then_some(name)
    }

    /// Adds the port that works, when there is one.
    fn elsewhere(&self, check: Check) -> Check {
        match self.working() {
            Some(other) => check.fix(format!("{}, which works here", setting(&other.endpoint))),
            None => check,
        }
    }

    fn working(&self) -> Option<&Knock> {
        self.survey.all().find(|knock| knock.failed.is_none() && knock.endpoint != self.knock.endpoint)
    }

    /// Another address at which the same endpoint is good.
    fn sibling(&self) -> Option<&Knock> {
        self.survey.all().find(|knock| knock.failed.is_none() && knock.endpoint == self.knock.endpoint)
    }

    fn has_way(&self) -> bool {
        let Around { v4, v6, .. } = self.survey.around;
        self.knock.address.ip().is_loopback() || if self.knock.address.is_ipv6() { v6 } else { v4 }
    }
}

fn is_refused(knock: &Knock) -> bool {
    matches!(knock.failed, Some((Symptom::Refused, _)))
}

#[cfg(test)]
mod tests;
