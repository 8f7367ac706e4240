//! `sendmail`: one message from standard input to the relay, or safe in the queue. The order of the stages is the
//! promise: nothing of a message is sent before it is durable, and nothing after that changes the exit status.

use super::context::{Context, warn};
use super::courier::{Courier, Parcel};
use super::deposit::{self, Committing};
use super::letter::{self, Asked, Letter};
use super::offer::{Offer, Offered};
use super::{Failed, bury, confinement, detach, handover, monitor, run_queue, verdict};
use crate::cli::{Delivering, DeliveryMode, ErrorMode};
use crate::clock::Moment;
use crate::config::{Config, Delivery};
use crate::exit::Exit;
use crate::log::{Event, Happening};
use crate::mail::message::{self, Dots};
use crate::mail::outcome::Outcome;
use crate::process::Process;
use crate::queue::conclude::{Tried, conclude};
use crate::queue::settle::Caller;
use crate::spool::{Entry, Spool};
use crate::submission::{Foreground, Parting, Patience};
use crate::system::{self, Side};
use std::io::{self, BufReader, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Reads, keeps, submits, settles.
///
/// # Errors
/// Nothing was accepted: the caller still owns the message.
pub fn send(process: &Process, request: Delivering) -> Result<Exit, Failed> {
    request.warnings.iter().for_each(|words| warn(words));
    if !process.stdin_open {
        return Err(Failed::no_input());
    }
    // A person at a terminal ends with a dot and waits for nothing more.
    let dots = if request.dots == Dots::End && io::stdin().is_terminal() { Dots::EndInput } else { request.dots };
    let (header, mut body) = message::read(BufReader::with_capacity(1 << 16, io::stdin().lock()), dots)?;
    let context = match Context::load(process, &request.global) {
        Ok(context) => context,
        Err(failed) => return Err(bury::unsendable(process, &request, header, &mut body, failed)),
    };
    if let Some(spooler) = handover::spooler(&context) {
        return handover::deliver(&context, &spooler, &request, header, &mut body);
    }
    let asked = Asked::by_options(&request, &header).map_err(Failed::from);
    let letter = match asked.and_then(|asked| letter::compose(&context, &process.caller, asked, header.clone())) {
        Ok(letter) => letter,
        Err(failed) if failed.exit() == Exit::Config => {
            return Err(bury::unsendable(process, &request, header, &mut body, failed));
        }
        Err(failed) => {
            let _ = body.drain();
            return Err(failed);
        }
    };
    let opened = context.spool();
    let spool = opened.as_ref().ok().cloned();
    let mut filled = deposit::fill(opened, &letter.ticket, letter.header.clone(), &mut body)?;
    system::ignore_endings();
    let content = filled.vessel.content().map_err(Failed::system)?;
    let parcel = Parcel::from_content(&letter.ticket, content, filled.shape);
    let delivery = mode(&request, &context.config);
    let committing = match delivery {
        DeliveryMode::Foreground => {
            // Here, because committing is another thread's work, which must not stay outside.
            confinement::before_relays(&context);
            filled.vessel.commit(filled.shape)
        }
        DeliveryMode::Background | DeliveryMode::Queue => filled.vessel.commit_now(filled.shape),
    };
    let caller = Waiting::new(if request.errors == ErrorMode::MailOnly { Caller::Gone } else { Caller::Waits });
    if delivery != DeliveryMode::Foreground && committing.is_safe() {
        let entry = committing.finish()?;
        queued(&context, &entry);
        // Before anything forks: a child would count the same once more.
        monitor::count(&context, entry.spool());
        if delivery == DeliveryMode::Queue || detach::split().map_or(true, |side| side == Side::Parent) {
            return Ok(Exit::Ok);
        }
        caller.left();
        return attempt(&context, &request, &letter, spool.as_ref(), parcel, &Committing::done(Ok(entry)), &caller);
    }
    attempt(&context, &request, &letter, spool.as_ref(), parcel, &committing, &caller)
}

/// Opens the connection while the disk makes the message durable, offers it, and settles what the relay said.
fn attempt(
    context: &Context,
    request: &Delivering,
    letter: &Letter,
    spool: Option<&Spool>,
    mut parcel: Parcel,
    committing: &Committing,
    caller: &Waiting,
) -> Result<Exit, Failed> {
    confinement::before_relays(context);
    let courier = Courier::new(context);
    let offer = Offer { context, courier: &courier, spool };
    let mut patience = patience(&context.config, &parcel, committing, caller);
    // Behind a caller who has left it has been said.
    let is_news = !caller.has_left();
    let opened = offer.open(letter.account, &mut patience);
    let entry = committing.finish();
    if let (true, Ok(entry)) = (is_news, &entry) {
        queued(context, entry);
    }
    parcel.id = entry.as_ref().ok().map(|entry| entry.id().clone());
    let accounts = courier.with_fallbacks(letter.account);
    let Some(offered) = offer.make(accounts, opened, &parcel, &mut patience) else { return Ok(Exit::Ok) };
    let Offered { attempt, account, passed, way } = offered;
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => return verdict::without_spool(&attempt, parcel.envelope, error, request.errors),
    };
    let spool = entry.spool().clone();
    let desk = context.desk(&spool);
    let id = entry.id().clone();
    let everyone: Vec<usize> = (0..parcel.envelope.recipients().len()).collect();
    let tried = Tried { attempt: &attempt, offered: &everyone, account: &account.name };
    let conclusion = conclude(&desk, entry, Some(&tried), caller.who(), Moment::now());
    let _ = desk.spool.sync();
    if attempt.is_decided() {
        offer.mark(account, attempt.trouble.as_ref());
    }
    verdict::tell(&attempt, &passed, parcel.envelope, &id, &conclusion, request.errors);
    monitor::count(context, desk.spool);
    // Before anything forks: a connection belongs to one process, and so does an entry that waits; what has its file
    // open shares its lock.
    drop((parcel, patience));
    if let Some(way) = way {
        way.quit();
    }
    // What waits is tried when the way has just been seen to be open.
    let served = attempt.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Accepted(_)));
    if served && attempt.trouble.is_none() {
        run_queue::flush_behind(context, desk.spool);
    }
    Ok(conclusion.exit)
}

/// When the message is submitted: as the caller says, else as configured.
pub fn mode(request: &Delivering, config: &Config) -> DeliveryMode {
    request.delivery.unwrap_or(match config.queue.delivery {
        Delivery::Foreground => DeliveryMode::Foreground,
        Delivery::Background => DeliveryMode::Background,
        Delivery::Queue => DeliveryMode::Queue,
    })
}

/// Notes that a message is safe.
pub fn queued(context: &Context, entry: &Entry) {
    context.log.event(&Event {
        id: Some(entry.id().as_str()),
        message_id: Some(&entry.ticket().message_id),
        ..Event::new(Happening::Queued)
    });
}

/// Whether somebody still waits for our exit status; changes when we detach.
#[derive(Clone)]
struct Waiting {
    /// `-oee`: whoever waits wants to read of refusals in a mail.
    at_first: Caller,
    alone: Arc<AtomicBool>,
}

impl Waiting {
    fn new(at_first: Caller) -> Waiting {
        Waiting { at_first, alone: Arc::default() }
    }

    fn left(&self) {
        self.alone.store(true, Ordering::SeqCst);
    }

    fn has_left(&self) -> bool {
        self.alone.load(Ordering::SeqCst)
    }

    /// Who is to hear of refusals.
    fn who(&self) -> Caller {
        if self.has_left() { Caller::Gone } else { self.at_first }
    }
}

/// How long the attempt may take; after `foreground-deadline` the caller is let go and a child continues, with the
/// same connection and the same lock.
fn patience(config: &Config, parcel: &Parcel, committing: &Committing, caller: &Waiting) -> Patience {
    let mut patience = Courier::patience(parcel.time());
    if !caller.has_left() {
        let (committing, caller) = (committing.clone(), caller.clone());
        let let_go = move || {
            if !committing.is_safe() {
                return Parting::Done;
            }
            match detach::split() {
                Ok(Side::Parent) => system::leave(Exit::Ok.code()),
                Ok(Side::Child) => {
                    caller.left();
                    Parting::Done
                }
                Err(_) => Parting::Impossible,
            }
        };
        let deadline = Instant::now() + config.queue.foreground_deadline;
        patience.foreground = Some(Foreground::new(deadline, Box::new(let_go)));
    }
    patience
}
