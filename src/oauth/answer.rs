//! The JSON of a token server made into what it means. Pure.

use super::error::OauthError;
use crate::config::Password;
use crate::http::Answer;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// Tokens as they are given (RFC 6749 section 5.1).
#[derive(Debug)]
pub struct Grant {
    pub access: Password,
    /// `None` when the one there is stays good.
    pub refresh: Option<Password>,
    pub lifetime: Duration,
}

/// What a person must do on another device (RFC 8628 section 3.2).
#[derive(Debug)]
pub struct Device {
    pub code: Password,
    /// What to type there.
    pub user_code: String,
    /// Where.
    pub address: String,
    /// How long the code is good.
    pub lifetime: Duration,
    /// How often to ask whether it is done.
    pub interval: Duration,
}

/// Why the token server gives none.
#[derive(Debug, PartialEq, Eq)]
pub enum No {
    /// The person has not decided yet.
    Pending,
    /// Ask less often.
    SlowDown,
    /// The person said no; the server's words.
    Declined(String),
    /// The code or the refresh token is good no more.
    Ended(String),
    /// The client or its request is not as the server wants it.
    Refused(String),
    /// It may be different the next time.
    Unavailable(String),
}

/// A lifetime when none is said.
const USUAL: Duration = Duration::from_secs(600);
/// The longest lifetime that is believed.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// RFC 8628 section 3.2.
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest wait between two questions.
pub const SLOWEST: Duration = Duration::from_secs(60);
/// So long a code is waited for, at most.
const TYPED: Duration = Duration::from_secs(30 * 60);
/// So much is repeated of what a server says.
const WORDS: usize = 300;

#[derive(Deserialize)]
struct Said {
    #[serde(default, deserialize_with = "text")]
    access_token: String,
    #[serde(default, deserialize_with = "text")]
    refresh_token: String,
    #[serde(default, deserialize_with = "text")]
    token_type: String,
    #[serde(default)]
    expires_in: Value,
    #[serde(default, deserialize_with = "text")]
    device_code: String,
    #[serde(default, deserialize_with = "text")]
    user_code: String,
    #[serde(default, deserialize_with = "text")]
    verification_uri: String,
    /// What Google calls it.
    #[serde(default, deserialize_with = "text")]
    verification_url: String,
    #[serde(default)]
    interval: Value,
    #[serde(default, deserialize_with = "text")]
    error: String,
    #[serde(default, deserialize_with = "text")]
    error_description: String,
}

/// A text, or the null that some servers write where there is none.
fn text<'de, D: Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    Option::deserialize(source).map(Option::unwrap_or_default)
}

impl Drop for Said {
    fn drop(&mut self) {
        for secret in [&mut self.access_token, &mut self.refresh_token, &mut self.device_code] {
            secret.zeroize();
        }
    }
}

impl Said {
    fn read(answer: &Answer) -> Result<Said, No> {
        let said: Said = serde_json::from_slice(&answer.body).map_err(|_| {
            No::Unavailable(format!("no token server answers there, for this is no JSON (HTTP {})", answer.status))
        })?;
        if (200..300).contains(&answer.status) && said.error.is_empty() {
            Ok(said)
        } else {
            Err(said.no(answer.status))
        }
    }

    /// RFC 6749 section 5.2, RFC 8628 section 3.5, OpenID Connect Core section 3.1.2.6, and Microsoft's own.
    fn no(&self, status: u16) -> No {
        let described = self.error_description.lines().next().unwrap_or_default().trim();
        let words = match (self.error.as_str(), described) {
            ("", _) => format!("HTTP {status}"),
            (error, "") => error.to_owned(),
            (error, described) => format!("{error} ({described})"),
        };
        let words: String = words.chars().take(WORDS).collect();
        match self.error.as_str() {
            "authorization_pending" => No::Pending,
            "slow_down" => No::SlowDown,
            "access_denied" | "authorization_declined" => No::Declined(words),
            "invalid_grant" | "expired_token" | "interaction_required" | "login_required" | "consent_required" => {
                No::Ended(words)
            }
            "temporarily_unavailable" | "server_error" | "" => No::Unavailable(words),
            _ if status >= 500 || status == 429 => No::Unavailable(words),
            _ => No::Refused(words),
        }
    }
}

/// Reads the answer to a request for tokens.
pub fn grant(answer: &Answer) -> Result<Grant, No> {
    let mut said = Said::read(answer)?;
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic());
    if !is_token(&said.access_token) {
        return Err(No::Unavailable("an answer without an access token".into()));
    }
    if !said.token_type.is_empty() && !said.token_type.eq_ignore_ascii_case("bearer") {
        return Err(No::Refused(format!("a token of the kind {:?}, which no relay takes", said.token_type)));
    }
    Ok(Grant {
        access: taken(&mut said.access_token),
        refresh: is_token(&said.refresh_token).then(|| taken(&mut said.refresh_token)),
        lifetime: seconds(&said.expires_in).unwrap_or(USUAL).min(LONGEST),
    })
}

/// Reads the answer to a request for a device code.
pub fn device(answer: &Answer) -> Result<Device, No> {
    let mut said = Said::read(answer)?;
    let address = if said.verification_uri.is_empty() { &said.verification_url } else { &said.verification_uri };
    if said.device_code.is_empty() || said.user_code.is_empty() || address.is_empty() {
        return Err(No::Unavailable("an answer without a device code".into()));
    }
    let (address, user_code) = (address.clone(), said.user_code.clone());
    Ok(Device {
        code: taken(&mut said.device_code),
        user_code,
        address,
        lifetime: seconds(&said.expires_in).unwrap_or(USUAL).min(TYPED),
        interval: seconds(&said.interval).unwrap_or(INTERVAL).clamp(Duration::from_secs(1), SLOWEST),
    })
}

fn taken(text: &mut String) -> Password {
    Password::new(std::mem::take(text).into_bytes())
}

/// Seconds, as a number or, with some, as a string.
fn seconds(value: &Value) -> Option<Duration> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

impl No {
    /// The same as an error, of an account and its token server. No secret that was said comes back in it.
    pub fn into_error(self, account: &str, server: &str, secrets: &[&[u8]]) -> OauthError {
        let (account, server) = (account.to_owned(), server.to_owned());
        match self {
            No::Pending | No::SlowDown => OauthError::Unanswered,
            No::Declined(words) => OauthError::Declined { server, words: censored(words, secrets) },
            No::Ended(words) => OauthError::Ended { account, server, words: censored(words, secrets) },
            No::Refused(words) => OauthError::Refused { server, words: censored(words, secrets) },
            No::Unavailable(words) => OauthError::Unavailable { server, words: censored(words, secrets) },
        }
    }
}

fn censored(words: String, secrets: &[&[u8]]) -> String {
    secrets.iter().filter_map(|secret| std::str::from_utf8(secret).ok()).fold(words, |words, secret| {
        // Also when only its beginning fitted in.
        let start = Zeroizing::new(secret.chars().take(12).collect::<String>());
        if start.is_empty() || !words.contains(start.as_str()) { words } else { "words that repeat a secret".into() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    #[test]
    fn tokens_are_read_as_servers_write_them() {
        for (body, access, refresh, lifetime) in [
            (
                r#"{"access_token":"a","token_type":"Bearer","expires_in":3599,"refresh_token":"r","scope":"x"}"#,
                "a",
                Some("r"),
                3599,
            ),
            (r#"{"access_token":"a\/b","token_type":"bearer","expires_in":"3599"}"#, "a/b", None, 3599),
            (r#"{"access_token":"a","refresh_token":"","expires_in":null}"#, "a", None, 600),
            (r#"{"access_token":"a","refresh_token":null,"error":null}"#, "a", None, 600),
            (r#"{"access_token":"a","expires_in":-1,"x":null}"#, "a", None, 600),
            (r#"{"access_token":"a","expires_in":1e300}"#, "a", None, 600),
            (r#"{"access_token":"a","expires_in":99999999999}"#, "a", None, 366 * 86_400),
        ] {
            let grant = grant(&answer(200, body)).unwrap();
            assert_eq!(grant.access.expose(), access.as_bytes(), "{body}");
            assert_eq!(grant.refresh.as_ref().map(Password::expose), refresh.map(str::as_bytes), "{body}");
            assert_eq!(grant.lifetime.as_secs(), lifetime, "{body}");
        }
    }

    #[test]
    fn a_refusal_says_who_must_act() {
        let no = |status, body: &str| grant(&answer(status, body)).unwrap_err();
        for (status, body, wanted) in [
            (400, r#"{"error":"invalid_grant"}"#, No::Ended("invalid_grant".into())),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"AADSTS70008: expired.\r\nTrace ID: 1"}"#,
                No::Ended("invalid_grant (AADSTS70008: expired.)".into()),
            ),
            (401, r#"{"error":"invalid_client"}"#, No::Refused("invalid_client".into())),
            (400, r#"{"error":"authorization_pending"}"#, No::Pending),
            (400, r#"{"error":"slow_down"}"#, No::SlowDown),
            (400, r#"{"error":"authorization_declined"}"#, No::Declined("authorization_declined".into())),
            (503, r#"{"error":"whatever"}"#, No::Unavailable("whatever".into())),
            (503, r#"{}"#, No::Unavailable("HTTP 503".into())),
            (200, r#"{"error":"invalid_grant"}"#, No::Ended("invalid_grant".into())),
            (200, r#"{"access_token":"a\nb"}"#, No::Unavailable("an answer without an access token".into())),
            (
                200,
                r#"{"access_token":"a","token_type":"mac"}"#,
                No::Refused("a token of the kind \"mac\", which no relay takes".into()),
            ),
            (404, "<html>", No::Unavailable("no token server answers there, for this is no JSON (HTTP 404)".into())),
        ] {
            assert_eq!(no(status, body), wanted, "{body}");
        }
    }

    #[test]
    fn a_device_code_is_read_from_either_spelling() {
        for name in ["verification_uri", "verification_url"] {
            let body =
                format!(r#"{{"device_code":"d","user_code":"AB-CD","{name}":"https://x.org/d","expires_in":900}}"#);
            let device = device(&answer(200, &body)).unwrap();
            assert_eq!((device.user_code.as_str(), device.address.as_str()), ("AB-CD", "https://x.org/d"));
            assert_eq!((device.interval, device.lifetime), (INTERVAL, Duration::from_secs(900)));
        }
    }

    #[test]
    fn nobody_is_kept_waiting_for_as_long_as_a_server_likes() {
        for (numbers, interval, lifetime) in [
            (r#""interval":1e19,"expires_in":31536000"#, 60, 1800),
            (r#""interval":0,"expires_in":"1e19""#, 1, 1800),
            (r#""interval":-1,"expires_in":1e300"#, 5, 600),
        ] {
            let body = format!(r#"{{"device_code":"d","user_code":"A","verification_uri":"https://x.org",{numbers}}}"#);
            let device = device(&answer(200, &body)).unwrap();
            assert_eq!((device.interval.as_secs(), device.lifetime.as_secs()), (interval, lifetime), "{numbers}");
        }
    }

    #[test]
    fn a_secret_that_comes_back_is_not_repeated() {
        let words = No::Ended("invalid_grant (no such token refresh-token-1234)".into());
        let error = words.into_error("a", "x.org", &[b"refresh-token-1234"]);
        assert_eq!(error.to_string(), "the login has ended: x.org said words that repeat a secret");
    }
}
