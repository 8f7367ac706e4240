//! The mail that tells a sender what became of a message: a delivery status notification (RFC 3464) in a
//! multipart/report (RFC 6522): plain words, fields for machines, and the message or its header. Pure; whether anyone
//! is to be told and when is the queue's business.

mod status;
mod words;

use super::address::Mailbox;
use super::envelope::Recipient;
use super::header::{Field, Header};
use crate::clock::Moment;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Body, MultiPart, SinglePart};

/// Everything one bounce says.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The reporting host, and the domain of MAILER-DAEMON.
    pub host: &'a str,
    /// The queue id of the bounce itself: its Message-ID and its boundary come from it.
    pub id: &'a str,
    /// The queue id of the message it is about.
    pub original: &'a str,
    pub to: &'a Mailbox,
    pub now: Moment,
    /// When the message was handed in.
    pub arrival: Moment,
    /// ENVID as the sender gave it.
    pub envid: Option<&'a str>,
    /// At least one; those of one kind, or rejected and expired ones together.
    pub fates: &'a [Fate<'a>],
    /// The header of the message it is about.
    pub header: &'a Header,
    /// The canonical body, when the whole message is to be returned (RET=FULL).
    pub body: Option<&'a [u8]>,
}

/// What became of one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Fate<'a> {
    pub recipient: &'a Recipient,
    pub action: Action,
    /// The last failure as [`super::outcome::Failure`] words it, or any other text.
    pub words: &'a str,
    pub hint: Option<&'a str>,
}

/// What is reported (RFC 3464 section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The relay refused it for good.
    Rejected,
    /// It was tried for as long as the queue tries.
    Expired,
    /// Still being tried, until then.
    Delayed { until: Moment },
    /// Handed to a relay that gives no notifications.
    Relayed,
}

impl Action {
    /// How a recipient failed, by the words of its last failure: what the relay did not reject has expired.
    pub fn failed(words: &str) -> Action {
        if status::rejects(words) { Action::Rejected } else { Action::Expired }
    }
}

/// Whether a recipient's NOTIFY (RFC 3461 section 4.1) wants to hear of that. Nothing asked wants failures and delays.
pub fn wanted(recipient: &Recipient, action: Action) -> bool {
    match (recipient.notify, action) {
        (Some(notify), Action::Rejected | Action::Expired) => notify.failure,
        (Some(notify), Action::Delayed { .. }) => notify.delay,
        (Some(notify), Action::Relayed) => notify.success,
        (None, Action::Relayed) => false,
        (None, _) => true,
    }
}

/// The most of a header that is returned, in octets; whole fields.
pub const HEADER_LIMIT: usize = 50_000;

/// Writes the bounce: its header, and its body in canonical lines.
pub fn compose(report: &Report) -> (Header, Vec<u8>) {
    let boundary = format!("=_{}", report.id);
    let parts = MultiPart::mixed()
        .boundary(&boundary)
        .singlepart(text("text/plain; charset=utf-8", words::body(report)))
        .singlepart(text("message/delivery-status", status::fields(report)))
        .singlepart(returned(report));
    // lettre's own header goes: it cannot say multipart/report.
    let formatted = parts.formatted();
    let start = formatted.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |found| found + 4);
    (header(report, &boundary), formatted.get(start..).unwrap_or_default().to_vec())
}

fn header(report: &Report, boundary: &str) -> Header {
    let mut header = Header::default();
    let mut add = |name: &str, value: &str| header.push(Field::new(name, value));
    add("From", &format!("Mail Delivery System <MAILER-DAEMON@{}>", report.host));
    add("To", &format!("<{}>", report.to));
    add("Subject", words::subject(report));
    add("Date", &report.now.rfc5322());
    add("Message-ID", &format!("<{}@{}>", report.id, report.host));
    if let Some(original) = report.header.first("Message-ID") {
        let id = String::from_utf8_lossy(&original.value()).trim().to_string();
        add("In-Reply-To", &id);
        add("References", &id);
    }
    // RFC 3834 section 5: answered by no machine.
    add("Auto-Submitted", "auto-replied");
    add("MIME-Version", "1.0");
    add("Content-Type", &format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\""));
    if report.body.is_some_and(|body| !body.is_ascii() || !report.header.to_bytes().is_ascii()) {
        add("Content-Transfer-Encoding", "8bit");
    }
    header
}

/// The message or its header (RFC 6522 section 3, third part).
fn returned(report: &Report) -> SinglePart {
    let Some(body) = report.body else {
        let mut header = Vec::new();
        for field in report.header.fields() {
            if header.len() + field.raw().len() <= HEADER_LIMIT {
                header.extend_from_slice(field.raw());
            }
        }
        return text("text/rfc822-headers", String::from_utf8_lossy(&header).into_owned());
    };
    let message = [&report.header.to_bytes(), b"\r\n".as_slice(), body].concat();
    // RFC 2046 section 5.2.1: message/rfc822 may not be encoded.
    let encoding =
        if message.is_ascii() { ContentTransferEncoding::SevenBit } else { ContentTransferEncoding::EightBit };
    part("message/rfc822", Body::dangerous_pre_encoded(message, encoding))
}

/// A part of text whose lines are short.
fn text(content_type: &str, text: String) -> SinglePart {
    let encoding = if text.is_ascii() && text.split("\r\n").all(|line| line.len() <= 998) {
        ContentTransferEncoding::SevenBit
    } else {
        ContentTransferEncoding::QuotedPrintable
    };
    let body = Body::new_with_encoding(text, encoding);
    part(content_type, body.unwrap_or_else(|bytes| Body::new(String::from_utf8_lossy(&bytes).into_owned())))
}

fn part(content_type: &str, body: Body) -> SinglePart {
    let content_type = ContentType::parse(content_type).unwrap_or(ContentType::TEXT_PLAIN);
    SinglePart::builder().header(content_type).body(body)
}

#[cfg(test)]
mod golden;
