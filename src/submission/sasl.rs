//! The ways to log in (RFC 4954): which one is taken, and what each answers to a challenge. Knows nothing of lines and
//! replies; what it returns is not yet base64.

use super::md5;
use super::scram::{Binding, Hash, Scram};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;
use zeroize::Zeroizing;

/// A SASL mechanism we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Scram(Hash, Bound),
    Plain,
    Login,
    CramMd5,
    Oauthbearer,
    Xoauth2,
    External,
}

/// Whether a mechanism is tied to the TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Yes,
    No,
}

/// Everything we speak, the strongest first. CRAM-MD5 comes last: inside TLS it protects nothing that TLS does not,
/// and servers offer it without being able to check it.
const ALL: [(&str, Mechanism); 10] = [
    ("SCRAM-SHA-256-PLUS", Mechanism::Scram(Hash::Sha256, Bound::Yes)),
    ("SCRAM-SHA-256", Mechanism::Scram(Hash::Sha256, Bound::No)),
    ("SCRAM-SHA-1-PLUS", Mechanism::Scram(Hash::Sha1, Bound::Yes)),
    ("SCRAM-SHA-1", Mechanism::Scram(Hash::Sha1, Bound::No)),
    ("PLAIN", Mechanism::Plain),
    ("LOGIN", Mechanism::Login),
    ("CRAM-MD5", Mechanism::CramMd5),
    ("OAUTHBEARER", Mechanism::Oauthbearer),
    ("XOAUTH2", Mechanism::Xoauth2),
    ("EXTERNAL", Mechanism::External),
];

impl Mechanism {
    /// Its name as AUTH says it: upper case, because some servers know no other.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(_, mechanism)| *mechanism == self).map_or("", |(name, _)| name)
    }

    /// The one of that name, in any case.
    pub fn named(name: &str) -> Option<Mechanism> {
        ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, mechanism)| *mechanism)
    }

    /// Whether it takes an OAuth 2 token.
    pub fn takes_token(self) -> bool {
        matches!(self, Mechanism::Oauthbearer | Mechanism::Xoauth2)
    }

    fn takes_password(self) -> bool {
        !self.takes_token() && self != Mechanism::External
    }
}

/// What there is to log in with.
pub struct Credentials<'a> {
    pub user: &'a str,
    pub secret: &'a [u8],
    /// The secret is an OAuth 2 access token, which is never sent as a password.
    pub is_token: bool,
    pub host: &'a str,
    pub port: u16,
    /// The channel binding of the connection, when it has one.
    pub binding: Option<[u8; 32]>,
}

impl Credentials<'_> {
    /// The mechanisms that could be used with a server that offers `offered`, the best first.
    pub fn choices(&self, offered: &[String]) -> Vec<Mechanism> {
        let wanted = |mechanism: &Mechanism| match mechanism {
            // Names and passwords beyond ASCII need a preparation (RFC 4013) that servers do each in their own way.
            Mechanism::Scram(..) if !(self.user.is_ascii() && self.secret.is_ascii()) => false,
            Mechanism::Scram(_, Bound::Yes) if self.binding.is_none() => false,
            mechanism if self.is_token => mechanism.takes_token(),
            mechanism => mechanism.takes_password(),
        };
        let known = ALL.iter().filter(|(name, _)| offered.iter().any(|offer| offer == name));
        known.map(|(_, mechanism)| *mechanism).filter(wanted).collect()
    }

    /// Starts an exchange; `None` when there is no randomness for it.
    pub fn begin(&self, mechanism: Mechanism, offered: &[String]) -> Option<Exchange> {
        let mut first = None;
        let mut then = Then::Nothing;
        match mechanism {
            Mechanism::Plain => first = Some(join(&[b"\0", self.user.as_bytes(), b"\0", self.secret])),
            Mechanism::Login => {
                then = Then::Answers(vec![self.secret.to_vec().into(), self.user.as_bytes().to_vec().into()]);
            }
            Mechanism::Xoauth2 => {
                first = Some(join(&[b"user=", self.user.as_bytes(), b"\x01auth=Bearer ", self.secret, b"\x01\x01"]));
                then = Then::Complaint(b"");
            }
            Mechanism::Oauthbearer => {
                let user = self.user.replace('=', "=3D").replace(',', "=2C");
                let lead = format!("n,a={user},\x01host={}\x01port={}\x01auth=Bearer ", self.host, self.port);
                first = Some(join(&[lead.as_bytes(), self.secret, b"\x01\x01"]));
                then = Then::Complaint(b"\x01");
            }
            Mechanism::CramMd5 => then = Then::CramMd5(self.user.to_owned(), self.secret.to_vec().into()),
            Mechanism::External => first = Some(join(&[self.user.as_bytes()])),
            Mechanism::Scram(hash, bound) => {
                let plus_offered = offered.iter().any(|name| name.ends_with("-PLUS"));
                let binding = match (bound, self.binding) {
                    (Bound::Yes, Some(material)) => Binding::Exporter(material),
                    (Bound::No, Some(_)) if !plus_offered => Binding::NotOffered,
                    _ => Binding::Impossible,
                };
                let scram = Scram::new(hash, self.user, self.secret, binding)?;
                first = Some(scram.first().into_bytes().into());
                then = Then::Scram(Box::new(scram));
            }
        }
        Some(Exchange { first, then, complaint: None })
    }
}

/// One login on its way.
pub struct Exchange {
    first: Option<Zeroizing<Vec<u8>>>,
    then: Then,
    complaint: Option<String>,
}

/// What is answered to the challenges behind the first response.
enum Then {
    Nothing,
    /// Answers in reverse order, whatever the challenges say: their wording differs from server to server.
    Answers(Vec<Zeroizing<Vec<u8>>>),
    /// A challenge is the reason of a refusal; it is answered with this, so that the refusal itself follows.
    Complaint(&'static [u8]),
    CramMd5(String, Zeroizing<Vec<u8>>),
    Scram(Box<Scram>),
}

impl Exchange {
    /// The initial response, for mechanisms where the client speaks first, when it takes at most `room` octets in
    /// base64. Else it stays here as the answer to the first challenge.
    pub fn first(&mut self, room: usize) -> Option<Zeroizing<Vec<u8>>> {
        self.first.take_if(|first| first.len().div_ceil(3) * 4 <= room)
    }

    /// The answer to a challenge. An error says what is wrong with the challenge.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        match &mut self.then {
            Then::Nothing => Err("one challenge too many"),
            Then::Answers(answers) => answers.pop().ok_or("one challenge too many"),
            Then::Complaint(answer) => {
                if self.complaint.is_some() {
                    return Err("one challenge too many");
                }
                self.complaint = Some(reason(challenge));
                Ok(answer.to_vec().into())
            }
            Then::CramMd5(user, secret) => {
                let mut answer = format!("{user} ");
                for octet in md5::hmac(secret, challenge) {
                    let _ = write!(answer, "{octet:02x}");
                }
                self.then = Then::Nothing;
                Ok(answer.into_bytes().into())
            }
            Then::Scram(scram) => scram.respond(challenge).map(|answer| answer.into_bytes().into()),
        }
    }

    /// Why the server refused the token, in its own words.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// Whether "accepted" may be believed.
    pub fn may_end(&self) -> bool {
        match &self.then {
            Then::Scram(scram) => scram.is_verified(),
            _ => true,
        }
    }
}

/// Base64 for a line.
pub fn encode(octets: &[u8]) -> Zeroizing<String> {
    // Grown once: a string that moves leaves a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(octets.len() / 3 * 4 + 4));
    STANDARD.encode_string(octets, &mut text);
    text
}

/// The octets of a challenge.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}

fn join(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut whole = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        whole.extend_from_slice(part);
    }
    whole
}

/// The `status` of the JSON that explains a refused token (RFC 7628 section 3.2.2), else all of it.
fn reason(challenge: &[u8]) -> String {
    let json = String::from_utf8_lossy(challenge).into_owned();
    let value = |name: &str| {
        let rest = json.split_once(&format!("\"{name}\""))?.1.trim_start().strip_prefix(':')?.trim_start();
        let value = rest.strip_prefix('"').map_or_else(|| rest.split([',', '}']).next(), |rest| rest.split('"').next());
        value.map(str::trim)
    };
    match (value("status"), value("scope")) {
        (Some(status), Some(scope)) => format!("status {status}, scope {scope}"),
        (Some(status), None) => format!("status {status}"),
        _ => json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(is_token: bool) -> Credentials<'static> {
        let (user, secret) = if is_token { ("alice@gmail.com", "ya29.EXAMPLE") } else { ("tim", "tanstaaftanstaaf") };
        Credentials { user, secret: secret.as_bytes(), is_token, host: "smtp.gmail.com", port: 587, binding: None }
    }

    fn offer(names: &str) -> Vec<String> {
        names.split_whitespace().map(String::from).collect()
    }

    fn begin(mechanism: Mechanism) -> Exchange {
        credentials(mechanism.takes_token()).begin(mechanism, &[]).unwrap()
    }

    #[test]
    fn the_strongest_goes_first_and_a_token_never_as_a_password() {
        let gmail = offer("LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH");
        assert_eq!(credentials(false).choices(&gmail), [Mechanism::Plain, Mechanism::Login]);
        assert_eq!(credentials(true).choices(&gmail), [Mechanism::Oauthbearer, Mechanism::Xoauth2]);
        assert!(credentials(true).choices(&offer("PLAIN LOGIN EXTERNAL")).is_empty());
        let dovecot = offer("PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS EXTERNAL");
        let mut bound = credentials(false);
        assert_eq!(bound.choices(&dovecot)[0].name(), "SCRAM-SHA-256");
        bound.binding = Some([0; 32]);
        assert_eq!(bound.choices(&dovecot)[0].name(), "SCRAM-SHA-256-PLUS");
        bound.secret = "p\u{e4}ss".as_bytes();
        assert_eq!(bound.choices(&dovecot), [Mechanism::Plain]);
    }

    #[test]
    fn first_responses_are_as_the_providers_document_them() {
        let cases = [
            (Mechanism::Plain, "AHRpbQB0YW5zdGFhZnRhbnN0YWFm"),
            (Mechanism::Xoauth2, "dXNlcj1hbGljZUBnbWFpbC5jb20BYXV0aD1CZWFyZXIgeWEyOS5FWEFNUExFAQE="),
            (
                Mechanism::Oauthbearer,
                "bixhPWFsaWNlQGdtYWlsLmNvbSwBaG9zdD1zbXRwLmdtYWlsLmNvbQFwb3J0PTU4NwFhdXRoPUJlYXJlciB5YTI5LkVYQU1QTEUBAQ==",
            ),
        ];
        for (mechanism, expected) in cases {
            assert_eq!(encode(&begin(mechanism).first(512).unwrap()).as_str(), expected, "{mechanism:?}");
        }
        assert!(begin(Mechanism::Login).first(512).is_none());
    }

    #[test]
    fn a_first_response_that_does_not_fit_answers_the_first_challenge() {
        let mut exchange = begin(Mechanism::Xoauth2);
        assert!(exchange.first(10).is_none());
        assert!(exchange.respond(b"").unwrap().starts_with(b"user="));
        assert_eq!(exchange.complaint(), None);
    }

    #[test]
    fn cram_md5_answers_as_in_rfc_2195() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let answer = begin(Mechanism::CramMd5).respond(challenge).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "tim b913a602c7eda7a495b4e6e7334d3890");
    }

    #[test]
    fn login_answers_by_place_whatever_is_asked() {
        let mut exchange = begin(Mechanism::Login);
        assert_eq!(exchange.respond(b"Benutzername").unwrap().as_slice(), b"tim");
        assert_eq!(exchange.respond(b"").unwrap().as_slice(), b"tanstaaftanstaaf");
        assert!(exchange.respond(b"more").is_err());
    }

    #[test]
    fn a_refused_token_is_answered_so_that_the_refusal_follows() {
        let json = br#"{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}"#;
        for (mechanism, expected) in [(Mechanism::Xoauth2, b"".as_slice()), (Mechanism::Oauthbearer, b"\x01")] {
            let mut exchange = begin(mechanism);
            exchange.first(512);
            assert_eq!(exchange.respond(json).unwrap().as_slice(), expected);
            assert_eq!(exchange.complaint(), Some("status 400, scope https://mail.google.com/"));
            assert!(exchange.respond(json).is_err());
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        for (name, mechanism) in ALL {
            assert_eq!(Mechanism::named(&name.to_lowercase()), Some(mechanism));
            assert_eq!(mechanism.name(), name);
        }
        assert_eq!(Mechanism::named("DIGEST-MD5"), None);
    }
}
