//! `mailchute providers`: what is known of mail providers.

use super::Failed;
use crate::config::presets::{self, Preset};
use crate::config::{Tls, nearest};
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::process;
use std::fmt;

/// Lists all presets, or shows one.
///
/// # Errors
/// There is no such preset.
pub fn show(name: Option<&str>) -> Result<Exit, Failed> {
    let Some(name) = name else {
        for preset in presets::all() {
            process::say(&format!("{:<20} {}\n", preset.id, preset.name));
        }
        return Ok(Exit::Ok);
    };
    let preset = presets::find(name).or_else(|| presets::for_domain(name)).ok_or_else(|| Unknown(name.to_owned()))?;
    process::say(&card(&preset));
    Ok(Exit::Ok)
}

fn card(preset: &Preset) -> String {
    let mut text = format!("{}\n", preset.name);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:<12}{value}\n"));
        }
    };
    line("provider", &format!("\"{}\"", preset.id));
    line("host", preset.host.as_deref().unwrap_or("yours to name"));
    let ports = preset.ports.iter().map(|(port, tls)| match tls {
        Tls::Implicit => format!("{port} TLS"),
        Tls::Starttls => format!("{port} STARTTLS"),
        Tls::None => format!("{port} without TLS"),
    });
    line("ports", &ports.collect::<Vec<_>>().join(", "));
    line("user", &preset.user.to_string());
    line("password", &preset.password.to_string());
    line("oauth2", preset.oauth2.as_ref().map_or("", |_| "all but the client-id is known"));
    line("domains", &preset.domains.join(", "));
    line("note", preset.hint.as_deref().unwrap_or_default());
    line("help", preset.help.as_deref().unwrap_or_default());
    line("source", &format!("{}, checked {}", preset.source, preset.checked));
    text
}

/// A name that no preset has.
#[derive(Debug)]
pub struct Unknown(pub String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no provider is called {:?}", self.0)
    }
}

impl std::error::Error for Unknown {}

impl Explain for Unknown {
    fn exit(&self) -> Exit {
        Exit::DataErr
    }

    fn hints(&self) -> Vec<String> {
        match nearest(&self.0, presets::ids()) {
            Some(near) => vec![format!("did you mean {near:?}?")],
            None => vec!["mailchute providers lists them".into()],
        }
    }
}
