//! A header: cut from its body, completed, written and read back; lines stay lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::clock::Moment;
use mailchute::mail::compose::{self, Defaults};
use mailchute::mail::header::{Header, LONGEST_LINE};
use mailchute::mail::message::{self, Dots};

fn check(header: &Header) {
    let bytes = header.to_bytes();
    assert!(bytes.is_empty() || bytes.ends_with(b"\r\n"));
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line = line.strip_suffix(b"\r").expect("a line that ends with CRLF");
        assert!(!line.is_empty() && line.len() <= LONGEST_LINE, "{}", line.len());
        assert!(!line.iter().any(|byte| b"\r\0".contains(byte)));
    }
    assert_eq!(Header::from_bytes(&bytes), *header);
}

fuzz_target!(|text: &[u8]| {
    let Ok((header, _)) = message::read(text, Dots::Keep) else { return };
    check(&header);
    let _ = compose::recipients(&header);
    for field in header.fields() {
        let _ = (field.text(), field.is_empty());
    }
    let _ = (header.content_type(), header.transfer_encoding(), message::hops(&header));
    let defaults = Defaults {
        from: "alice@example.org",
        full_name: "Alice",
        now: Moment(1),
        domain: "example.org",
        unique: "1",
        qualify: Some("example.org"),
    };
    let once = compose::compose(header, &defaults);
    check(&once);
    assert!(once.first("Bcc").is_none());
    assert_eq!(compose::compose(once.clone(), &defaults), once, "completed twice");
});
