//! The certificate that this host shows, made ready for TLS; and what a relay's alerts say of it.

use super::fault::Fault;
use crate::config::ClientCertificate;
use crate::diagnostic::Explain;
use rustls::AlertDescription::{
    self, AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
    CertificateUnknown, UnknownCA, UnsupportedCertificate,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// Alerts that a server only sends about its client's certificate (RFC 8446 section 6.2).
const ABOUT_US: [AlertDescription; 8] = [
    CertificateRequired,
    BadCertificate,
    UnsupportedCertificate,
    CertificateRevoked,
    CertificateExpired,
    CertificateUnknown,
    UnknownCA,
    AccessDenied,
];

/// Reads chain and key. Whether one belongs to the other is seen when both are given to TLS.
pub fn load(shown: &ClientCertificate) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Fault> {
    let pem = shown.read().map_err(|error| Fault::OwnCertificate(error.cause.clone(), error.hints().pop()))?;
    let chain: Result<Vec<CertificateDer>, pem::Error> = CertificateDer::pem_slice_iter(&pem.certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
        unusable(
            "tls-cert-file",
            &shown.certificate,
            "no certificate in PEM form",
            "openssl x509 -inform der prints one in DER form as PEM",
        )
    })?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| {
        unusable(
            "tls-key-file",
            &shown.key,
            "no private key in PEM form that is not encrypted",
            "openssl pkey prints it without its passphrase",
        )
    })?;
    Ok((chain, key))
}

/// What TLS says of a pair that it does not take.
pub fn refused(shown: &ClientCertificate, error: &rustls::Error) -> Fault {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            unusable("tls-key-file", &shown.key, "is not the key of the certificate in tls-cert-file", "")
        }
        error => unusable("tls-key-file", &shown.key, &error.to_string(), ""),
    }
}

/// What an alert says about the certificate that we showed, or did not; `None` when it is about something else.
pub fn complaint(alert: AlertDescription, has_one: bool) -> Option<Fault> {
    if !ABOUT_US.contains(&alert) {
        return None;
    }
    Some(if has_one {
        let words = format!("the relay does not take the certificate in tls-cert-file (alert {alert:?})");
        Fault::OwnCertificate(words, Some("ask who runs the relay which certificates it takes".into()))
    } else {
        let words = "the relay wants to see a certificate of this host".into();
        Fault::OwnCertificate(words, Some("set tls-cert-file, and tls-key-file to its key".into()))
    })
}

fn unusable(key: &str, path: &Path, problem: &str, hint: &str) -> Fault {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    Fault::OwnCertificate(format!("{key} {}: {problem}", path.display()), hint)
}
