//! The access token for a session: the one that is kept while it is good, else a new one, asked for once however many
//! processes need it.

use super::answer::Grant;
use super::error::OauthError;
use super::grant::Asker;
use super::tokens::Tokens;
use crate::clock::Moment;
use crate::config::Password;
use crate::diagnostic::chain;
use crate::http;
use crate::log::Log;
use crate::spool::{Blank, Slip, Spool, SpoolError};
use crate::submission::Patience;
use crate::system;
use std::thread;
use std::time::{Duration, Instant};

/// How long another process may take to renew it: longer than any request, [`http::WHOLE`].
const PATIENCE: Duration = Duration::from_secs(40);
/// How often to look whether it has.
const GLANCE: Duration = Duration::from_millis(25);

/// The keeper of one account's tokens.
pub struct Keeper<'a> {
    pub spool: &'a Spool,
    pub asker: Asker<'a>,
    /// The login name they are for.
    pub user: &'a str,
    pub log: &'a Log,
}

/// Whose turn it is.
enum Hold {
    Ours,
    /// Another process has it.
    Theirs,
    /// Another process had it, and has put a new file in its place.
    Past,
}

impl Keeper<'_> {
    /// A token to log in with. `refused` is one that a relay has just not taken: then another one, or the same when it
    /// is too young to have ended.
    ///
    /// # Errors
    /// There is none, and whether time mends that.
    pub fn access(&self, refused: Option<&Password>, patience: &mut Patience) -> Result<Password, OauthError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let slip = self.slip()?.ok_or_else(|| self.no_login())?;
            let tokens = self.read(&slip)?;
            let now = Moment::now();
            let is_refused = refused.is_some_and(|refused| refused.expose() == tokens.access.expose());
            if tokens.is_good(now) && (!is_refused || tokens.is_young(now)) {
                return Ok(tokens.access);
            }
            match self.hold(&slip)? {
                Hold::Ours => return self.renew(&slip, tokens, patience),
                // Who has waited for the lock finds what the other one got.
                Hold::Past => continue,
                Hold::Theirs => {}
            }
            if Instant::now() >= end || !patience.pause(GLANCE) {
                return Err(OauthError::Busy);
            }
        }
    }

    /// Keeps what a login gave, behind a renewal that is under way: what that one writes is of the old login.
    ///
    /// # Errors
    /// It cannot be written, or another process is at it for too long.
    pub fn keep(&self, grant: Grant) -> Result<Tokens, OauthError> {
        let tokens = Tokens::new(grant, self.asker.settings, self.user, Moment::now());
        let _held = self.wait()?;
        self.write(&tokens)?;
        Ok(tokens)
    }

    /// The file that is there, locked; `None` when none can be, for then nobody renews it.
    fn wait(&self) -> Result<Option<Slip>, OauthError> {
        let end = Instant::now() + PATIENCE;
        loop {
            let Ok(Some(slip)) = self.slip() else { return Ok(None) };
            match self.hold(&slip)? {
                Hold::Ours => return Ok(Some(slip)),
                Hold::Past => {}
                Hold::Theirs if Instant::now() >= end => return Err(OauthError::Busy),
                Hold::Theirs => thread::sleep(GLANCE),
            }
        }
    }

    fn hold(&self, slip: &Slip) -> Result<Hold, OauthError> {
        let trouble = |error| SpoolError::io("locking tokens", &self.spool.path())(error);
        Ok(match slip.lock().map_err(trouble)? {
            true if slip.is_current().map_err(trouble)? => Hold::Ours,
            true => Hold::Past,
            false => Hold::Theirs,
        })
    }

    /// What is kept, as it is, good or not.
    ///
    /// # Errors
    /// Nothing is, or it is for another client, user or server.
    pub fn look(&self) -> Result<Tokens, OauthError> {
        let slip = self.slip()?.ok_or_else(|| self.no_login())?;
        let tokens = self.read(&slip)?;
        match &tokens.ended {
            Some(words) => Err(self.ended(words.clone())),
            None => Ok(tokens),
        }
    }

    /// Asks for a new token, with the lock in hand. Where what is got cannot be kept, nothing is asked: many servers
    /// take a refresh token once only.
    fn renew(&self, slip: &Slip, tokens: Tokens, patience: &mut Patience) -> Result<Password, OauthError> {
        if let Some(words) = &tokens.ended {
            return Err(self.ended(words.clone()));
        }
        let Some(refresh) = &tokens.refresh else {
            return Err(OauthError::NoRefresh(self.asker.account.to_owned()));
        };
        let blank = slip.blank()?;
        match patience.bounded(http::WHOLE, http::STEP, |patience| self.asker.refresh(refresh, patience)) {
            Ok(grant) => {
                let tokens = tokens.renewed(grant, Moment::now());
                // The token in hand still lets this mail go.
                self.fill(blank, &tokens);
                Ok(tokens.access)
            }
            Err(OauthError::Ended { words, .. }) => {
                // A login that has ended never comes back: nothing more is asked of the server. What cannot be noted is
                // only asked again.
                self.fill(blank, &tokens.ended_by(words.clone()));
                Err(self.ended(words))
            }
            Err(error) => Err(error),
        }
    }

    fn fill(&self, blank: Blank, tokens: &Tokens) {
        if let Err(error) = blank.fill(&tokens.write()) {
            let account = self.asker.account;
            self.log.note(&format!("account {account}: the renewed token is lost: {}", chain(&error)));
        }
    }

    fn slip(&self) -> Result<Option<Slip>, OauthError> {
        system::hide_memory();
        Ok(self.spool.tokens(self.asker.account)?)
    }

    fn read(&self, slip: &Slip) -> Result<Tokens, OauthError> {
        let content = slip.content().map_err(SpoolError::io("reading tokens", &self.spool.path()))?;
        let tokens = Tokens::read(&content).ok_or_else(|| self.no_login())?;
        match tokens.differs(self.asker.settings, self.user) {
            Some(what) => Err(OauthError::Other { account: self.asker.account.to_owned(), what }),
            None => Ok(tokens),
        }
    }

    fn write(&self, tokens: &Tokens) -> Result<(), OauthError> {
        Ok(self.spool.keep_tokens(self.asker.account, &tokens.write())?)
    }

    fn no_login(&self) -> OauthError {
        OauthError::NoLogin(self.asker.account.to_owned())
    }

    fn ended(&self, words: String) -> OauthError {
        let server = self.asker.settings.token.authority();
        OauthError::Ended { account: self.asker.account.to_owned(), server, words }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tests::{grant, settings};
    use super::*;
    use crate::http::Client;
    use crate::submission::Roots;

    #[test]
    fn a_refresh_token_is_not_used_up_when_its_successor_cannot_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("spool")).unwrap();
        let (settings, roots, log) = (settings(), Roots::default(), Log::silent());
        let asker = Asker { account: "gmail", settings: &settings, client: Client { roots: &roots } };
        let keeper = Keeper { spool: &spool, asker, user: "me@x.org", log: &log };
        let tokens = keeper.keep(grant("a", Some("r"), 0)).unwrap();
        let slip = spool.tokens("gmail").unwrap().unwrap();
        std::fs::remove_dir_all(spool.path().join("tokens")).unwrap();
        let error = keeper.renew(&slip, tokens, &mut http::patience()).unwrap_err();
        assert!(matches!(error, OauthError::Spool(_)) && error.passes(), "{error}");
    }

    #[test]
    fn a_login_is_kept_behind_a_renewal_that_is_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("spool")).unwrap();
        let (settings, roots, log) = (settings(), Roots::default(), Log::silent());
        let asker = Asker { account: "gmail", settings: &settings, client: Client { roots: &roots } };
        let keeper = Keeper { spool: &spool, asker, user: "me@x.org", log: &log };
        let first = keeper.keep(grant("first", None, 3600)).unwrap();
        let renewal = spool.tokens("gmail").unwrap().unwrap();
        assert!(renewal.lock().unwrap());
        thread::scope(|scope| {
            let login = scope.spawn(|| keeper.keep(grant("login", None, 3600)));
            thread::sleep(Duration::from_millis(100));
            assert!(renewal.is_current().unwrap() && !login.is_finished());
            spool.keep_tokens("gmail", &first.ended_by("invalid_grant".into()).write()).unwrap();
            drop(renewal);
        });
        assert_eq!(keeper.look().unwrap().access.expose(), b"login");
    }
}
