//! The certificates relays show, made once per process: one CA that the sandbox trusts, and what is wrong without it.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, OnceLock};

/// Which certificate a relay shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// For `localhost` and 127.0.0.1, by the CA of [`authority`].
    Good,
    /// By that CA, for another host.
    OtherHost,
    /// By that CA, until 2020.
    Expired,
    /// By that CA, from 2990 on.
    NotYetValid,
    /// Signed with its own key.
    SelfSigned,
    /// By a CA that nobody knows.
    UnknownAuthority,
    /// By an antivirus program that reads mail.
    Antivirus,
}

/// The PEM of the one CA that clients trust.
pub fn authority() -> String {
    trusted().pem()
}

/// The TLS side of a relay with that certificate.
pub fn server_config(certificate: Certificate) -> Arc<ServerConfig> {
    let (chain, key) = leaf(certificate);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

fn leaf(certificate: Certificate) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = match certificate {
        Certificate::OtherHost => CertificateParams::new(vec!["other.example".into()]),
        _ => CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into(), "smtp.gmail.com".into()]),
    }
    .unwrap();
    match certificate {
        Certificate::Expired => params.not_after = date_time_ymd(2020, 1, 1),
        Certificate::NotYetValid => params.not_before = date_time_ymd(2990, 1, 1),
        _ => {}
    }
    let signed = match certificate {
        Certificate::SelfSigned => params.self_signed(&key),
        Certificate::UnknownAuthority => params.signed_by(&key, &new_authority("nobody knows me")),
        Certificate::Antivirus => params.signed_by(&key, &new_authority("Avast Web/Mail Shield Root")),
        _ => params.signed_by(&key, trusted()),
    }
    .unwrap();
    (vec![signed.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn trusted() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| new_authority("mailchute test authority"))
}

fn new_authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}
