//! The first block of an entry: where its parts lie and what they add up to. It is written last before the entry gets
//! its name, so an entry without a good one was never acknowledged.

use super::error::Flaw;

/// The size of each block before the immutable part: a sector, which disks write whole.
pub const BLOCK: usize = 512;

/// The first word; the digit is the version.
const MAGIC: &str = "MAILCHUTE";
const VERSION: &str = "1";

/// Where the parts of an entry lie, in octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where the immutable part begins.
    pub offset: u64,
    /// The immutable part: envelope, header, body.
    pub length: u64,
    /// The message header with its empty line.
    pub header: u64,
    pub body: u64,
    /// CRC-32 (the one of gzip and zlib) of the immutable part.
    pub crc: u32,
    pub recipients: usize,
    /// Some octet of the message is over 127.
    pub eight_bit: bool,
}

impl Layout {
    /// Where the immutable part begins when there are so many recipients.
    pub fn offset_for(recipients: usize) -> u64 {
        (BLOCK as u64).saturating_mul(recipients as u64 + 2)
    }

    /// Where the slot of a recipient lies.
    pub fn slot(recipient: usize) -> u64 {
        Layout::offset_for(recipient)
    }

    /// Where the message begins, header first.
    pub fn message(&self) -> u64 {
        self.offset + self.envelope()
    }

    /// Octets of the envelope with its empty line.
    pub fn envelope(&self) -> u64 {
        self.length - self.header - self.body
    }

    /// Octets of the whole file.
    pub fn size(&self) -> u64 {
        self.offset + self.length
    }

    /// Reads the block at the start of a file of `size` octets. What it returns fits into that size and into itself.
    pub fn read(block: &[u8], size: u64) -> Result<Layout, Flaw> {
        let line = block.get(..BLOCK).and_then(|block| block.strip_suffix(b"\n")).unwrap_or(b"");
        let line = std::str::from_utf8(line).map_err(|_| Flaw::Damaged("first block"))?;
        let mut words = line.split_ascii_whitespace();
        let version = words.next().and_then(|word| word.strip_prefix(MAGIC)).ok_or(Flaw::Damaged("first block"))?;
        if version != VERSION {
            return Err(Flaw::Newer(format!("format {version}")));
        }
        let mut word = || words.next().ok_or(Flaw::Damaged("first block"));
        let layout = Layout {
            offset: number(word()?)?,
            length: number(word()?)?,
            header: number(word()?)?,
            body: number(word()?)?,
            crc: u32::from_str_radix(word()?, 16).map_err(|_| Flaw::Damaged("checksum"))?,
            recipients: usize::try_from(number(word()?)?).map_err(|_| Flaw::Damaged("number of recipients"))?,
            eight_bit: word()? == "8",
        };
        let message = layout.header.checked_add(layout.body).ok_or(Flaw::Damaged("sizes"))?;
        let fits = layout.recipients > 0
            && (layout.recipients as u64) < size
            && layout.offset == Layout::offset_for(layout.recipients)
            && layout.length > message
            && layout.offset.checked_add(layout.length) == Some(size);
        if fits { Ok(layout) } else { Err(Flaw::Damaged("sizes")) }
    }

    /// The block.
    pub fn write(&self) -> Vec<u8> {
        let Layout { offset, length, header, body, crc, recipients, eight_bit } = self;
        let flags = if *eight_bit { "8" } else { "7" };
        block(format!("{MAGIC}{VERSION} {offset} {length} {header} {body} {crc:08x} {recipients} {flags}"))
    }
}

fn number(word: &str) -> Result<u64, Flaw> {
    word.parse().map_err(|_| Flaw::Damaged("a number in the first block"))
}

/// A block with this text: cut at a character's end, padded with spaces, ended with a line feed.
pub fn block(mut text: String) -> Vec<u8> {
    let cut = (0..BLOCK).rev().find(|at| text.is_char_boundary(*at) || text.len() < *at).unwrap_or_default();
    text.truncate(cut);
    let mut block = text.into_bytes();
    block.resize(BLOCK - 1, b' ');
    block.push(b'\n');
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Layout {
        Layout { offset: 1536, length: 400, header: 100, body: 200, crc: 0xabc, recipients: 1, eight_bit: true }
    }

    #[test]
    fn the_first_block_says_what_it_was_told() {
        assert_eq!(Layout::read(&sample().write(), 1936), Ok(sample()));
        assert!(sample().write().starts_with(b"MAILCHUTE1 1536 400 100 200 00000abc 1 8 "));
    }

    #[test]
    fn sizes_that_do_not_fit_are_damage() {
        let wrong = [
            (sample(), 1935),
            (sample(), 1937),
            (Layout { offset: 1024, length: 912, recipients: 0, ..sample() }, 1936),
            (Layout { offset: 2048, ..sample() }, 1936),
            (Layout { header: u64::MAX, ..sample() }, 1936),
            (Layout { header: 201, ..sample() }, 1936),
            (Layout { recipients: usize::MAX, ..sample() }, 1936),
        ];
        for (layout, size) in wrong {
            assert!(matches!(Layout::read(&layout.write(), size), Err(Flaw::Damaged(_))), "{layout:?} {size}");
        }
    }

    #[test]
    fn another_version_is_not_damage() {
        assert_eq!(Layout::read(&block("MAILCHUTE2 what ever".into()), 9), Err(Flaw::Newer("format 2".into())));
        for text in ["", "MAILCHUTE1", "MAILCHUTE1 1536 400", "From root"] {
            assert!(matches!(Layout::read(&block(text.into()), 9), Err(Flaw::Damaged(_))), "{text}");
        }
        assert!(matches!(Layout::read(&[0; BLOCK], 9), Err(Flaw::Damaged(_))));
    }

    #[test]
    fn a_block_is_a_block_whatever_the_text() {
        for text in ["", "x", &"x".repeat(511), &"x".repeat(600), &"€".repeat(300)] {
            let block = block(text.to_string());
            assert_eq!((block.len(), block.last()), (BLOCK, Some(&b'\n')));
            assert!(String::from_utf8(block).is_ok());
        }
    }
}
