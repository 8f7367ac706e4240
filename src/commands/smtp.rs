//! `sendmail -bs`: an SMTP server on standard input and output, for programs that would rather speak SMTP. A message
//! is answered with 250 when it is durable; a detached child submits it.

use super::context::Context;
use super::dialogue::{Dialogue, Next, Pauses};
use super::taking::{self, Sender};
use super::{Failed, handover, monitor, run_queue, send};
use crate::cli::{Delivering, DeliveryMode};
use crate::exit::Exit;
use crate::process::{self, Caller, Process};
use crate::server::{Session, Settings};
use crate::spool::{QueueId, Spool};
use std::collections::HashSet;
use std::io;
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
    if let Some(spooler) = handover::spooler(&context) {
        return handover::pass_through(&spooler);
    }
    let max_size = context.usual_account().and_then(|account| account.limits.size);
    let session = Session::new(Settings::standard(process.host.clone(), max_size));
    let mut dialogue = Dialogue::new(session, io::stdin(), io::stdout(), Pauses::ALONE);
    let submits = send::mode(&request, &context.config) != DeliveryMode::Queue;
    // A client that speaks SMTP writes its own name.
    let caller = Caller { full_name: String::new(), ..process.caller.clone() };
    let mut unsent = HashSet::new();
    loop {
        let patience = if unsent.is_empty() { IDLE } else { PAUSE };
        match dialogue.next_message(patience) {
            Ok(Next::Message(mut transaction)) => {
                transaction.wishes.account.clone_from(&request.global.account);
                match taking::keep(&context, &caller, *transaction, Sender::Free, &mut dialogue) {
                    Ok(entry) => {
                        send::queued(&context, &entry);
                        dialogue.accepted(entry.id().as_str());
                        if submits {
                            unsent.insert(entry.id().clone());
                        }
                        drop(entry);
                        if unsent.len() >= TOGETHER {
                            submit(&context, &mut unsent);
                        }
                    }
                    Err(failed) => dialogue.failed(&failed),
                }
            }
            Ok(Next::Question(_)) => dialogue.answer(""),
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

fn submit(context: &Context, unsent: &mut HashSet<QueueId>) {
    let Ok(Some(spool)) = Spool::existing(&context.config.spool) else { return };
    // Before anything forks: a child would count the same once more.
    monitor::count(context, &spool);
    if !unsent.is_empty() {
        run_queue::send_behind(context, &spool, std::mem::take(unsent));
    }
}
