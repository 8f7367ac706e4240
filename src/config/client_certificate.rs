//! `tls-cert-file` and `tls-key-file`: what this host shows to a relay that asks in TLS who connects.

use super::document::{Origin, Surroundings};
use super::error::ConfigError;
use super::file;
use super::password::{SecretError, check_private};
use super::reader::{Section, Text};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where a certificate and its key are; they may be the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM: the certificate, then those that lead to an authority.
    pub certificate: PathBuf,
    /// PEM, not encrypted.
    pub key: PathBuf,
}

/// Both files as they are.
pub struct Pem {
    pub certificate: Zeroizing<Vec<u8>>,
    pub key: Zeroizing<Vec<u8>>,
}

impl ClientCertificate {
    /// Reads both; the key's file must be the caller's or root's and closed to all others.
    pub fn read(&self) -> Result<Pem, SecretError> {
        let certificate = read("tls-cert-file", &self.certificate, |_| Ok(()))?;
        let key = read("tls-key-file", &self.key, |file| check_private("tls-key-file", &self.key, file))?;
        Ok(Pem { certificate, key })
    }

    /// When either last changed. For [`super::Account::digest`].
    pub(super) fn stamp(&self) -> i128 {
        file::stamp(&self.certificate).wrapping_add(file::stamp(&self.key))
    }
}

fn read(
    kind: &str,
    path: &Path,
    check: impl Fn(&file::Opened) -> Result<(), SecretError>,
) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let at = |error| SecretError::new(format!("{kind} {}: {error}", path.display()));
    let mut file = file::open(path).map_err(at)?;
    check(&file)?;
    file.bytes().map_err(at)
}

/// Reads the two keys of an account; a certificate without `tls-key-file` has its key in the same file.
pub(super) fn keys(
    section: &Section,
    origin: Origin,
    around: &Surroundings,
) -> Result<Option<ClientCertificate>, ConfigError> {
    let path = |key: &str, text: Text| {
        // Whoever controls the arguments of `sendmail` must not have this host prove what another of its keys proves.
        let leads_away = Path::new(text.value).components().count() != 1;
        if origin == Origin::Named && leads_away {
            return Err(section.error(key, text.at, "leads out of the folder of a file given with -C"));
        }
        Ok(around.resolve(section.source.file_at(text.at), text.value))
    };
    match (section.string("tls-cert-file")?, section.string("tls-key-file")?) {
        (None, None) => Ok(None),
        (None, Some(key)) => Err(section.error("tls-key-file", key.at, "has no tls-cert-file beside it")),
        (Some(certificate), key) => Ok(Some(ClientCertificate {
            certificate: path("tls-cert-file", certificate)?,
            key: path("tls-key-file", key.unwrap_or(certificate))?,
        })),
    }
}
