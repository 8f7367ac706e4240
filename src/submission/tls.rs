//! Who a relay must prove to be: trust anchors and pins. There is one verifier and no way round it.

use super::client_certificate;
use super::fault::Fault;
use super::flaw;
use crate::config::{ClientCertificate, Trust};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, PeerIncompatible,
    RootCertStore, SignatureScheme,
};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Where distributions keep their trust anchors in one file. Reading the hashed directory beside it would cost twenty
/// times as much.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// Where the system's trust anchors are: the file `$SSL_CERT_FILE` names, else the distribution's bundle.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// The value of `$SSL_CERT_FILE`.
    pub ssl_cert_file: Option<PathBuf>,
}

impl Roots {
    /// The file that is read when TLS starts; `None` when there is none.
    pub fn bundle(&self) -> Option<PathBuf> {
        self.ssl_cert_file.clone().or_else(|| BUNDLES.map(PathBuf::from).into_iter().find(|path| path.exists()))
    }
}

/// What a TLS connection to one endpoint needs.
pub struct Client {
    pub connection: ClientConnection,
    verifier: Arc<Verifier>,
    name: ServerName<'static>,
    /// Whether there is a certificate to show to a server that asks for it.
    shows: bool,
}

impl Client {
    /// A connection that will accept only a certificate that is good by `trust` for `host`. Of files only those of
    /// `shown` are read yet.
    pub fn new(host: &str, trust: &Trust, roots: &Roots, shown: Option<&ClientCertificate>) -> Result<Client, Fault> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.trim_end_matches('.').to_owned())
            .map_err(|_| Fault::Certificate(format!("no certificate can be for the name {host:?}"), None))?;
        let verifier = Arc::new(Verifier {
            rule: match trust {
                Trust::System => Rule::Anchors(roots.bundle()),
                Trust::File(path) => Rule::Anchors(Some(path.clone())),
                Trust::Fingerprint(fingerprint) => Rule::Fingerprint(*fingerprint),
            },
            provider: Arc::clone(&provider),
            chains: OnceLock::new(),
            refused: Mutex::new(None),
        });
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::Handshake(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let (chain, key) = client_certificate::load(shown)?;
                let made = builder.with_client_auth_cert(chain, key);
                made.map_err(|error| client_certificate::refused(shown, &error))?
            }
        };
        config.resumption = Resumption::disabled();
        let mut connection = ClientConnection::new(Arc::new(config), name.clone())
            .map_err(|error| Fault::Handshake(error.to_string()))?;
        connection.set_buffer_limit(None);
        Ok(Client { connection, verifier, name, shows: shown.is_some() })
    }

    /// Reads the trust anchors: when the first handshake message is out, so that the server's answer hides the work.
    pub fn prepare(&self) -> Result<(), Fault> {
        match &self.verifier.rule {
            Rule::Anchors(_) => self.verifier.chains().map(|_| ()).map_err(Fault::Roots),
            Rule::Fingerprint(_) => Ok(()),
        }
    }

    /// A handshake error in words.
    pub fn fault(&self, error: &Error) -> Fault {
        match error {
            Error::InvalidCertificate(error) => {
                let refused = self.verifier.refused.lock().unwrap_or_else(PoisonError::into_inner);
                flaw::of(error, refused.as_deref(), &self.name.to_str())
            }
            Error::InvalidMessage(_) if self.connection.is_handshaking() => Fault::NotTls,
            Error::AlertReceived(AlertDescription::ProtocolVersion)
            | Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => Fault::OldTls,
            Error::AlertReceived(alert) => client_certificate::complaint(*alert, self.shows)
                .unwrap_or_else(|| Fault::Handshake(format!("the relay sent the alert {alert:?}"))),
            error => Fault::Handshake(error.to_string()),
        }
    }

    /// An error behind the handshake in words. In TLS 1.3 that is where a server says what it thinks of our
    /// certificate (RFC 8446 section 4.4.2.4).
    pub fn later_fault(&self, error: &Error) -> Fault {
        match error {
            Error::AlertReceived(alert) => client_certificate::complaint(*alert, self.shows),
            _ => None,
        }
        .unwrap_or_else(|| Fault::Tls(error.to_string()))
    }
}

/// Checks a chain against the anchors, or the leaf against the pin, and remembers the leaf it refused.
#[derive(Debug)]
struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
    chains: OnceLock<Result<Arc<WebPkiServerVerifier>, String>>,
    refused: Mutex<Option<Vec<u8>>>,
}

#[derive(Debug)]
enum Rule {
    /// Chain, dates, name, against the anchors in this file.
    Anchors(Option<PathBuf>),
    /// This very certificate. It is identified to the last bit, so its name and dates say nothing more.
    Fingerprint([u8; 32]),
}

impl Verifier {
    fn chains(&self) -> Result<&Arc<WebPkiServerVerifier>, String> {
        self.chains.get_or_init(|| self.read_anchors()).as_ref().map_err(Clone::clone)
    }

    fn read_anchors(&self) -> Result<Arc<WebPkiServerVerifier>, String> {
        let Rule::Anchors(Some(path)) = &self.rule else {
            return Err("this host has no file of trusted certificates".into());
        };
        WebPkiServerVerifier::builder_with_provider(anchors(path)?.into(), Arc::clone(&self.provider))
            .build()
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.rule {
            Rule::Anchors(_) => {
                self.chains().map_err(Error::General)?.verify_server_cert(leaf, intermediates, name, &[], now)
            }
            Rule::Fingerprint(pin) if digest(&SHA256, leaf).as_ref() == pin => Ok(ServerCertVerified::assertion()),
            Rule::Fingerprint(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, server_name, now).inspect_err(|_| {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.to_vec());
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The anchors in a PEM file; those that cannot be parsed do not count, for every bundle has some.
fn anchors(path: &Path) -> Result<RootCertStore, String> {
    let unreadable = |error: io::Error| format!("{}: {}", path.display(), error.kind());
    let mut pem = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut store = RootCertStore::empty();
    while let Some(certificate) = next_certificate(&mut pem).map_err(unreadable)? {
        let _ = store.add(certificate);
    }
    if store.is_empty() { Err(format!("{}: no certificate in it", path.display())) } else { Ok(store) }
}

/// The next certificate in a PEM text (RFC 7468); what cannot be decoded is passed over. Rustls could read them too, but
/// so that nobody learns a secret from the time it takes; over the hundred and more of a bundle, which are no secret,
/// that is two thirds of all that a send computes.
fn next_certificate(pem: &mut impl BufRead) -> io::Result<Option<CertificateDer<'static>>> {
    let (mut line, mut encoded) = (Vec::with_capacity(80), None::<Vec<u8>>);
    while pem.read_until(b'\n', &mut line)? > 0 {
        match (line.trim_ascii(), &mut encoded) {
            (b"-----BEGIN CERTIFICATE-----", _) => encoded = Some(Vec::with_capacity(4096)),
            (b"-----END CERTIFICATE-----", Some(text)) => match STANDARD.decode(text) {
                Ok(certificate) => return Ok(Some(certificate.into())),
                Err(_) => encoded = None,
            },
            (line, Some(text)) => text.extend_from_slice(line),
            (_, None) => {}
        }
        line.clear();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let client = Client::new("mail.x.org", &Trust::File(path.clone()), &Roots::default(), None).unwrap();
        assert_eq!(client.prepare(), Err(Fault::Roots(format!("{}: no certificate in it", path.display()))));
    }

    #[test]
    fn certificates_are_found_among_whatever_else_a_file_holds() {
        let pem = b"# \xfc\n-----BEGIN CERTIFICATE-----\r\nAQID\r\nBAU=\r\n-----END CERTIFICATE-----\r\n\
                    -----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n\
                    -----BEGIN PRIVATE KEY-----\nBwgJ\n-----END PRIVATE KEY-----\n\
                    -----BEGIN CERTIFICATE-----\nBgc=\n-----END CERTIFICATE-----";
        let mut pem = pem.as_slice();
        let found: Vec<CertificateDer> = std::iter::from_fn(|| next_certificate(&mut pem).unwrap()).collect();
        assert_eq!(found, [CertificateDer::from(vec![1, 2, 3, 4, 5]), CertificateDer::from(vec![6, 7])]);
    }

    #[test]
    fn a_name_that_no_certificate_can_have_is_refused_before_connecting() {
        assert!(matches!(Client::new("mail x", &Trust::System, &Roots::default(), None), Err(Fault::Certificate(..))));
    }

    #[test]
    fn the_named_file_goes_before_the_distributions() {
        let roots = Roots { ssl_cert_file: Some("/nowhere.pem".into()) };
        assert_eq!(roots.bundle(), Some("/nowhere.pem".into()));
    }

    /// RFC 6125 section 6.4.3, RFC 9525 section 6.3: a wildcard is one whole label, the first; a number is no name.
    #[test]
    fn a_certificate_is_for_the_names_it_has_and_no_others() {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, authority.pem().as_bytes()).unwrap();
        for (host, name, good) in [
            ("mail.x.example", "mail.x.example", true),
            ("MAIL.x.example.", "mail.X.example", true),
            ("mail.x.example", "*.x.example", true),
            ("x.example", "*.x.example", false),
            ("a.mail.x.example", "*.x.example", false),
            ("a.b.example", "*.example", false),
            ("mail.x.example", "*", false),
            ("mail.x.example", "*.*.example", false),
            ("mail.x.example", "m*.x.example", false),
            ("mail.x.example", "*l.x.example", false),
            ("mail.x.example", "mail.*.example", false),
            ("mail.x.example", "x.example", false),
            ("mail.x.example", "mail.x.example.other.test", false),
            ("127.0.0.1", "127.0.0.1", false),
            ("127.0.0.1", "*.0.0.1", false),
            ("127.0.0.1", "ip 127.0.0.1", true),
            ("127.0.0.2", "ip 127.0.0.1", false),
            ("[::1]", "ip ::1", true),
            ("localhost", "ip 127.0.0.1", false),
        ] {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.subject_alt_names = vec![match name.strip_prefix("ip ") {
                Some(address) => SanType::IpAddress(address.parse().unwrap()),
                None => SanType::DnsName(name.try_into().unwrap()),
            }];
            let leaf = params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
            let client = Client::new(host, &Trust::File(file.path().to_owned()), &Roots::default(), None).unwrap();
            let judged = client.verifier.judge(leaf.der(), &[], &client.name, UnixTime::now());
            assert_eq!(judged.is_ok(), good, "{host} {name}: {judged:?}");
        }
    }
}
