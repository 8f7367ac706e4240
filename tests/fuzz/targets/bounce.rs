//! A bounce about anything: canonical short lines of printable ASCII around what is returned, one group of status fields for
//! each recipient.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::clock::Moment;
use mailchute::mail::address::Mailbox;
use mailchute::mail::bounce::{Action, Fate, Report, compose};
use mailchute::mail::encode;
use mailchute::mail::envelope::Recipient;
use mailchute::mail::header::LONGEST_LINE;
use mailchute::mail::message::{self, Dots};

fuzz_target!(|octets: &[u8]| {
    let mut parts = octets.splitn(5, |&octet| octet == 0xff);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (words, hint, original, envid, about) = (text(), text(), text(), text(), text());
    let Ok((header, mut rest)) = message::read(about.as_bytes(), Dots::Keep) else { return };
    let mut body = Vec::new();
    let nature = rest.copy_to(&mut body).expect("memory");
    // Nothing else is kept in the spool.
    if encode::unfit(&nature) {
        return;
    }
    let to = Mailbox::parse("alice@example.org").expect("an address");
    let recipient = |address: &str, original: Option<String>| Recipient {
        original,
        ..Recipient::new(Mailbox::parse(address).expect("an address"))
    };
    let who = [recipient("bob@example.org", Some(original)), recipient("carol@example.org", None)];
    let fates: Vec<Fate> = who
        .iter()
        .zip([Action::failed(&words), Action::Rejected])
        .map(|(recipient, action)| Fate { recipient, action, words: &words, hint: Some(&hint) })
        .collect();
    let report = Report {
        host: "host.example",
        id: "064D1A2B3C4D5E6F01234567",
        original: "064D1A2B3C4D5E6F01234568",
        to: &to,
        now: Moment(2),
        arrival: Moment(1),
        envid: Some(&envid),
        fates: &fates,
        header: &header,
        body: (octets.len() % 2 == 0).then_some(body.as_slice()),
    };
    let (bounce_header, bounce_body) = compose(&report);
    let whole = [bounce_header.to_bytes().as_slice(), b"\r\n", &bounce_body].concat();
    assert!(whole.ends_with(b"\r\n"));
    for line in whole.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line = line.strip_suffix(b"\r").expect("a line that ends with CRLF");
        assert!(line.len() <= LONGEST_LINE && !line.contains(&b'\r') && !line.contains(&0));
    }
    let boundary = b"\r\n--=_064D1A2B3C4D5E6F01234567";
    let borders: Vec<usize> =
        whole.windows(boundary.len()).enumerate().filter(|(_, it)| it == boundary).map(|(at, _)| at).collect();
    assert!(borders.len() >= 4);
    // The first two parts are ours; the third is what the sender wrote.
    let ours = &whole[..borders[2]];
    let raw = ours.iter().find(|byte| !matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t'));
    assert_eq!(raw, None, "{}", String::from_utf8_lossy(ours));
    let status = &whole[borders[1]..borders[2]];
    assert_eq!(status.windows(16).filter(|it| it == b"Final-Recipient:").count(), 2);
});
