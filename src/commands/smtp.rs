//! `sendmail -bs`: an SMTP server on standard input and output, for programs that would rather speak SMTP. A message
//! is answered with 250 when it is durable; a detached child submits it.

use super::context::Context;
use super::dialogue::{Dialogue, Next, Pauses};
use super::taking::{self, Sender};
use super::{Failed, handover, run_queue, send};
use crate::cli::{Delivering, DeliveryMode};
use crate::exit::Exit;
use crate::process::{self, Caller, Process};
use crate::server::{Session, Settings};
use std::io;
use std::time::Duration;

/// How long a client may be silent: workers keep a session open for hours, and reconnect.
const IDLE: Duration = Duration::from_secs(3600);
/// How long to wait for another message before those that have come are submitted, over one connection.
const PAUSE: Duration = Duration::from_millis(200);

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
    let mut unsent = false;
    loop {
        let patience = if unsent { PAUSE } else { IDLE };
        match dialogue.next_message(patience) {
            Ok(Next::Message(mut transaction)) => {
                transaction.wishes.account.clone_from(&request.global.account);
                match taking::keep(&context, &caller, *transaction, Sender::Free, &mut dialogue) {
                    Ok(entry) => {
                        send::queued(&context, &entry);
                        dialogue.accepted(entry.id().as_str());
                        unsent = submits;
                    }
                    Err(failed) => dialogue.failed(&failed),
                }
            }
            Ok(Next::Question(_)) => dialogue.answer(""),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && unsent => {
                flush(&context);
                unsent = false;
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                dialogue.give_up();
                return Ok(Exit::Ok);
            }
            ended => {
                if unsent {
                    flush(&context);
                }
                return Ok(if ended.is_err() || dialogue.is_cut() { Exit::IoErr } else { Exit::Ok });
            }
        }
    }
}

fn flush(context: &Context) {
    if let Ok(spool) = context.spool() {
        run_queue::flush_behind(context, &spool);
    }
}
