//! A message for which there is no account, or no configuration that can be used: a copy is kept for a person, and the
//! caller is told that it was not accepted.

use super::Failed;
use super::context::Context;
use super::deposit::{self, Filled, Vessel};
use super::letter::{self, Asked};
use crate::cli::Delivering;
use crate::config::Config;
use crate::mail::header::Header;
use crate::mail::message::Body;
use crate::process::Process;
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
    let asked = Asked::by_options(request, &header).ok();
    let Some((ticket, header)) = asked.and_then(|asked| letter::without_account(&context, asked, header)) else {
        let _ = body.drain();
        return failed;
    };
    match deposit::fill(context.spool(), &ticket, header, body) {
        Ok(Filled { vessel: Vessel::Draft(draft), shape }) => {
            if let Err(error) = draft.bury(shape, &failed.reason()) {
                context.log.note(&error.to_string());
            }
        }
        Ok(Filled { vessel: Vessel::Memory(..), .. }) | Err(_) => {
            let _ = body.drain();
        }
    }
    failed
}
