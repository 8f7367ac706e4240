//! AUTH at a relay (RFC 4954): the server side of every mechanism that a client may choose.

use super::record::Login;
use super::scram::Scram;
use super::session::{End, Session};
use super::{base64, md5};

const CHALLENGE: &str = "<1896.697170952@relay.test>";

/// A login that got as far as naming somebody.
struct Shown {
    user: String,
    /// As far as the mechanism shows it.
    password: String,
    accepted: bool,
}

impl Session<'_> {
    pub(super) fn authenticate(&mut self, line: &str) -> Result<(), End> {
        let mut words = line.split(' ').skip(1);
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        if !self.offered("AUTH") || !self.play.script.mechanisms.split(' ').any(|offer| offer == mechanism) {
            self.offend("AUTH that was not offered");
            self.react(line, "504 5.7.4 unrecognized authentication type")?;
            return Ok(());
        }
        if self.play.acts_on(line) {
            self.react(line, "535 5.7.8 authentication failed")?;
            return Ok(());
        }
        let initial = words.next();
        let Some(shown) = (match mechanism.as_str() {
            "LOGIN" => self.login(initial)?,
            "CRAM-MD5" => self.cram_md5()?,
            "EXTERNAL" => self.external(initial)?,
            name if name.starts_with("SCRAM-") => self.scram(&mechanism, initial)?,
            name if name.contains("OAUTH") => self.bearer(initial)?,
            _ => self.plain(initial)?,
        }) else {
            self.react("login", "501 5.7.0 cancelled")?;
            return Ok(());
        };
        let usual = if shown.accepted { "235 2.7.0 accepted" } else { "535 5.7.8 authentication failed" };
        let (Shown { user, password, accepted }, secure) = (shown, self.stream.is_secure());
        let login = Login { mechanism, user: user.clone(), password, secure, accepted };
        self.shared.note(|record| record.logins.push(login));
        if self.react("login", usual)? == 235 {
            self.state.login = Some(user);
        }
        Ok(())
    }

    fn plain(&mut self, initial: Option<&str>) -> Result<Option<Shown>, End> {
        let Some(first) = self.first(initial, "")? else { return Ok(None) };
        let mut parts = first.split('\0').skip(1).map(str::to_string);
        Ok(Some(self.with_password(parts.next().unwrap_or_default(), parts.next().unwrap_or_default())))
    }

    fn login(&mut self, initial: Option<&str>) -> Result<Option<Shown>, End> {
        let Some(user) = self.first(initial, "Username:")? else { return Ok(None) };
        let Some(password) = self.ask("Password:")? else { return Ok(None) };
        Ok(Some(self.with_password(user, password)))
    }

    fn cram_md5(&mut self) -> Result<Option<Shown>, End> {
        let Some(answer) = self.ask(CHALLENGE)? else { return Ok(None) };
        let (user, proof) = answer.rsplit_once(' ').unwrap_or_default();
        let hex = |password: &str| -> String {
            md5::hmac(password.as_bytes(), CHALLENGE.as_bytes()).iter().map(|octet| format!("{octet:02x}")).collect()
        };
        let accepted = self.password_of(user).is_some_and(|password| hex(&password) == proof);
        Ok(Some(Shown { user: user.to_string(), password: String::new(), accepted }))
    }

    /// The name is the client's wish; who it is, its certificate has said.
    fn external(&mut self, initial: Option<&str>) -> Result<Option<Shown>, End> {
        let Some(user) = self.first(initial, "")? else { return Ok(None) };
        Ok(Some(Shown { user, password: String::new(), accepted: self.stream.has_client_certificate() }))
    }

    fn scram(&mut self, mechanism: &str, initial: Option<&str>) -> Result<Option<Shown>, End> {
        let Some(first) = self.first(initial, "")? else { return Ok(None) };
        let refused = |user: &str| Shown { user: user.to_string(), password: String::new(), accepted: false };
        let terms = self.play.script.terms;
        let Some(scram) = Scram::begin(mechanism, terms, &first, self.stream.channel_binding()) else {
            return Ok(Some(refused("")));
        };
        let Some(last) = self.ask(scram.server_first())? else { return Ok(None) };
        let password = self.password_of(&scram.user).unwrap_or_default();
        let Some(proof) = scram.finish(&last, &password) else { return Ok(Some(refused(&scram.user))) };
        if terms.cheat != super::scram::Cheat::NoProof && self.ask(&proof)?.is_none() {
            return Ok(None);
        }
        Ok(Some(Shown { accepted: true, ..refused(&scram.user) }))
    }

    fn bearer(&mut self, initial: Option<&str>) -> Result<Option<Shown>, End> {
        let Some(first) = self.first(initial, "")? else { return Ok(None) };
        let value = |start: &str| {
            let found = first.split(['\x01', ',']).find_map(|part| part.strip_prefix(start));
            found.unwrap_or_default().to_string()
        };
        let user = value("user=");
        let shown = self.with_password(if user.is_empty() { value("a=") } else { user }, value("auth=Bearer "));
        if !shown.accepted {
            self.ask(r#"{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}"#)?;
        }
        Ok(Some(shown))
    }

    fn with_password(&self, user: String, password: String) -> Shown {
        let accepted = self.play.script.logins.contains(&(user.clone(), password.clone()));
        Shown { user, password, accepted }
    }

    fn password_of(&self, user: &str) -> Option<String> {
        self.play.script.logins.iter().find(|(known, _)| known == user).map(|(_, password)| password.clone())
    }

    /// The first response, which may have come with the command; `None` when the client gives up.
    fn first(&mut self, initial: Option<&str>, challenge: &str) -> Result<Option<String>, End> {
        match initial {
            Some("=") => Ok(Some(String::new())),
            Some(initial) => Ok(Some(decoded(initial))),
            None => self.ask(challenge),
        }
    }

    /// The answer to a challenge; `None` when the client gives up.
    fn ask(&mut self, challenge: &str) -> Result<Option<String>, End> {
        self.say(format!("334 {}\r\n", base64::encode(challenge.as_bytes())).as_bytes())?;
        let answer = self.command()?;
        Ok((answer != "*").then(|| decoded(&answer)))
    }
}

fn decoded(text: &str) -> String {
    base64::decode(text).map_or_else(String::new, |bytes| String::from_utf8_lossy(&bytes).into_owned())
}
