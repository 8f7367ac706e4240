//! One account, from its settings to a sender that the relay takes. Stops before a message.

use super::super::context::Context;
use super::super::courier::Watcher;
use super::super::handover;
use super::super::session;
use super::check::{Check, Group};
use super::reach::{self, Survey};
use super::{network, settings, tokens};
use crate::clock::Moment;
use crate::config::{Account, Endpoint, LocalRecipients, Secret, Store};
use crate::delivery;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::mail::address::Addressee;
use crate::mail::outcome::{Failure, Stage, Trouble};
use crate::route;
use crate::submission::Patience;
use std::time::{Duration, Instant};

/// A certificate that ends sooner is worth a word.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// How long login and sender may take.
const LOGIN: Duration = Duration::from_secs(60);

/// Everything about one account.
pub fn checks(context: &Context, account: &Account) -> Vec<Check> {
    let mut checks = settings::of_account(context, account);
    checks.extend(account.store.as_ref().map(folder));
    if let Some(survey) = reach::survey(context, account) {
        let soon = Moment::now().after(SOON).rfc3339();
        checks.extend(network::checks(&survey, &soon[..10]));
        let token = tokens::check(context, account);
        let are_ours = token.is_none() || !handover::has_foreign_spool(context);
        let may_log_in = are_ours && !token.as_ref().is_some_and(Check::is_bad);
        checks.extend(token);
        if may_log_in {
            checks.extend(log_in(context, account, &survey));
        }
    }
    checks.extend(root(context, account));
    checks
}

/// Whether mail can be kept where it is to be.
fn folder(store: &Store) -> Check {
    match delivery::examine(store) {
        Ok(()) => Check::good(Group::File, store.to_string(), "can be written to"),
        Err((problem, fix)) => {
            fix.into_iter().fold(Check::bad(Group::File, store.to_string(), problem, Exit::Config), Check::fix)
        }
    }
}

/// Logs in where a verified connection was possible, and offers the sender.
fn log_in(context: &Context, account: &Account, survey: &Survey) -> Vec<Check> {
    let good =
        |endpoint: &Endpoint| survey.knocks.iter().any(|knock| knock.endpoint == *endpoint && knock.failed.is_none());
    let endpoints: Vec<Endpoint> = account.endpoints.iter().filter(|endpoint| good(endpoint)).cloned().collect();
    if endpoints.is_empty() {
        return password(account).into_iter().collect();
    }
    let account = Account { endpoints, ..account.clone() };
    let mut patience = Patience { step: LOGIN / 2, overall: Some(Instant::now() + LOGIN), foreground: None };
    let mut watcher = Watcher::new(context.global.verbose);
    let opened = session::open(context, &account, &mut patience, &mut watcher);
    let user = account.login().map(|user| if user.is_empty() { "the certificate" } else { user });
    let whom = user.unwrap_or("nobody");
    let mut session = match opened {
        Ok(session) => session,
        Err(trouble) if is_the_spoolers(context, &trouble) => {
            let check = refused_login(whom, &trouble).warned();
            return vec![check.because("only the spooler gets it from systemd; its own word is above")];
        }
        Err(trouble) => return vec![refused_login(whom, &trouble)],
    };
    let mut checks = vec![match user {
        Some(user) => Check::good(Group::Login, user, format!("accepted by {}", session.relay())),
        None => Check::good(Group::Login, "", "none configured, none needed"),
    }];
    if let Some(from) = &account.from {
        checks.push(match session.try_sender(from, &mut patience, &mut watcher) {
            Ok(_) => Check::good(Group::Sender, from.to_string(), "accepted"),
            Err(failure) => refused_sender(&from.to_string(), &failure),
        });
    }
    session.quit();
    checks
}

/// Whether it is only that the spooler alone can have the password.
fn is_the_spoolers(context: &Context, trouble: &Trouble) -> bool {
    let failure = match trouble {
        Trouble::Held(failure) | Trouble::Waiting(failure) => failure,
    };
    failure.stage == Stage::Secret && handover::spooler(context).is_some()
}

fn refused_login(user: &str, trouble: &Trouble) -> Check {
    match trouble {
        Trouble::Held(failure) => Check::failed(Group::Login, user, failure, Exit::Config),
        Trouble::Waiting(failure) => Check::failed(Group::Login, user, failure, Exit::Unavailable)
            .because("this may pass by itself: mail waits in the queue meanwhile"),
    }
}

fn refused_sender(from: &str, failure: &Failure) -> Check {
    match &failure.reply {
        Some(reply) if reply.code < 500 => Check::failed(Group::Sender, from, failure, Exit::Unavailable)
            .because("this may pass by itself: mail waits in the queue meanwhile"),
        Some(_) => Check::failed(Group::Sender, from, failure, Exit::Config)
            .because("the relay does not let this account send as that address"),
        None => Check::failed(Group::Sender, from, failure, Exit::Unavailable),
    }
}

/// Whether the password can be had at all, when it cannot be tried.
fn password(account: &Account) -> Option<Check> {
    if let Some(Secret::OAuth2(_)) = account.secret {
        return None; // how tokens stand is said already
    }
    Some(match account.password(None)? {
        Ok(_) => Check::good(Group::Login, "", "not tried, for no connection is good; the password can be had"),
        Err(error) => {
            let check = Check::bad(Group::Login, "", error.cause.clone(), error.exit());
            error.hints().into_iter().fold(check, Check::fix)
        }
    })
}

/// Who gets mail for root, which is what cron and most daemons write to.
fn root(context: &Context, account: &Account) -> Option<Check> {
    if context.config.local_recipients == LocalRecipients::Relay {
        return None;
    }
    let root = [Addressee::Local("root".into())];
    Some(match route::recipients(&context.locals(), account, &root) {
        Ok(recipients) => {
            let whom: Vec<String> = recipients.iter().map(|recipient| recipient.mailbox.to_string()).collect();
            Check::good(Group::Alias, "root", whom.join(", "))
        }
        Err(error) => {
            let check = Check::warning(Group::Alias, "root", error.to_string());
            error.hints().into_iter().fold(check, Check::fix)
        }
    })
}
