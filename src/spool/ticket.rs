//! What is written about a message once and never changed, and how it is written: the envelope lines before the
//! message. Each value has its length before it, so no address can forge a line.

use super::error::Flaw;
use super::fields::{self, Lines};
use crate::clock::Moment;
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Envelope, Notify, Recipient, Return, ReversePath};

/// What is written about a message once and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub envelope: Envelope,
    /// The account asked for by name (`--account`); else the route is chosen again at each attempt.
    pub account: Option<String>,
    /// The user who handed it in.
    pub uid: u32,
    pub created: Moment,
    /// The Message-ID, for the log.
    pub message_id: String,
}

impl Ticket {
    /// The envelope lines, with the empty line that ends them.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let envelope = &self.envelope;
        fields::write(&mut out, &[("from", Some(envelope.reverse_path().to_string().as_bytes()))]);
        for recipient in envelope.recipients() {
            let mailbox = recipient.mailbox.to_string();
            let notify = recipient.notify.map(|notify| notify.to_string());
            fields::write(
                &mut out,
                &[
                    ("to", Some(mailbox.as_bytes())),
                    ("notify", notify.as_deref().map(str::as_bytes)),
                    ("orcpt", recipient.original.as_deref().map(str::as_bytes)),
                ],
            );
        }
        let others = [
            ("created", Some(self.created.0.to_string())),
            ("uid", Some(self.uid.to_string())),
            ("account", self.account.clone()),
            ("message-id", Some(self.message_id.clone())),
            ("ret", envelope.ret.map(|ret| ret.to_string())),
            ("envid", envelope.envid.clone()),
        ];
        for (word, value) in others {
            if let Some(value) = value {
                fields::write(&mut out, &[(word, Some(value.as_bytes()))]);
            }
        }
        out.push(b'\n');
        out
    }

    /// Reads the envelope lines.
    ///
    /// # Errors
    /// `Flaw::Newer` when a word is met that must not be passed over.
    pub fn read(lines: &[u8]) -> Result<Ticket, Flaw> {
        let mut reverse_path = ReversePath::Null;
        let mut recipients = Vec::new();
        let (mut ret, mut envid, mut account) = (None, None, None);
        let (mut created, mut uid, mut message_id) = (Moment::default(), 0, String::new());
        for line in Lines(lines) {
            let line = line?;
            let Some((word, value)) = line.first().copied() else { continue };
            match word {
                "from" if value.is_empty() => reverse_path = ReversePath::Null,
                "from" => reverse_path = ReversePath::Mailbox(mailbox(value)?),
                "to" => recipients.push(recipient(value, &line[1..])?),
                "created" => created = Moment(fields::number(value)?),
                "uid" => uid = u32::try_from(fields::number(value)?).map_err(|_| Flaw::Damaged("uid"))?,
                "account" => account = Some(fields::text(value)?.to_string()),
                "message-id" => message_id = fields::text(value)?.to_string(),
                "ret" => ret = Return::parse(fields::text(value)?),
                "envid" => envid = Some(fields::text(value)?.to_string()),
                word => pass_over(word)?,
            }
        }
        let mut envelope = Envelope::new(reverse_path, recipients).ok_or(Flaw::Damaged("no recipient"))?;
        envelope.ret = ret;
        envelope.envid = envid;
        Ok(Ticket { envelope, account, uid, created, message_id })
    }
}

fn recipient(value: &[u8], more: &[(&str, &[u8])]) -> Result<Recipient, Flaw> {
    let mut recipient = Recipient::new(mailbox(value)?);
    for (word, value) in more {
        match *word {
            "notify" => recipient.notify = Notify::parse(fields::text(value)?),
            "orcpt" => recipient.original = Some(fields::text(value)?.to_string()),
            word => pass_over(word)?,
        }
    }
    Ok(recipient)
}

fn mailbox(value: &[u8]) -> Result<Mailbox, Flaw> {
    Mailbox::parse(fields::text(value)?).map_err(|_| Flaw::Damaged("an address of the envelope"))
}

fn pass_over(word: &str) -> Result<(), Flaw> {
    if fields::may_be_ignored(word) { Ok(()) } else { Err(Flaw::Newer(word.to_string())) }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A ticket for so many recipients, with everything set that can be.
    pub fn sample(recipients: usize) -> Ticket {
        let to = (0..recipients).map(|n| Recipient {
            mailbox: Mailbox::parse(&format!("bob{n}@web.example")).unwrap(),
            notify: (n == 0).then_some(Notify { success: true, failure: true, delay: false }),
            original: (n == 0).then(|| "rfc822;root@web1.example".to_string()),
        });
        let from = ReversePath::Mailbox(Mailbox::parse("alice@example.com").unwrap());
        let mut envelope = Envelope::new(from, to.collect()).unwrap();
        envelope.ret = Some(Return::Headers);
        envelope.envid = Some("QQ314159".into());
        Ticket {
            envelope,
            account: Some("gmail".into()),
            uid: 1000,
            created: Moment(1_795_529_045_123_456),
            message_id: "<a.b@example.com>".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for ticket in [sample(1), sample(3), Ticket { account: None, message_id: String::new(), ..sample(1) }] {
            assert_eq!(Ticket::read(&ticket.write()), Ok(ticket));
        }
        let bounce = sample(1).envelope.with_reverse_path(ReversePath::Null);
        let ticket = Ticket { envelope: bounce, ..sample(1) };
        assert_eq!(Ticket::read(&ticket.write()), Ok(ticket));
    }

    #[test]
    fn an_unknown_word_is_passed_over_unless_it_is_written_large() {
        let with = |line: &str| [line.as_bytes(), &sample(1).write()].concat();
        assert_eq!(Ticket::read(&with("colour 3:red hue 1:1\n")), Ok(sample(1)));
        assert_eq!(Ticket::read(&with("Sealed 3:aes\n")), Err(Flaw::Newer("Sealed".into())));
        assert_eq!(Ticket::read(&with("to 3:a@b Until 1:9\n")), Err(Flaw::Newer("Until".into())));
    }

    #[test]
    fn nobody_to_send_to_is_damage() {
        assert_eq!(Ticket::read(b"from 0:\n\n"), Err(Flaw::Damaged("no recipient")));
    }
}
