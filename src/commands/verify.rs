//! `sendmail -bv` and `newaliases`: what would be done, without doing it.

use super::Failed;
use super::context::{Context, warn};
use crate::cli::{Delivering, Global};
use crate::config::aliases;
use crate::exit::Exit;
use crate::mail::address;
use crate::mail::header::Header;
use crate::process::{self, Process};
use crate::route;

/// Says for each recipient through which account and relay it would go.
///
/// # Errors
/// An address that cannot be parsed, or no account.
pub fn verify(process: &Process, request: &Delivering) -> Result<Exit, Failed> {
    let context = Context::load(process, &request.global)?;
    let asked = context.global.account.as_deref();
    for operand in &request.recipients {
        for addressee in address::parse_list(operand.as_bytes())? {
            let account = route::choose(&context.config, asked, None, &Header::default())?.account;
            for recipient in route::recipients(&context.locals(), account, std::slice::from_ref(&addressee))? {
                let host = account.endpoints.first().map(|endpoint| endpoint.host.as_str()).unwrap_or_default();
                let way = match &account.store {
                    Some(store) => format!("mailer local, {store}"),
                    None => format!("mailer relay, host {host}"),
                };
                process::say(&format!(
                    "{addressee}... deliverable: {way}, user {}, account {}\n",
                    recipient.mailbox, account.name
                ));
            }
        }
    }
    Ok(Exit::Ok)
}

/// Reads the alias files and warns of what is wrong in them; there is no database to make.
///
/// # Errors
/// The configuration, which holds `[aliases]`, cannot be used.
pub fn aliases(process: &Process, global: &Global) -> Result<Exit, Failed> {
    Context::load(process, global)?;
    aliases::read_system().warnings.iter().for_each(|words| warn(words));
    Ok(Exit::Ok)
}
