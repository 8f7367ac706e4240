//! Addresses on the web that a secret or an answer to be believed may go through: https, or http to this very host.

use super::account::{Endpoint, Tls};
use std::fmt;
use std::net::IpAddr;

/// The longest one that is taken, in octets.
const LONGEST: usize = 2048;

/// `https://host[:port][/path][?query]`; `http` is for loopback only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    endpoint: Endpoint,
    /// From the first slash on, the query with it.
    target: String,
}

impl Url {
    /// Reads one; an error is what is wrong with it, to stand behind "is".
    pub fn parse(text: &str) -> Result<Url, &'static str> {
        if text.len() > LONGEST || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err("too long or not plain ASCII");
        }
        let (tls, behind) = match text.split_once("://") {
            Some((scheme, behind)) if scheme.eq_ignore_ascii_case("https") => (Tls::Implicit, behind),
            Some((scheme, behind)) if scheme.eq_ignore_ascii_case("http") => (Tls::None, behind),
            _ => return Err("no https:// address"),
        };
        let (authority, target) = behind.split_at(behind.find(['/', '?', '#']).unwrap_or(behind.len()));
        if authority.contains('@') || target.contains('#') {
            return Err("one with a user name or a fragment, which has no place here");
        }
        let (host, port) = host_and_port(authority).ok_or("without the name of a host")?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or("without a port that exists")?,
            None if tls == Tls::None => 80,
            None => 443,
        };
        let endpoint = Endpoint { host: host.to_ascii_lowercase(), port, tls };
        if tls == Tls::None && !is_loopback(&endpoint.host) {
            return Err("not https, and not this very host");
        }
        Ok(Url { endpoint, target: if target.starts_with('/') { target.into() } else { format!("/{target}") } })
    }

    /// Where to connect; `tls` is `Implicit`, or `None` for loopback.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Path and query: what a request asks for.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The host, with the port when it is not the usual one.
    pub fn authority(&self) -> String {
        match (self.endpoint.tls, self.endpoint.port) {
            (Tls::None, 80) | (Tls::Implicit, 443) => self.endpoint.host.clone(),
            (_, port) => format!("{}:{port}", self.endpoint.host),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.endpoint.tls == Tls::None { "http" } else { "https" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

fn host_and_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let colon = authority.rfind(':').filter(|colon| authority.rfind(']').is_none_or(|bracket| bracket < *colon));
    let (host, port) = match colon {
        Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
        None => (authority, None),
    };
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-'));
    let is_ipv6 = || host.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6);
    (is_name || is_ipv6().is_some()).then_some((host, port))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_shown_again() {
        for (text, host, port, target, shown) in [
            ("https://x.org/token?a=b", "x.org", 443, "/token?a=b", "https://x.org/token?a=b"),
            ("HTTPS://X.org:8443", "x.org", 8443, "/", "https://x.org:8443/"),
            ("https://x.org?q", "x.org", 443, "/?q", "https://x.org/?q"),
            ("http://127.0.0.1:81/a", "127.0.0.1", 81, "/a", "http://127.0.0.1:81/a"),
            ("http://[::1]/", "[::1]", 80, "/", "http://[::1]/"),
            ("http://localhost/", "localhost", 80, "/", "http://localhost/"),
        ] {
            let url = Url::parse(text).unwrap();
            let endpoint = url.endpoint();
            assert_eq!((endpoint.host.as_str(), endpoint.port, url.target()), (host, port, target), "{text}");
            assert_eq!(url.to_string(), shown);
        }
    }

    #[test]
    fn what_could_send_a_secret_astray_is_refused() {
        for (text, wanted) in [
            ("x.org/token", "no https:// address"),
            ("ftp://x.org/", "no https:// address"),
            ("http://x.org/", "not https, and not this very host"),
            ("http://127.0.0.1.x.org/", "not https, and not this very host"),
            ("http://[2001:db8::1]/", "not https, and not this very host"),
            ("https://me@x.org/", "one with a user name or a fragment, which has no place here"),
            ("https://x.org/#a", "one with a user name or a fragment, which has no place here"),
            ("https://", "without the name of a host"),
            ("https://x_y/", "without the name of a host"),
            ("https://[x]/", "without the name of a host"),
            ("https://::1/", "without the name of a host"),
            ("https://x.org:0/", "without a port that exists"),
            ("https://x.org:99999/", "without a port that exists"),
            ("https://x.org/a b", "too long or not plain ASCII"),
            ("https://x.org/\r\nX: y", "too long or not plain ASCII"),
        ] {
            assert_eq!(Url::parse(text), Err(wanted), "{text}");
        }
    }
}
