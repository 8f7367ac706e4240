//! Ports and when TLS starts on them: what is meant when only one of the two is written.

use super::account::Tls;
use super::error::ConfigError;
use super::keys;
use super::reader::Section;

const WORDS: &[(&str, Tls)] = &[("implicit", Tls::Implicit), ("starttls", Tls::Starttls), ("none", Tls::None)];

/// Where to connect when nothing is said: the standard port, and the one for networks that block it.
pub(super) const USUAL: [(u16, Tls); 2] = [(587, Tls::Starttls), (465, Tls::Implicit)];

/// Reads `ports`, or `port` and `tls`; `None` when there are none.
pub(super) fn read(section: &Section) -> Result<Option<Vec<(u16, Tls)>>, ConfigError> {
    if let Some(elements) = section.elements("ports")? {
        if section.has("port") || section.has("tls") {
            return Err(section
                .error_at("ports", "stands beside \"port\" or \"tls\"")
                .with_hint("ports = [{ port = 587, tls = \"starttls\" }, ...] says both"));
        }
        if elements.is_empty() {
            return Err(section.error_at("ports", "is empty"));
        }
        let port = |element| match section.inner("ports", element, keys::PORT)? {
            Some(inner) => one(&inner)?.ok_or_else(|| inner.error_here("has no port")),
            None => with_usual_tls(section, "ports", section.number_of("ports", element, 1..=65_535)?),
        };
        return elements.into_iter().map(port).collect::<Result<_, _>>().map(Some);
    }
    Ok(one(section)?.map(|port| vec![port]))
}

fn one(section: &Section) -> Result<Option<(u16, Tls)>, ConfigError> {
    let port = section.number("port", 1..=65_535)?;
    let tls = section.word("tls", WORDS)?;
    match (port, tls) {
        (None, None) => Ok(None),
        (Some(port), None) => with_usual_tls(section, "port", port).map(Some),
        (None, Some(tls)) => Ok(Some((usual_port(tls), tls))),
        (Some(port), Some(tls)) => Ok(Some((narrow(port), tls))),
    }
}

/// Only three ports say by themselves when TLS starts.
fn with_usual_tls(section: &Section, key: &str, port: u64) -> Result<(u16, Tls), ConfigError> {
    match port {
        465 => Ok((465, Tls::Implicit)),
        587 | 25 => Ok((narrow(port), Tls::Starttls)),
        _ => Err(section
            .error_at(key, format_args!("is {port}, which does not say when TLS starts"))
            .with_hint(format!("{{ port = {port}, tls = \"starttls\" }} or tls = \"implicit\", as the provider says"))),
    }
}

fn usual_port(tls: Tls) -> u16 {
    match tls {
        Tls::Implicit => 465,
        Tls::Starttls => 587,
        Tls::None => 25,
    }
}

fn narrow(port: u64) -> u16 {
    u16::try_from(port).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::reader::Source;
    use super::*;
    use std::path::Path;

    fn read_text(text: &str) -> Result<Option<Vec<(u16, Tls)>>, String> {
        let source = Source::one(Path::new("c"), text);
        let table = source.parse().unwrap();
        let section = Section::whole(source, table.get_ref(), keys::ACCOUNT).unwrap();
        read(&section).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_written_is_what_the_port_is_registered_for() {
        for (text, wanted) in [
            ("", None),
            ("port = 465", Some(vec![(465, Tls::Implicit)])),
            ("port = 587", Some(vec![(587, Tls::Starttls)])),
            ("port = 25", Some(vec![(25, Tls::Starttls)])),
            ("tls = \"implicit\"", Some(vec![(465, Tls::Implicit)])),
            ("port = 465\ntls = \"starttls\"", Some(vec![(465, Tls::Starttls)])),
            ("port = 2525\ntls = \"none\"", Some(vec![(2525, Tls::None)])),
            (
                "ports = [587, { port = 443, tls = \"implicit\" }]",
                Some(vec![(587, Tls::Starttls), (443, Tls::Implicit)]),
            ),
        ] {
            assert_eq!(read_text(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_port_that_does_not_say_when_tls_starts_is_asked_for_it() {
        for (text, wanted) in [
            ("port = 2525", "c:1: \"port\" is 2525, which does not say when TLS starts"),
            ("ports = [587, 2525]", "c:1: \"ports\" is 2525, which does not say when TLS starts"),
            ("port = 0", "c:1: \"port\" is 0, not between 1 and 65535"),
            ("port = 70000", "c:1: \"port\" is 70000, not between 1 and 65535"),
            ("ports = []", "c:1: \"ports\" is empty"),
            ("ports = [{}]", "c:1: [ports] has no port"),
            ("ports = [587]\ntls = \"implicit\"", "c:1: \"ports\" stands beside \"port\" or \"tls\""),
        ] {
            assert_eq!(read_text(text), Err(wanted.to_string()), "{text}");
        }
    }
}
