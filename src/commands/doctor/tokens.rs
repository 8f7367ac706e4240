//! How the tokens of an account with OAuth 2 stand. Asks nobody: what the token server thinks shows when one is renewed.

use super::super::context::Context;
use super::super::{handover, session};
use super::check::{Check, Group};
use crate::clock::Moment;
use crate::config::{Account, Secret};
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::oauth::{OauthError, Tokens};
use crate::spool::Spool;

/// The tokens that are kept; nothing for an account that has none to keep.
pub fn check(context: &Context, account: &Account) -> Option<Check> {
    let Some(Secret::OAuth2(settings)) = &account.secret else { return None };
    if handover::has_foreign_spool(context) {
        return Some(
            Check::warning(Group::Login, "token", "not looked at, and no login tried")
                .because("tokens are for the owner of the spool alone, who is the spooler")
                .fix("as root: runuser -u mailchute -- mailchute doctor"),
        );
    }
    let spool = Spool::existing(&context.config.spool).map_err(OauthError::from);
    let spool = spool.and_then(|spool| spool.ok_or_else(|| OauthError::NoLogin(account.name.clone())));
    let tokens = spool.and_then(|spool| session::keeper(context, &spool, account, settings).look());
    Some(match tokens {
        Ok(tokens) => judge(&tokens, &account.name, Moment::now()),
        Err(error) => {
            let check = Check::bad(Group::Login, "token", error.to_string(), error.exit());
            error.hints().into_iter().fold(check, Check::fix)
        }
    })
}

fn judge(tokens: &Tokens, account: &str, now: Moment) -> Check {
    let until = tokens.expires.rfc3339();
    let again = format!("log in again: mailchute login --account {account}");
    match (tokens.is_good(now), tokens.refresh.is_some()) {
        (true, true) => Check::good(Group::Login, "token", format!("good until {until}, then renewed")),
        (false, true) => Check::good(Group::Login, "token", "has ended, and is renewed with the next login"),
        (true, false) => Check::warning(Group::Login, "token", format!("good until {until}, and no longer"))
            .because("the login gave no refresh token")
            .fix(again),
        (false, false) => {
            let error = OauthError::NoRefresh(account.to_owned());
            Check::bad(Group::Login, "token", error.to_string(), Exit::Config).fix(again)
        }
    }
}
