//! The server session behind `-bs`: however its input is cut, the same events and replies; a message ends only at its
//! end; replies are lines of a code and text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::server::{Event, Session, Settings};

/// Events as text, octets of messages joined, and all replies.
fn heard(input: &[u8], piece: usize, max_size: Option<u64>) -> (Vec<String>, String) {
    let mut session = Session::new(Settings::standard("host.example".into(), max_size));
    let (mut events, mut replies, mut data) = (Vec::new(), String::new(), Vec::new());
    let mut open = false;
    'all: for piece in input.chunks(piece) {
        let mut rest = piece;
        while let Some(event) = session.next(&mut rest) {
            match event {
                Event::Begin(transaction) => {
                    assert!(!open && !transaction.recipients.is_empty());
                    open = true;
                    data.clear();
                    events.push(format!("{transaction:?}"));
                }
                Event::Data(octets) => {
                    assert!(open);
                    data.extend_from_slice(octets);
                }
                Event::End => {
                    assert!(open);
                    open = false;
                    events.push(format!("end of {:?}", String::from_utf8_lossy(&data)));
                    session.accepted("064D1A2B3C4D5E6F01234567");
                }
                Event::Abort => {
                    open = false;
                    events.push("abort".into());
                }
                // Only the spooler's own tongue has questions.
                Event::Asked(question) => panic!("asked {question:?}"),
                Event::Quit => {
                    events.push("quit".into());
                    replies += &session.take_replies();
                    break 'all;
                }
            }
            replies += &session.take_replies();
        }
        replies += &session.take_replies();
    }
    if session.end_of_input().is_some() {
        events.push("cut".into());
    }
    (events, replies)
}

fuzz_target!(|input: &[u8]| {
    let max_size = input.first().filter(|first| **first % 2 == 0).map(|_| 1000);
    let whole = heard(input, input.len().max(1), max_size);
    assert_eq!(heard(input, 1, max_size), whole);
    assert_eq!(heard(input, 3, max_size), whole);
    for line in whole.1.split_terminator("\r\n") {
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
        assert!(code.is_some_and(|code| (200..600).contains(&code)), "{line:?}");
        assert!(line.len() <= 510 && !line.chars().any(char::is_control), "{line:?}");
    }
});
