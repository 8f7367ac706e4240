//! One request to the token server, and what it grants.

use super::answer::{self, Device, Grant, No};
use super::error::OauthError;
use super::proof::Proof;
use crate::config::{OAuth2, Password, Url};
use crate::http::{Answer, Client, form};
use crate::submission::Patience;
use zeroize::Zeroizing;

/// Asks the token server of an account.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    pub account: &'a str,
    pub settings: &'a OAuth2,
    pub client: Client<'a>,
}

/// What became of a device code so far.
#[derive(Debug)]
pub enum Polled {
    Done(Grant),
    /// The person has not decided yet.
    Pending,
    /// The same, and we asked too often.
    SlowDown,
}

impl Asker<'_> {
    /// The address a person has to open, for a redirect that is being listened for; `None` when the provider has none.
    pub fn authorize_address(&self, proof: &Proof, redirect: &str, user: &str) -> Option<String> {
        let base = self.settings.authorize.as_ref()?.to_string();
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", redirect),
            ("scope", &self.settings.scope),
            ("state", &proof.state),
            ("code_challenge", &proof.challenge()),
            ("code_challenge_method", "S256"),
            ("login_hint", user),
        ]);
        let joint = if base.contains('?') { '&' } else { '?' };
        Some(format!("{base}{joint}{}", query.as_str()))
    }

    /// Redeems the code that the browser brought (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    pub fn redeem(
        &self,
        code: &str,
        proof: &Proof,
        redirect: &str,
        patience: &mut Patience,
    ) -> Result<Grant, OauthError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", proof.verifier.as_str()),
        ];
        let answer = self.ask(&self.settings.token, &fields, patience)?;
        answer::grant(&answer).map_err(|no| self.error(no, &[code.as_bytes(), proof.verifier.as_bytes()]))
    }

    /// Renews the access token (RFC 6749 section 6).
    pub fn refresh(&self, refresh: &Password, patience: &mut Patience) -> Result<Grant, OauthError> {
        let token = Zeroizing::new(String::from_utf8_lossy(refresh.expose()).into_owned());
        // The scope stays what was allowed; saying it again is where servers differ.
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
        let answer = self.ask(&self.settings.token, &fields, patience)?;
        answer::grant(&answer).map_err(|no| self.error(no, &[refresh.expose()]))
    }

    /// Asks for a code to type on another device; `None` when the provider has none.
    pub fn device(&self, patience: &mut Patience) -> Option<Result<Device, OauthError>> {
        let url = self.settings.device.as_ref()?;
        let answer = self.ask(url, &[("scope", self.settings.scope.as_str())], patience);
        Some(answer.and_then(|answer| answer::device(&answer).map_err(|no| self.error(no, &[]))))
    }

    /// Asks whether the person has typed it (RFC 8628 section 3.4).
    pub fn poll(&self, device: &Device, patience: &mut Patience) -> Result<Polled, OauthError> {
        let code = Zeroizing::new(String::from_utf8_lossy(device.code.expose()).into_owned());
        let kind = "urn:ietf:params:oauth:grant-type:device_code";
        let fields = [("grant_type", kind), ("device_code", code.as_str())];
        let answer = self.ask(&self.settings.token, &fields, patience)?;
        match answer::grant(&answer) {
            Ok(grant) => Ok(Polled::Done(grant)),
            Err(No::Pending) => Ok(Polled::Pending),
            Err(No::SlowDown) => Ok(Polled::SlowDown),
            Err(No::Ended(_)) => Err(OauthError::Unanswered),
            Err(no) => Err(self.error(no, &[device.code.expose()])),
        }
    }

    fn ask(&self, url: &Url, fields: &[(&str, &str)], patience: &mut Patience) -> Result<Answer, OauthError> {
        let secret = self.settings.client_secret().map_err(OauthError::Client)?;
        let secret = secret.map(|secret| Zeroizing::new(String::from_utf8_lossy(secret.expose()).into_owned()));
        let mut all = vec![("client_id", self.settings.client_id.as_str())];
        all.extend(secret.as_ref().map(|secret| ("client_secret", secret.as_str())));
        all.extend_from_slice(fields);
        self.client.post_form(url, &form(&all), patience).map_err(OauthError::Unreachable)
    }

    fn error(&self, no: No, secrets: &[&[u8]]) -> OauthError {
        let client = self.settings.client_secret().ok().flatten();
        let mut secrets = secrets.to_vec();
        secrets.extend(client.as_ref().map(Password::expose));
        no.into_error(self.account, &self.settings.token.authority(), &secrets)
    }
}
