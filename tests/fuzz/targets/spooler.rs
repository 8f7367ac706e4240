//! What local programs say on the spooler's socket: however it is cut, the same; and what our own client would say of a
//! transaction is heard as that transaction.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::server::{Event, Session, Settings, Tongue, Transaction};

/// Events as text, transactions, and all replies.
fn heard(input: &[u8], piece: usize) -> (Vec<String>, Vec<Transaction>, String) {
    let settings = Settings { tongue: Tongue::Ours, ..Settings::standard("host.example".into(), Some(1000)) };
    let mut session = Session::new(settings);
    let (mut events, mut transactions, mut replies) = (Vec::new(), Vec::new(), String::new());
    let (mut open, mut size) = (false, 0);
    'all: for piece in input.chunks(piece) {
        let mut rest = piece;
        while let Some(event) = session.next(&mut rest) {
            match event {
                Event::Begin(transaction) => {
                    assert!(!open);
                    (open, size) = (true, 0);
                    transactions.push(transaction);
                }
                Event::Data(octets) => {
                    assert!(open);
                    size += octets.len();
                    assert!(size <= 1000);
                }
                Event::End => {
                    assert!(open);
                    open = false;
                    events.push(format!("end of {size}"));
                    session.accepted("064D1A2B3C4D5E6F01234567");
                }
                Event::Abort => {
                    open = false;
                    events.push("abort".into());
                }
                Event::Asked(question) => {
                    events.push(format!("{question:?}"));
                    session.answer("one\ntwo\n");
                }
                Event::Quit => {
                    events.push("quit".into());
                    break 'all;
                }
            }
            replies += &session.take_replies();
        }
        replies += &session.take_replies();
    }
    replies += &session.take_replies();
    if session.end_of_input().is_some() {
        events.push("cut".into());
    }
    (events, transactions, replies)
}

fuzz_target!(|input: &[u8]| {
    let whole = heard(input, input.len().max(1));
    assert_eq!(heard(input, 1), whole);
    for line in whole.2.split_terminator("\r\n") {
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
        assert!(code.is_some_and(|code| (200..600).contains(&code)), "{line:?}");
        assert!(line.len() <= 510 && !line.chars().any(char::is_control), "{line:?}");
    }
    for mut transaction in whole.1 {
        // Our own client never says ORCPT.
        transaction.recipients.iter_mut().for_each(|forward| forward.original = None);
        let said = format!("EHLO x\r\n{}DATA\r\n.\r\nQUIT\r\n", transaction.commands().concat());
        let (events, again, _) = heard(said.as_bytes(), 4096);
        assert_eq!(again, [transaction], "{said:?}");
        assert_eq!(events, ["end of 0", "quit"], "{said:?}");
    }
});
