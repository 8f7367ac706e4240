//! What the facts of a survey mean: which of the many ways a network can be broken this one is, and the way out. Pure.

mod diagnosis;

use super::check::{Check, Group};
use super::reach::{Answer, Survey};
use crate::config::{Endpoint, Tls, presets};
use crate::exit::Exit;
use crate::submission::{Capabilities, Knock, Symptom};
use diagnosis::bad;
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
            Some(if around.v4 || around.v6 { no_answer(check, survey) } else { offline(check) })
        }
    }
}

/// Why the resolver has no answer, by what each of its name servers said.
fn no_answer(check: Check, survey: &Survey) -> Check {
    let look = "look at the nameserver lines in /etc/resolv.conf, or resolvectl status";
    let named = |wanted: fn(&Answer) -> bool| {
        let servers = survey.servers.iter().filter(|(_, answer)| wanted(answer));
        let servers: Vec<String> = servers.map(|(server, _)| server.to_string()).collect();
        (!servers.is_empty()).then(|| servers.join(", "))
    };
    if survey.servers.is_empty() {
        return check.because("/etc/resolv.conf names no name server").fix(look);
    }
    let failing = named(|answer| *answer == Answer::Failure);
    if let Some(servers) = failing {
        return check
            .because(format!(
                "the name server {servers} answers that it fails (SERVFAIL): it has no way to the internet, or does not \
                 believe what it gets (DNSSEC, a wrong clock)"
            ))
            .fix("try another name server in /etc/resolv.conf, or set the clock");
    }
    if let Some(servers) = named(|answer| *answer == Answer::Refused) {
        return check.because(format!("the name server {servers} does not answer this host (REFUSED)")).fix(look);
    }
    let check = match named(|answer| *answer == Answer::Closed) {
        Some(servers) => check.because(format!("no name server runs at {servers}")),
        None => check.because("no name server answers, though this host has a network"),
    };
    check.fix(look)
}

/// Whether the provider is known to listen at that endpoint.
fn listens(endpoint: &Endpoint) -> bool {
    presets::all().iter().any(|preset| {
        preset.host.as_deref() == Some(endpoint.host.as_str()) && preset.ports.contains(&(endpoint.port, endpoint.tls))
    })
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

#[cfg(test)]
mod tests;
