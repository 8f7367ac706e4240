//! From an account to what its relay said: the way the queue reaches the network. Opens sessions, gives each message
//! the form that account and relay take, remembers which endpoint worked.

use super::context::Context;
use super::session;
use super::way::Way;
use crate::cli::Verbosity;
use crate::clock::Moment;
use crate::config::Account;
use crate::diagnostic::printable;
use crate::mail::encode;
use crate::mail::envelope::Envelope;
use crate::mail::header::Header;
use crate::mail::outcome::{Attempt, Failure, Outcome, Stage, Trouble};
use crate::mail::wire::Wire;
use crate::process;
use crate::queue;
use crate::queue::run::{self, Destination, Submitter};
use crate::route;
use crate::spool::{Entry, QueueId, Region, Shape, Ticket};
use crate::submission::{Direction, Observer, Patience, Series};
use crate::system;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

/// The longest wait for one reply (RFC 5321 section 4.5.3.2: five minutes for most).
const STEP: Duration = Duration::from_secs(300);
/// The longest time for one message, whatever the relay drips; and so much more for each MiB of it.
const MESSAGE: Duration = Duration::from_secs(600);
const MEBIBYTE: Duration = Duration::from_secs(60);

/// A stored message: what `submit` needs of it.
pub struct Parcel<'a> {
    pub envelope: &'a Envelope,
    /// With its empty line.
    pub header: Region,
    pub body: Region,
    pub eight_bit: bool,
    /// Its name in the queue, once it has one.
    pub id: Option<QueueId>,
    pub created: Moment,
}

impl Parcel<'_> {
    /// What an entry of the spool holds.
    pub fn of(entry: &Entry) -> Parcel<'_> {
        let (header, body) = (entry.header(), entry.body());
        let (ticket, id) = (entry.ticket(), Some(entry.id().clone()));
        Parcel { envelope: &ticket.envelope, header, body, eight_bit: entry.eight_bit(), id, created: ticket.created }
    }

    /// What lies in an open file that may not be an entry yet. When it is one, the file shares its lock: nothing else
    /// may keep it open.
    pub fn from_content(ticket: &Ticket, content: Region, shape: Shape) -> Parcel<'_> {
        let header = content.part(0, shape.header);
        let body = content.part(shape.header, shape.body);
        let (envelope, created) = (&ticket.envelope, ticket.created);
        Parcel { envelope, header, body, eight_bit: shape.eight_bit, id: None, created }
    }

    /// How long its submission may take in all.
    pub fn time(&self) -> Duration {
        let mebibytes = u32::try_from(self.body.size() >> 20).unwrap_or(u32::MAX);
        MESSAGE.saturating_add(MEBIBYTE.saturating_mul(mebibytes))
    }

    /// Addresses and bytes as this account may send them and its relay can take them.
    fn address(&self, context: &Context, account: &Account, way: &Way) -> io::Result<(Envelope, Wire)> {
        let header = queue::header(&self.header)?;
        let (envelope, header) =
            route::identify(&context.config, account, &context.hosts, self.envelope.clone(), header);
        if !self.eight_bit || way.takes_eight_bit() {
            let wire = Wire::new(&header, Box::new(self.body.clone()), self.body.size(), self.eight_bit);
            return Ok((envelope, wire));
        }
        let mut output = File::from(system::scratch()?);
        let (header, nature) = encode::seven_bit(header, &self.body, self.body.size(), &mut output)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let body = Region::whole(output)?;
        let size = body.size();
        Ok((envelope, Wire::new(&header, Box::new(body), size, nature.eight_bit)))
    }
}

/// How relays are reached in this process.
pub struct Courier<'a> {
    context: &'a Context<'a>,
}

impl<'a> Courier<'a> {
    pub fn new(context: &'a Context<'a>) -> Courier<'a> {
        Courier { context }
    }

    /// How long one message of this size may take; nobody waits.
    pub fn patience(time: Duration) -> Patience {
        Patience { step: STEP, overall: Some(Instant::now() + time), foreground: None }
    }

    /// A logged-in session, the endpoint that worked last tried first; or the folder.
    ///
    /// # Errors
    /// The trouble, and whether it holds the account.
    pub fn open(&self, account: &Account, patience: &mut Patience) -> Result<Way, Trouble> {
        if let Some(store) = &account.store {
            return Ok(Way::Store(store.clone()));
        }
        let mut watcher = Watcher::new(self.context.global.verbose);
        let mut account = account.clone();
        endpoints::prefer_remembered(self.context, &mut account);
        let session = session::open(self.context, &account, patience, &mut watcher)?;
        endpoints::remember(self.context, &account, session.endpoint());
        Ok(Way::Relay(session))
    }

    /// Offers a stored message to some of its recipients.
    pub fn submit(
        &self,
        account: &Account,
        way: &mut Way,
        parcel: &Parcel,
        recipients: &[usize],
        patience: &mut Patience,
    ) -> Attempt {
        match parcel.address(self.context, account, way) {
            Ok((envelope, wire)) => way.submit(self.context, parcel, &envelope, &wire, recipients, patience),
            Err(error) => unreadable(&way.relay(), &error, recipients.len()),
        }
    }

    fn account(&self, name: &str) -> Option<&Account> {
        self.context.config.account(name)
    }
}

/// What becomes of a message that cannot be given a form for the wire: a damaged file is looked at again later, what
/// has no such form is refused for good.
fn unreadable(relay: &str, error: &io::Error, recipients: usize) -> Attempt {
    let failure =
        Failure { stage: Stage::Data, relay: relay.into(), reply: None, cause: error.to_string(), hint: None };
    let outcome = match error.kind() {
        io::ErrorKind::InvalidData => Outcome::Rejected(failure),
        _ => Outcome::Deferred(failure),
    };
    Attempt { outcomes: vec![outcome; recipients], trouble: None }
}

impl run::Courier for Courier<'_> {
    fn destinations(&self, ticket: &Ticket, header: &dyn Fn() -> Header) -> Result<Vec<Destination>, Failure> {
        let account = self.context.account_of(ticket, header).map_err(|error| Failure {
            stage: Stage::Resolve,
            relay: "no account".into(),
            reply: None,
            cause: error.to_string(),
            hint: None,
        })?;
        Ok(self.with_fallbacks(account).into_iter().map(destination).collect())
    }

    fn connect<'b>(&'b self, account: &str) -> Box<dyn Submitter + 'b> {
        let account = self.account(account);
        Box::new(Connection { courier: self, account, way: None, series: Series::default() })
    }
}

impl<'a> Courier<'a> {
    /// An account and those that may stand in for it.
    pub fn with_fallbacks<'b>(&'b self, account: &'b Account) -> Vec<&'b Account> {
        let others = account.fallback.iter().filter_map(|name| self.account(name));
        std::iter::once(account).chain(others).collect()
    }
}

fn destination(account: &Account) -> Destination {
    Destination {
        account: account.name.clone(),
        digest: account.digest.to_string(),
        connections: account.limits.connections,
    }
}

/// One connection of a queue run.
struct Connection<'a> {
    courier: &'a Courier<'a>,
    account: Option<&'a Account>,
    way: Option<Way>,
    /// What is under way.
    series: Series,
}

impl Submitter for Connection<'_> {
    fn submit(&mut self, entry: &Entry, recipients: &[usize]) -> Attempt {
        let Some(account) = self.account else {
            let error = io::Error::other("the account is gone from the configuration");
            return unreadable("no account", &error, recipients.len());
        };
        let parcel = Parcel::of(entry);
        let mut patience = Courier::patience(parcel.time());
        let way = match self.way.take().filter(Way::takes_more) {
            Some(way) => way,
            None => match self.courier.open(account, &mut patience) {
                Ok(way) => way,
                Err(trouble) => return Attempt::failed(trouble, recipients.len()),
            },
        };
        let way = self.way.insert(way);
        self.courier.submit(account, way, &parcel, recipients, &mut patience)
    }

    fn send_ahead(&mut self, messages: &[(&Entry, &[usize])]) -> usize {
        let (Some(account), Some(way)) = (self.account, &mut self.way) else { return 0 };
        let fits = |(entry, recipients): &&(&Entry, &[usize])| {
            // What cannot be read says so when it is offered alone.
            let addressed = Parcel::of(entry).address(self.courier.context, account, way);
            addressed.is_ok_and(|(envelope, wire)| match &*way {
                Way::Relay(session) => session.add(&mut self.series, &envelope, recipients, wire),
                Way::Store(_) => false,
            })
        };
        let added = messages.iter().take_while(fits).count();
        if let (Way::Relay(session), 1..) = (way, added) {
            let mut watcher = Watcher::new(self.courier.context.global.verbose);
            session.launch(&mut self.series, &mut Courier::patience(MESSAGE), &mut watcher);
        }
        added
    }

    fn hear(&mut self) -> Attempt {
        let mut watcher = Watcher::new(self.courier.context.global.verbose);
        let heard = match &mut self.way {
            Some(Way::Relay(session)) => {
                session.hear_next(&mut self.series, &mut Courier::patience(MESSAGE), &mut watcher)
            }
            Some(Way::Store(_)) | None => None,
        };
        heard.unwrap_or_else(|| unreadable("no account", &io::Error::other("nothing is under way"), 0))
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            way.quit();
        }
    }
}

/// Which of an account's endpoints worked last, kept for a day in the spool, so that a network that blocks 587 costs
/// its time-out once.
mod endpoints {
    use super::*;
    use crate::config::Endpoint;
    use crate::spool::Spool;

    const A_DAY: Duration = Duration::from_secs(86_400);

    pub fn prefer_remembered(context: &Context, account: &mut Account) {
        if account.endpoints.len() < 2 {
            return;
        }
        let Ok(Some(spool)) = Spool::existing(&context.config.spool) else { return };
        let Some((port, at)) = spool.recall(&account.name).route.as_deref().and_then(read) else { return };
        if Moment::now().since(at) < A_DAY {
            account.endpoints.sort_by_key(|endpoint| endpoint.port != port);
        }
    }

    pub fn remember(context: &Context, account: &Account, worked: &Endpoint) {
        // The list is in the order it was tried in: when the first worked, nothing is new.
        if account.endpoints.first() == Some(worked) {
            return;
        }
        let Ok(Some(spool)) = Spool::existing(&context.config.spool) else { return };
        let mut memory = spool.recall(&account.name);
        memory.route = Some(format!("{} {}", worked.port, Moment::now().seconds()));
        let _ = spool.remember(&account.name, &memory);
    }

    /// Port and time: `465 1795529045`.
    fn read(route: &str) -> Option<(u16, Moment)> {
        let (port, seconds) = route.split_once(' ')?;
        Some((port.parse().ok()?, Moment::from_seconds(seconds.parse().ok()?)))
    }
}

/// Shows the dialogue to a person who asked for it.
pub struct Watcher(Verbosity);

impl Watcher {
    pub fn new(verbosity: Verbosity) -> Watcher {
        Watcher(verbosity)
    }
}

impl Observer for Watcher {
    fn line(&mut self, direction: Direction, text: &str) {
        if self.0 == Verbosity::Dialogue {
            let lead = match direction {
                Direction::Client => ">>>",
                Direction::Server => "<<<",
                Direction::Note => "---",
            };
            process::say(&format!("{lead} {}\n", printable(text)));
        }
    }
}
