//! What stands at the end of an account: a session with its relay, or a folder of this machine.

use super::context::Context;
use super::courier::{Parcel, Watcher};
use crate::config::Store;
use crate::delivery::{self, Letter};
use crate::mail::envelope::Envelope;
use crate::mail::outcome::Attempt;
use crate::mail::wire::Wire;
use crate::spool::QueueId;
use crate::submission::{Patience, Session};

/// Where messages of an account go.
#[allow(clippy::large_enum_variant, reason = "there is one, and it is nearly always a relay")]
pub enum Way {
    Relay(Session),
    Store(Store),
}

impl Way {
    /// Whether another message can go the same way.
    pub fn takes_more(&self) -> bool {
        match self {
            Way::Relay(session) => session.takes_more(),
            Way::Store(_) => true,
        }
    }

    /// Whether octets over 127 may go there as they are.
    pub fn takes_eight_bit(&self) -> bool {
        match self {
            Way::Relay(session) => session.takes_eight_bit(),
            Way::Store(_) => true,
        }
    }

    /// Ends it politely.
    pub fn quit(self) {
        if let Way::Relay(session) = self {
            session.quit();
        }
    }

    /// Its name in a failure.
    pub fn relay(&self) -> String {
        match self {
            Way::Relay(session) => session.relay().to_owned(),
            Way::Store(store) => store.to_string(),
        }
    }

    /// Offers a message that has its form.
    pub fn submit(
        &mut self,
        context: &Context,
        parcel: &Parcel,
        envelope: &Envelope,
        wire: &Wire,
        recipients: &[usize],
        patience: &mut Patience,
    ) -> Attempt {
        match self {
            Way::Relay(session) => {
                let mut watcher = Watcher::new(context.global.verbose);
                session.submit(envelope, recipients, wire, patience, &mut watcher)
            }
            Way::Store(store) => {
                // One that no spool would take has no id of its own, and no second try.
                let id = parcel.id.clone().unwrap_or_else(|| QueueId::new(parcel.created));
                let letter = Letter {
                    id: id.as_str(),
                    envelope,
                    recipients,
                    message: wire,
                    host: &context.process.host,
                    created: parcel.created,
                };
                delivery::deliver(store, &letter)
            }
        }
    }
}
