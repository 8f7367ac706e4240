//! A new account tried before it is written, and the test mail behind it.

use crate::clock::Moment;
use crate::commands::context::Context;
use crate::commands::courier::Watcher;
use crate::commands::session;
use crate::config::{Account, Endpoint, Tls};
use crate::diagnostic::Explain;
use crate::exit::Exit;
use crate::mail::address::Mailbox;
use crate::mail::compose::{Defaults, compose};
use crate::mail::envelope::{Envelope, Recipient, ReversePath};
use crate::mail::header::Header;
use crate::mail::outcome::{Failure, Outcome, Reply, Trouble};
use crate::mail::wire::{Source, Wire};
use crate::spool::QueueId;
use crate::submission::{Patience, Probe, Session};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// How long a trial may take.
const WHOLE: Duration = Duration::from_secs(90);
const STEP: Duration = Duration::from_secs(15);

/// Connects and logs in.
///
/// # Errors
/// What kept us from it.
pub fn log_in(context: &Context, account: &Account) -> Result<Session, Untried> {
    let mut watcher = Watcher::new(context.global.verbose);
    session::open(context, account, &mut patience(), &mut watcher).map_err(|trouble| match trouble {
        Trouble::Held(failure) => Untried { failure, exit: Exit::Config },
        Trouble::Waiting(mut failure) => {
            failure.hint.get_or_insert_with(|| "nothing was written; later again, or untried with --no-test".into());
            Untried { failure, exit: Exit::TempFail }
        }
    })
}

/// How a port that says nothing by its number begins: with TLS, else with STARTTLS. TLS is tried first, because a
/// server that speaks first answers it at once, while the other way round both would wait for each other.
pub fn tls_of(context: &Context, account: &Account, port: u16) -> &'static str {
    let Some(first) = account.endpoints.first() else { return "starttls" };
    let endpoint = Endpoint { port, tls: Tls::Implicit, ..first.clone() };
    let probe = Probe { account, host: &context.process.host, roots: &context.roots, endpoint: &endpoint };
    let mut watcher = Watcher::new(context.global.verbose);
    let address = probe.resolve(&mut patience()).ok().and_then(|addresses| addresses.into_iter().find(answers));
    let begins_with_tls = address.is_some_and(|address| {
        let knock = probe.knock(address, STEP, &mut patience(), &mut watcher);
        knock.failed.is_none_or(|(symptom, _)| symptom == crate::submission::Symptom::Certificate)
    });
    if begins_with_tls { "implicit" } else { "starttls" }
}

fn answers(address: &std::net::SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(address, STEP).is_ok()
}

/// Sends a mail that says that mail arrives.
///
/// # Errors
/// It was not taken.
pub fn send_mail(context: &Context, mut session: Session, from: &Mailbox) -> Result<Reply, Untried> {
    let Some(envelope) = Envelope::new(ReversePath::Mailbox(from.clone()), vec![Recipient::new(from.clone())]) else {
        return Err(Untried { failure: failure(&session, "no recipient"), exit: Exit::Software });
    };
    let unique = QueueId::new(Moment::now());
    let header = compose(
        Header::from_bytes(format!("To: {from}\r\nSubject: Test of mailchute\r\n").as_bytes()),
        &Defaults {
            from: &from.to_string(),
            full_name: &context.process.caller.full_name,
            now: Moment::now(),
            domain: &context.config.domain,
            qualify: None,
            unique: unique.as_str(),
        },
    );
    let wire = Wire::new(&header, Box::new(Words), BODY.len() as u64, false);
    let mut watcher = Watcher::new(context.global.verbose);
    let attempt = session.submit(&envelope, &[0], &wire, &mut patience(), &mut watcher);
    let lost = failure(&session, "no answer");
    session.quit();
    match attempt.outcomes.into_iter().next() {
        Some(Outcome::Accepted(reply)) => Ok(reply),
        Some(Outcome::Rejected(failure)) => Err(Untried { failure, exit: Exit::Unavailable }),
        Some(Outcome::Deferred(failure)) => Err(Untried { failure, exit: Exit::Unavailable }),
        None => Err(Untried { failure: lost, exit: Exit::Software }),
    }
}

fn failure(session: &Session, cause: &str) -> Failure {
    let stage = crate::mail::outcome::Stage::Data;
    Failure { stage, relay: session.relay().to_owned(), reply: None, cause: cause.to_owned(), hint: None }
}

const BODY: &[u8] =
    b"This is the test mail that mailchute setup sends. It has arrived, so mail from this host does.\r\n";

struct Words;

impl Source for Words {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| BODY.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

fn patience() -> Patience {
    Patience { step: STEP, overall: Some(Instant::now() + WHOLE), foreground: None }
}

/// Why an account did not pass.
#[derive(Debug)]
pub struct Untried {
    pub failure: Failure,
    exit: Exit,
}

impl fmt::Display for Untried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl std::error::Error for Untried {}

impl Explain for Untried {
    fn exit(&self) -> Exit {
        self.exit
    }

    fn hints(&self) -> Vec<String> {
        self.failure.hint.clone().into_iter().collect()
    }
}
