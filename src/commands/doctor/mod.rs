//! `mailchute doctor`: finds out why mail does not go, without sending any. The checks go from what is near to what is
//! far, each a value; a password is fetched and said only behind a verified certificate, once.

mod account;
mod check;
mod clock;
mod control;
pub mod health;
mod network;
mod reach;
mod report;
mod settings;
mod spool;
mod spooler;

use super::Failed;
use super::context::Context;
use super::handover;
use crate::cli::{Global, Listing};
use crate::config::Config;
use crate::exit::Exit;
use crate::process::{self, Process};
use crate::route;
use check::{Check, Group};

/// Checks everything between a caller of sendmail and the relay, and says what it found.
///
/// # Errors
/// The account that was named is not configured.
pub fn examine(process: &Process, global: &Global, form: Listing) -> Result<Exit, Failed> {
    let config = match Config::load(process, global.config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            return Ok(finish(&[report::Part { account: None, checks: vec![Check::of(Group::Config, &error)] }], form));
        }
    };
    let context = Context::of(process, global, config);
    let mut parts = vec![report::Part { account: None, checks: this_host(&context) }];
    for account in chosen(&context)? {
        parts.push(report::Part { account: Some(account.name.clone()), checks: account::checks(&context, account) });
    }
    Ok(finish(&parts, form))
}

/// What has nothing to do with one account.
fn this_host(context: &Context) -> Vec<Check> {
    let mut checks = settings::general(context);
    checks.extend(clock::checks(context));
    checks.extend(spooler::checks(context));
    if !handover::has_foreign_spool(context) {
        checks.extend(spool::checks(context));
    }
    checks.push(settings::sandbox(context));
    checks.extend(settings::sendmail_link());
    checks
}

/// The account asked for, else all.
fn chosen<'a>(context: &'a Context) -> Result<Vec<&'a crate::config::Account>, Failed> {
    match context.global.account.as_deref() {
        Some(name) => {
            let route = route::choose(&context.config, Some(name), None, &Default::default())?;
            Ok(vec![route.account])
        }
        None => Ok(context.config.accounts.iter().collect()),
    }
}

fn finish(parts: &[report::Part], form: Listing) -> Exit {
    process::say(&match form {
        Listing::Text => report::text(parts),
        Listing::Json => report::json(parts),
    });
    check::worst(parts.iter().flat_map(|part| &part.checks))
}
