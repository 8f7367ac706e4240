//! The reply parser: the same however its input is cut, within its bounds, and a whole reply is whole by a second reading
//! of RFC 5321 section 4.2.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::mail::outcome::Reply;
use mailchute::submission::reply::{Assembler, NoReply, told};

/// Octets taken and the reply, once it is whole; nothing when the input ends before it does.
fn read(octets: &[u8], size: usize) -> Result<Option<(usize, Reply)>, NoReply> {
    let (mut assembler, mut before) = (Assembler::default(), 0);
    for piece in octets.chunks(size) {
        let (taken, response) = assembler.take(piece)?;
        if let Some(response) = response {
            return Ok(Some((before + taken, told(&response))));
        }
        assert_eq!(taken, piece.len());
        before += taken;
    }
    if let Some(fragment) = assembler.fragment() {
        assert!(fragment.len() <= 180);
    }
    Ok(None)
}

fuzz_target!(|octets: &[u8]| {
    let size = octets.first().map_or(1, |first| usize::from(first % 7) + 1);
    let whole = read(octets, octets.len().max(1));
    assert_eq!(read(octets, size), whole);
    let Ok(Some((taken, reply))) = whole else { return };
    assert!(reply.lines.len() <= 1000 && reply.lines.iter().map(String::len).sum::<usize>() <= 3 * 256 * 1024);
    let said = octets[..taken].strip_suffix(b"\n").expect("a line end");
    let lines: Vec<&[u8]> = said.split(|&octet| octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    assert_eq!(lines.len(), reply.lines.len());
    let code = reply.code.to_string();
    assert!((200..560).contains(&reply.code));
    for (number, line) in lines.iter().enumerate() {
        let last = number + 1 == lines.len();
        assert!(line.starts_with(code.as_bytes()), "{octets:?}");
        let separators: &[u8] = if last { b" " } else { b"-" };
        assert!(line.get(3).map_or(last, |separator| separators.contains(separator)), "{octets:?}");
        if line.len() <= 4096 {
            assert_eq!(reply.lines[number], String::from_utf8_lossy(line.get(4..).unwrap_or_default()));
        }
    }
});
