//! A message for which there is no account, or no configuration that can be used: a copy is kept for a person, and the
//! caller is told that it was not accepted.

use super::Failed;
use super::context::Context;
use super::deposit::{self, Filled, Keeper};
use super::letter::Asked;
use crate::cli::Delivering;
use crate::clock::Moment;
use crate::config::Config;
use crate::mail::address::{Addressee, Mailbox};
use crate::mail::envelope::{Envelope, Recipient, ReversePath};
use crate::mail::header::Header;
use crate::mail::message::Body;
use crate::process::Process;
use crate::spool::Ticket;
use std::io::BufRead;

/// Reads the message to its end, keeps a copy in `dead/` when the spool takes one, and hands the reason back.
pub fn unsendable<R: BufRead>(
    process: &Process,
    request: &Delivering,
    header: Header,
    body: &mut Body<R>,
    failed: Failed,
) -> Failed {
    let config = Config::load(process, request.global.config.as_deref());
    let config = config.unwrap_or_else(|_| Config::without_file(process));
    let context = Context::of(process, &request.global, config);
    let Some(ticket) = ticket(&context, request, &header) else {
        let _ = body.drain();
        return failed;
    };
    match deposit::fill(context.spool(), &ticket, header, body) {
        Ok(Filled { keeper: Keeper::Draft(draft), shape }) => {
            if let Err(error) = draft.bury(shape, &failed.reason()) {
                context.log.note(&error.to_string());
            }
        }
        Ok(Filled { keeper: Keeper::Memory(..), .. }) | Err(_) => {
            let _ = body.drain();
        }
    }
    failed
}

/// As much of an envelope as can be had without an account: bare names stand for this host's.
fn ticket(context: &Context, request: &Delivering, header: &Header) -> Option<Ticket> {
    let asked = Asked::by_options(request, header).ok()?;
    let mailbox = |addressee: Addressee| match addressee {
        Addressee::Mailbox(mailbox) => Some(mailbox),
        Addressee::Local(name) => Mailbox::parse(&format!("{name}@{}", context.config.domain)).ok(),
    };
    let recipients = asked.to.into_iter().filter_map(|wanted| mailbox(wanted.addressee)).map(Recipient::new).collect();
    let envelope = Envelope::new(ReversePath::Null, recipients)?;
    let message_id = header.first("Message-ID").map(|field| field.text()).unwrap_or_default();
    let (uid, created) = (context.process.caller.uid, Moment::now());
    Some(Ticket { envelope, account: request.global.account.clone(), uid, created, message_id })
}
