//! What a relay offers in its reply to EHLO (RFC 5321 section 4.1.1.1). Ours, because lettre's `ServerInfo` drops the
//! keywords it does not know.

use crate::mail::outcome::Reply;

/// The extensions we make use of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub starttls: bool,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 6152.
    pub eight_bit: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 1870: whether `SIZE=` may be said, and the limit in octets when there is one.
    pub size: Option<Option<u64>>,
    /// The SASL mechanisms, upper case, in the relay's order.
    pub auth: Vec<String>,
    /// RFC 9422.
    pub limits: ServerLimits,
}

/// What the relay says it takes (RFC 9422 section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerLimits {
    /// Transactions in a session.
    pub mail: Option<usize>,
    /// Recipients in a transaction.
    pub recipients: Option<usize>,
    /// Recipient domains in a transaction.
    pub domains: Option<usize>,
}

impl Capabilities {
    /// Reads an EHLO reply; its first line is the greeting.
    pub fn from_ehlo(reply: &Reply) -> Capabilities {
        let mut capabilities = Capabilities::default();
        for line in reply.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default() {
                "STARTTLS" => capabilities.starttls = true,
                "PIPELINING" => capabilities.pipelining = true,
                "CHUNKING" => capabilities.chunking = true,
                "8BITMIME" => capabilities.eight_bit = true,
                "SMTPUTF8" => capabilities.smtputf8 = true,
                "DSN" => capabilities.dsn = true,
                // Zero is "no fixed limit" (RFC 1870 section 4).
                "SIZE" => capabilities.size = Some(words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0)),
                "AUTH" => capabilities.offer(words),
                "LIMITS" => capabilities.limits = ServerLimits::parse(words),
                // The form of servers before RFC 2554, still sent beside the right one.
                word => {
                    if let Some(first) = word.strip_prefix("AUTH=") {
                        capabilities.offer(std::iter::once(first).chain(words));
                    }
                }
            }
        }
        capabilities
    }

    fn offer<'a>(&mut self, mechanisms: impl Iterator<Item = &'a str>) {
        for mechanism in mechanisms {
            if !self.auth.iter().any(|known| known == mechanism) {
                self.auth.push(mechanism.to_owned());
            }
        }
    }
}

impl ServerLimits {
    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> ServerLimits {
        let mut limits = ServerLimits::default();
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().ok().filter(|&value| value > 0);
            match name {
                "MAILMAX" => limits.mail = value,
                "RCPTMAX" => limits.recipients = value,
                "RCPTDOMAINMAX" => limits.domains = value,
                _ => {}
            }
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ehlo(lines: &[&str]) -> Capabilities {
        Capabilities::from_ehlo(&Reply { code: 250, lines: lines.iter().map(|line| line.to_string()).collect() })
    }

    #[test]
    fn gmails_list_is_understood() {
        let capabilities = ehlo(&[
            "smtp.gmail.com at your service, [203.0.113.7]",
            "SIZE 35882577",
            "8BITMIME",
            "AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH",
            "ENHANCEDSTATUSCODES",
            "PIPELINING",
            "CHUNKING",
            "SMTPUTF8",
        ]);
        assert_eq!(capabilities.size, Some(Some(35_882_577)));
        assert_eq!(capabilities.auth.len(), 6);
        assert!(capabilities.pipelining && capabilities.chunking && capabilities.eight_bit && capabilities.smtputf8);
        assert!(!capabilities.dsn && !capabilities.starttls);
    }

    #[test]
    fn odd_spellings_are_understood() {
        let capabilities = ehlo(&["x", "starttls", "auth=login plain", "AUTH PLAIN", "SIZE 0", "Limits rcptmax=5 X=1"]);
        assert!(capabilities.starttls);
        assert_eq!(capabilities.auth, ["LOGIN", "PLAIN"]);
        assert_eq!(capabilities.size, Some(None));
        assert_eq!(capabilities.limits, ServerLimits { recipients: Some(5), ..ServerLimits::default() });
    }

    #[test]
    fn the_servers_name_is_no_keyword() {
        assert_eq!(ehlo(&["STARTTLS", "250"]), Capabilities::default());
    }
}
