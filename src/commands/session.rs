//! The door to a relay: an account's tokens made good, a session opened with them, and once more when the relay says
//! that a token has ended which we believed good.

use super::context::Context;
use super::courier::Watcher;
use crate::config::{Account, OAuth2, Password, Secret};
use crate::diagnostic::Explain;
use crate::http::Client;
use crate::mail::outcome::{Failure, Stage, Trouble};
use crate::oauth::{Asker, Keeper, OauthError};
use crate::spool::Spool;
use crate::submission::{Patience, Session};

/// A logged-in session.
///
/// # Errors
/// The trouble, and whether it holds the account.
pub fn open(
    context: &Context,
    account: &Account,
    patience: &mut Patience,
    watcher: &mut Watcher,
) -> Result<Session, Trouble> {
    let mut enter = |account: &Account, patience: &mut Patience| {
        Session::open(account, &context.process.host, &context.roots, patience, watcher)
    };
    let Some(Secret::OAuth2(settings)) = &account.secret else { return enter(account, patience) };
    let first = token(context, account, settings, None, patience)?;
    let trouble = match enter(&with(account, &first), patience) {
        Err(Trouble::Held(failure)) if failure.stage == Stage::Auth && failure.reply.is_some() => {
            Trouble::Held(failure)
        }
        ended => return ended,
    };
    // One more login, and only with another token: a relay that refuses that too means the account.
    let second = token(context, account, settings, Some(&first), patience)?;
    if second.expose() == first.expose() { Err(trouble) } else { enter(&with(account, &second), patience) }
}

/// The keeper of an account's tokens.
pub fn keeper<'a>(context: &'a Context, spool: &'a Spool, account: &'a Account, settings: &'a OAuth2) -> Keeper<'a> {
    let asker = Asker { account: &account.name, settings, client: Client { roots: &context.roots } };
    Keeper { spool, asker, user: account.user.as_deref().unwrap_or_default(), log: &context.log }
}

fn token(
    context: &Context,
    account: &Account,
    settings: &OAuth2,
    refused: Option<&Password>,
    patience: &mut Patience,
) -> Result<Password, Trouble> {
    let spool = Spool::existing(&context.config.spool).map_err(OauthError::from);
    let spool = spool.and_then(|spool| spool.ok_or_else(|| OauthError::NoLogin(account.name.clone())));
    let token = spool.and_then(|spool| keeper(context, &spool, account, settings).access(refused, patience));
    token.map_err(|error| trouble(&account.name, &error))
}

/// A token that cannot be had, as the queue knows it.
fn trouble(account: &str, error: &OauthError) -> Trouble {
    let failure = Failure {
        stage: Stage::Token,
        relay: format!("account {account}"),
        reply: None,
        cause: error.to_string(),
        hint: error.hints().into_iter().next(),
    };
    if error.passes() { Trouble::Waiting(failure) } else { Trouble::Held(failure) }
}

fn with(account: &Account, token: &Password) -> Account {
    Account { secret: Some(Secret::Token(token.clone())), ..account.clone() }
}
