//! `mailchute login`: a person's permission, or password, put where the account's messages find it. Nothing is ever
//! opened or started for that: the address is shown, and whoever is there opens it.

mod browser;
mod device;
mod loopback;

use super::context::Context;
use super::setup::asker::{self, Asker};
use super::setup::trial::{self, Untried};
use super::{Failed, run_queue, session};
use crate::cli::{Global, Login};
use crate::config::{Account, Keyring, OAuth2, Password, Secret};
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::mail::header::Header;
use crate::process::{self, Process};
use crate::queue::account;
use crate::route;
use crate::spool::Spool;
use std::fmt;

/// Logs in to the account named, or the one that can be.
///
/// # Errors
/// There is none, it is not allowed, nobody answers, or the relay does not take what was got.
pub fn log_in(process: &Process, global: &Global, wishes: &Login) -> Result<Exit, Failed> {
    let context = Context::load(process, global)?;
    let account = chosen(&context)?;
    match account.secret.as_ref().map(Secret::source) {
        Some(Secret::OAuth2(settings)) => by_permission(&context, account, settings, wishes),
        Some(Secret::Keyring(keyring)) => by_password(&context, account, keyring, wishes),
        source => {
            let source = source.map(ToString::to_string).unwrap_or_default();
            Err(Nothing::Elsewhere(account.name.clone(), source).into())
        }
    }
}

/// The account that is asked for; else the only one that `login` is for; else the usual one.
fn chosen<'a>(context: &'a Context) -> Result<&'a Account, Failed> {
    let named = context.global.account.as_deref();
    let is_for_us = |account: &&Account| {
        matches!(account.secret.as_ref().map(Secret::source), Some(Secret::OAuth2(_) | Secret::Keyring(_)))
    };
    let ours: Vec<&Account> = context.config.accounts.iter().filter(is_for_us).collect();
    match (named, &ours[..]) {
        (None, [only]) => Ok(*only),
        _ => {
            let usual = route::choose(&context.config, named, None, &Header::default())?.account;
            match named.is_none() && ours.len() > 1 && !is_for_us(&usual) {
                true => Err(Nothing::Several(ours.iter().map(|account| account.name.clone()).collect()).into()),
                false => Ok(usual),
            }
        }
    }
}

/// OAuth 2: through a browser here, or a code on another device.
fn by_permission(context: &Context, account: &Account, settings: &OAuth2, wishes: &Login) -> Result<Exit, Failed> {
    let spool = context.spool()?;
    let keeper = session::keeper(context, &spool, account, settings);
    let grant = if wishes.device || settings.authorize.is_none() {
        device::ask(&keeper.asker)?
    } else {
        browser::ask(&keeper.asker, keeper.user)?
    };
    let tokens = keeper.keep(grant)?;
    process::say(&format!("logged in; the tokens are in {}\n", spool.path().join("tokens").display()));
    if tokens.refresh.is_none() {
        super::context::warn("no refresh token was given, so this login lasts no longer than its access token");
    }
    if !wishes.no_test {
        try_out(context, account)?;
    }
    take_up(context, &spool, account);
    Ok(Exit::Ok)
}

/// A password for the keyring, which must be good before it is kept.
fn by_password(context: &Context, account: &Account, keyring: &Keyring, wishes: &Login) -> Result<Exit, Failed> {
    let typed = match wishes.password_stdin {
        true => asker::secret_from_stdin()?,
        false => Asker::new(false).ask_secret("Password", "--password-stdin")?,
    };
    let password = Password::new(typed.as_bytes().to_vec());
    if !wishes.no_test {
        let literal = Secret::Literal(password.clone());
        let secret = match &account.secret {
            Some(Secret::AppPassword(_)) => Secret::AppPassword(Box::new(literal)),
            _ => literal,
        };
        try_out(context, &Account { secret: Some(secret), ..account.clone() })?;
    }
    keyring.keep(&password)?;
    process::say("the password is in the keyring\n");
    take_up(context, &context.spool()?, account);
    Ok(Exit::Ok)
}

/// Whether the relay takes it.
fn try_out(context: &Context, account: &Account) -> Result<(), Untried> {
    let session = trial::log_in(context, account)?;
    process::say(&format!("accepted by {}\n", session.relay()));
    session.quit();
    Ok(())
}

/// The account is held no longer, and what waits for it goes.
fn take_up(context: &Context, spool: &Spool, account: &Account) {
    account::worked(spool, &context.log, &account.name);
    run_queue::flush_behind(context, spool);
}

/// Why there is nothing to log in to.
#[derive(Debug)]
enum Nothing {
    /// The account's password comes from somewhere else.
    Elsewhere(String, String),
    /// These accounts could be meant.
    Several(Vec<String>),
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nothing::Elsewhere(account, source) if source.is_empty() => {
                write!(f, "account {account} has no login")
            }
            Nothing::Elsewhere(account, source) => {
                write!(f, "account {account} needs no login here, for its password has its place: {source}")
            }
            Nothing::Several(names) => write!(f, "more than one account could be meant: {}", names.join(", ")),
        }
    }
}

impl std::error::Error for Nothing {}

impl Explain for Nothing {
    fn exit(&self) -> Exit {
        match self {
            Nothing::Elsewhere(..) => Exit::Config,
            Nothing::Several(_) => Exit::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Nothing::Elsewhere(..) => {
                vec!["login is for accounts with oauth2 or keyring = true; see mailchute.toml(5)".into()]
            }
            Nothing::Several(_) => vec!["name one with --account".into()],
        }
    }
}
