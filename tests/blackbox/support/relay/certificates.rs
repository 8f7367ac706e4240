//! The certificates relays show, made once per process: one CA that the sandbox trusts, and what is wrong without it.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::Ipv4Addr;
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
    /// By that CA, for `localhost` in the old place only, the common name.
    CommonNameOnly,
    /// By that CA, for 127.0.0.1 and no name.
    AddressOnly,
    /// By that CA, for `*`.
    AnyName,
    /// By that CA, for `local*`.
    PartOfName,
    /// By that CA, for `*.localhost`.
    NamesBelow,
    /// By that CA, for clients.
    ClientOnly,
    /// By whoever has a certificate of that CA, but may not issue any.
    NoAuthority,
    /// By a trusted CA whose RSA key has 1024 bits.
    ShortKey,
    /// By a trusted CA, with SHA-1.
    Sha1,
}

/// Certificates that only OpenSSL still makes: RSA keys of 1024 bits, signatures with SHA-1. The leaf's key in both is
/// the one beside them.
mod old {
    pub const SHORT_AUTHORITY: &str = include_str!("../../../data/tls/short-authority.pem");
    pub const SHORT: &str = include_str!("../../../data/tls/short.pem");
    pub const SHA1_AUTHORITY: &str = include_str!("../../../data/tls/sha1-authority.pem");
    pub const SHA1: &str = include_str!("../../../data/tls/sha1.pem");
    pub const KEY: &str = include_str!("../../../data/tls/leaf.key");
}

/// Whether a relay looks at its client's certificate, which must be by the CA of [`authority`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    /// It may show one.
    Asked,
    /// No connection without one.
    Required,
}

/// The PEM of a client's certificate and of its key.
pub fn client(known: bool) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["client.example".into()]).unwrap();
    let signed = match known {
        true => params.signed_by(&key, trusted()),
        false => params.signed_by(&key, &new_authority("nobody knows me")),
    };
    (signed.unwrap().pem(), key.serialize_pem())
}

/// The PEM of the CAs that clients trust: one that makes what is wanted of it, and two that are weak.
pub fn authority() -> String {
    trusted().pem() + old::SHORT_AUTHORITY + old::SHA1_AUTHORITY
}

/// The TLS side of a relay with that certificate.
pub(super) fn server_config(certificate: Certificate, client_auth: ClientAuth) -> Arc<ServerConfig> {
    let (chain, key) = leaf(certificate);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(trusted().der().clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = match client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Asked => builder.with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap()),
        ClientAuth::Required => builder.with_client_cert_verifier(clients.build().unwrap()),
    };
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

fn leaf(certificate: Certificate) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    match certificate {
        Certificate::ShortKey => return stored(old::SHORT),
        Certificate::Sha1 => return stored(old::SHA1),
        _ => {}
    }
    let key = KeyPair::generate().unwrap();
    let params = params(certificate);
    let mut issuers = Vec::new();
    let signed = match certificate {
        Certificate::SelfSigned => params.self_signed(&key),
        Certificate::UnknownAuthority => params.signed_by(&key, &new_authority("nobody knows me")),
        Certificate::Antivirus => params.signed_by(&key, &new_authority("Avast Web/Mail Shield Root")),
        Certificate::NoAuthority => {
            let mut other = CertificateParams::new(vec!["other.example".into()]).unwrap();
            other.is_ca = IsCa::ExplicitNoCa;
            let other = CertifiedIssuer::signed_by(other, KeyPair::generate().unwrap(), trusted()).unwrap();
            issuers.push(other.der().clone());
            params.signed_by(&key, &other)
        }
        _ => params.signed_by(&key, trusted()),
    }
    .unwrap();
    let chain = std::iter::once(signed.der().clone()).chain(issuers).collect();
    (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// What a certificate says, whoever signs it.
fn params(certificate: Certificate) -> CertificateParams {
    let name = |name: &str| vec![SanType::DnsName(name.try_into().unwrap())];
    let mut params = CertificateParams::new(["localhost", "127.0.0.1", "smtp.gmail.com"].map(String::from)).unwrap();
    match certificate {
        Certificate::OtherHost => params.subject_alt_names = name("other.example"),
        Certificate::CommonNameOnly => params.subject_alt_names.clear(),
        Certificate::AddressOnly => params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())],
        Certificate::AnyName => params.subject_alt_names = name("*"),
        Certificate::PartOfName => params.subject_alt_names = name("local*"),
        Certificate::NamesBelow => params.subject_alt_names = name("*.localhost"),
        Certificate::Expired => params.not_after = date_time_ymd(2020, 1, 1),
        Certificate::NotYetValid => params.not_before = date_time_ymd(2990, 1, 1),
        Certificate::ClientOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        _ => {}
    }
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params
}

fn stored(certificate: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivateKeyDer::from_pem_slice(old::KEY.as_bytes()).unwrap();
    (vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()], key)
}

fn trusted() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| new_authority("mailchute test authority"))
}

fn new_authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}
