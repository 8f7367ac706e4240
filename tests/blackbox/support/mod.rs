//! What every black-box test stands on: a world of its own, and a relay that does as it is told.

pub mod hostile;
pub mod relay;
pub mod run;
pub mod sandbox;

pub use relay::{Act, Certificate, Cheat, ClientAuth, Received, Relay, Script, Security, raw, say};
pub use run::{Finished, Run, spellings_of};
pub use sandbox::{PASSWORD, Sandbox, USER};

use std::thread;
use std::time::{Duration, Instant};

/// A small message for one recipient, complete and canonical but for its line ends.
pub const MESSAGE: &str = "From: Alice <alice@example.test>\n\
    To: Bob <bob@example.org>\n\
    Subject: hello\n\
    Date: Tue, 24 Nov 2026 12:00:00 +0000\n\
    Message-ID: <one@example.test>\n\
    \n\
    Hello Bob,\n\
    .\n\
    two dots: ..\n\
    bye\n";

/// The same as a relay gets it.
pub fn on_the_wire(message: &str) -> String {
    message.replace('\n', "\r\n")
}

/// Waits for something that a detached process will have done in a moment.
pub fn eventually(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
