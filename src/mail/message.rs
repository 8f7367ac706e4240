//! A message as it comes in on standard input: where the header ends, where the message ends, what to forgive.

use super::header::Header;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::fmt;
use std::io::{self, BufRead, Write};

/// Whether a line with a single dot ends the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dots {
    End,
    /// `-i`, `-oi`.
    Keep,
}

/// What the body turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nature {
    /// Octets of the canonical body.
    pub size: u64,
    /// Some octet is over 127.
    pub eight_bit: bool,
    /// Octets of the longest line, without CRLF.
    pub longest_line: usize,
    /// NULs met; each is in the output as it came.
    pub nul: bool,
}

/// Reads the header, and leaves `body` to be read.
pub fn read<R: BufRead>(_input: R, _dots: Dots) -> Result<(Header, Body<R>), MessageError> {
    todo!()
}

/// The rest of the input behind the header.
pub struct Body<R> {
    _input: R,
}

impl<R: BufRead> Body<R> {
    /// Streams the body in canonical form (lines end in CRLF, the last one too; no bare CR or LF) into `output`, and
    /// reads the input to its end.
    pub fn copy_to(&mut self, _output: &mut dyn Write) -> Result<Nature, MessageError> {
        todo!()
    }
    /// Reads the input to its end and forgets it, so that the caller's write never meets a closed pipe.
    pub fn drain(&mut self) -> io::Result<()> {
        todo!()
    }
}

/// Why a message could not be taken.
#[derive(Debug)]
pub enum MessageError {
    /// Standard input failed before its end.
    Read(io::Error),
    /// The copy could not be written.
    Write(io::Error),
    /// The header is over 1 MiB.
    HeaderTooLong,
    /// A NUL in the header.
    NulInHeader,
}

impl fmt::Display for MessageError {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl std::error::Error for MessageError {}

impl Explain for MessageError {
    fn exit(&self) -> Exit {
        todo!()
    }
}
