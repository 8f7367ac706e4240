//! Values as strangers write them: line ends in every spelling, terminal controls, quotes, brackets, dashes, length,
//! and behind each a command, a header field or a log line that must never become one. The same ones in every run.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Whoever gets mail at this address was slipped in.
pub const EVIL: &str = "evil@x.org";

/// What is taken for the end of a line, an argument or a text by somebody somewhere.
const ENDS: [&[u8]; 26] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\n\r",
    b"\r\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b"\x0b",
    b"\x0c",
    b"\x1c",
    b"\x1e",
    b"\x7f",
    b"\x08",
    b"\x1b[2J\x1b]0;x\x07",
    b"\x85",
    b"\x9b2J",
    b"\xc0\x8d\xc0\x8a",
    "\u{85}".as_bytes(),
    "\u{9b}31m".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{2029}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{2066}".as_bytes(),
    // Their low octets are CR and LF.
    "\u{560d}\u{560a}".as_bytes(),
    b"%0d%0a",
    b"=?utf-8?Q?=0D=0ABcc=3A_evil=40x.org?=",
];

const LEADS: [&[u8]; 14] = [
    b"x",
    b"",
    b"-x",
    b"x@y.org",
    b"<x@y.org>",
    b"\"x",
    b"\"x\\",
    b"(x",
    b"x\\",
    b"'x",
    b"x>",
    b"=?utf-8?B?eA==?=",
    b"--",
    b"x, y",
];

const PAYLOADS: [&[u8]; 14] = [
    b"RCPT TO:<evil@x.org>",
    b"Bcc: evil@x.org",
    b"X-Evil: yes",
    b"DATA",
    b"QUIT",
    b".",
    b"MAIL FROM:<evil@x.org>",
    b"<evil@x.org>",
    b"> ORCPT=rfc822;evil@x.org",
    b"250 2.0.0 forged",
    b"mailchute: all is well",
    b"accepted id=1 recipient=evil@x.org",
    b"Content-Type: multipart/mixed; boundary=x",
    b"",
];

/// One value, and what it was made of.
#[derive(Clone, Debug)]
pub struct Hostile {
    pub bytes: Vec<u8>,
}

impl Hostile {
    /// As an argument or a variable, which hold no NUL.
    pub fn os(&self) -> OsString {
        OsString::from_vec(self.bytes.clone())
    }

    /// As text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Without line feeds: in a message, the text behind one is the caller's own next line.
    pub fn on_one_line(&self) -> Vec<u8> {
        self.bytes.iter().copied().filter(|&byte| byte != b'\n').collect()
    }
}

/// So many values, or INJECTION times as many, others for each seed. Every end comes first, with every payload in turn.
#[allow(clippy::disallowed_macros, reason = "the harness keeps it, for a campaign that counts")]
pub fn values(count: usize, seed: usize) -> Vec<Hostile> {
    let times = std::env::var("INJECTION").map_or(1, |times| times.parse().unwrap());
    let count = count * times;
    (0..count)
        .map(|number| {
            let turn = number + seed * 7;
            let mut bytes = LEADS[(turn / ENDS.len() + turn) % LEADS.len()].to_vec();
            bytes.extend_from_slice(ENDS[turn % ENDS.len()]);
            bytes.extend_from_slice(PAYLOADS[(turn * 5 + seed) % PAYLOADS.len()]);
            if turn.is_multiple_of(3) {
                bytes.extend_from_slice(ENDS[(turn * 11 + 1) % ENDS.len()]);
            }
            if turn % 13 == 5 {
                bytes.extend(std::iter::repeat_n(b'a', 2048));
            }
            Hostile { bytes }
        })
        .collect()
}

/// The first character in a text that moves a cursor, ends a line or turns the direction of reading.
pub fn raw_control(text: &str) -> Option<char> {
    text.chars().find(|&c| {
        c != '\n'
            && (c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    })
}
