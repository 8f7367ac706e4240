//! Logging in: which mechanism, the password when it is due, the exchange, and what a refusal means. Knows the dialogue
//! of AUTH (RFC 4954); what a mechanism answers is sasl's.

use super::Watch;
use super::capabilities::Capabilities;
use super::classify::{Login, Verdict, classify, classify_login};
use super::command::Flight;
use super::dialogue::Dialogue;
use super::fault::Fault;
use super::opening::{Opening, Setback};
use super::probe::Symptom;
use super::reply::told;
use super::sasl::{self, Credentials, Mechanism};
use crate::config::{Auth, Leave};
use crate::mail::outcome::{Reply, Stage};
use std::ops::ControlFlow;
use std::time::Instant;
use zeroize::Zeroizing;

/// The longest command line (RFC 5321 section 4.5.3.1.4), CRLF included.
const LINE: usize = 512;

impl Opening<'_> {
    /// Logs in, or says why that is not possible. `safe` is whether a password may be said on this connection at all.
    pub(super) fn log_in(
        &self,
        user: &str,
        safe: bool,
        dialogue: &mut Dialogue,
        capabilities: &Capabilities,
        watch: &mut Watch,
    ) -> Result<(), Setback> {
        if !safe {
            return Err(self.held(
                Stage::Auth,
                "no login without TLS".into(),
                Some("set tls = \"starttls\" or \"implicit\", or leave out user".into()),
            ));
        }
        if capabilities.auth.is_empty() {
            let setback = self.held(
                Stage::Auth,
                "a user is configured, but the relay offers no login".into(),
                Some("another port may offer it; if the relay wants none, leave out user".into()),
            );
            return Err(Setback { tries_next: true, ..setback });
        }
        let asked = match &self.account.auth {
            Auth::Auto => None,
            Auth::Mechanism(name) => Some(self.asked_mechanism(name, capabilities)?),
        };
        let secret = match asked {
            Some(Mechanism::External) => Zeroizing::new(Vec::new()),
            _ => self.secret(watch)?,
        };
        let credentials = Credentials {
            user,
            secret: &secret,
            is_token: self.account.secret.as_ref().is_some_and(|secret| secret.is_token()),
            host: &self.endpoint.host,
            port: self.endpoint.port,
            binding: dialogue.stream.channel_binding(),
        };
        let choices = match asked {
            Some(mechanism) if credentials.is_token && !mechanism.takes_token() => {
                let cause =
                    format!("a token is never sent as a password, which auth = {:?} asks for", mechanism.name());
                return Err(self.held(Stage::Auth, cause, Some("leave out auth".into())));
            }
            Some(mechanism) => vec![mechanism],
            None => credentials.choices(&capabilities.auth),
        };
        hush(&secret, dialogue);
        let mut refused = None;
        for mechanism in choices {
            let result = self.exchange(mechanism, &credentials, dialogue, capabilities, watch);
            match result {
                Ok(()) => {
                    dialogue.forget();
                    return Ok(());
                }
                Err(Refused::Mechanism(setback)) => refused = Some(setback),
                Err(Refused::Login(setback)) => return Err(setback),
            }
        }
        Err(refused.unwrap_or_else(|| {
            let cause = format!("no common way to log in; the relay offers {}", capabilities.auth.join(" "));
            let hint = if credentials.is_token {
                "the relay takes no OAuth 2 tokens: use a password"
            } else {
                "the relay takes no passwords: use OAuth 2 with token-command"
            };
            self.held(Stage::Auth, cause, Some(hint.into()))
        }))
    }

    fn asked_mechanism(&self, name: &str, capabilities: &Capabilities) -> Result<Mechanism, Setback> {
        let known = Mechanism::named(name);
        let offered = capabilities.auth.iter().any(|offer| offer.eq_ignore_ascii_case(name));
        known.filter(|_| offered).ok_or_else(|| {
            let cause = match known {
                Some(_) => format!("auth = {name:?} is not offered; the relay offers {}", capabilities.auth.join(" ")),
                None => format!("auth = {name:?} is no way to log in that is known here"),
            };
            self.held(Stage::Auth, cause, Some("leave out auth, and the best way is taken".into()))
        })
    }

    fn secret(&self, watch: &mut Watch) -> Result<Zeroizing<Vec<u8>>, Setback> {
        let moment = watch.patience.moment();
        let mut act = || {
            watch.patience.part(Instant::now());
            if watch.patience.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let leave = moment.map(|at| Leave { at, act: &mut act });
        let Some(fetched) = self.account.password(leave) else {
            let hint = "set password-command, password-file or another source of the password";
            return Err(self.held(Stage::Secret, "the account has a user but no password".into(), Some(hint.into())));
        };
        let password = fetched.map_err(|error| match watch.patience.is_over() {
            // The caller could not be let go, and the program had no time.
            true => self.broke(Stage::Secret, &Fault::TimedOut),
            false => self.held(Stage::Secret, error.to_string(), error.hint.clone()),
        })?;
        Ok(tidied(password.expose(), &self.endpoint.host))
    }

    /// One login.
    fn exchange(
        &self,
        mechanism: Mechanism,
        credentials: &Credentials,
        dialogue: &mut Dialogue,
        capabilities: &Capabilities,
        watch: &mut Watch,
    ) -> Result<(), Refused> {
        let broke = |fault: Fault| Refused::Login(Setback { tries_next: false, ..self.broke(Stage::Auth, &fault) });
        let held = |cause: String| {
            let hint = "somebody may pose as the relay, or its SCRAM is broken: ask who runs it";
            let hint = matches!(mechanism, Mechanism::Scram(..)).then(|| hint.to_owned());
            Refused::Login(self.held(Stage::Auth, cause, hint))
        };
        let begun = credentials.begin(mechanism, &capabilities.auth);
        let mut exchange = begun
            .ok_or_else(|| Refused::Login(self.held(Stage::Auth, "this system has no random numbers".into(), None)))?;
        let mut flight = Flight::default();
        let lead = format!("AUTH {} ", mechanism.name());
        match exchange.first(LINE - lead.len() - 2) {
            // RFC 4954 section 4: how nothing is written.
            Some(first) if first.is_empty() => flight.command(&format!("{lead}=\r\n")),
            Some(first) => said(&mut flight, &lead, &first, dialogue),
            None => flight.command(&format!("{}\r\n", lead.trim_end())),
        }
        .map_err(broke)?;
        loop {
            let reply = told(&dialogue.ask(&flight, watch).map_err(broke)?);
            match reply.code {
                200..=299 if exchange.may_end() => return Ok(()),
                200..=299 => {
                    return Err(held("the relay accepted the login without proving that it knows the password".into()));
                }
                334 => {}
                300..=399 => return Err(broke(Fault::Unexpected(reply))),
                // The mechanism is refused, not the password: another one is no second try at the password.
                504 => return Err(Refused::Mechanism(self.refused_login(mechanism, reply, None, credentials))),
                _ => {
                    let complaint = exchange.complaint().map(|words| dialogue.censored(words));
                    return Err(Refused::Login(self.refused_login(
                        mechanism,
                        reply,
                        complaint.as_deref(),
                        credentials,
                    )));
                }
            }
            let challenge = reply.lines.first().and_then(|line| sasl::decode(line)).unwrap_or_default();
            flight = Flight::default();
            match exchange.respond(&challenge) {
                Ok(answer) => said(&mut flight, "", &answer, dialogue).map_err(broke)?,
                Err(words) => {
                    // RFC 4954 section 4: a client that will not go on says so.
                    dialogue.stream.send_last(b"*\r\n");
                    return Err(held(format!("{}: {words}", mechanism.name())));
                }
            }
        }
    }

    fn refused_login(
        &self,
        mechanism: Mechanism,
        reply: Reply,
        complaint: Option<&str>,
        credentials: &Credentials,
    ) -> Setback {
        let login = Login {
            user: credentials.user,
            host: &self.endpoint.host,
            app_password: is_app_password(credentials.secret),
        };
        let explanation =
            if credentials.is_token { classify(Stage::Auth, &reply) } else { classify_login(&reply, login) };
        let holds = explanation.verdict == Verdict::Account || reply.code >= 500;
        let complaint = complaint.map(|words| format!("the token was refused ({words}): get a new one for this user"));
        let hint = complaint.or_else(|| match mechanism {
            Mechanism::Scram(..) | Mechanism::CramMd5 if self.account.auth == Auth::Auto => {
                let name = mechanism.name();
                let other = format!("if the password is right, the server cannot check {name}: set auth = \"plain\"");
                Some(explanation.hint.map_or(other.clone(), |hint| format!("{hint}; {other}")))
            }
            _ => explanation.hint,
        });
        let failure = self.failure(Stage::Auth, Some(reply), String::new(), hint);
        Setback { failure, holds, tries_next: false, symptom: Symptom::TurnedAway }
    }
}

/// Sees to it that a relay that repeats the secret is not heard: as it is, or in whatever base64 it was written in.
fn hush(secret: &[u8], dialogue: &mut Dialogue) {
    std::str::from_utf8(secret).into_iter().for_each(|secret| dialogue.hush(secret));
    for lead in [&b""[..], b"\0", b"\0\0"] {
        let mut before = Zeroizing::new(Vec::with_capacity(lead.len() + secret.len()));
        before.extend_from_slice(lead);
        before.extend_from_slice(secret);
        let words = sasl::encode(&before);
        // The first and the last four characters depend on what stands around.
        words.get(4..words.len().saturating_sub(4)).into_iter().for_each(|words| dialogue.hush(words));
    }
}

/// Puts an answer into a flight, and sees to it that a relay that repeats it is not heard.
fn said(flight: &mut Flight, lead: &str, answer: &[u8], dialogue: &mut Dialogue) -> Result<(), Fault> {
    let words = sasl::encode(answer);
    dialogue.hush(&words);
    flight.secret(lead, words.as_bytes())
}

/// How a login ended without success.
enum Refused {
    /// The relay does not take this mechanism; another may do.
    Mechanism(Setback),
    Login(Setback),
}

/// Google shows App Passwords in four groups with blanks, which are not part of them.
fn tidied(secret: &[u8], host: &str) -> Zeroizing<Vec<u8>> {
    if host.ends_with("gmail.com") || host.ends_with("googlemail.com") {
        let text = Zeroizing::new(String::from_utf8_lossy(secret).into_owned());
        let mut bare = Zeroizing::new(String::with_capacity(text.len()));
        bare.extend(text.chars().filter(|c| !c.is_whitespace()));
        if is_app_password(bare.as_bytes()) {
            return bare.as_bytes().to_vec().into();
        }
    }
    secret.to_vec().into()
}

fn is_app_password(secret: &[u8]) -> bool {
    secret.len() == 16 && secret.iter().all(u8::is_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_in_googles_app_passwords_are_dropped() {
        let cases = [
            ("abcd efgh\u{a0}ijkl mnop\n", "smtp.gmail.com", "abcdefghijklmnop"),
            ("my pass word", "smtp.gmail.com", "my pass word"),
            ("abcd efgh ijkl mnop", "mail.x.org", "abcd efgh ijkl mnop"),
        ];
        for (secret, host, expected) in cases {
            assert_eq!(tidied(secret.as_bytes(), host).as_slice(), expected.as_bytes(), "{secret:?} {host}");
        }
    }
}
