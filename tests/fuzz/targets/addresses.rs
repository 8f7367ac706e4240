//! Address lists: whatever is taken for an address is one in every later reading, and fits into a command.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::config::aliases;
use mailchute::mail::address::{Addressee, Mailbox, parse_list, parse_sender};

fn check(addressee: &Addressee) {
    let text = addressee.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    match addressee {
        Addressee::Mailbox(mailbox) => {
            assert_eq!(Mailbox::parse(&text).as_ref(), Ok(mailbox), "{text:?}");
            assert_eq!(parse_list(text.as_bytes()), Ok(vec![addressee.clone()]), "{text:?}");
            let (mut quoted, mut escaped) = (false, false);
            for letter in text.chars() {
                match letter {
                    _ if escaped => escaped = false,
                    '\\' => escaped = quoted,
                    '"' => quoted = !quoted,
                    '<' | '>' | ' ' | ',' => assert!(quoted, "{text:?}"),
                    _ => {}
                }
            }
        }
        Addressee::Local(name) => assert!(!name.is_empty()),
    }
}

fuzz_target!(|text: &[u8]| {
    let list = parse_list(text);
    list.iter().flatten().for_each(check);
    if let Ok(Some(sender)) = parse_sender(text) {
        check(&sender);
        assert_eq!(list, Ok(vec![sender]));
    }
    aliases::parse(&String::from_utf8_lossy(text)).names.values().flatten().for_each(check);
});
