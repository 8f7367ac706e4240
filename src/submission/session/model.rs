//! The session against relays that do anything: each run is a relay made of chance, which keeps its own books of what it
//! said, and a client that submits until its session takes no more. The books must agree: accepted is what the relay
//! accepted, once; rejected is what it refused for good; and behind an error nothing is ever said again on that connection.

use super::super::scripted::{Deaf, patience};
use super::super::series::Series;
use super::*;
use crate::config::Tls;
use crate::mail::address::Mailbox;
use crate::mail::envelope::{Envelope, Recipient, ReversePath};
use crate::mail::header::Header;
use crate::mail::outcome::Outcome;
use crate::mail::wire::{Source, Wire};
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Connections in a usual run; MODEL_RUNS asks for more.
const RUNS: u64 = 3000;
const BODY: &str = "text\r\n.\r\n..dots\r\n";

/// xorshift: the same relays in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// Where a dialogue stands, as the relay sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Idle,
    Mail,
    Text,
}

/// A relay of one connection, and its books.
struct Relay {
    chance: Chance,
    reader: BufReader<TcpStream>,
    at: At,
    /// Recipients of this transaction that it took.
    taken: Vec<String>,
    /// Whether it offers BDAT.
    chunks: bool,
    books: Books,
}

#[derive(Debug, Default)]
struct Books {
    /// How often each recipient was accepted with a message.
    accepted: HashMap<String, usize>,
    /// Replies of 5yz.
    refused: usize,
    /// Something was said after which no client may go on.
    broken: bool,
    /// What was heard, and what was heard after it broke.
    heard: Vec<String>,
    after: Vec<String>,
    /// What no client may ever say.
    wrong: Vec<String>,
}

impl Relay {
    fn serve(socket: TcpStream, seed: u64) -> Books {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let chunks = chance.below(2) == 0;
        socket.set_nodelay(true).unwrap();
        let reader = BufReader::new(socket);
        let mut relay = Relay { chance, reader, at: At::Idle, taken: Vec::new(), chunks, books: Books::default() };
        if relay.answer("220", &[]).is_some() {
            while relay.line().is_some() {}
        }
        relay.books
    }

    fn say(&mut self, octets: &[u8]) {
        let _ = self.reader.get_mut().write_all(octets);
    }

    /// Says `good`, one of the refusals, or something after which it is over; the code when a whole reply went out.
    /// `None` also closes.
    fn answer(&mut self, good: &str, refusals: &[&str]) -> Option<u16> {
        if self.books.broken {
            return Some(0);
        }
        let code = match self.chance.below(24) {
            0 => return self.misbehave(good),
            1..=5 if !refusals.is_empty() => self.chance.one(refusals),
            _ => good,
        };
        let text = match self.chance.below(3) {
            0 => format!("{code}-words\r\n{code} more\r\n"),
            1 => format!("{code} words\n"),
            _ => format!("{code} words\r\n"),
        };
        self.say(text.as_bytes());
        let code = code.parse().unwrap();
        self.books.refused += usize::from(code >= 500);
        Some(code)
    }

    fn misbehave(&mut self, good: &str) -> Option<u16> {
        self.books.broken = true;
        let mixed = format!("{good}-a\r\n{}50 b\r\n", if good.starts_with('5') { 2 } else { 5 });
        let words = [
            "421 4.3.2 closing\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
            "000 zero\r\n",
            "999 nine\r\n",
            "260 what\r\n",
            "\r\n",
            "150 wait\r\n",
            "25\r\n",
            &mixed,
        ];
        let closing = [format!("{good}-part\r\n"), format!("{good} no end"), good[..2].to_owned(), String::new()];
        let closing: Vec<&str> = closing.iter().map(String::as_str).collect();
        match self.chance.below(3) {
            0 => {
                let said = self.chance.one(&closing);
                self.say(said.as_bytes());
                None
            }
            // One that is good for something else.
            1 if !["354", "503"].contains(&good) => {
                self.say(b"354 go ahead\r\n");
                Some(0)
            }
            _ => {
                let said = self.chance.one(&words);
                self.say(said.as_bytes());
                Some(0)
            }
        }
    }

    fn wrong(&mut self, line: &str) {
        self.books.wrong.push(format!("{line} at {:?}", self.at));
    }

    /// Hears and answers one command; `None` at the end of the connection.
    fn line(&mut self) -> Option<()> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.strip_suffix("\r\n").map(str::to_owned).unwrap_or_else(|| format!("no line end: {line}"));
        if self.books.broken { &mut self.books.after } else { &mut self.books.heard }.push(line.clone());
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        match verb {
            "EHLO" => self.hello(),
            "RSET" => {
                self.at = At::Idle;
                self.taken.clear();
                self.answer("250", &[]).map(drop)
            }
            "MAIL" => {
                if self.at != At::Idle {
                    self.wrong(&line);
                }
                self.taken.clear();
                let code = self.answer("250", &["451", "550", "553", "452"])?;
                self.at = if code == 250 { At::Mail } else { At::Idle };
                Some(())
            }
            "RCPT" => {
                // A pipelined one behind a refused MAIL is no mistake.
                if self.at != At::Mail {
                    return self.answer("503", &[]).map(drop);
                }
                let code = self.answer("250", &["450", "550", "452", "553", "251"])?;
                if code / 100 == 2 {
                    let who = line.split(['<', '>']).nth(1).unwrap_or_default();
                    self.taken.push(who.to_owned());
                }
                Some(())
            }
            "DATA" if self.at == At::Mail && !self.taken.is_empty() => match self.answer("354", &["451", "554"])? {
                354 => self.text(),
                _ => Some(()),
            },
            // RFC 2920 section 3.1: it may take a text for nobody.
            "DATA" if !self.books.broken && self.chance.below(3) == 0 => {
                self.say(b"354 go ahead\r\n");
                self.text()
            }
            "DATA" => self.answer("503", &[]).map(drop),
            "BDAT" => self.chunk(&line),
            "QUIT" => None,
            _ => {
                self.wrong(&line);
                None
            }
        }
    }

    fn hello(&mut self) -> Option<()> {
        let pipelining = self.chance.below(2) == 0;
        if self.chance.below(24) == 0 {
            return self.misbehave("250").map(drop);
        }
        let extras = [(pipelining, "PIPELINING"), (self.chunks, "CHUNKING"), (self.chance.below(2) == 0, "SIZE 9999")];
        let extras: String = extras.iter().filter(|(on, _)| *on).map(|(_, word)| format!("250-{word}\r\n")).collect();
        // A reply nobody asked for, in the same segment.
        let behind = if self.chance.below(40) == 0 { "250 forged\r\n" } else { "" };
        self.books.broken |= !behind.is_empty();
        self.say(format!("250-model\r\n{extras}250 HELP\r\n{behind}").as_bytes());
        Some(())
    }

    fn text(&mut self) -> Option<()> {
        self.at = At::Text;
        let mut text = String::new();
        while text != ".\r\n" && !text.ends_with("\r\n.\r\n") {
            if self.reader.read_line(&mut text).ok()? == 0 {
                return None;
            }
        }
        if text != format!("\r\n{}.\r\n", BODY.replace("\r\n.", "\r\n..")) && text != ".\r\n" {
            self.wrong(&text);
        }
        self.settle()
    }

    fn chunk(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let size: usize = words.nth(1).and_then(|size| size.parse().ok())?;
        let mut octets = vec![0; size];
        self.reader.read_exact(&mut octets).ok()?;
        if words.next() != Some("LAST") || octets != format!("\r\n{BODY}").as_bytes() {
            self.wrong(line);
        }
        if self.at != At::Mail || self.taken.is_empty() {
            return self.answer("503", &[]).map(drop);
        }
        self.settle()
    }

    /// The reply that decides.
    fn settle(&mut self) -> Option<()> {
        let code = self.answer("250", &["451", "554", "552", "452"])?;
        self.at = At::Idle;
        if code == 250 {
            for who in std::mem::take(&mut self.taken) {
                *self.books.accepted.entry(who).or_default() += 1;
            }
        }
        self.taken.clear();
        Some(())
    }
}

struct Memory;

impl Source for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &BODY.as_bytes()[usize::try_from(offset).unwrap()..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

fn account(port: u16) -> Account {
    Account {
        endpoints: vec![Endpoint { host: "127.0.0.1".into(), port, tls: Tls::None }],
        limits: Limits { recipients: 2, connections: 1, size: None },
        ehlo_name: Some("client.example".into()),
        ..Account::sample()
    }
}

fn wire() -> Wire {
    Wire::new(&Header::default(), Box::new(Memory), BODY.len() as u64, false)
}

/// An envelope to people with names of their own, and the names.
fn addressed(kind: char, message: usize, count: usize) -> (Envelope, Vec<String>) {
    let mailbox = |text: &str| Mailbox::parse(text).unwrap();
    let names: Vec<String> = (0..count).map(|n| format!("{kind}{message}{n}@y.org")).collect();
    let to = names.iter().map(|name| Recipient::new(mailbox(name))).collect();
    (Envelope::new(ReversePath::Mailbox(mailbox(&format!("{kind}@x.org"))), to).unwrap(), names)
}

/// Up to four messages under way at once, to `s`: what each came to.
fn fly(session: &mut Session, outcomes: &mut Vec<(String, Outcome)>) {
    let (mut series, mut flying) = (Series::default(), Vec::new());
    for message in 0..4 {
        let (envelope, names) = addressed('s', message, 2);
        if !session.add(&mut series, &envelope, &[0, 1], wire()) {
            break;
        }
        flying.extend(names);
    }
    session.launch(&mut series, &mut patience(), &mut Deaf);
    let mut heard = Vec::new();
    while let Some(attempt) = session.hear_next(&mut series, &mut patience(), &mut Deaf) {
        heard.extend(attempt.outcomes);
    }
    assert_eq!(heard.len(), flying.len());
    outcomes.extend(flying.into_iter().zip(heard));
}

/// One connection: perhaps a series, then up to four messages to `b`, one by one. What each came to.
fn converse(port: u16, begins_with_series: bool) -> (Vec<(String, Outcome)>, bool) {
    let mut outcomes = Vec::new();
    let opened = Session::open(&account(port), "host", &Roots::default(), &mut patience(), &mut Deaf);
    let Ok(mut session) = opened else { return (outcomes, false) };
    if begins_with_series {
        fly(&mut session, &mut outcomes);
    }
    for message in 0..4 {
        let (envelope, names) = addressed('b', message, 3);
        let wire = wire();
        let takes_more = session.takes_more();
        let attempt = session.submit(&envelope, &[0, 1, 2], &wire, &mut patience(), &mut Deaf);
        if !takes_more {
            assert!(attempt.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Deferred(_))));
        }
        assert_eq!(attempt.trouble.is_some(), !session.takes_more(), "{attempt:?}");
        outcomes.extend(names.into_iter().zip(attempt.outcomes));
    }
    let alive = session.takes_more();
    session.quit();
    (outcomes, alive)
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a longer campaign asks for more runs")]
fn the_books_of_client_and_relay_agree_whatever_the_relay_does() {
    let runs = std::env::vars_os().find(|(name, _)| name == "MODEL_RUNS");
    let runs = runs.and_then(|(_, text)| text.to_str()?.parse().ok()).unwrap_or(RUNS);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut broken, mut clean, mut accepted) = (0, 0, 0);
    for seed in 1..=runs {
        let series = seed % 2 == 0;
        let socket = thread::scope(|scope| {
            let relay = scope.spawn(|| Relay::serve(listener.accept().unwrap().0, seed));
            (converse(port, series), relay.join().unwrap())
        });
        let ((outcomes, alive), books) = socket;
        let context = || format!("seed {seed}: {books:#?}\n{outcomes:#?}");
        assert!(books.wrong.is_empty(), "{}", context());
        for (name, outcome) in &outcomes {
            let times = books.accepted.get(name).copied().unwrap_or_default();
            let told = usize::from(matches!(outcome, Outcome::Accepted(_)));
            // When a connection breaks, what the relay has said of others in the same flight may be lost with it.
            let in_doubt = books.broken && name.starts_with('s') && times == 1;
            assert!(told == times || in_doubt, "{name} {}", context());
            assert!(!matches!(outcome, Outcome::Rejected(_)) || books.refused > 0, "{name} {}", context());
        }
        // What was in flight may still arrive, MAIL behind RSET too; a new transaction, another greeting or a farewell may not.
        let begins = |line: &String| ["MAIL", "RSET", "EHLO", "HELO", "QUIT"].iter().any(|verb| line.starts_with(verb));
        let in_flight = usize::from(books.heard.last().is_some_and(|line| line == "RSET"));
        let single = |line: &String| line.contains("<b");
        if series && !books.heard.iter().chain(books.after.first()).any(single) {
            let alone = |line: &String| single(line) || line == "QUIT" || line.starts_with("EHLO");
            assert!(!books.after.iter().any(alone), "{}", context());
        } else {
            assert!(!books.after.iter().skip(in_flight).any(begins), "{}", context());
        }
        let said_goodbye = books.heard.last().is_some_and(|line| line == "QUIT");
        assert_eq!(alive, said_goodbye && !books.broken, "{}", context());
        broken += usize::from(books.broken);
        clean += usize::from(alive);
        accepted += books.accepted.len();
    }
    // Chance has been everywhere.
    assert!(
        broken as u64 > runs / 5 && clean as u64 > runs / 20 && accepted as u64 > runs,
        "{broken} {clean} {accepted}"
    );
}
