//! The tokens of an account as they are kept: what they were given for, and until when the access token is good.

use super::answer::Grant;
use crate::clock::Moment;
use crate::config::{OAuth2, Password};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// An access token is renewed so long before it ends, at most: a relay's clock may be ahead of ours, and a login takes
/// its time.
const MARGIN: Duration = Duration::from_secs(60);

/// What one login gave, and what has become of it.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: Password,
    pub refresh: Option<Password>,
    pub obtained: Moment,
    pub expires: Moment,
    /// The token server's words when it ended the login; nothing is asked of it any more then.
    pub ended: Option<String>,
    client: String,
    server: String,
    user: String,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Stored {
    client_id: String,
    token_url: String,
    user: String,
    obtained: u64,
    expires: u64,
    access_token: String,
    refresh_token: Option<String>,
    ended: Option<String>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

impl Tokens {
    /// Those of a login that has just been made.
    pub fn new(grant: Grant, settings: &OAuth2, user: &str, now: Moment) -> Tokens {
        Tokens {
            access: grant.access,
            refresh: grant.refresh,
            obtained: now,
            expires: now.after(grant.lifetime),
            ended: None,
            client: settings.client_id.clone(),
            server: settings.token.to_string(),
            user: user.to_owned(),
        }
    }

    /// The same login, renewed. A refresh token that comes along takes the place of the old one.
    pub fn renewed(self, grant: Grant, now: Moment) -> Tokens {
        Tokens {
            access: grant.access,
            refresh: grant.refresh.or(self.refresh),
            obtained: now,
            expires: now.after(grant.lifetime),
            ..self
        }
    }

    /// The same login, which its server says has ended.
    pub fn ended_by(self, words: String) -> Tokens {
        Tokens { ended: Some(words), ..self }
    }

    /// What of the settings has changed since the login: its tokens are said to no other server.
    pub fn differs(&self, settings: &OAuth2, user: &str) -> Option<&'static str> {
        if self.client != settings.client_id {
            Some("client-id")
        } else if self.server != settings.token.to_string() {
            Some("token-url")
        } else if self.user != user {
            Some("user")
        } else {
            None
        }
    }

    /// Whether the access token may be used now. A token from the future is of a clock that has been set back: until
    /// when it is good is not known.
    pub fn is_good(&self, now: Moment) -> bool {
        let margin = MARGIN.min(self.expires.since(self.obtained) / 4);
        self.obtained <= now && now.after(margin) < self.expires
    }

    /// Whether a relay that refuses the access token means this very one, which it cannot mean because of its age.
    pub fn is_young(&self, now: Moment) -> bool {
        self.obtained <= now && now.since(self.obtained) < MARGIN
    }

    /// Reads the file; `None` when it is no such file.
    pub fn read(content: &[u8]) -> Option<Tokens> {
        let mut stored: Stored = serde_json::from_slice(content).ok()?;
        let password = |text: &mut String| Password::new(std::mem::take(text).into_bytes());
        Some(Tokens {
            access: password(&mut stored.access_token),
            refresh: stored.refresh_token.as_mut().map(password),
            obtained: Moment::from_seconds(stored.obtained),
            expires: Moment::from_seconds(stored.expires),
            ended: stored.ended.take(),
            client: std::mem::take(&mut stored.client_id),
            server: std::mem::take(&mut stored.token_url),
            user: std::mem::take(&mut stored.user),
        })
    }

    /// The file's content.
    pub fn write(&self) -> Zeroizing<Vec<u8>> {
        let text = |password: &Password| String::from_utf8_lossy(password.expose()).into_owned();
        let stored = Stored {
            client_id: self.client.clone(),
            token_url: self.server.clone(),
            user: self.user.clone(),
            obtained: self.obtained.seconds(),
            expires: self.expires.seconds(),
            access_token: text(&self.access),
            refresh_token: self.refresh.as_ref().map(text),
            ended: self.ended.clone(),
        };
        // Every octet may need an escape of six, so that it never grows and leaves a copy behind.
        let secrets = self.access.expose().len() + self.refresh.as_ref().map_or(0, |token| token.expose().len());
        let mut content = Zeroizing::new(Vec::with_capacity(6 * secrets + 4096));
        // Writing to memory cannot fail, nor can strings and numbers be no JSON.
        let _ = serde_json::to_writer_pretty(&mut *content, &stored);
        content.push(b'\n');
        content
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::{Secret, account_of};

    pub fn settings() -> OAuth2 {
        let lines = "host = \"x.org\"\nuser = \"me@x.org\"\noauth2 = { client-id = \"c\", scope = \"s\", token-url = \
                     \"https://x.org/t\", authorize-url = \"https://x.org/a\" }";
        match account_of(lines).secret {
            Some(Secret::OAuth2(settings)) => *settings,
            _ => unreachable!(),
        }
    }

    pub fn grant(access: &str, refresh: Option<&str>, seconds: u64) -> Grant {
        let password = |text: &str| Password::new(text.as_bytes().to_vec());
        let lifetime = Duration::from_secs(seconds);
        Grant { access: password(access), refresh: refresh.map(password), lifetime }
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_seconds(1_800_000_000 + seconds)
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let hour = Tokens::new(grant("a", None, 3600), &settings(), "me@x.org", at(0));
        let short = Tokens::new(grant("a", None, 8), &settings(), "me@x.org", at(0));
        for (tokens, now, good) in [
            (&hour, at(0), true),
            (&hour, at(3539), true),
            (&hour, at(3540), false),
            (&hour, Moment::from_seconds(1_799_999_999), false),
            (&short, at(5), true),
            (&short, at(6), false),
        ] {
            assert_eq!(tokens.is_good(now), good, "{now:?}");
        }
        assert!(hour.is_young(at(59)) && !hour.is_young(at(60)));
    }

    #[test]
    fn what_is_kept_is_read_again_and_a_new_refresh_token_takes_the_place_of_the_old() {
        let first = Tokens::new(grant("a", Some("r"), 3600), &settings(), "me@x.org", at(0));
        let second = Tokens::read(&first.write()).unwrap().renewed(grant("b", None, 60), at(9));
        assert_eq!(second.refresh.as_ref().unwrap().expose(), b"r");
        let third = Tokens::read(&second.write()).unwrap().renewed(grant("c", Some("s"), 60), at(10));
        let third = Tokens::read(&third.write()).unwrap();
        assert_eq!((third.access.expose(), third.refresh.as_ref().unwrap().expose()), (&b"c"[..], &b"s"[..]));
        assert_eq!((third.obtained, third.expires), (at(10), at(70)));
        assert!(Tokens::read(b"{}").is_none() && Tokens::read(b"").is_none());
    }

    #[test]
    fn tokens_are_only_for_whom_they_were_given() {
        let tokens = Tokens::new(grant("a", Some("r"), 3600), &settings(), "me@x.org", at(0));
        assert_eq!(tokens.differs(&settings(), "me@x.org"), None);
        assert_eq!(tokens.differs(&settings(), "you@x.org"), Some("user"));
        let mut other = settings();
        other.client_id = "d".into();
        assert_eq!(tokens.differs(&other, "me@x.org"), Some("client-id"));
        let mut other = settings();
        other.token = crate::config::Url::parse("https://evil.org/t").unwrap();
        assert_eq!(tokens.differs(&other, "me@x.org"), Some("token-url"));
    }
}
