//! One connection: SMTP as a strict and patient relay speaks it (RFC 5321, 2920, 3030, 3207), leaving that path
//! where the script says so. AUTH is in `login.rs`.

use super::record::{Conversation, Line, Received, Recipient, Who};
use super::script::{Act, Security};
use super::stream::Stream;
use super::{Play, Shared};
use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

/// Serves one client until it leaves or the script ends the connection.
pub(super) fn serve(socket: TcpStream, shared: &Shared) {
    let _ = socket.set_nodelay(true);
    let Ok(spare) = socket.try_clone() else { return };
    let play = Arc::clone(&shared.play.lock().unwrap());
    let index = shared.note(|record| {
        record.conversations.push(Conversation::default());
        record.conversations.len() - 1
    });
    shared.open.lock().unwrap().insert(index, spare);
    let stream = Stream::new(socket);
    let mut session = Session { stream, shared, play: &play, index, state: State::default(), messages: 0 };
    let end = session.run().unwrap_err();
    let clear = std::mem::take(&mut session.stream.clear);
    shared.note(|record| record.conversations[index].clear = clear);
    let spare = shared.open.lock().unwrap().remove(&index);
    match end {
        End::Reset => {
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            spare.iter().for_each(|socket| setsockopt(socket, sockopt::Linger, &linger).unwrap());
        }
        End::Close | End::Gone => session.stream.close(),
    }
    shared.note(|record| record.conversations[index].ended = true);
}

/// How a connection ends.
pub(super) enum End {
    Close,
    Reset,
    /// The client went, or something broke.
    Gone,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Gone
    }
}

/// The infallible result of a loop that only ends.
enum Never {}

pub(super) struct Session<'a> {
    pub stream: Stream,
    pub shared: &'a Shared,
    pub play: &'a Play,
    index: usize,
    pub state: State,
    messages: usize,
}

/// What EHLO, AUTH and MAIL have established.
#[derive(Default)]
pub(super) struct State {
    greeted: bool,
    pub login: Option<String>,
    transaction: Option<Received>,
}

impl std::fmt::Debug for Never {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

impl Session<'_> {
    fn run(&mut self) -> Result<Never, End> {
        if self.play.script.security == Security::Implicit {
            self.start_tls()?;
        }
        self.react("connect", "220 relay.test ESMTP at your service")?;
        loop {
            let line = self.command()?;
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            self.object_to_pipelining(&verb);
            match verb.as_str() {
                "EHLO" | "HELO" => self.greet(&line, &verb)?,
                "STARTTLS" => self.upgrade(&line)?,
                "AUTH" => self.authenticate(&line)?,
                "MAIL" => self.mail(&line)?,
                "RCPT" => self.rcpt(&line)?,
                "DATA" => self.data(&line)?,
                "BDAT" => self.bdat(&line)?,
                "RSET" => {
                    self.state.transaction = None;
                    self.react(&line, "250 2.0.0 ok")?;
                }
                "NOOP" => drop(self.react(&line, "250 2.0.0 ok")?),
                "QUIT" => {
                    self.react(&line, "221 2.0.0 bye")?;
                    return Err(End::Close);
                }
                _ => drop(self.react(&line, "500 5.5.1 unknown command")?),
            }
        }
    }

    fn greet(&mut self, line: &str, verb: &str) -> Result<(), End> {
        let mut reply = vec!["relay.test at your service".to_string()];
        if verb == "EHLO" {
            reply.extend(self.offers());
        }
        let last = reply.len() - 1;
        let lines: Vec<String> = reply
            .iter()
            .enumerate()
            .map(|(n, text)| format!("250{}{text}", if n < last { '-' } else { ' ' }))
            .collect();
        self.state = State { greeted: self.react(line, &lines.join("\n"))? == 250, ..State::default() };
        Ok(())
    }

    fn offers(&self) -> Vec<String> {
        let script = &self.play.script;
        let mut offers = script.extensions.clone();
        if script.security == Security::Starttls && !self.stream.is_secure() {
            offers.push("STARTTLS".into());
        } else if !script.logins.is_empty() {
            offers.push(format!("AUTH {}", script.mechanisms));
        }
        offers
    }

    pub(super) fn offered(&self, keyword: &str) -> bool {
        self.offers().iter().any(|offer| offer.split(' ').next() == Some(keyword))
    }

    fn upgrade(&mut self, line: &str) -> Result<(), End> {
        let possible = self.play.script.security == Security::Starttls && !self.stream.is_secure();
        let usual = if possible { "220 2.0.0 go ahead" } else { "503 5.5.1 not here" };
        if self.react(line, usual)? == 220 {
            self.start_tls()?;
            self.state = State::default();
        }
        Ok(())
    }

    fn start_tls(&mut self) -> Result<(), End> {
        let (version, name) = self.stream.start_tls(Arc::clone(&self.play.tls))?;
        let index = self.index;
        self.shared.note(|record| {
            record.conversations[index].tls = Some(version);
            record.conversations[index].server_name = name;
        });
        Ok(())
    }

    fn mail(&mut self, line: &str) -> Result<(), End> {
        let script = &self.play.script;
        let usual = match path(line) {
            _ if !self.state.greeted => "503 5.5.1 EHLO first",
            _ if script.security == Security::Starttls && !self.stream.is_secure() => "530 5.7.0 STARTTLS first",
            _ if !script.logins.is_empty() && self.state.login.is_none() => "530 5.7.0 authentication required",
            _ if self.state.transaction.is_some() => "503 5.5.1 nested MAIL",
            None => "501 5.5.4 syntax",
            Some(_) => "250 2.1.0 ok",
        };
        let possible = usual.starts_with("250");
        if self.react(line, usual)? == 250 && possible {
            let (reverse_path, mail_parameters) = path(line).unwrap_or_default();
            self.object_to_parameters(&mail_parameters);
            let (login, secure) = (self.state.login.clone(), self.stream.is_secure());
            let received = Received { reverse_path, mail_parameters, login, secure, ..Received::default() };
            self.state.transaction = Some(received);
        }
        Ok(())
    }

    fn rcpt(&mut self, line: &str) -> Result<(), End> {
        let usual = match (&self.state.transaction, path(line)) {
            (None, _) => "503 5.5.1 MAIL first",
            (_, None) => "501 5.5.4 syntax",
            (Some(_), Some(_)) => "250 2.1.5 ok",
        };
        let code = self.react(line, usual)?;
        let (address, parameters) = path(line).unwrap_or_default();
        self.object_to_parameters(&parameters);
        if let Some(transaction) = self.state.transaction.as_mut().filter(|_| code == 250) {
            transaction.recipients.push(Recipient { address, parameters });
        }
        Ok(())
    }

    fn data(&mut self, line: &str) -> Result<(), End> {
        let usual = match &self.state.transaction {
            None => "503 5.5.1 MAIL first",
            Some(transaction) if transaction.recipients.is_empty() => "554 5.5.1 no valid recipients",
            Some(_) => "354 go ahead",
        };
        if self.react(line, usual)? != 354 {
            return Ok(());
        }
        let mut data = Vec::new();
        let mut started = false;
        loop {
            let line = self.stream.line()?;
            if !std::mem::replace(&mut started, true) {
                self.disturb("body")?;
            }
            match line.as_slice() {
                b".\r\n" => break,
                [b'.', rest @ ..] => data.extend_from_slice(rest),
                line => data.extend_from_slice(line),
            }
        }
        self.finish(data)
    }

    fn bdat(&mut self, line: &str) -> Result<(), End> {
        let mut words = line.split(' ').skip(1);
        let size = words.next().and_then(|size| size.parse().ok()).unwrap_or(0);
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let chunk = self.stream.bytes(size)?;
        if !self.offered("CHUNKING") {
            self.offend("BDAT that was not offered");
        }
        self.disturb("body")?;
        let Some(transaction) = self.state.transaction.as_mut().filter(|started| !started.recipients.is_empty()) else {
            self.react(line, "503 5.5.1 no valid recipients")?;
            return Ok(());
        };
        transaction.data.extend_from_slice(&chunk);
        if self.play.acts_on(line) {
            self.state.transaction = None;
            self.react(line, "554 5.6.0 chunk refused")?;
            return Ok(());
        }
        if last {
            let data = std::mem::take(&mut transaction.data);
            return self.finish(data);
        }
        self.react(line, "250 2.0.0 chunk received")?;
        Ok(())
    }

    /// The end of a message: noted before the reply goes out, so that whoever sees the reply finds the message here.
    fn finish(&mut self, data: Vec<u8>) -> Result<(), End> {
        let mut offer = self.state.transaction.take().unwrap_or_default();
        self.object_to_data(&data, &offer);
        self.messages += 1;
        let usual = format!("250 2.0.0 ok, message {}", self.messages);
        let acts = self.play.acts(".").to_vec();
        offer.acknowledged = is_positive(&planned(&acts, &usual));
        offer.data = data;
        self.shared.note(|record| record.offers.push(offer));
        self.perform(&acts, &usual)?;
        Ok(())
    }

    /// Does what the script has for an event, else says the usual; the code of the first line said.
    pub(super) fn react(&mut self, event: &str, usual: &str) -> Result<u16, End> {
        let acts = self.play.acts(event).to_vec();
        self.perform(&acts, usual)
    }

    fn perform(&mut self, acts: &[Act], usual: &str) -> Result<u16, End> {
        let mut said = Vec::new();
        for act in acts {
            said.extend(self.act(act)?);
        }
        if said.is_empty() {
            said = with_line_ends(usual);
            self.say(&said)?;
        }
        Ok(code(&said).unwrap_or(0))
    }

    /// What the script has for an event that nobody answers.
    fn disturb(&mut self, event: &str) -> Result<(), End> {
        for act in self.play.acts(event).to_vec() {
            self.act(&act)?;
        }
        Ok(())
    }

    fn act(&mut self, act: &Act) -> Result<Vec<u8>, End> {
        let bytes = words(act);
        match act {
            Act::Say(_) | Act::Raw(_) => self.say(&bytes)?,
            Act::Drip(_, pause) => {
                for byte in &bytes {
                    thread::sleep(*pause);
                    self.stream.send(&[*byte])?;
                }
            }
            Act::Wait(pause) => thread::sleep(*pause),
            Act::Ignore => self.stream.ignore()?,
            Act::Close => return Err(End::Close),
            Act::Cut => {
                self.stream.cut(b"");
                return Err(End::Gone);
            }
            Act::Half(_) => {
                self.stream.cut(&bytes);
                return Err(End::Gone);
            }
            Act::Undress(_) => {
                self.stream.undress(&bytes);
                return Err(End::Gone);
            }
            Act::Reset => return Err(End::Reset),
            Act::Hang => {
                self.stream.drain();
                return Err(End::Gone);
            }
        }
        Ok(bytes)
    }

    pub(super) fn say(&mut self, bytes: &[u8]) -> Result<(), End> {
        for line in String::from_utf8_lossy(bytes).lines().take(100) {
            self.note_line(Who::Relay, line);
        }
        Ok(self.stream.send(bytes)?)
    }

    pub(super) fn command(&mut self) -> Result<String, End> {
        let line = self.stream.line()?;
        let Some(text) = line.strip_suffix(b"\r\n") else {
            self.offend("a command that ends with a bare LF");
            return Err(End::Close);
        };
        if text.iter().any(|&byte| byte < b' ' || byte == 0x7f) {
            self.offend(&format!("a command with control bytes: {:?}", String::from_utf8_lossy(text)));
        }
        let text = String::from_utf8_lossy(text).into_owned();
        self.note_line(Who::Client, &text);
        Ok(text)
    }

    fn note_line(&self, who: Who, text: &str) {
        let line = Line { who, text: text.chars().take(2000).collect(), secure: self.stream.is_secure() };
        self.shared.note(|record| record.conversations[self.index].lines.push(line));
    }

    pub(super) fn offend(&self, what: &str) {
        self.shared.note(|record| record.offences.push(what.to_string()));
    }

    /// RFC 2920 section 3.1: nothing may be sent ahead without PIPELINING, nor behind these commands with it.
    fn object_to_pipelining(&self, verb: &str) {
        let must_wait = matches!(verb, "EHLO" | "STARTTLS" | "AUTH" | "DATA" | "NOOP" | "QUIT");
        let may_not = !self.offered("PIPELINING") && verb != "BDAT";
        if !self.stream.ahead().is_empty() && (must_wait || may_not) {
            self.offend(&format!("something was sent behind {verb} without waiting"));
        }
    }

    fn object_to_parameters(&self, parameters: &[String]) {
        for parameter in parameters {
            let keyword = parameter.split('=').next().unwrap_or_default();
            let extension = match keyword {
                "BODY" => "8BITMIME",
                "RET" | "ENVID" | "NOTIFY" | "ORCPT" => "DSN",
                other => other,
            };
            if !self.offered(extension) {
                self.offend(&format!("{parameter} without {extension}"));
            }
        }
    }

    fn object_to_data(&self, data: &[u8], offer: &Received) {
        for (index, &byte) in data.iter().enumerate() {
            match byte {
                b'\r' if data.get(index + 1) != Some(&b'\n') => self.offend("bare CR in a message"),
                b'\n' if index == 0 || data[index - 1] != b'\r' => self.offend("bare LF in a message"),
                0 => self.offend("NUL in a message"),
                _ => {}
            }
        }
        if data.split(|&byte| byte == b'\n').any(|line| line.len() > 999) {
            self.offend("a line of more than 998 octets");
        }
        let announced = offer.mail_parameters.iter().any(|parameter| parameter.eq_ignore_ascii_case("BODY=8BITMIME"));
        if !data.is_ascii() && !announced {
            self.offend("8-bit data without BODY=8BITMIME");
        }
    }
}

/// The bytes an act says.
fn words(act: &Act) -> Vec<u8> {
    match act {
        Act::Say(lines) | Act::Drip(lines, _) | Act::Half(lines) | Act::Undress(lines) => with_line_ends(lines),
        Act::Raw(bytes) => bytes.clone(),
        _ => Vec::new(),
    }
}

/// What these acts will have said when they are through.
fn planned(acts: &[Act], usual: &str) -> Vec<u8> {
    let ends = |act: &Act| !matches!(act, Act::Say(_) | Act::Raw(_) | Act::Drip(..) | Act::Wait(_) | Act::Ignore);
    let ending = acts.iter().position(ends);
    let said: Vec<u8> = acts[..ending.unwrap_or(acts.len())].iter().flat_map(words).collect();
    if said.is_empty() && ending.is_none() { with_line_ends(usual) } else { said }
}

fn with_line_ends(lines: &str) -> Vec<u8> {
    lines.lines().flat_map(|line| format!("{line}\r\n").into_bytes()).collect()
}

fn code(reply: &[u8]) -> Option<u16> {
    std::str::from_utf8(reply.get(..3)?).ok()?.parse().ok()
}

/// Whether these bytes begin with one complete 2yz reply: what follows it cannot take it back.
fn is_positive(bytes: &[u8]) -> bool {
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    let mut first = None;
    lines.find_map(|line| {
        let code = code(line);
        let positive = code.is_some_and(|code| code / 100 == 2) && *first.get_or_insert(code) == code;
        (!positive || line.get(3) != Some(&b'-')).then_some(positive)
    }) == Some(true)
}

/// The path between angle brackets, and the parameters behind it.
fn path(line: &str) -> Option<(String, Vec<String>)> {
    let start = line.find(":<")? + 2;
    let mut quoted = false;
    let mut escaped = false;
    let end = line[start..].char_indices().find_map(|(index, letter)| {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(start + index),
            _ => {}
        }
        None
    })?;
    let parameters = line[end + 1..].split_whitespace().map(str::to_string).collect();
    Some((line[start..end].to_string(), parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_and_single_minded_250_takes_responsibility() {
        for reply in
            ["250 ok\r\n", "250-a\r\n250 b\r\n", "250\r\n", "250 ok\n", "250-a\n250 b\n", "250 ok\r\n421 bye\r\n"]
        {
            assert!(is_positive(reply.as_bytes()), "{reply:?}");
        }
        for reply in ["", "25", "250 ok", "250-part\r\n", "250-ok\r\n550 no\r\n", "354 go\r\n", "HTTP/1.1 200\r\n"] {
            assert!(!is_positive(reply.as_bytes()), "{reply:?}");
        }
    }

    #[test]
    fn a_path_is_read_with_its_quotes_and_parameters() {
        let read = path(r#"RCPT TO:<"a > b"@x.org> NOTIFY=NEVER ORCPT=rfc822;a"#).unwrap();
        assert_eq!(read.0, r#""a > b"@x.org"#);
        assert_eq!(read.1, ["NOTIFY=NEVER", "ORCPT=rfc822;a"]);
        assert_eq!(path("MAIL FROM:<>"), Some((String::new(), vec![])));
        assert_eq!(path("MAIL FROM:a@b"), None);
    }
}
