//! Round trips for values nobody thought of: what is written is what is read, in every form that a message takes on its
//! way. `PROPTEST_CASES=100000 cargo test --test properties` looks longer.
#![allow(clippy::unwrap_used, reason = "a test program")]

use mailchute::clock::Moment;
use mailchute::mail::address::{Addressee, Mailbox, parse_list, parse_sender};
use mailchute::mail::encode;
use mailchute::mail::envelope::{Envelope, Notify, Recipient, Return, ReversePath};
use mailchute::mail::header::{Field, Header, LONGEST_LINE, display_name};
use mailchute::mail::message::{self, Dots};
use mailchute::mail::wire::{Source, Wire};
use mailchute::server::{Event, Forward, Session, Settings, Tongue, Transaction, Wishes};
use mailchute::spool::{Claim, Shape, Spool, Ticket};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::io;

struct Memory(Vec<u8>);

impl Source for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[usize::try_from(offset).unwrap()..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// Text without control characters, blanks only between words.
fn words() -> impl Strategy<Value = String> {
    vec("[^\\s\\p{C}]{1,40}", 1..12).prop_map(|words| words.join(" "))
}

fn mailbox() -> impl Strategy<Value = Mailbox> {
    let local = prop_oneof!["[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,20}", "[^\\p{C}]{1,20}"];
    let domain = prop_oneof![
        "[a-z0-9]{1,9}(\\.[a-z0-9-]{1,9}){0,3}",
        Just("[192.0.2.7]".to_owned()),
        Just("ex\u{e4}mple.org".into())
    ];
    (local, domain).prop_filter_map("blanks beyond ASCII", |(local, domain)| {
        let local = local.replace('\\', "\\\\").replace('"', "\\\"");
        Mailbox::parse(&format!("\"{local}\"@{domain}")).ok()
    })
}

fn addressee() -> impl Strategy<Value = Addressee> {
    let bare = prop_oneof!["[a-z_][a-z0-9_-]{0,15}", "\"[^@!|/:\\p{C}\"\\\\.]{2,16}\""];
    let bare = bare.prop_filter_map("no name", |text| parse_sender(text.as_bytes()).ok().flatten());
    prop_oneof![mailbox().prop_map(Addressee::Mailbox), bare]
}

/// Octets that line ends, dots and what must be encoded are common in.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b".".to_vec()),
        Just(b"=".to_vec()),
        Just(b" ".to_vec()),
        vec(any::<u8>(), 0..8),
        vec(b'a'..=b'z', 0..120),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A message that came in as `octets` behind an empty line: its body in canonical form.
fn canonical(octets: &[u8]) -> (Vec<u8>, message::Nature) {
    let input = [b"Subject: s\n\n", octets].concat();
    let (_, mut rest) = message::read(input.as_slice(), Dots::Keep).unwrap();
    let mut body = Vec::new();
    let nature = rest.copy_to(&mut body).unwrap();
    (body, nature)
}

/// What a server makes of lines behind DATA, by RFC 5321 section 4.5.2 to the letter.
fn unstuffed(data: &[u8]) -> Vec<u8> {
    let text = data.strip_suffix(b".\r\n").unwrap();
    let lines = text.split_inclusive(|&octet| octet == b'\n');
    lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect()
}

/// RFC 2045 section 6.7, without forgiveness.
fn from_quoted_printable(text: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text);
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        if octet != b'=' {
            assert!(octet == b'\t' || octet == b'\r' || octet == b'\n' || (b' '..=b'~').contains(&octet));
            decoded.push(octet);
            continue;
        }
        let (pair, behind) = rest.split_at(2);
        rest = behind;
        if pair != b"\r\n" {
            decoded.push(u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        }
    }
    decoded
}

/// The only message of a session, and the octets that came with it.
fn heard(dialogue: &[u8], tongue: Tongue) -> (Transaction, Vec<u8>) {
    let mut session = Session::new(Settings { tongue, ..Settings::standard("host.example".into(), None) });
    let (mut rest, mut transactions, mut data) = (dialogue, Vec::new(), Vec::new());
    while let Some(event) = session.next(&mut rest) {
        match event {
            Event::Begin(transaction) => transactions.push(transaction),
            Event::Data(octets) => data.extend_from_slice(octets),
            Event::End => session.accepted("064D1A2B3C4D5E6F01234567"),
            Event::Quit => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(transactions.len(), 1, "{}", session.take_replies());
    (transactions.remove(0), data)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_folded_field_unfolds_to_its_value(name in "[A-Za-z][A-Za-z0-9-]{0,30}", value in words()) {
        let mut header = Header::default();
        header.push(Field::new(&name, &value));
        let raw = header.to_bytes();
        for line in raw.strip_suffix(b"\r\n").unwrap().split(|&octet| octet == b'\n') {
            prop_assert!(line.len() <= LONGEST_LINE && !line.trim_ascii().is_empty());
        }
        let read = Header::from_bytes(&raw);
        prop_assert_eq!(&read, &header);
        prop_assert_eq!(String::from_utf8(read.fields()[0].value()).unwrap(), value);
        let (again, _) = message::read(raw.as_slice(), Dots::Keep).unwrap();
        prop_assert_eq!(again, header);
    }

    #[test]
    fn a_mailbox_is_shown_as_it_is_read(mailbox in mailbox()) {
        let shown = mailbox.to_string();
        prop_assert_eq!(Mailbox::parse(&shown).unwrap(), mailbox);
    }

    #[test]
    fn a_list_names_whom_it_was_made_of(people in vec((words(), mailbox()), 1..8)) {
        let list: Vec<String> = people.iter().map(|(name, mailbox)| display_name(name, &mailbox.to_string())).collect();
        let meant: Vec<Addressee> = people.into_iter().map(|(_, mailbox)| Addressee::Mailbox(mailbox)).collect();
        prop_assert_eq!(parse_list(list.join(", ").as_bytes()).unwrap(), meant.clone());
        let field = Field::new("To", &list.join(", "));
        prop_assert_eq!(parse_list(&field.value()).unwrap(), meant);
    }

    #[test]
    fn a_name_beyond_ascii_is_decoded_to_itself(name in words()) {
        prop_assume!(!name.is_ascii());
        let shown = Field::new("From", &display_name(&name, "a@x.org")).text();
        prop_assert_eq!(shown, format!("{name} <a@x.org>"));
    }

    #[test]
    fn a_body_arrives_as_it_was_kept(octets in octets()) {
        let (body, nature) = canonical(&octets);
        prop_assume!(!encode::unfit(&nature));
        let (again, _) = canonical(&body);
        prop_assert_eq!(&again, &body, "canonical twice");
        let header = Header::default();
        let wire = Wire::new(&header, Box::new(Memory(body.clone())), body.len() as u64, nature.eight_bit);
        let mut data = Vec::new();
        wire.data(&mut |piece| { data.extend_from_slice(piece); Ok(()) }).unwrap();
        prop_assert_eq!(unstuffed(&data), [b"\r\n", body.as_slice()].concat());
        // By our own server too.
        let dialogue = [b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<root>\r\nDATA\r\n".as_slice(), &data].concat();
        prop_assert_eq!(heard(&dialogue, Tongue::Standard).1, [b"\r\n", body.as_slice()].concat());
    }

    #[test]
    fn what_is_encoded_is_decoded_to_itself(octets in octets(), nul in any::<bool>()) {
        let octets = if nul { [octets.as_slice(), b"\0"].concat() } else { octets };
        let (body, nature) = canonical(&octets);
        let (mut header, mut output) = (Header::default(), Vec::new());
        header.push(Field::new("Subject", "s"));
        let memory = Memory(body.clone());
        let done = match encode::unfit(&nature) {
            true => encode::rework(header, &memory, body.len() as u64, &mut output),
            false => encode::seven_bit(header, &memory, body.len() as u64, &mut output),
        };
        let (header, nature) = done.unwrap();
        prop_assert!(!encode::unfit(&nature) && output.is_ascii());
        match header.first("Content-Transfer-Encoding").map(Field::value) {
            Some(encoding) if encoding == b"quoted-printable" => prop_assert_eq!(from_quoted_printable(&output), body),
            _ => prop_assert_eq!(output, body),
        }
    }

    #[test]
    fn a_transaction_is_heard_as_it_was_said(
        from in option::of(addressee()),
        to in vec((addressee(), option::of(any::<[bool; 3]>())), 1..6),
        ret in option::of(any::<bool>()),
        envid in option::of("[ -~]{1,30}"),
        full_name in option::of("[^\\p{C}]{0,40}"),
        account in option::of("[!-~]{1,30}"),
        flags in any::<[bool; 3]>(),
    ) {
        let notify = |[success, failure, delay]: [bool; 3]| Notify { success, failure, delay };
        let forward = |(addressee, asked): (Addressee, Option<[bool; 3]>)| {
            Forward { addressee, notify: asked.map(notify), original: None }
        };
        let said = Transaction {
            reverse_path: from,
            recipients: to.into_iter().map(forward).collect(),
            ret: ret.map(|full| if full { Return::Full } else { Return::Headers }),
            envid,
            wishes: Wishes { account, full_name, unsaid: flags[0], keep_bare_names: flags[1], no_aliases: flags[2] },
        };
        let dialogue = format!("EHLO x\r\n{}DATA\r\n.\r\n", said.commands().concat());
        prop_assert_eq!(heard(dialogue.as_bytes(), Tongue::Ours).0, said);
    }
}

proptest! {
    // Each is flushed to a disk.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn an_entry_is_claimed_as_it_was_deposited(
        from in option::of(mailbox()),
        to in vec((mailbox(), option::of(any::<[bool; 3]>()), option::of(any::<String>())), 1..6),
        ret in option::of(any::<bool>()),
        texts in any::<(Option<String>, Option<String>, String)>(),
        numbers in any::<(u64, u32)>(),
        message in (vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..3000)),
    ) {
        let recipient = |(mailbox, asked, original): (Mailbox, Option<[bool; 3]>, Option<String>)| Recipient {
            notify: asked.map(|[success, failure, delay]| Notify { success, failure, delay }),
            original,
            ..Recipient::new(mailbox)
        };
        let from = from.map_or(ReversePath::Null, ReversePath::Mailbox);
        let mut envelope = Envelope::new(from, to.into_iter().map(recipient).collect()).unwrap();
        envelope.ret = ret.map(|full| if full { Return::Full } else { Return::Headers });
        envelope.envid = texts.0;
        // Moments are microseconds with sixteen hexadecimal digits of room in an id.
        let ticket = Ticket { envelope, account: texts.1, uid: numbers.1, created: Moment(numbers.0 >> 8), message_id: texts.2 };
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("spool")).unwrap();
        let mut draft = spool.draft(&ticket).unwrap();
        draft.writer().write_all(&message.0).unwrap();
        draft.writer().write_all(&message.1).unwrap();
        let shape = Shape { header: message.0.len() as u64, body: message.1.len() as u64, eight_bit: true };
        let id = draft.commit(shape).unwrap().id().clone();
        let Claim::Mine(entry) = spool.claim(&id).unwrap() else { panic!("not to be had") };
        prop_assert_eq!(entry.ticket(), &ticket);
        prop_assert_eq!((entry.header().read().unwrap(), entry.body().read().unwrap()), message);
    }
}
