//! One message offered to its account and, when that is out of reach or held, to the accounts that stand in for it.

use super::context::Context;
use super::courier::{Courier, Parcel};
use super::way::Way;
use crate::clock::Moment;
use crate::config::Account;
use crate::mail::outcome::{Attempt, Failure, Stage, Trouble};
use crate::queue::account;
use crate::queue::hold::Occasion;
use crate::spool::Spool;
use crate::submission::Patience;

/// How a message is offered while its caller waits.
pub struct Offer<'a> {
    pub context: &'a Context<'a>,
    pub courier: &'a Courier<'a>,
    /// Where holds are kept; without a spool there are none.
    pub spool: Option<&'a Spool>,
}

/// What came of it.
pub struct Offered<'a> {
    pub attempt: Attempt,
    /// The account that was tried last.
    pub account: &'a Account,
    /// Why those before it are held.
    pub passed: Vec<Failure>,
    /// Still open, when nothing went wrong on it.
    pub way: Option<Way>,
}

impl<'a> Offer<'a> {
    /// The way to an account's end, unless it is held and has been tried a moment ago.
    ///
    /// # Errors
    /// The trouble.
    pub fn open(&self, account: &Account, patience: &mut Patience) -> Result<Way, Trouble> {
        if let Some(trouble) = self.held(account) {
            return Err(trouble);
        }
        let opened = self.courier.open(account, patience);
        if let Err(trouble) = &opened {
            self.mark(account, Some(trouble));
        }
        opened
    }

    /// Offers the parcel to all its recipients; `opened` is what [`Offer::open`] said of the first account.
    pub fn make(
        &self,
        accounts: Vec<&'a Account>,
        opened: Result<Way, Trouble>,
        parcel: &Parcel,
        patience: &mut Patience,
    ) -> Option<Offered<'a>> {
        let everyone: Vec<usize> = (0..parcel.envelope.recipients().len()).collect();
        let mut opened = Some(opened);
        let mut last = None;
        let mut held = Vec::new();
        for account in accounts {
            let way = opened.take().unwrap_or_else(|| self.open(account, patience));
            let (attempt, way) = match way {
                Ok(mut way) => {
                    let attempt = self.courier.submit(account, &mut way, parcel, &everyone, patience);
                    if !attempt.is_decided() {
                        self.mark(account, attempt.trouble.as_ref());
                    }
                    (attempt, Some(way).filter(Way::takes_more))
                }
                Err(trouble) => (Attempt::failed(trouble, everyone.len()), None),
            };
            let is_over = !attempt.may_go_elsewhere();
            let passed = held.clone();
            if let Some(Trouble::Held(failure)) = &attempt.trouble {
                held.push(failure.clone());
            }
            last = Some(Offered { attempt, account, passed, way });
            if is_over {
                break;
            }
        }
        last
    }

    fn held(&self, account: &Account) -> Option<Trouble> {
        let spool = self.spool?;
        let (digest, now) = (account.digest.to_string(), Moment::now());
        if account::is_open(spool, &account.name, &digest, Occasion::NewMessage, now) {
            return None;
        }
        let hold = spool.recall(&account.name).hold?;
        Some(Trouble::Held(Failure {
            stage: Stage::Held,
            relay: format!("account {}", account.name),
            reply: None,
            cause: format!("since {}: {}", hold.since.rfc3339(), hold.reason),
            hint: Some("mailchute doctor names the cause; mailchute queue flush tries again".into()),
        }))
    }

    /// Remembers that the account works, or that it is held from now on. After the outcomes are recorded: nothing may
    /// stand between a relay's reply and its record.
    pub fn mark(&self, account: &Account, trouble: Option<&Trouble>) {
        let (Some(spool), log) = (self.spool, &self.context.log) else { return };
        match trouble {
            Some(Trouble::Held(failure)) => {
                account::failed(spool, log, &account.name, &account.digest.to_string(), failure, Moment::now());
            }
            Some(Trouble::Waiting(_)) => {}
            None => account::worked(spool, log, &account.name),
        }
    }
}
