//! A message as a delivery agent leaves it: Return-Path (RFC 5321 section 4.4), who it was for, how it came here, and
//! lines that end as the system's do.

use crate::clock::Moment;
use crate::mail::envelope::{Envelope, ReversePath};
use crate::mail::wire::Wire;
use std::fmt::Write as _;
use std::io;

/// What is to be written.
pub struct Letter<'a> {
    /// The queue id: the same for every try, and nobody else's.
    pub id: &'a str,
    pub envelope: &'a Envelope,
    /// Those of the envelope's recipients it is for.
    pub recipients: &'a [usize],
    pub message: &'a Wire,
    /// This host's name.
    pub host: &'a str,
    /// When it was taken; the same for every try.
    pub created: Moment,
}

impl Letter<'_> {
    /// Hands the letter on piece by piece, in lines that end with LF.
    ///
    /// # Errors
    /// Those of the sink; `InvalidData` for a message that is not canonical.
    pub fn write(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut first = self.trace().into_bytes();
        self.message.bdat(&mut |octets| {
            // The wire's form has CR only in front of LF.
            first.extend(octets.iter().filter(|octet| **octet != b'\r'));
            sink(&first)?;
            first.clear();
            Ok(())
        })
    }

    /// The most octets it can have.
    pub fn bound(&self) -> u64 {
        self.trace().len() as u64 + self.message.size()
    }

    /// The lines it begins with, which no other letter does.
    pub fn mark(&self) -> String {
        let (path, host, id) = (self.envelope.reverse_path(), self.host, self.id);
        format!("Return-Path: <{path}>\nReceived: by {host} (mailchute) id {id};\n")
    }

    /// The reverse-path as one word.
    pub fn sender(&self) -> String {
        match self.envelope.reverse_path() {
            ReversePath::Null => "MAILER-DAEMON".to_owned(),
            ReversePath::Mailbox(mailbox) => mailbox.to_string().replace(char::is_whitespace, "-"),
        }
    }

    fn trace(&self) -> String {
        let mut trace = format!("{}\t{}\n", self.mark(), self.created.rfc5322());
        let everyone = self.envelope.recipients();
        for recipient in self.recipients.iter().filter_map(|index| everyone.get(*index)) {
            // Writing to a String cannot fail.
            let _ = writeln!(trace, "Delivered-To: {}", recipient.mailbox);
        }
        trace
    }
}
