//! `oauth2 = { ... }` of an account: the user's own client, and where its provider gives out tokens. The tokens
//! themselves are kept elsewhere.

use super::account::Tls;
use super::document::{Origin, Surroundings};
use super::error::ConfigError;
use super::keys;
use super::password::{Password, SecretError, from_private_file};
use super::presets::Preset;
use super::reader::{Section, Text};
use super::url::Url;
use std::path::{Path, PathBuf};

/// A client and its provider's addresses.
#[derive(Clone, Debug)]
pub struct OAuth2 {
    pub client_id: String,
    client_secret: Option<ClientSecret>,
    /// Where a person allows it in a browser.
    pub authorize: Option<Url>,
    pub token: Url,
    /// Where a code for another device is asked for (RFC 8628).
    pub device: Option<Url>,
    pub scope: String,
    pub redirect: Redirect,
}

#[derive(Clone, Debug)]
enum ClientSecret {
    Literal(Password),
    File(PathBuf),
}

/// Where the browser brings the answer: this host, as the client was registered with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    pub host: String,
    /// `None` is any that is free, as RFC 8252 section 7.3 has it.
    pub port: Option<u16>,
    /// Empty, or from the slash on.
    pub path: String,
}

impl Default for Redirect {
    fn default() -> Redirect {
        Redirect { host: "127.0.0.1".into(), port: None, path: "/".into() }
    }
}

impl Redirect {
    /// Reads `http://127.0.0.1[:port][/path]` or its kin; `None` when it does not lead to this very host.
    fn parse(text: &str) -> Option<Redirect> {
        let url = Url::parse(text).ok().filter(|url| url.endpoint().tls == Tls::None && !url.target().contains('?'))?;
        let (host, port) = (url.endpoint().host.clone(), url.endpoint().port);
        let path = if text.ends_with('/') || url.target() != "/" { url.target().to_owned() } else { String::new() };
        Some(Redirect { host, port: Some(port).filter(|port| *port != 80), path })
    }

    /// It in full, for a port that has been found.
    pub fn uri(&self, port: u16) -> String {
        format!("http://{}:{port}{}", self.host, self.path)
    }
}

impl OAuth2 {
    /// The client's secret, fetched now; `None` for a public client.
    pub fn client_secret(&self) -> Result<Option<Password>, SecretError> {
        match &self.client_secret {
            None => Ok(None),
            Some(ClientSecret::Literal(secret)) => Ok(Some(secret.clone())),
            Some(ClientSecret::File(path)) => from_private_file("client-secret-file", path).map(Some),
        }
    }

    /// The file that it is read from.
    pub(super) fn client_secret_file(&self) -> Option<&Path> {
        match &self.client_secret {
            Some(ClientSecret::File(path)) => Some(path),
            Some(ClientSecret::Literal(_)) | None => None,
        }
    }

    /// Whether a secret stands in the configuration file itself.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self.client_secret, Some(ClientSecret::Literal(_)))
    }
}

/// Reads the table under `oauth2`; what it leaves out is the preset's.
pub(super) fn read(
    section: &Section,
    origin: Origin,
    around: &Surroundings,
    preset: Option<&Preset>,
) -> Result<Option<OAuth2>, ConfigError> {
    let Some(table) = section.section("oauth2", keys::OAUTH2)? else { return Ok(None) };
    if origin == Origin::Named {
        // Else whoever controls the arguments has the tokens sent to a server of his.
        return Err(origin.refusal(section, "oauth2"));
    }
    let known = preset.and_then(|preset| preset.oauth2.as_ref());
    let text = |key: &str| table.string(key).map(|found| found.map(|text| text.value.to_owned()));
    let url = |key: &str, preset: Option<&String>| match table.string(key)? {
        Some(text) => Url::parse(text.value)
            .map(Some)
            .map_err(|problem| table.error(key, text.at, format_args!("is {:?}, {problem}", text.value))),
        None => Ok(preset.and_then(|text| Url::parse(text).ok())),
    };
    let missing = |key: &str| {
        let error = table.error_here(format_args!("has no {key}"));
        if key == "client-id" {
            return error.with_hint("it is yours: register a client with the provider; see mailchute.toml(5)");
        }
        error.with_hint(match preset {
            Some(preset) => format!("none is known for {}: its developer pages name it", preset.name),
            None => "the provider's developer pages name it; for Gmail and others provider = does".into(),
        })
    };
    let authorize = url("authorize-url", known.and_then(|known| known.authorize.as_ref()))?;
    let device = url("device-url", known.and_then(|known| known.device.as_ref()))?;
    if authorize.is_none() && device.is_none() {
        return Err(missing("authorize-url"));
    }
    Ok(Some(OAuth2 {
        client_id: text("client-id")?.filter(|id| !id.is_empty()).ok_or_else(|| missing("client-id"))?,
        client_secret: client_secret(&table, around)?,
        authorize,
        token: url("token-url", known.map(|known| &known.token))?.ok_or_else(|| missing("token-url"))?,
        device,
        scope: text("scope")?.or_else(|| known.map(|known| known.scope.clone())).ok_or_else(|| missing("scope"))?,
        redirect: redirect(&table, known.and_then(|known| known.redirect.as_deref()))?,
    }))
}

fn client_secret(table: &Section, around: &Surroundings) -> Result<Option<ClientSecret>, ConfigError> {
    let whole = |key: &str, text: Text| match text.value.is_empty() || text.value.contains(char::is_control) {
        true => Err(table.error(key, text.at, "is empty or has control characters")),
        false => Ok(text.value.to_owned()),
    };
    match (table.string("client-secret")?, table.string("client-secret-file")?) {
        (Some(_), Some(_)) => {
            Err(table.error_at("client-secret-file", "stands beside \"client-secret\": one is enough"))
        }
        (Some(text), None) => {
            let secret = Password::new(whole("client-secret", text)?.into_bytes());
            Ok(Some(ClientSecret::Literal(secret)))
        }
        (None, Some(text)) => {
            let path = whole("client-secret-file", text)?;
            Ok(Some(ClientSecret::File(around.resolve(table.source.file_at(text.at), &path))))
        }
        (None, None) => Ok(None),
    }
}

fn redirect(table: &Section, known: Option<&str>) -> Result<Redirect, ConfigError> {
    match table.string("redirect-url")? {
        Some(text) => Redirect::parse(text.value).ok_or_else(|| {
            let problem = format_args!("is {:?}, which does not lead to this host", text.value).to_string();
            table.error("redirect-url", text.at, problem).with_hint("http://127.0.0.1/ or http://localhost:8080/")
        }),
        None => Ok(known.and_then(Redirect::parse).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::super::password::Secret;
    use super::super::reader::Source;
    use super::*;

    fn oauth2(lines: &str, origin: Origin) -> Result<OAuth2, String> {
        let text = format!("[accounts.a]\nuser = \"me@gmail.com\"\n{lines}\n");
        let source = Source { file: Path::new("/c/c.toml"), text: &text, over: &[] };
        match document::read(source, origin, &Surroundings::sample()) {
            Ok(mut config) => match config.accounts.remove(0).secret {
                Some(Secret::OAuth2(settings)) => Ok(*settings),
                other => Err(format!("{other:?}")),
            },
            Err(error) => Err([vec![error.to_string()], error.hints].concat().join("; ")),
        }
    }

    #[test]
    fn a_preset_knows_all_but_the_client() {
        let lines = "provider = \"gmail\"\noauth2 = { client-id = \"x\", client-secret = \"y\" }";
        let found = oauth2(lines, Origin::Usual).unwrap();
        assert_eq!(found.token.to_string(), "https://oauth2.googleapis.com/token");
        assert_eq!((found.scope.as_str(), found.device), ("https://mail.google.com/", None));
        assert_eq!(found.redirect.uri(4711), "http://127.0.0.1:4711/");
        let lines = "provider = \"m365\"\noauth2 = { client-id = \"x\" }";
        let found = oauth2(lines, Origin::Usual).unwrap();
        assert!(found.device.is_some() && found.client_secret().unwrap().is_none());
        assert_eq!(found.redirect.uri(4711), "http://localhost:4711");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let own = "host = \"x.org\"\noauth2 = { client-id = \"x\", ";
        for (lines, wanted) in [
            (
                "host = \"x.org\"\noauth2 = {}".to_owned(),
                "/c/c.toml:4: [accounts.a.oauth2] has no authorize-url; the provider's developer pages name it; for \
                 Gmail and others provider = does",
            ),
            (
                format!("{own}authorize-url = \"https://x.org/a\" }}"),
                "/c/c.toml:4: [accounts.a.oauth2] has no token-url; the provider's developer pages name it; for \
                 Gmail and others provider = does",
            ),
            (
                format!("{own}token-url = \"http://x.org/t\", authorize-url = \"https://x.org/a\" }}"),
                "/c/c.toml:4: \"token-url\" in [accounts.a.oauth2] is \"http://x.org/t\", not https, and not this \
                 very host",
            ),
            (
                format!(
                    "{own}redirect-url = \"https://x.org/\", token-url = \"https://x.org\", device-url = \"https://x.org\", scope = \"s\" }}"
                ),
                "/c/c.toml:4: \"redirect-url\" in [accounts.a.oauth2] is \"https://x.org/\", which does not lead to \
                 this host; http://127.0.0.1/ or http://localhost:8080/",
            ),
            (
                "provider = \"gmail\"\noauth2 = { client-secret = \"y\" }".to_owned(),
                "/c/c.toml:4: [accounts.a.oauth2] has no client-id; it is yours: register a client with the \
                 provider; see mailchute.toml(5)",
            ),
            (
                "provider = \"gmail\"\npassword = \"p\"\noauth2 = { client-id = \"y\" }".to_owned(),
                "/c/c.toml:5: \"oauth2\" in [accounts.a] stands beside \"password\": one is enough",
            ),
        ] {
            assert_eq!(oauth2(&lines, Origin::Usual).unwrap_err(), wanted, "{lines}");
        }
        let named = oauth2("provider = \"gmail\"\noauth2 = { client-id = \"x\" }", Origin::Named).unwrap_err();
        assert!(named.contains("may not stand in a file given with -C"), "{named}");
    }

    #[test]
    fn a_redirect_stays_as_it_was_registered() {
        for (text, uri) in [
            ("http://localhost", Some("http://localhost:9")),
            ("http://localhost/", Some("http://localhost:9/")),
            ("http://127.0.0.1/back", Some("http://127.0.0.1:9/back")),
            ("http://[::1]:8080", Some("http://[::1]:9")),
            ("http://x.org/", None),
            ("https://localhost/", None),
            ("http://localhost/?a=b", None),
        ] {
            assert_eq!(Redirect::parse(text).map(|redirect| redirect.uri(9)).as_deref(), uri, "{text}");
        }
        assert_eq!(Redirect::parse("http://localhost:8080").unwrap().port, Some(8080));
    }

    #[test]
    fn the_clients_secret_is_never_printed() {
        let lines = "provider = \"gmail\"\noauth2 = { client-id = \"x\", client-secret = \"hunter2\" }";
        let found = oauth2(lines, Origin::Usual).unwrap();
        assert!(!format!("{found:?}").contains("hunter2") && found.is_literal());
        assert_eq!(found.client_secret().unwrap().unwrap().expose(), b"hunter2");
    }
}
