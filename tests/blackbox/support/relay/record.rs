//! What a relay saw: every line of every connection, every login, every message, and every offence against the
//! protocol.

use std::fmt;

/// All of it, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub conversations: Vec<Conversation>,
    pub logins: Vec<Login>,
    /// Every message whose end arrived, whatever was said to it.
    pub offers: Vec<Received>,
    /// What a strict receiver objects to: bare CR or LF, over-long lines, 8-bit data nobody announced.
    pub offences: Vec<String>,
}

/// One connection.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    pub lines: Vec<Line>,
    /// `TLSv1_3`, once there was a handshake.
    pub tls: Option<String>,
    /// The server name the client asked for.
    pub server_name: Option<String>,
    /// Every octet that anybody on the way could have read: all but what TLS hides.
    pub clear: Vec<u8>,
    pub ended: bool,
}

/// One line of a dialogue, without its line end. Message data is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub who: Who,
    pub text: String,
    /// Whether it went through TLS.
    pub secure: bool,
}

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Client,
    Relay,
}

/// One complete set of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub mechanism: String,
    pub user: String,
    pub password: String,
    pub secure: bool,
    pub accepted: bool,
}

/// One message as it came over the wire.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub reverse_path: String,
    pub mail_parameters: Vec<String>,
    pub recipients: Vec<Recipient>,
    /// Un-dot-stuffed, with the line ends as sent.
    pub data: Vec<u8>,
    pub login: Option<String>,
    pub secure: bool,
    /// Whether the client got a complete 250: the relay has taken responsibility.
    pub acknowledged: bool,
}

/// One recipient that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub address: String,
    pub parameters: Vec<String>,
}

impl Conversation {
    /// The client's commands.
    pub fn commands(&self) -> Vec<&str> {
        self.lines.iter().filter(|line| line.who == Who::Client).map(|line| line.text.as_str()).collect()
    }
}

impl Received {
    /// The addresses it is for, in the order they were given.
    pub fn to(&self) -> Vec<&str> {
        self.recipients.iter().map(|recipient| recipient.address.as_str()).collect()
    }

    /// Header and body as text; bytes that are no UTF-8 are shown as U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }

    /// The header, up to and without the empty line.
    pub fn header(&self) -> String {
        let text = self.text();
        text.split_once("\r\n\r\n").map_or(text.clone(), |(header, _)| header.to_string())
    }

    /// What follows the header's empty line.
    pub fn body(&self) -> &[u8] {
        let end = self.data.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        end.map_or(&[], |end| &self.data[end + 4..])
    }

    /// The value of the first field of that name, unfolded.
    pub fn field(&self, name: &str) -> Option<String> {
        let header = self.header().replace("\r\n ", " ").replace("\r\n\t", " ");
        header.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.who == Who::Client { "C" } else { "S" };
        write!(f, "{who}{} {}", if self.secure { "*" } else { ":" }, self.text)
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
