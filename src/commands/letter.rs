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
use crate::mail::envelope::{Envelope, Notify, Recipient, Return, ReversePath};
use crate::mail::header::Header;
use crate::mail::message::{self, MOST_HOPS, MessageError};
use crate::process::Caller;
use crate::route::{self, Login};
use crate::spool::Ticket;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// A message ready to be kept: its header final, its envelope and account decided.
pub struct Letter<'a> {
    pub ticket: Ticket,
    pub header: Header,
    pub account: &'a Account,
}

/// What is wrong with a message as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// One person the message is for, and what was asked for them.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub addressee: Addressee,
    pub notify: Option<Notify>,
    /// ORCPT.
    pub original: Option<String>,
}

/// What the caller said beside the message: options of the command line, or MAIL and RCPT.
#[derive(Clone, Debug)]
pub struct Asked {
    pub to: Vec<Wanted>,
    /// `-a`.
    pub account: Option<String>,
    /// `None`: nothing was said; `Some(None)`: the null reverse-path.
    pub sender: Option<Option<Addressee>>,
    /// `None` leaves it to `$NAME` and the passwd entry.
    pub full_name: Option<String>,
    pub ret: Option<Return>,
    pub envid: Option<String>,
    /// `-G` leaves bare names in header fields as they are.
    pub names: Names,
    /// `-n` looks up no aliases.
    pub aliases: Aliases,
    /// What to say when nobody is left to send to.
    pub nobody: Unsendable,
}

/// What becomes of bare names in header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Complete,
    Keep,
}

/// Whether local names stand for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aliases {
    Follow,
    Ignore,
}

impl Asked {
    /// What a command line asks for this message.
    ///
    /// # Errors
    /// An address that cannot be parsed.
    pub fn by_options(request: &Delivering, header: &Header) -> Result<Asked, AddressError> {
        let mut to = Vec::new();
        for operand in &request.recipients {
            to.extend(address::parse_list(operand.as_bytes())?);
        }
        if request.from_header {
            to.extend(compose::recipients(header)?);
        }
        let want = |addressee| Wanted { addressee, notify: request.notify, original: None };
        Ok(Asked {
            to: to.into_iter().map(want).collect(),
            account: request.global.account.clone(),
            sender: request.sender.as_deref().map(|sender| address::parse_sender(sender.as_bytes())).transpose()?,
            full_name: request.full_name.clone(),
            ret: request.ret,
            envid: request.envid.clone(),
            names: if request.keep_bare_names { Names::Keep } else { Names::Complete },
            aliases: if request.no_aliases { Aliases::Ignore } else { Aliases::Follow },
            nobody: if request.from_header { Unsendable::NobodyInHeader } else { Unsendable::NobodyNamed },
        })
    }
}

/// Decides account, envelope and header of what `caller` sends.
///
/// # Errors
/// Nobody to send to, no account, a message that has gone in a circle.
pub fn compose<'a>(context: &'a Context, caller: &Caller, asked: Asked, header: Header) -> Result<Letter<'a>, Failed> {
    let hops = message::hops(&header);
    if hops > MOST_HOPS {
        return Err(MessageError::TooManyHops(hops).into());
    }
    let sender = match &asked.sender {
        Some(Some(Addressee::Mailbox(mailbox))) => Some(mailbox),
        _ => None,
    };
    let config = &context.config;
    let account = route::choose(config, asked.account.as_deref(), sender, &header)?.account;
    let login = caller.login.as_deref().map_or(Login::Unknown(caller.uid), Login::Name);
    let reverse_path = route::reverse_path(account, asked.sender.clone(), login, &config.domain)?;
    let mut recipients = Vec::new();
    for wanted in &asked.to {
        recipients.extend(expand(context, account, wanted, asked.aliases)?);
    }
    let Some(mut envelope) = Envelope::new(reverse_path, recipients) else {
        return Err(asked.nobody.into());
    };
    envelope.ret = asked.ret;
    envelope.envid = asked.envid.clone();
    let created = Moment::now();
    // Before bare names are completed, which hides that they are local. What it makes of the reverse-path matters even
    // if another account will send in the end: the bounce must reach somebody.
    let (envelope, header) = route::identify(config, account, &context.hosts, envelope, header);
    let (ticket, header) = seal(context, caller, &asked, account.from.as_ref(), envelope, header, created);
    Ok(Letter { ticket, header, account })
}

/// As much of a letter as can be had without an account, for a person to send later: bare names stand for this
/// host's. `None` when there is nobody to send it to.
pub fn without_account(context: &Context, asked: Asked, header: Header) -> Option<(Ticket, Header)> {
    let here = |addressee: &Addressee| match addressee {
        Addressee::Mailbox(mailbox) => Some(mailbox.clone()),
        Addressee::Local(name) => Mailbox::parse(&format!("{name}@{}", context.config.domain)).ok(),
    };
    let recipients = asked.to.iter().filter_map(|wanted| {
        let (notify, original) = (wanted.notify, wanted.original.clone());
        Some(Recipient { notify, original, ..Recipient::new(here(&wanted.addressee)?) })
    });
    let sender = match &asked.sender {
        Some(sender) => sender.as_ref().and_then(here),
        None => context.process.caller.login.clone().and_then(|login| here(&Addressee::Local(login))),
    };
    let reverse_path = sender.map_or(ReversePath::Null, ReversePath::Mailbox);
    let mut envelope = Envelope::new(reverse_path, recipients.collect())?;
    envelope.ret = asked.ret;
    envelope.envid.clone_from(&asked.envid);
    Some(seal(context, &context.process.caller, &asked, None, envelope, header, Moment::now()))
}

/// Whom one addressee stands for.
fn expand(context: &Context, account: &Account, wanted: &Wanted, aliases: Aliases) -> Result<Vec<Recipient>, Failed> {
    let mut recipients = match (aliases, &wanted.addressee) {
        (Aliases::Follow, addressee) => route::recipients(&context.locals(), account, std::slice::from_ref(addressee))?,
        (Aliases::Ignore, Addressee::Mailbox(mailbox)) => vec![Recipient::new(mailbox.clone())],
        (Aliases::Ignore, Addressee::Local(name)) => {
            vec![Recipient::new(Mailbox::parse(&format!("{name}@{}", context.config.domain))?)]
        }
    };
    for recipient in &mut recipients {
        recipient.notify = wanted.notify;
        if wanted.original.is_some() {
            recipient.original.clone_from(&wanted.original);
        }
    }
    Ok(recipients)
}

/// Tells apart what one process composes at the same moment.
static COMPOSED: AtomicU32 = AtomicU32::new(0);

/// Makes the header complete, and takes down what belongs to it.
fn seal(
    context: &Context,
    caller: &Caller,
    asked: &Asked,
    usual_from: Option<&Mailbox>,
    envelope: Envelope,
    header: Header,
    now: Moment,
) -> (Ticket, Header) {
    let login = caller.login.clone().unwrap_or_else(|| format!("uid{}", caller.uid));
    let from = match envelope.reverse_path() {
        ReversePath::Mailbox(mailbox) => mailbox.to_string(),
        ReversePath::Null => match usual_from {
            Some(from) => from.to_string(),
            None => format!("{login}@{}", context.config.domain),
        },
    };
    let named = context.process.variable("NAME").and_then(|name| name.to_str()).filter(|name| !name.is_empty());
    let full_name = asked.full_name.as_deref().or(named).unwrap_or(&caller.full_name);
    let defaults = Defaults {
        from: &from,
        full_name,
        now,
        domain: &context.config.domain,
        unique: &format!("{:x}.{:x}.{:x}", now.0, std::process::id(), COMPOSED.fetch_add(1, Ordering::Relaxed)),
        qualify: (asked.names == Names::Complete).then_some(context.config.domain.as_str()),
    };
    let header = compose::compose(header, &defaults);
    let message_id = header.first("Message-ID").map(|field| field.text()).unwrap_or_default();
    let account = asked.account.clone();
    (Ticket { envelope, account, uid: caller.uid, created: now, message_id }, header)
}
