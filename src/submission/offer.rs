//! What is offered to a relay: MAIL and RCPT with the parameters it knows, in batches it takes, and what is refused
//! here because no relay could, or this one has said that it does not.

use super::command::Flight;
use super::fault::Fault;
use super::session::Session;
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Envelope, Recipient, ReversePath};
use crate::mail::outcome::{Failure, Stage};
use crate::mail::wire::Wire;
use lettre::Address;
use lettre::transport::smtp::commands::{Mail, Rcpt};
use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter, RcptParameter};
use std::collections::{HashSet, VecDeque};

/// A recipient that can be offered to the relay.
pub struct Candidate {
    /// Its place among the outcomes.
    pub position: usize,
    pub command: Rcpt,
    domain: String,
    smtputf8: bool,
}

impl Session {
    /// Why the message as a whole cannot go through this relay, before a byte of it is sent.
    pub(super) fn refuse_message(&self, envelope: &Envelope, wire: &Wire) -> Option<Failure> {
        let limit = self.capabilities.size.flatten().into_iter().chain(self.limits.size).min();
        if let Some(limit) = limit.filter(|&limit| wire.size() > limit) {
            let cause = format!("5.3.4 the message has {} octets, the relay takes {limit}", wire.size());
            let hint = Some("send a link, or in parts".into());
            return Some(Failure { hint, ..self.failure(Stage::Mail, &cause) });
        }
        match envelope.reverse_path() {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => {
                let cause = self.unsendable(mailbox)?;
                let hint = Some("set from in the account to an ASCII address".into());
                Some(Failure { hint, ..self.failure(Stage::Mail, cause) })
            }
        }
    }

    /// A recipient as it can be offered, or why it cannot.
    pub(super) fn candidate(&self, position: usize, recipient: &Recipient) -> Result<Candidate, Failure> {
        if let Some(cause) = self.unsendable(&recipient.mailbox) {
            return Err(self.failure(Stage::Rcpt, cause));
        }
        let command = Rcpt::new(address(&recipient.mailbox), self.recipient_parameters(recipient));
        if Flight::default().command(&command).is_err() {
            return Err(self.failure(Stage::Rcpt, &Fault::Unsendable.words()));
        }
        let domain = recipient.mailbox.domain().to_lowercase();
        Ok(Candidate { position, command, domain, smtputf8: recipient.mailbox.needs_smtputf8() })
    }

    /// Why an address cannot be said to this relay.
    fn unsendable(&self, mailbox: &Mailbox) -> Option<&'static str> {
        if mailbox.needs_smtputf8() && !self.capabilities.smtputf8 {
            Some("5.6.7 the address needs SMTPUTF8 (RFC 6531), which the relay does not offer")
        } else if mailbox.with_ascii_domain().is_none() {
            Some("5.1.2 the domain is no name that DNS can have")
        } else {
            None
        }
    }

    /// NOTIFY and ORCPT (RFC 3461 section 4).
    fn recipient_parameters(&self, recipient: &Recipient) -> Vec<RcptParameter> {
        let mut parameters = Vec::new();
        if self.capabilities.dsn {
            let mut add = |keyword: &str, value: String| {
                parameters.push(RcptParameter::Other { keyword: keyword.into(), value: Some(value) });
            };
            if let Some(notify) = recipient.notify {
                add("NOTIFY", notify.to_string());
            }
            if let Some(original) = recipient.original.as_ref().filter(|original| is_xtext_source(original)) {
                add("ORCPT", original.clone());
            }
        }
        parameters
    }

    /// MAIL for a batch, with the parameters that are offered: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531),
    /// RET and ENVID (RFC 3461).
    pub(super) fn mail(&self, envelope: &Envelope, batch: &[Candidate], wire: &Wire) -> Mail {
        let mut parameters = Vec::new();
        if self.capabilities.size.is_some() {
            parameters.extend(usize::try_from(wire.size()).map(MailParameter::Size));
        }
        if wire.eight_bit() && self.capabilities.eight_bit {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let sender = match envelope.reverse_path() {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        };
        let needs_smtputf8 = sender.is_some_and(Mailbox::needs_smtputf8);
        if needs_smtputf8 || batch.iter().any(|candidate| candidate.smtputf8) {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if self.capabilities.dsn {
            let mut add = |keyword: &str, value: String| {
                parameters.push(MailParameter::Other { keyword: keyword.into(), value: Some(value) });
            };
            if let Some(ret) = envelope.ret {
                add("RET", ret.to_string());
            }
            if let Some(envid) = envelope.envid.as_ref().filter(|envid| is_xtext_source(envid)) {
                add("ENVID", envid.clone());
            }
        }
        Mail::new(sender.map(address), parameters)
    }

    /// As many recipients as one transaction takes.
    pub(super) fn next_batch(&self, waiting: &mut VecDeque<Candidate>) -> Vec<Candidate> {
        let server = self.capabilities.limits;
        let most = self.limits.recipients.min(server.recipients.unwrap_or(usize::MAX)).max(1);
        let most_domains = server.domains.unwrap_or(usize::MAX);
        let mut domains = HashSet::new();
        let mut batch = Vec::new();
        let mut left = VecDeque::new();
        for candidate in waiting.drain(..) {
            let fits = domains.len() < most_domains || domains.contains(&candidate.domain);
            if batch.len() < most && fits {
                domains.insert(candidate.domain.clone());
                batch.push(candidate);
            } else {
                left.push_back(candidate);
            }
        }
        *waiting = left;
        batch
    }
}

/// As lettre's commands want it; the domain in A-labels, which every relay understands.
pub(super) fn address(mailbox: &Mailbox) -> Address {
    let ascii = mailbox.with_ascii_domain();
    let mailbox = ascii.as_ref().unwrap_or(mailbox);
    Address::new_dangerous(mailbox.local(), mailbox.domain())
}

/// Whether lettre's xtext is right for it (RFC 3461 section 4): anything else is left out, for it only informs.
fn is_xtext_source(text: &str) -> bool {
    text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}
