//! A message that comes in by SMTP: from its transaction and its octets to an entry that is safe.

use super::context::Context;
use super::letter::{self, Aliases, Asked, Names, Unsendable, Wanted};
use super::{Failed, deposit};
use crate::mail::message::{self, Dots};
use crate::process::Caller;
use crate::route;
use crate::server::Transaction;
use crate::spool::Entry;
use std::io::{BufReader, Read};

/// As whom the client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// As the account's rule has it.
    Free,
    /// As himself, and then as the account's rule has it.
    Himself,
}

/// Reads one message of a caller and makes it durable; the entry is still locked.
///
/// # Errors
/// Nothing was taken.
pub fn keep(
    context: &Context,
    caller: &Caller,
    transaction: Transaction,
    sender: Sender,
    text: &mut impl Read,
) -> Result<Entry, Failed> {
    let (mut header, mut body) = message::read(BufReader::new(text), Dots::Keep)?;
    let mut asked = asked(caller, transaction);
    if sender == Sender::Himself {
        let login = login(caller);
        header = route::unforged_from(header, &login, &context.hosts);
        asked.sender = route::unforged_sender(asked.sender, &login, &context.hosts);
    }
    let letter = letter::compose(context, caller, asked, header)?;
    let filled = deposit::fill(context.spool(), &letter.ticket, letter.header, &mut body)?;
    Ok(filled.vessel.commit(filled.shape).finish()?)
}

/// The name a caller's own mail is from; without a login, one that only stands for the number.
pub fn login(caller: &Caller) -> String {
    caller.login.clone().unwrap_or_else(|| format!("uid{}", caller.uid))
}

fn asked(caller: &Caller, transaction: Transaction) -> Asked {
    let wanted = transaction.recipients.into_iter().map(|forward| Wanted {
        addressee: forward.addressee,
        notify: forward.notify,
        original: forward.original,
    });
    let wishes = transaction.wishes;
    Asked {
        to: wanted.collect(),
        account: wishes.account,
        sender: (!wishes.unsaid).then_some(transaction.reverse_path),
        full_name: Some(wishes.full_name.unwrap_or_else(|| caller.full_name.clone())),
        ret: transaction.ret,
        envid: transaction.envid,
        names: if wishes.keep_bare_names { Names::Keep } else { Names::Complete },
        aliases: if wishes.no_aliases { Aliases::Ignore } else { Aliases::Follow },
        nobody: Unsendable::NobodyNamed,
    }
}
