//! The keys of an account that say where to connect and what makes the relay's certificate good.

use super::account::{Endpoint, Tls, Trust};
use super::document::Surroundings;
use super::error::ConfigError;
use super::ports;
use super::presets::Preset;
use super::reader::{Section, Text};
use std::net::IpAddr;

/// Where to connect, in the order to try.
pub(super) fn endpoints(section: &Section, preset: Option<&Preset>) -> Result<Vec<Endpoint>, ConfigError> {
    let host = match (section.string("host")?, preset) {
        (Some(host), _) => checked_host(section, host)?,
        (None, Some(Preset { host: Some(host), .. })) => host.clone(),
        (None, Some(preset)) => {
            let problem = format!("has no host, and {} has none for everybody", preset.name);
            return Err(preset.hint.iter().fold(section.error_here(problem), |error, hint| error.with_hint(hint)));
        }
        (None, None) => {
            return Err(section
                .error_here("has no host")
                .with_hint("host = \"smtp.example.org\", or provider = \"gmail\" and the like"));
        }
    };
    let ports = ports::read(section)?
        .or_else(|| preset.map(|preset| preset.ports.clone()).filter(|ports| !ports.is_empty()))
        .unwrap_or_else(|| ports::USUAL.to_vec());
    let in_clear = ports.iter().any(|(_, tls)| *tls == Tls::None);
    if in_clear && !is_loopback(&host) && section.truth("allow-plaintext")? != Some(true) {
        return Err(section
            .error_at("tls", format_args!("is \"none\", but {host} is not this machine"))
            .with_hint("tls = \"starttls\" or \"implicit\"; allow-plaintext = true if nobody can listen on the way"));
    }
    Ok(ports.into_iter().map(|(port, tls)| Endpoint { host: host.clone(), port, tls }).collect())
}

fn checked_host(section: &Section, host: Text) -> Result<String, ConfigError> {
    let name = host.value.trim_end_matches('.');
    let unbracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if unbracketed.parse::<IpAddr>().is_ok() {
        return Ok(unbracketed.to_string());
    }
    if is_host_name(name) {
        return Ok(name.to_ascii_lowercase());
    }
    let error = section.error("host", host.at, format_args!("is {:?}, not the name of a host", host.value));
    Err(if name.contains(':') {
        error.with_hint("write the name alone; the port is port =, TLS is tls =")
    } else if name.contains('@') {
        error.with_hint("the address is user =")
    } else {
        error
    })
}

/// Whether it has the form of a host name; one in U-labels has not.
pub fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `tls-ca-file` or `tls-fingerprint`, else the system's authorities.
pub(super) fn trust(section: &Section, around: &Surroundings) -> Result<Trust, ConfigError> {
    match (section.string("tls-ca-file")?, section.string("tls-fingerprint")?) {
        (None, None) => Ok(Trust::System),
        (Some(path), None) => Ok(Trust::File(around.resolve(section.source.file_at(path.at), path.value))),
        (None, Some(text)) => fingerprint(text.value).map(Trust::Fingerprint).ok_or_else(|| {
            section
                .error("tls-fingerprint", text.at, "is not \"sha256:\" and 64 hexadecimal digits")
                .with_hint("mailchute doctor shows the fingerprint of the certificate")
        }),
        (Some(_), Some(text)) => Err(section.error("tls-fingerprint", text.at, "stands beside \"tls-ca-file\"")),
    }
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let prefix = text.get(..7).filter(|prefix| prefix.eq_ignore_ascii_case("sha256:"))?;
    let digits: Vec<u8> = text[prefix.len()..].bytes().filter(|byte| *byte != b':').collect();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    let bytes: Option<Vec<u8>> = (digits.len() == 64).then(|| digits.chunks_exact(2).map(byte).collect())?;
    bytes?.try_into().ok()
}

/// A host name, or an address literal (RFC 5321 section 4.1.3).
pub(super) fn ehlo_name(section: &Section) -> Result<Option<String>, ConfigError> {
    let Some(text) = section.string("ehlo-name")? else { return Ok(None) };
    let literal = text.value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let literal = literal.map(|address| address.strip_prefix("IPv6:").unwrap_or(address));
    if literal.map_or(is_host_name(text.value), |address| address.parse::<IpAddr>().is_ok()) {
        return Ok(Some(text.value.to_string()));
    }
    Err(section.error(
        "ehlo-name",
        text.at,
        format_args!("is {:?}, not a host name or an address in brackets", text.value),
    ))
}
