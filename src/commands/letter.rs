//! From what the caller asked and wrote to what is to be sent, for whom, and through which account. Nothing has been
//! kept or sent yet: whatever is wrong here stays the caller's.

use super::Failed;
use super::context::Context;
use crate::cli::Delivering;
use crate::clock::Moment;
use crate::config::Account;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::mail::address::{self, AddressError, Addressee, Mailbox};
use crate::mail::compose::{self, Defaults};
use crate::mail::envelope::{Envelope, Recipient, ReversePath};
use crate::mail::header::Header;
use crate::mail::message::{self, MOST_HOPS, MessageError};
use crate::route::{self, Login};
use crate::spool::Ticket;
use std::fmt;

/// A message ready to be kept: its header final, its envelope and account decided.
pub struct Letter<'a> {
    pub ticket: Ticket,
    pub header: Header,
    pub account: &'a Account,
}

/// What is wrong with a message as a whole.
#[derive(Debug)]
pub enum Unsendable {
    /// No operands, and no `-t`.
    NobodyNamed,
    /// `-t`, and nobody in To, Cc or Bcc.
    NobodyInHeader,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unsendable::NobodyNamed => "no recipients on the command line",
            Unsendable::NobodyInHeader => "no recipients in the message header",
        })
    }
}

impl std::error::Error for Unsendable {}

impl Explain for Unsendable {
    fn exit(&self) -> Exit {
        match self {
            Unsendable::NobodyNamed => Exit::Usage,
            Unsendable::NobodyInHeader => Exit::DataErr,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Unsendable::NobodyNamed => vec!["name them, or take them from To, Cc and Bcc with -t".into()],
            Unsendable::NobodyInHeader => Vec::new(),
        }
    }
}

/// Everyone the message is for, as typed.
pub fn addressees(request: &Delivering, header: &Header) -> Result<Vec<Addressee>, AddressError> {
    let mut all = Vec::new();
    for operand in &request.recipients {
        all.extend(address::parse_list(operand.as_bytes())?);
    }
    if request.from_header {
        all.extend(compose::recipients(header)?);
    }
    Ok(all)
}

/// Decides account, envelope and header.
///
/// # Errors
/// An address that cannot be parsed, nobody to send to, no account, a message that has gone in a circle.
pub fn compose<'a>(context: &'a Context, request: &Delivering, header: Header) -> Result<Letter<'a>, Failed> {
    let hops = message::hops(&header);
    if hops > MOST_HOPS {
        return Err(MessageError::TooManyHops(hops).into());
    }
    let to = addressees(request, &header)?;
    let asked = request.sender.as_deref().map(|sender| address::parse_sender(sender.as_bytes())).transpose()?;
    let sender = match &asked {
        Some(Some(Addressee::Mailbox(mailbox))) => Some(mailbox),
        _ => None,
    };
    let config = &context.config;
    let account = route::choose(config, context.global.account.as_deref(), sender, &header)?.account;
    let caller = &context.process.caller;
    let login = caller.login.as_deref().map_or(Login::Unknown(caller.uid), Login::Name);
    let reverse_path = route::reverse_path(account, asked, login, &config.domain)?;
    let mut recipients = match request.no_aliases {
        false => route::recipients(&context.locals(), account, &to)?,
        true => unaliased(&to, &config.domain)?,
    };
    for recipient in &mut recipients {
        recipient.notify = request.notify;
    }
    let Some(mut envelope) = Envelope::new(reverse_path, recipients) else {
        let nobody = if request.from_header { Unsendable::NobodyInHeader } else { Unsendable::NobodyNamed };
        return Err(nobody.into());
    };
    envelope.ret = request.ret;
    envelope.envid = request.envid.clone();
    let created = Moment::now();
    // Before bare names are completed, which hides that they are local. What it makes of the reverse-path matters even
    // if another account will send in the end: the bounce must reach somebody.
    let (envelope, header) = route::identify(config, account, &context.hosts, envelope, header);
    let header = complete(context, request, account, &envelope, header, created);
    let message_id = header.first("Message-ID").map(|field| field.text()).unwrap_or_default();
    let ticket = Ticket {
        envelope,
        account: context.global.account.clone(),
        uid: context.process.caller.uid,
        created,
        message_id,
    };
    Ok(Letter { ticket, header, account })
}

/// `-n`: every name as it is, bare ones on this host.
fn unaliased(to: &[Addressee], domain: &str) -> Result<Vec<Recipient>, AddressError> {
    to.iter()
        .map(|addressee| match addressee {
            Addressee::Mailbox(mailbox) => Ok(Recipient::new(mailbox.clone())),
            Addressee::Local(name) => Mailbox::parse(&format!("{name}@{domain}")).map(Recipient::new),
        })
        .collect()
}

fn complete(
    context: &Context,
    request: &Delivering,
    account: &Account,
    envelope: &Envelope,
    header: Header,
    now: Moment,
) -> Header {
    let caller = &context.process.caller;
    let login = caller.login.clone().unwrap_or_else(|| format!("uid{}", caller.uid));
    let from = match envelope.reverse_path() {
        ReversePath::Mailbox(mailbox) => mailbox.to_string(),
        ReversePath::Null => match &account.from {
            Some(from) => from.to_string(),
            None => format!("{login}@{}", context.config.domain),
        },
    };
    let named = context.process.variable("NAME").and_then(|name| name.to_str()).filter(|name| !name.is_empty());
    let full_name = request.full_name.as_deref().or(named).unwrap_or(&caller.full_name);
    let defaults = Defaults {
        from: &from,
        full_name,
        now,
        domain: &context.config.domain,
        unique: &format!("{:x}.{:x}", now.0, std::process::id()),
        qualify: (!request.keep_bare_names).then_some(context.config.domain.as_str()),
    };
    compose::compose(header, &defaults)
}
