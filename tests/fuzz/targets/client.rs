//! The reply parser and the session of the client, against a relay that says these octets: one piece after each thing it
//! hears, then the end. Accepted is only what a reply to the end of the message accepted; after trouble nothing more
//! is said on that connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::config::{Account, Auth, Endpoint, Limits, Password, RewriteFrom, Secret, Tls, Trust};
use mailchute::mail::address::Mailbox;
use mailchute::mail::envelope::{Envelope, Recipient, ReversePath};
use mailchute::mail::header::{Field, Header};
use mailchute::mail::outcome::{Outcome, Trouble};
use mailchute::mail::wire::{Source, Wire};
use mailchute::submission::{Direction, Observer, Patience, Roots, Session};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// What separates two pieces.
const THEN: u8 = 0xff;

/// Must not hear the password, unless the relay says it by itself.
struct Ears {
    known: bool,
}

impl Observer for Ears {
    fn line(&mut self, _: Direction, text: &str) {
        assert!(self.known || !text.contains("s3cret"), "{text}");
    }
}

struct Memory(&'static [u8]);

impl Source for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[usize::try_from(offset).expect("small").min(self.0.len())..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// Plays the relay; what it heard.
fn relay(listener: &TcpListener, said: &[u8]) -> Vec<u8> {
    let (mut socket, _) = listener.accept().expect("a connection");
    socket.set_nodelay(true).expect("a socket");
    // Where both wait for each other, the relay goes on.
    socket.set_read_timeout(Some(Duration::from_millis(4))).expect("a limit");
    let mut heard = Vec::new();
    let mut buffer = [0; 65536];
    let mut pieces = said.split(|&octet| octet == THEN);
    if let Some(greeting) = pieces.next() {
        let _ = socket.write_all(greeting);
    }
    for piece in pieces {
        match socket.read(&mut buffer) {
            Ok(0) => return heard,
            Ok(length) => heard.extend_from_slice(&buffer[..length]),
            Err(_) => {}
        }
        if socket.write_all(piece).is_err() {
            return heard;
        }
    }
    let _ = socket.shutdown(std::net::Shutdown::Write);
    while let Ok(length) = socket.read(&mut buffer)
        && length > 0
    {
        heard.extend_from_slice(&buffer[..length]);
    }
    heard
}

fn account(port: u16, login: bool) -> Account {
    Account {
        name: "test".into(),
        provider: None,
        endpoints: vec![Endpoint { host: "127.0.0.1".into(), port, tls: Tls::None }],
        store: None,
        user: login.then(|| "alice".into()),
        secret: login.then(|| Secret::Literal(Password::new(b"s3cret-s3cret".to_vec()))),
        auth: Auth::Auto,
        trust: Trust::System,
        certificate: None,
        ehlo_name: Some("client.example".into()),
        from: None,
        identities: Vec::new(),
        rewrite_from: RewriteFrom::Never,
        limits: Limits { recipients: 100, connections: 1, size: None },
        fallback: Vec::new(),
        digest: 0,
    }
}

fuzz_target!(|said: &[u8]| {
    static LISTENER: OnceLock<TcpListener> = OnceLock::new();
    let listener = LISTENER.get_or_init(|| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = listener.local_addr().expect("an address").port();
    let login = said.first().is_some_and(|first| first % 4 == 1);
    let own = said.to_vec();
    let server = thread::spawn(move || relay(listener, &own));
    let mailbox = |text| Mailbox::parse(text).expect("an address");
    let to = vec![Recipient::new(mailbox("bob@example.org")), Recipient::new(mailbox("carol@example.org"))];
    let envelope = Envelope::new(ReversePath::Mailbox(mailbox("a@example.org")), to).expect("recipients");
    let mut header = Header::default();
    header.push(Field::new("Subject", "s"));
    let wire = || Wire::new(&header, Box::new(Memory(b"text\r\n.\r\n")), 9, false);
    let mut patience = Patience { step: Duration::from_millis(100), overall: None, foreground: None };
    let mut ears = Ears { known: said.windows(6).any(|six| six == b"s3cret") };
    let opened = Session::open(&account(port, login), "client.example", &Roots::default(), &mut patience, &mut ears);
    let mut accepted = 0;
    if let Ok(mut session) = opened {
        for _ in 0..2 {
            let attempt = session.submit(&envelope, &[0, 1], &wire(), &mut patience, &mut ears);
            assert_eq!(attempt.outcomes.len(), 2);
            accepted += attempt.outcomes.iter().filter(|one| matches!(one, Outcome::Accepted(_))).count();
            // What holds the account leaves the connection whole, and ends with QUIT.
            if let Some(Trouble::Waiting(_)) = attempt.trouble {
                assert!(!session.takes_more(), "a session that had trouble");
                let again = session.submit(&envelope, &[0, 1], &wire(), &mut patience, &mut ears);
                assert!(again.outcomes.iter().all(|one| matches!(one, Outcome::Deferred(_))));
                break;
            }
        }
        session.quit();
    }
    let heard = server.join().expect("the relay");
    let texts = |heard: &[u8]| heard.windows(5).filter(|five| five == b"\r\n.\r\n").count()
        + heard.windows(5).filter(|five| five == b" LAST").count();
    // The message itself has a line with a dot, stuffed.
    assert!(accepted <= 2 * texts(&heard), "{accepted} accepted: {:?}", String::from_utf8_lossy(&heard));
    assert!(!heard.windows(4).any(|four| four == b"RCPT") || heard.windows(5).any(|five| five == b"MAIL "));
});
