//! The keys of an account that say where its secret is, `password` and its kin, of which one may stand; and `auth`,
//! which must fit it.

use super::account::Auth;
use super::document::{Origin, Surroundings};
use super::error::ConfigError;
use super::keyring::Keyring;
use super::oauth2;
use super::password::{Password, Secret};
use super::presets::{PasswordKind, Preset};
use super::program::{self, Program};
use super::reader::{Section, Text};
use std::path::{Path, PathBuf};

/// Where a password or token may come from.
pub(super) const KEYS: [&str; 9] = [
    "password",
    "password-file",
    "password-command",
    "credential",
    "netrc",
    "git-credential",
    "keyring",
    "token-command",
    "oauth2",
];

/// What a store of passwords is asked for.
pub(super) struct Login<'a> {
    pub host: &'a str,
    pub user: &'a str,
}

/// The mechanisms that exist, and what they carry.
const MECHANISMS: [(&str, Carries); 10] = [
    ("PLAIN", Carries::Password),
    ("LOGIN", Carries::Password),
    ("CRAM-MD5", Carries::Password),
    ("SCRAM-SHA-1", Carries::Password),
    ("SCRAM-SHA-1-PLUS", Carries::Password),
    ("SCRAM-SHA-256", Carries::Password),
    ("SCRAM-SHA-256-PLUS", Carries::Password),
    ("EXTERNAL", Carries::Nothing),
    ("XOAUTH2", Carries::Token),
    ("OAUTHBEARER", Carries::Token),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Carries {
    Password,
    Token,
    /// The client certificate says it all.
    Nothing,
}

/// Reads the one that is there.
pub(super) fn read(
    section: &Section,
    origin: Origin,
    around: &Surroundings,
    preset: Option<&Preset>,
    login: &Login,
) -> Result<Option<Secret>, ConfigError> {
    let present: Vec<&str> = KEYS.into_iter().filter(|key| section.has(key)).collect();
    let key = match present[..] {
        [] => return Ok(None),
        [key] => key,
        [first, second, ..] => {
            return Err(section.error_at(second, format_args!("stands beside \"{first}\": one is enough")));
        }
    };
    let secret = match key {
        "password-command" => Secret::Command(program(section, key, origin, around)?),
        "token-command" => Secret::TokenCommand(program(section, key, origin, around)?),
        "git-credential" => match section.truth(key)? {
            Some(true) => Secret::Git(git(section, origin, around, login)?),
            _ => return Ok(None),
        },
        "keyring" => match section.truth(key)? {
            Some(true) => Secret::Keyring(keyring(section, origin, around, login)?),
            _ => return Ok(None),
        },
        "oauth2" => match oauth2::read(section, origin, around, preset)? {
            Some(settings) => Secret::OAuth2(Box::new(settings)),
            None => return Ok(None),
        },
        _ => {
            let Some(text) = section.string(key)? else { return Ok(None) };
            if text.value.is_empty() || text.value.contains(['\0', '\n', '\r']) {
                return Err(section.error(key, text.at, "is empty or has line ends"));
            }
            match key {
                "password" => Secret::Literal(Password::new(text.value.as_bytes().to_vec())),
                "netrc" => Secret::Netrc {
                    file: netrc(section, text, origin, around)?,
                    host: login.host.to_owned(),
                    user: login.user.to_owned(),
                },
                "credential" => Secret::Credential(credential(section, text, origin, around)?),
                _ => Secret::File(beside(section, text, origin, around)?),
            }
        }
    };
    let grouped = preset.is_some_and(|preset| preset.password == PasswordKind::App) && !secret.is_token();
    Ok(Some(if grouped { Secret::AppPassword(Box::new(secret)) } else { secret }))
}

/// The SASL mechanism, which never carries a token as a password.
pub(super) fn auth(section: &Section, preset: Option<&Preset>, secret: Option<&Secret>) -> Result<Auth, ConfigError> {
    let Some(text) = section.string("auth")? else {
        let fixed = preset.and_then(|preset| preset.auth.clone());
        return Ok(fixed.map_or(Auth::Auto, Auth::Mechanism));
    };
    let word = text.value.to_ascii_uppercase();
    if word == "AUTO" {
        return Ok(Auth::Auto);
    }
    let known = MECHANISMS.map(|(mechanism, _)| mechanism);
    let Some((_, carries)) = MECHANISMS.iter().find(|(mechanism, _)| *mechanism == word) else {
        let problem = format_args!("is {:?}, not auto or one of {}", text.value, known.join(", ")).to_string();
        return Err(section.error("auth", text.at, problem));
    };
    match (carries, secret.map(Secret::is_token)) {
        (Carries::Password, Some(true)) => Err(section
            .error("auth", text.at, format_args!("is {word}, which would send a token as a password"))
            .with_hint("auth = \"xoauth2\" or \"oauthbearer\", or leave it out")),
        (Carries::Token, Some(false)) => {
            Err(section.error("auth", text.at, format_args!("is {word}, which needs a token-command or oauth2")))
        }
        (Carries::Nothing, Some(_)) => {
            Err(section.error("auth", text.at, "is EXTERNAL, which takes no password: the certificate logs in"))
        }
        (Carries::Nothing, None) if !section.has("tls-cert-file") => {
            Err(section.error("auth", text.at, "is EXTERNAL, which needs a tls-cert-file"))
        }
        _ => Ok(Auth::Mechanism(word)),
    }
}

/// A program of the user's own choice: whoever controls the arguments of `sendmail` must not run programs.
fn program(section: &Section, key: &str, origin: Origin, around: &Surroundings) -> Result<Program, ConfigError> {
    if origin == Origin::Named {
        return Err(origin.refusal(section, key));
    }
    let texts = section.strings(key)?.unwrap_or_default();
    let at = texts.first().map_or(section.at, |text| text.at);
    let mut words: Vec<String> = match texts[..] {
        [line] if !section.is_array(key) => program::split(line.value).map_err(|problem| {
            let line = line.value;
            section.error(key, at, problem).with_hint(format!("{key} = [\"sh\", \"-c\", {line:?}]"))
        })?,
        _ => texts.iter().map(|text| text.value.to_string()).collect(),
    };
    let Some(first) = words.first_mut() else { return Err(section.error(key, at, "is empty")) };
    if first.contains('/') {
        *first = around.resolve(section.source.file_at(at), first).to_string_lossy().into_owned();
    } else if origin == Origin::Variable {
        return Err(section
            .error(key, at, format_args!("names {first:?} without its path"))
            .with_hint("a file named by $MAILCHUTE_CONFIG writes the whole path"));
    }
    Program::new(words, around.home.clone()).ok_or_else(|| section.error(key, at, "is empty"))
}

/// A file's path. From `-C` it lies beside the configuration: whoever controls the arguments of `sendmail` must not
/// have the first line of any private file sent to a relay of their choice.
fn beside(section: &Section, text: Text, origin: Origin, around: &Surroundings) -> Result<PathBuf, ConfigError> {
    let path = Path::new(text.value);
    if origin == Origin::Named && (path.components().count() != 1 || path.file_name().is_none()) {
        return Err(section.error("password-file", text.at, "leads out of the folder of a file given with -C"));
    }
    Ok(around.resolve(section.source.file_at(text.at), text.value))
}

/// A file that holds more passwords than one; not for those who control only the arguments.
fn netrc(section: &Section, text: Text, origin: Origin, around: &Surroundings) -> Result<PathBuf, ConfigError> {
    match origin {
        Origin::Named => Err(origin.refusal(section, "netrc")),
        Origin::Variable | Origin::Usual => Ok(around.resolve(section.source.file_at(text.at), text.value)),
    }
}

/// git's own way to ask its helpers (git-credential(1)). No graphical prompt is opened for a mail in the background.
fn git(section: &Section, origin: Origin, around: &Surroundings, login: &Login) -> Result<Program, ConfigError> {
    if origin == Origin::Named {
        return Err(origin.refusal(section, "git-credential"));
    }
    let words = ["git", "-c", "core.askPass=", "credential", "fill"].map(str::to_owned).to_vec();
    // As git send-email asks: with the port, when one is named.
    let port = section.number("port", 1..=65_535)?.map(|port| format!(":{port}")).unwrap_or_default();
    let told = format!("protocol=smtp\nhost={}{port}\nusername={}\n\n", login.host, login.user);
    let git = Program::new(words, around.home.clone()).map(|git| git.told(told));
    git.ok_or_else(|| section.error_here("cannot run git"))
}

/// Nothing for those who control only the arguments.
fn keyring(section: &Section, origin: Origin, around: &Surroundings, login: &Login) -> Result<Keyring, ConfigError> {
    match origin {
        Origin::Named => Err(origin.refusal(section, "keyring")),
        Origin::Variable | Origin::Usual => Ok(Keyring {
            host: login.host.to_owned(),
            user: login.user.to_owned(),
            home: around.home.clone(),
            bus: around.bus.clone(),
        }),
    }
}

fn credential(section: &Section, text: Text, origin: Origin, around: &Surroundings) -> Result<PathBuf, ConfigError> {
    if origin == Origin::Named {
        return Err(origin.refusal(section, "credential"));
    }
    if text.value.contains('/') || text.value.starts_with('.') {
        return Err(section.error("credential", text.at, "is the name of a systemd credential, not a path"));
    }
    let folder = around.credentials.clone().unwrap_or_default();
    Ok(folder.join(text.value))
}

/// The file that a literal secret stands in.
pub(super) fn literal_file<'a>(section: &Section<'a>) -> &'a Path {
    match section.free_section("oauth2") {
        Ok(Some(client)) => client.file_of("client-secret"),
        _ => section.file_of("password"),
    }
}
