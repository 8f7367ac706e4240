//! Why one door stayed shut, by all that was seen beside it, and the way out. Pure.

use super::super::check::{Check, Group};
use super::super::reach::{Around, Survey};
use super::{door, listens, offline, setting};
use crate::config::{Endpoint, Tls};
use crate::exit::Exit;
use crate::mail::outcome::{Failure, Stage};
use crate::submission::{Knock, Symptom};
use std::time::Duration;

/// A clock that is less wrong spoils no certificate.
const A_DAY: Duration = Duration::from_secs(86_400);

const OTHER_NETWORK: &str = "use another network, or a VPN";

/// What is said of it.
pub fn bad(knock: &Knock, symptom: Symptom, failure: &Failure, survey: &Survey) -> Check {
    let diagnosis = Diagnosis { knock, survey, failure };
    let exit = match symptom {
        Symptom::Dates if diagnosis.clock_is_wrong() => Exit::OsErr,
        Symptom::NotTls
        | Symptom::NoStarttls
        | Symptom::Injected
        | Symptom::Certificate
        | Symptom::Dates
        | Symptom::Handshake
        | Symptom::NoRoots => Exit::Config,
        _ => Exit::Unavailable,
    };
    let check = Check::failed(Group::Port, door(knock), failure, exit);
    let hints = check.fixes.clone();
    let check = diagnosis.explain(Check { fixes: Vec::new(), ..check }, symptom);
    // Our own hint, when the diagnosis has nothing better.
    if check.fixes.is_empty() { Check { fixes: hints, ..check } } else { check }
}

/// One door that stayed shut, among all that was seen.
struct Diagnosis<'a> {
    knock: &'a Knock,
    survey: &'a Survey,
    failure: &'a Failure,
}

impl Diagnosis<'_> {
    fn explain(&self, check: Check, symptom: Symptom) -> Check {
        match symptom {
            Symptom::Dropped => self.dropped(check),
            Symptom::Unreachable => self.unreachable(check),
            Symptom::Refused => self.refused(check),
            Symptom::Forbidden => self.forbidden(check),
            Symptom::CutOff => self.cut_off(check),
            Symptom::Silent => self.silent(check),
            Symptom::Web => check
                .because("a web server answers in place of the mail server: the network wants you to sign in first")
                .fix("open a web page and sign in to the network, then try again"),
            Symptom::Foreign => self.between(check, "what listens there is no mail server").fix("check host and port"),
            Symptom::NotTls => self.not_tls(check),
            Symptom::NoStarttls => self.no_starttls(check),
            Symptom::Injected => {
                check.because("somebody between adds replies of his own: an attack, or a broken proxy")
            }
            Symptom::Certificate => self.stranger(check),
            Symptom::Dates => self.out_of_date(check),
            Symptom::Handshake => self.hinted(
                self.between(check, "whoever answers and this program have no safe TLS in common; nothing was sent"),
            ),
            Symptom::NoRoots => check.because("there is nothing to verify certificates with"),
            Symptom::TurnedAway => self.between(check, "the server does not want to talk with this host"),
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
        let blocked = if port == 25 {
            "port 25 is for servers among each other, and most networks block it".to_owned()
        } else {
            format!(
                "port {port} is blocked: packets to it vanish in a firewall, an antivirus program or the provider's \
                 network"
            )
        };
        if let Some(other) = self.working() {
            return check.because(blocked).fix(format!("{}, which works here", setting(&other.endpoint)));
        }
        if nobody_answers {
            return check
                .because("this network intercepts mail connections: an address that nobody has accepts them")
                .fix(OTHER_NETWORK);
        }
        match web {
            Some(true) => self
                .every_port(check.because("every mail port is blocked here, while the web can be reached"))
                .fix("use a relay that listens on 2525 or 443"),
            Some(false) => check
                .because("neither mail nor web servers can be reached: the connection to the internet is down")
                .fix("mend it; mail waits in the queue meanwhile"),
            None => check.because(blocked),
        }
    }

    fn unreachable(&self, check: Check) -> Check {
        if self.knock.address.is_ipv6() && self.sibling().is_some() {
            return check.because("this host has no IPv6; its other addresses work, so that is harmless").praised();
        }
        if !self.has_way() {
            return offline(check);
        }
        if let Some(other) = self.working() {
            return check
                .because("a firewall rejects connections to that port: others at the same address work")
                .fix(format!("{}, which works here", setting(&other.endpoint)));
        }
        match self.survey.around.web {
            Some(true) => self.every_port(
                check.because("a firewall rejects mail connections (it says \"unreachable\"): the web can be reached"),
            ),
            _ => check.because("a router on the way says that there is no way to that address"),
        }
    }

    fn refused(&self, check: Check) -> Check {
        let Knock { endpoint, .. } = self.knock;
        if listens(endpoint) {
            let check = self.elsewhere(check.because(format!(
                "{} does listen on port {}: a firewall or antivirus program, here or on the way, refuses in its place",
                endpoint.host, endpoint.port
            )));
            return if self.working().is_some() { check } else { self.every_port(check) };
        }
        if self.survey.all().all(is_refused) {
            return check
                .because("nothing listens there, or a firewall answers for the server: the host name may be wrong")
                .fix("look at host and port, and whether the mail server runs");
        }
        self.elsewhere(check.because("nothing listens on that port, or a firewall answers for the server"))
    }

    fn cut_off(&self, check: Check) -> Check {
        let cause = if self.failure.stage == Stage::Tls {
            "something on the way cuts TLS off: a firewall, an antivirus program, or the server"
        } else {
            "something on the way cuts mail connections: a firewall, an antivirus program, or the server"
        };
        self.another_way(self.between(check, cause))
    }

    /// IPv4 has no word for it on the wire (RFC 1122 section 3.2.2.1): only our own kernel says so. IPv6 has one.
    fn forbidden(&self, check: Check) -> Check {
        let port = self.knock.endpoint.port;
        if self.knock.address.is_ipv6() {
            return self.elsewhere(check.because("a firewall forbids it, on this host or on the way"));
        }
        check
            .because("this very host forbids it: a firewall rule for outgoing mail, SELinux, or a container's policy")
            .fix(format!("allow connections to port {port} here; it may work for another user, such as root"))
    }

    fn silent(&self, check: Check) -> Check {
        let Endpoint { port, tls, .. } = self.knock.endpoint;
        match tls {
            Tls::Starttls | Tls::None if port == 465 => check
                .because("port 465 speaks TLS from the first byte, and waits for us to begin")
                .fix("tls = \"implicit\""),
            Tls::Implicit if port == 587 => check.because("port 587 begins in clear").fix("tls = \"starttls\""),
            _ if self.knock.greeting.is_some() && self.failure.stage == Stage::Tls => self
                .elsewhere(check.because(
                    "the server speaks, but its certificate does not arrive: long packets are lost on the way (MTU), \
                     or a firewall stops TLS",
                ))
                .fix("try shorter packets: ip link set dev DEVICE mtu 1280"),
            _ => self.elsewhere(self.between(
                check,
                "something accepts the connection and says nothing: an antivirus program, a proxy, or a server that is \
                 overloaded",
            )),
        }
    }

    fn not_tls(&self, check: Check) -> Check {
        match self.knock.endpoint.port {
            465 => self.elsewhere(self.between(
                check,
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
        let check = match self.other_name() {
            Some(name) => check.because(format!(
                "what answers calls itself {name}: unless that is the provider's name, the network redirects mail \
                 connections"
            )),
            None if listens(&self.knock.endpoint) => self.between(
                check,
                "something on the way hides STARTTLS, which the server does offer: a proxy, a firewall or an antivirus \
                 program; the password was not sent",
            ),
            None => self.between(
                check,
                "something on the way hides STARTTLS, or the server has none; the password was not sent",
            ),
        };
        if self.survey.all().any(|knock| knock.endpoint.tls == Tls::Implicit) {
            return self.another_way(check);
        }
        self.elsewhere(check)
    }

    /// A certificate that is not good.
    fn stranger(&self, check: Check) -> Check {
        let check = self.hinted(check);
        match self.other_name() {
            Some(name) => check.because(format!("what answers calls itself {name}; the password was not sent")),
            None => self.between(check, "whoever answers cannot prove to be the relay; the password was not sent"),
        }
    }

    /// A certificate that is good, but not now: is it old, or is it our clock?
    fn out_of_date(&self, check: Check) -> Check {
        let Around { clock, .. } = self.survey.around;
        match clock {
            Some((here, there)) if self.clock_is_wrong() => check
                .because(format!(
                    "this host's clock is wrong: it says {}, others say {}; certificates are judged by it",
                    here.rfc3339(),
                    there.rfc3339()
                ))
                .fix("set it: timedatectl set-ntp true, or date --set"),
            Some(_) => check
                .because("the certificate is out of date, and this host's clock is right; the password was not sent")
                .fix("tell the server's owner"),
            None => self.hinted(
                check.because("the certificate is out of date, or this host's clock is; the password was not sent"),
            ),
        }
    }

    fn clock_is_wrong(&self) -> bool {
        let Around { clock, .. } = self.survey.around;
        clock.is_some_and(|(here, there)| here.since(there).max(there.since(here)) > A_DAY)
    }

    /// The cause, unless somebody in the middle is seen to answer for everybody.
    fn between(&self, check: Check, cause: &str) -> Check {
        if !self.survey.around.nobody_answers {
            return check.because(cause);
        }
        let check = check.because(format!(
            "this network intercepts mail connections: an address that nobody has accepts them as well; {cause}"
        ));
        check.fix(OTHER_NETWORK)
    }

    /// The port that works; when there is none, another network.
    fn another_way(&self, check: Check) -> Check {
        match self.working() {
            Some(_) => self.elsewhere(check),
            None if check.fixes.iter().any(|fix| fix == OTHER_NETWORK) => check,
            None => check.fix(OTHER_NETWORK),
        }
    }

    fn every_port(&self, check: Check) -> Check {
        check.fix(
            "look at this host's own firewall (nft list ruleset), else ask the owner of this network or the hosting \
             provider to open port 587 or 465",
        )
    }

    /// Adds what the failure itself knows.
    fn hinted(&self, check: Check) -> Check {
        self.failure.hint.clone().into_iter().fold(check, Check::fix)
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
