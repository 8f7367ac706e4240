//! One call to the spooler: commands out, replies in, and a message in chunks.

use crate::cli::Verbosity;
use crate::diagnostic::printable;
use crate::exit::Exit;
use crate::process;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The longest line of a reply, and the most lines: a listing has many.
const LONGEST_LINE: u64 = 8192;
const MOST_LINES: usize = 1 << 20;
/// Octets of the message that are sent before a reply is waited for.
const CHUNK: usize = 128 << 10;
/// Commands whose replies are not waited for one by one.
const FLIGHT: usize = 100;

/// A connection to the spooler, behind its greeting.
pub struct Call {
    pub stream: BufReader<UnixStream>,
    verbose: Verbosity,
}

/// What it says.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    /// Without codes.
    pub lines: Vec<String>,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" "))
    }
}

/// What goes wrong in a call.
pub enum Trouble {
    /// Nobody there, or gone before the end of the message was sent: nothing is taken.
    Away(io::Error),
    /// Gone when the message was whole: nobody knows.
    Lost(io::Error),
    Declined(Reply),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Away(error)
    }
}

impl Call {
    /// Calls, and hears the greeting. No reply may take longer than that.
    pub fn begin(socket: &Path, patience: Duration, verbose: Verbosity) -> Result<(Call, Reply), Trouble> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut call = Call { stream: BufReader::new(stream), verbose };
        let greeting = call.hear()?.good()?;
        Ok((call, greeting))
    }

    /// The whole transaction: MAIL and RCPTs in one flight, then the message in chunks, the last of which is its end.
    pub fn send(mut self, commands: &[String], message: &mut File) -> Result<(), Trouble> {
        self.say("EHLO localhost\r\n")?;
        self.hear()?.good()?;
        // The replies are shorter than the commands, and both fit in the buffers of a socket.
        for flight in commands.chunks(FLIGHT) {
            self.say(&flight.concat())?;
            for _ in flight {
                self.hear()?.good()?;
            }
        }
        let mut left = message.seek(io::SeekFrom::End(0))?;
        message.rewind()?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let size = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            left -= size as u64;
            let chunk = &mut chunk[..size];
            message.read_exact(chunk)?;
            let last = if left == 0 { " LAST" } else { "" };
            self.say(&format!("BDAT {size}{last}\r\n"))?;
            let sent = self.stream.get_mut().write_all(chunk).map_err(Trouble::Away);
            let heard = sent.and_then(|()| self.hear());
            match (heard, left) {
                (Err(Trouble::Away(error)), 0) => return Err(Trouble::Lost(error)),
                (heard, 0) => {
                    let _ = self.say("QUIT\r\n");
                    return heard?.good().map(drop);
                }
                (heard, _) => drop(heard?.good()?),
            }
        }
    }

    pub fn ask(mut self, command: &str) -> Result<Reply, Trouble> {
        self.say(command)?;
        let reply = self.hear()?;
        let _ = self.say("QUIT\r\n");
        Ok(reply)
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        text.lines().for_each(|line| self.show(">>>", line));
        self.stream.get_mut().write_all(text.as_bytes())
    }

    fn hear(&mut self) -> Result<Reply, Trouble> {
        let garbage = || Trouble::Away(io::Error::new(ErrorKind::InvalidData, "not an SMTP server"));
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            (&mut self.stream).take(LONGEST_LINE).read_line(&mut line)?;
            if line.is_empty() {
                return Err(Trouble::Away(ErrorKind::UnexpectedEof.into()));
            }
            let Some(text) = line.strip_suffix('\n') else { return Err(garbage()) };
            let text = text.trim_end_matches('\r');
            self.show("<<<", text);
            let code = text.get(..3).and_then(|code| code.parse().ok()).ok_or_else(garbage)?;
            lines.push(text.get(4..).unwrap_or_default().to_string());
            if text.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
            if lines.len() > MOST_LINES {
                return Err(garbage());
            }
        }
    }

    fn show(&self, lead: &str, line: &str) {
        if self.verbose == Verbosity::Dialogue {
            process::say(&format!("{lead} {}\n", printable(line)));
        }
    }
}

impl Reply {
    pub fn good(self) -> Result<Reply, Trouble> {
        if (200..400).contains(&self.code) { Ok(self) } else { Err(Trouble::Declined(self)) }
    }

    /// Our own exit status by the enhanced code (RFC 3463), as the spooler's `Dialogue::failed` has made it.
    pub fn exit(&self) -> Exit {
        let enhanced = self.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
        match (self.code, enhanced.split_once('.').map_or("", |(_, rest)| rest)) {
            (_, "3.5") => Exit::Config,
            (400..=499, _) => Exit::TempFail,
            (501, "1.3" | "1.7") | (_, "6.0") => Exit::DataErr,
            (_, "1.1") => Exit::NoUser,
            (_, "7.1") => Exit::NoPerm,
            _ => Exit::Unavailable,
        }
    }
}
