//! What is wrong with a certificate, in words, and what to do. Decides nothing: that is the verifier's.

use super::certificate::{self, Facts};
use super::fault::Fault;
use crate::clock::Moment;
use ring::digest::{SHA256, digest};
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

/// Why a certificate was refused. `leaf` is the one that was; none when the chain was good, and the relay could not
/// show that it has the key.
pub fn of(error: &CertificateError, leaf: Option<&[u8]>, host: &str) -> Fault {
    let Some(leaf) = leaf else { return Fault::Certificate(KEY_NOT_SHOWN.into(), Some(OWNER.into())) };
    let facts = certificate::facts(leaf).unwrap_or_default();
    let (words, hint) = match error {
        CertificateError::ExpiredContext { time, not_after } => {
            let words = format!("the certificate expired on {}", date(*not_after));
            let clock = date(*time);
            let hint = format!("if this host's clock is wrong (it says {clock}), set it; else tell the server's owner");
            return Fault::Dates(words, Some(hint));
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let words = format!("the certificate is not valid before {}", date(*not_before));
            return Fault::Dates(words, Some(format!("this host's clock says {}: set it", date(*time))));
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => (
            format!("the certificate has no name but {}, a common name, which does not count any more", facts.subject),
            "the server's owner must get one with the name among its alternative names (subjectAltName)".into(),
        ),
        CertificateError::NotValidForNameContext { presented, .. } => (
            format!("the certificate is not for {host} but for {}", listed(presented)),
            "set host to the name the provider gives; a network that redirects mail ports shows this too".into(),
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            ("the certificate is for clients, not for servers".into(), OWNER.into())
        }
        CertificateError::ApplicationVerificationFailure => (
            format!("the certificate is not the pinned one; its fingerprint is sha256:{}", hex(leaf)),
            "if the server has a new certificate, set tls-fingerprint to its fingerprint".into(),
        ),
        // A self-signed one that calls itself an authority comes back as webpki's own error.
        _ if facts.is_self_signed => (
            format!("the certificate is self-signed ({})", facts.subject),
            format!("if it is your own server's: {}", pin(leaf)),
        ),
        CertificateError::UnknownIssuer => {
            (format!("the certificate's issuer is not trusted here: {}", facts.issuer), stranger(&facts, leaf))
        }
        // Another one has a trusted one's name: programs on the way do that too.
        CertificateError::BadSignature => (
            format!(
                "the certificate's signature is not good: not by the {} that is trusted here, or with an RSA key below \
                 2048 bits",
                facts.issuer
            ),
            stranger(&facts, leaf),
        ),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            ("the certificate is signed in a way that is not safe any more, such as SHA-1".into(), OWNER.into())
        }
        error if error.to_string().contains("EndEntityUsedAsCa") => {
            ("the certificate was issued by somebody who may not issue certificates".into(), OWNER.into())
        }
        error => (format!("the certificate is not good: {error}"), OWNER.into()),
    };
    Fault::Certificate(words, Some(hint))
}

const OWNER: &str = "the server's owner must get a new one";
const KEY_NOT_SHOWN: &str =
    "the relay cannot show that the certificate is its own: its key may be too weak (RSA below 2048 bits)";

/// What to do about an issuer whom nobody knows.
fn stranger(facts: &Facts, leaf: &[u8]) -> String {
    match facts.interceptor() {
        Some(name) => format!(
            "{name} stands between and reads mail: exclude the mail server there, or trust its root with tls-ca-file"
        ),
        None => format!(
            "an antivirus program or firewall that reads mail shows this: exclude the host there, or trust its root \
             with tls-ca-file; for your own server: {}",
            pin(leaf)
        ),
    }
}

fn pin(leaf: &[u8]) -> String {
    format!("tls-fingerprint = \"sha256:{}\"", hex(leaf))
}

fn date(time: UnixTime) -> String {
    Moment::from_seconds(time.as_secs()).rfc3339()
}

/// The names of a certificate as rustls gives them, `DnsName("mail.x.org")` or `IpAddress(127.0.0.1)`, without the
/// wrapping.
fn listed(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        inside.trim_matches('"').to_owned()
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

fn hex(certificate: &[u8]) -> String {
    digest(&SHA256, certificate).as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presented_names_are_shown_bare() {
        let names = ["DnsName(\"a.x.org\")", "DnsName(\"*.y\")", "IpAddress(127.0.0.1)"].map(String::from);
        assert_eq!(listed(&names), "a.x.org, *.y, 127.0.0.1");
    }

    #[test]
    fn a_key_that_is_not_shown_is_told_from_a_certificate_that_is_not_good() {
        let Fault::Certificate(words, _) = of(&CertificateError::BadSignature, None, "x.org") else { panic!() };
        assert!(words.contains("cannot show that the certificate is its own"), "{words}");
    }
}
