//! `sendmail -bs`: an SMTP server on standard input and output, for programs that would rather speak SMTP. A message
//! is answered with 250 when it is durable; a detached child submits it.

use super::context::Context;
use super::dialogue::{Dialogue, Persistence};
use super::letter::{self, Aliases, Asked, Names, Unsendable, Wanted};
use super::{Failed, deposit, run_queue, send};
use crate::cli::{Delivering, DeliveryMode};
use crate::exit::Exit;
use crate::mail::message::{self, Dots};
use crate::process::{self, Process};
use crate::server::{Session, Settings, Transaction};
use crate::spool::QueueId;
use std::collections::HashSet;
use std::io::{self, BufReader, Read};
use std::time::Duration;

/// How long a client may be silent: workers keep a session open for hours, and reconnect.
const IDLE: Duration = Duration::from_secs(3600);
/// How long to wait for another message before those that have come are submitted, over one connection.
const PAUSE: Duration = Duration::from_millis(200);

/// How many messages to wait with at most, when the client never pauses.
const TOGETHER: usize = 50;

/// Speaks SMTP until the client has enough.
///
/// # Errors
/// The configuration cannot be used; the client is told with 421.
pub fn serve(process: &Process, request: Delivering) -> Result<Exit, Failed> {
    let context = Context::load(process, &request.global).inspect_err(|failed| {
        process::say(&format!("421 4.3.5 {} {}\r\n", process.host, failed.reason().replace(['\r', '\n'], " ")));
    })?;
    let max_size = context.usual_account().and_then(|account| account.limits.size);
    let session = Session::new(Settings { host: process.host.clone(), max_size });
    let mut dialogue = Dialogue::new(session, io::stdin(), io::stdout());
    let submits = send::mode(&request, &context.config) != DeliveryMode::Queue;
    let mut unsent = HashSet::new();
    loop {
        let patience = if unsent.is_empty() { IDLE } else { PAUSE };
        match dialogue.next_message(patience) {
            Ok(Some(transaction)) => match keep(&context, transaction, &mut dialogue) {
                Ok(id) => {
                    dialogue.accepted(id.as_str());
                    if submits {
                        unsent.insert(id);
                    }
                    if unsent.len() >= TOGETHER {
                        submit(&context, &mut unsent);
                    }
                }
                Err(failed) => dialogue.failed(&failed.reason(), persistence(failed.exit())),
            },
            Err(error) if error.kind() == io::ErrorKind::TimedOut && !unsent.is_empty() => {
                submit(&context, &mut unsent);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                dialogue.give_up();
                return Ok(Exit::Ok);
            }
            ended => {
                submit(&context, &mut unsent);
                return Ok(if ended.is_err() || dialogue.is_cut() { Exit::IoErr } else { Exit::Ok });
            }
        }
    }
}

/// Reads one message and makes it durable.
fn keep(context: &Context, transaction: Transaction, text: &mut impl Read) -> Result<QueueId, Failed> {
    let (header, mut body) = message::read(BufReader::new(text), Dots::Keep)?;
    let letter = letter::compose(context, asked(transaction), header)?;
    let filled = deposit::fill(context.spool(), &letter.ticket, letter.header, &mut body)?;
    let entry = filled.keeper.commit(filled.shape).finish()?;
    send::queued(context, &entry);
    Ok(entry.id().clone())
}

fn asked(transaction: Transaction) -> Asked {
    let wanted = transaction.recipients.into_iter().map(|forward| Wanted {
        addressee: forward.addressee,
        notify: forward.notify,
        original: forward.original,
    });
    Asked {
        to: wanted.collect(),
        sender: Some(transaction.reverse_path),
        full_name: Some(String::new()),
        ret: transaction.ret,
        envid: transaction.envid,
        names: Names::Complete,
        aliases: Aliases::Follow,
        nobody: Unsendable::NobodyNamed,
    }
}

fn submit(context: &Context, unsent: &mut HashSet<QueueId>) {
    if !unsent.is_empty()
        && let Ok(spool) = context.spool()
    {
        run_queue::send_behind(context, &spool, std::mem::take(unsent));
    }
}

/// Whether the same message may be taken another time.
fn persistence(exit: Exit) -> Persistence {
    match exit {
        Exit::DataErr | Exit::NoUser | Exit::Unavailable | Exit::Usage => Persistence::Permanent,
        _ => Persistence::Temporary,
    }
}
