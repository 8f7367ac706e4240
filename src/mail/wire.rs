//! The form of a message on the wire: canonical lines, dots stuffed. `Wire` is the only thing `submission` sends, and
//! only this file makes one.

use std::io;

/// A message ready to be sent: header bytes in memory, body streamed from a file.
pub struct Wire;

impl Wire {
    /// Octets as sent with BDAT and as declared with SIZE: header, empty line, body; without dot-stuffing.
    pub fn size(&self) -> u64 {
        todo!()
    }
    /// Whether any octet is over 127.
    pub fn eight_bit(&self) -> bool {
        todo!()
    }
    /// Hands the message on in chunks as DATA wants it: dots stuffed (RFC 5321 section 4.5.2), ended by CRLF.CRLF.
    pub fn data(&self, _sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        todo!()
    }
    /// Hands the message on in chunks as BDAT wants it, exactly [`Wire::size`] octets.
    pub fn bdat(&self, _sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        todo!()
    }
}

/// Where the body lies: a region of a spool file, read without moving a shared position.
pub trait Source {
    /// Reads up to `buffer.len()` octets from `offset` of the body; 0 at its end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Wire {
    /// `body` is canonical, as [`super::message::Body::copy_to`] writes it; meeting anything else while sending is an
    /// error of kind `InvalidData`, so that nothing forged can end a message early.
    pub fn new(_header: &super::header::Header, _body: Box<dyn Source>, _body_size: u64, _eight_bit: bool) -> Wire {
        todo!()
    }
}
