//! What a message must have before it may leave: From, Date, Message-ID; what must not leave: Bcc, Return-Path,
//! Content-Length. Every other byte and the order of fields stay, so that signatures hold. Also who is written in its
//! To, Cc and Bcc.

use super::address::{AddressError, Addressee, find};
use super::header::{Field, Header, display_name};
use crate::clock::Moment;

/// What to add when it is missing.
pub struct Defaults<'a> {
    /// The address for a missing From, `root@host` or the account's.
    pub from: &'a str,
    /// The display name for a missing From; empty for none.
    pub full_name: &'a str,
    pub now: Moment,
    /// The right side of a Message-ID.
    pub domain: &'a str,
    /// The domain that completes bare names in header fields; `None` leaves them bare.
    pub qualify: Option<&'a str>,
    /// The left side of a Message-ID: unique.
    pub unique: &'a str,
}

const RECIPIENTS: [&str; 3] = ["To", "Cc", "Bcc"];

const RESENT_RECIPIENTS: [&str; 3] = ["Resent-To", "Resent-Cc", "Resent-Bcc"];

/// Fields any of which tells that a message was resent (RFC 5322 section 3.6.6).
const RESENT: [&str; 7] =
    ["Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Bcc", "Resent-Date", "Resent-Message-ID"];

/// Bcc for the sake of those in it; the others would belie what the relay and the last hop write themselves.
const DROPPED: [&str; 4] = ["Bcc", "Resent-Bcc", "Return-Path", "Content-Length"];

/// Fields that hold addresses and leave.
const ADDRESSES: [&str; 10] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Resent-To",
    "Resent-Cc",
];

/// More octets than an address has (RFC 5321 section 4.5.3.1), and fewer than where a field's line is broken.
const LONGEST_WORD: usize = 900;

/// All recipients named in the header: To, Cc, Bcc; or, when one of Resent-To, Resent-Cc, Resent-Bcc is there, those.
/// One that cannot be parsed fails the whole, and so does a word so long that it had to be broken: its parts could pass
/// for addresses that nobody wrote.
pub fn recipients(header: &Header) -> Result<Vec<Addressee>, AddressError> {
    let resent = has_any(header, &RESENT_RECIPIENTS);
    let names = if resent { &RESENT_RECIPIENTS } else { &RECIPIENTS };
    let mut recipients = Vec::new();
    for field in header.fields().iter().filter(|field| names.iter().any(|name| field.is(name))) {
        let value = field.folded_value();
        if value.split(|byte| byte.is_ascii_whitespace() || *byte == b',').any(|word| word.len() > LONGEST_WORD) {
            return Err(AddressError::new(value, "longer than any address"));
        }
        recipients.extend(find(value)?.into_iter().map(|found| found.addressee));
    }
    Ok(recipients)
}

/// Drops what must not leave, adds what is missing, qualifies bare names in address fields. A field that cannot be
/// parsed stays as it is: who reads it may do better.
pub fn compose(mut header: Header, defaults: &Defaults) -> Header {
    // Asked before Resent-Bcc, which may be the only sign of it, is gone.
    let resent = has_any(&header, &RESENT);
    DROPPED.iter().for_each(|name| header.remove(name));
    if let Some(domain) = defaults.qualify {
        header.rewrite(|field| qualified(field, domain));
    }
    let from = display_name(defaults.full_name, defaults.from);
    let message_id = format!("<{}@{}>", defaults.unique, defaults.domain);
    if resent {
        add_missing(&mut header, "Resent-From", &from);
        add_missing(&mut header, "Resent-Date", &defaults.now.rfc5322());
        add_missing(&mut header, "Resent-Message-ID", &message_id);
    }
    add_missing(&mut header, "From", &from);
    add_missing(&mut header, "Date", &defaults.now.rfc5322());
    add_missing(&mut header, "Message-ID", &message_id);
    header
}

fn has_any(header: &Header, names: &[&str]) -> bool {
    header.fields().iter().any(|field| names.iter().any(|name| field.is(name)))
}

/// Fields that are there and empty count as missing, and are replaced where they stand.
fn add_missing(header: &mut Header, name: &str, value: &str) {
    if header.all(name).all(Field::is_empty) {
        header.replace(Field::new(name, value));
    }
}

/// The field with `@domain` behind each bare name; `None` when there is none, or the field cannot be parsed.
fn qualified(field: &Field, domain: &str) -> Option<Field> {
    if !ADDRESSES.iter().any(|name| field.is(name)) {
        return None;
    }
    let value = field.folded_value();
    let mut qualified = Vec::with_capacity(value.len() + 64);
    let mut copied = 0;
    for found in find(value).ok()? {
        if let Addressee::Local(name) = found.addressee {
            qualified.extend_from_slice(&value[copied..found.span.start]);
            qualified.extend_from_slice(format!("{name}@{domain}").as_bytes());
            copied = found.span.end;
        }
    }
    if copied == 0 {
        return None;
    }
    qualified.extend_from_slice(&value[copied..]);
    Some(field.with_folded_value(&qualified))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(header: &str) -> String {
        let defaults = Defaults {
            from: "root@web1.example.org",
            full_name: "Jörg, the Root",
            now: Moment::from_seconds(1_795_529_045),
            domain: "web1.example.org",
            qualify: Some("web1.example.org"),
            unique: "1a2b",
        };
        let header = Header::from_bytes(header.replace('\n', "\r\n").as_bytes());
        let bytes = compose(header, &defaults).to_bytes();
        String::from_utf8(bytes).unwrap().replace("\r\n", "\n").replace(&defaults.now.rfc5322(), "NOW")
    }

    const FROM: &str = "From: =?UTF-8?Q?J=C3=B6rg=2C_the_Root?= <root@web1.example.org>\n";
    const REST: &str = "Date: x\nMessage-ID: y\n";

    #[test]
    fn what_is_missing_is_added_at_the_end() {
        assert_eq!(composed(""), format!("{FROM}Date: NOW\nMessage-ID: <1a2b@web1.example.org>\n"));
        assert_eq!(
            composed("To: a@b\ndate:  x\n"),
            format!("To: a@b\ndate:  x\n{FROM}Message-ID: <1a2b@web1.example.org>\n")
        );
    }

    #[test]
    fn an_empty_field_is_replaced_where_it_stands() {
        assert_eq!(composed(&format!("From:  \nTo: a@b\n{REST}")), format!("{FROM}To: a@b\n{REST}"));
        assert_eq!(composed(&format!("From:\nFrom: x@y\n{REST}")), format!("From:\nFrom: x@y\n{REST}"));
    }

    #[test]
    fn what_is_there_stays_byte_for_byte() {
        let header = "received: a;\n\t b  \nFROM:Me  <x@y>\nFrom: z@y\nTo: A <a@b>,\n\tc@d (e, f) ,,\n  g@h;\nSubject:\n\
                      Errors-To: root\nFull-Name: x\nStatus: R\nDATE: x\nMessage-Id: y\nCc: <>, @, root\n";
        assert_eq!(composed(header), header);
    }

    #[test]
    fn what_must_not_leave_is_dropped() {
        let header =
            format!("Bcc: a@b,\n c@d\nX: y\nbcc: e@f\nReturn-Path: <g@h>\nContent-Length: 3\nFrom: x@y\n{REST}");
        assert_eq!(composed(&header), format!("X: y\nFrom: x@y\n{REST}"));
    }

    #[test]
    fn bare_names_are_qualified_and_nothing_else() {
        let cases = [
            ("From: root (Cron Daemon)\n", "From: root@web1.example.org (Cron Daemon)\n"),
            ("From: Cron <root>\n", "From: Cron <root@web1.example.org>\n"),
            ("From: \"Cron Daemon\" <\"root\">  \n", "From: \"Cron Daemon\" <root@web1.example.org>  \n"),
            ("From:root\n", "From:root@web1.example.org\n"),
            ("From: \\root\n", "From: root@web1.example.org\n"),
            (
                "From: x@y\nTo: root,\n\ta@b , pi\nCC: G: pi;\nReply-to: pi\nSender: \"a b\"\n",
                "From: x@y\nTo: root@web1.example.org,\n\ta@b , pi@web1.example.org\nCC: G: pi@web1.example.org;\n\
                 Reply-to: pi@web1.example.org\nSender: \"a b\"@web1.example.org\n",
            ),
            ("From: x@y\nTo: undisclosed-recipients:;\n", "From: x@y\nTo: undisclosed-recipients:;\n"),
        ];
        for (header, expected) in cases {
            assert_eq!(composed(&format!("{header}{REST}")), format!("{expected}{REST}"));
        }
    }

    #[test]
    fn a_resent_message_has_its_own_block() {
        let header = format!("From: x@y\n{REST}Resent-Bcc: a@b\n");
        assert_eq!(
            composed(&header),
            format!("From: x@y\n{REST}Resent-{FROM}Resent-Date: NOW\nResent-Message-ID: <1a2b@web1.example.org>\n")
        );
        let header = format!("Resent-From: pi\nResent-Date: x\nResent-Message-ID: y\nFrom: x@y\n{REST}");
        assert_eq!(composed(&header), header.replace("pi", "pi@web1.example.org"));
    }

    fn named(header: &str) -> Result<String, AddressError> {
        let named = recipients(&Header::from_bytes(header.replace('\n', "\r\n").as_bytes()))?;
        Ok(named.iter().map(Addressee::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn recipients_are_those_of_to_cc_and_bcc_or_of_the_resent_ones() {
        let cases = [
            ("", ""),
            ("To:\n", ""),
            ("Reply-To: a@b\nSender: a@b\nErrors-To: a@b\nApparently-To: a@b\nNewsgroups: x\n", ""),
            ("To: a@b\nBCC: c@d\ncc: e@f,\n\tg@h\nTo: root\n", "a@b c@d e@f g@h root"),
            ("To: undisclosed-recipients:;\nBcc: c@d\n", "c@d"),
            ("To: a@b\nResent-From: x@y\nResent-Date: x\n", "a@b"),
            ("To: a@b\nResent-Cc: c@d\nBcc: e@f\nResent-To: g@h\nresent-bcc: i@j\nResent-To: k@l\n", "c@d g@h i@j k@l"),
            ("To: a@b\nResent-To:\n", ""),
        ];
        for (header, expected) in cases {
            assert_eq!(named(header).unwrap(), expected, "{header:?}");
        }
        assert!(named("To: a@b\nCc: foo bar <\n").is_err());
    }

    #[test]
    fn a_long_list_names_whom_it_names_and_a_long_word_nobody() {
        let list: Vec<String> = (0..200).map(|number| format!("someone{number}@example.org")).collect();
        for between in [",", ", ", ",\n\t"] {
            assert_eq!(named(&format!("To:{}\n", list.join(between))).unwrap(), list.join(" "));
        }
        for start in 960..1000 {
            assert!(named(&format!("To: {}bob@example.org\n", "a".repeat(start))).is_err());
        }
    }
}
