//! Who submits for a domain: a preset by the domain or by its MX, what the provider says of itself on the web, what the
//! list that Thunderbird keeps says of it, what DNS says. The first of these that knows is asked no further.
//!
//! What comes over HTTPS is as good as the name of the server it comes from. What only DNS says is a proposal: nothing
//! is done with it before a person has said yes.

use super::asker::{Asker, Unanswered};
use super::autoconfig::{self, Login, Offer, is_public};
use super::dns::Resolver;
use crate::config::Tls;
use crate::config::presets::{self, Preset};
use crate::http::{self, form};
use crate::mail::address::Mailbox;
use crate::submission::Roots;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

/// Where Thunderbird keeps what it knows of providers.
const LIST: &str = "https://autoconfig.thunderbird.net/v1.1";

/// How long all requests together may take; they go out side by side.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends of names that nobody else may be asked about (RFC 2606, RFC 6762).
const PRIVATE: [&str; 6] = ["test", "example", "invalid", "localhost", "local", "internal"];

/// Who submits.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    Preset(Box<Preset>),
    Offer(Offer),
    Nobody,
}

/// Whom to ask.
pub struct Sources<'a> {
    /// The text at an address on the web, when there is one that can be believed.
    pub fetch: &'a (dyn Fn(&str) -> Option<Vec<u8>> + Sync),
    pub resolver: &'a Resolver,
}

/// Asks the web over verified TLS.
pub fn fetch(url: &str, roots: &Roots) -> Option<Vec<u8>> {
    let url = crate::config::Url::parse(url).ok()?;
    let mut patience = http::patience();
    patience.overall = Some(Instant::now() + PATIENCE);
    let answer = http::Client { roots }.get(&url, &mut patience).ok()?;
    (answer.status == 200).then(|| answer.body.to_vec())
}

/// Who submits for an address.
///
/// # Errors
/// The person went away.
pub fn look_up(address: &Mailbox, sources: &Sources, asker: Asker) -> Result<Known, Unanswered> {
    if let Some(preset) = presets::for_domain(address.domain()) {
        return Ok(Known::Preset(Box::new(preset)));
    }
    let ascii = address.with_ascii_domain().filter(|address| may_be_asked_about(address.domain()));
    let Some(address) = ascii else { return Ok(Known::Nobody) };
    let domain = address.domain();
    let exchanger = sources.resolver.exchanger(domain).map(|host| host.trim_end_matches('.').to_lowercase());
    if let Some((host, preset)) = exchanger.as_deref().and_then(|host| Some((host, presets::for_mx(host)?))) {
        asker.say(&format!("the mail of {domain} is with {} (MX {host})", preset.name));
        if asker.confirm("Send through it as well?", true)? {
            return Ok(Known::Preset(Box::new(preset)));
        }
        return Ok(Known::Nobody);
    }
    asker.say(&format!("asking the web and DNS about {domain} ..."));
    if let Some((offer, source)) = on_the_web(&address, exchanger.as_deref(), sources)
        && accepted(&offer, &source, domain, asker)?
    {
        return Ok(Known::Offer(offer));
    }
    // Without a person it would not be believed, so it is not waited for.
    if asker == Asker::Person
        && let Some((offer, source)) = in_dns(domain, sources.resolver)
        && accepted(&offer, &source, domain, asker)?
    {
        return Ok(Known::Offer(offer));
    }
    Ok(Known::Nobody)
}

fn may_be_asked_about(domain: &str) -> bool {
    let last = domain.rsplit('.').next().unwrap_or_default().to_lowercase();
    is_public(domain) && !PRIVATE.contains(&last.as_str()) && domain.parse::<IpAddr>().is_err()
}

/// How an offer is known.
struct Source {
    words: String,
    /// Whether a certificate stands for it.
    signed: bool,
}

/// What the web says. The domain's own word goes before the list's, that before what the list says of the host that
/// takes the domain's mail, which only DNS has named.
fn on_the_web(address: &Mailbox, exchanger: Option<&str>, sources: &Sources) -> Option<(Offer, Source)> {
    let domain = address.domain();
    let asked = form(&[("emailaddress", &address.to_string())]);
    let own = |host: &str| Source { words: format!("{host} says"), signed: true };
    let listed = |domain: &str, signed| Source { words: format!("Thunderbird's list says of {domain}"), signed };
    let autoconfig = format!("autoconfig.{domain}");
    let mut places = vec![
        (format!("https://{autoconfig}/mail/config-v1.1.xml?{}", asked.as_str()), own(&autoconfig)),
        (format!("https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml"), own(domain)),
        (format!("{LIST}/{domain}"), listed(domain, true)),
    ];
    places.extend(parents(exchanger.unwrap_or_default()).map(|host| (format!("{LIST}/{host}"), listed(host, false))));
    let texts: Vec<Option<Vec<u8>>> = thread::scope(|scope| {
        let asked: Vec<_> = places.iter().map(|(url, _)| scope.spawn(|| (sources.fetch)(url))).collect();
        asked.into_iter().map(|answer| answer.join().ok().flatten()).collect()
    });
    let read = |text: Option<Vec<u8>>| autoconfig::read(&text?, address);
    places.into_iter().zip(texts).find_map(|((_, source), text)| Some((read(text)?, source)))
}

/// The domains a host may be listed under: its name without the first label, and without two.
fn parents(host: &str) -> impl Iterator<Item = &str> {
    let first = Some(host).filter(|host| is_public(host));
    let names = std::iter::successors(first, |name| name.split_once('.').map(|(_, above)| above));
    names.skip(1).take(2).filter(|name| name.contains('.'))
}

/// What DNS says; TLS from the first octet is preferred (RFC 8314 section 3.3).
fn in_dns(domain: &str, resolver: &Resolver) -> Option<(Offer, Source)> {
    [("_submissions", Tls::Implicit), ("_submission", Tls::Starttls)].into_iter().find_map(|(service, tls)| {
        let name = format!("{service}._tcp.{domain}");
        let (host, port) = resolver.service(&name)?;
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let offer = Offer { host, port, tls, user: None, login: Login::Password };
        is_public(&offer.host).then(|| (offer, Source { words: format!("DNS says ({name})"), signed: false }))
    })
}

/// Shows an offer to a person. Nobody takes what is signed, and nothing else.
fn accepted(offer: &Offer, source: &Source, domain: &str, asker: Asker) -> Result<bool, Unanswered> {
    let Offer { host, port, tls, .. } = offer;
    let tls = if *tls == Tls::Implicit { "TLS" } else { "STARTTLS" };
    asker.say(&format!("{}: {host}, port {port}, {tls}", source.words));
    let inside = host == domain || host.ends_with(&format!(".{domain}"));
    if !source.signed && !inside {
        asker.say(&format!("  nothing proves that {host} may have the password of {domain}: do you know it?"));
    }
    asker.confirm(&format!("Send through {host}?"), source.signed || inside && asker == Asker::Person)
}

#[cfg(test)]
mod tests;
