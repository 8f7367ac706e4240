//! From standard input to the wire: a receiver that takes CR, LF and CRLF for line ends finds the end of the message
//! once, at its end; lines fit; what was canonical stays as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::mail::encode;
use mailchute::mail::header::Header;
use mailchute::mail::message::{self, Dots, Nature};
use mailchute::mail::wire::{Source, Wire};
use std::io;

struct Memory(Vec<u8>);

impl Source for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[usize::try_from(offset).expect("small").min(self.0.len())..];
        // In uneven pieces, so that their borders fall everywhere.
        let length = rest.len().min(buffer.len()).min(7);
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// How often a lenient receiver finds a line with a single dot, and where the first one ends.
fn ends(octets: &[u8]) -> (usize, Option<usize>) {
    let (mut count, mut first, mut start, mut at) = (0, None, 0, 0);
    while at < octets.len() {
        let length = match octets[at..] {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => {
                at += 1;
                continue;
            }
        };
        if &octets[start..at] == b"." {
            count += 1;
            first = first.or(Some(at + length));
        }
        at += length;
        start = at;
    }
    (count, first)
}

fn sent(header: &Header, body: Vec<u8>, nature: &Nature) -> Vec<u8> {
    assert_eq!(nature.size, body.len() as u64);
    let size = body.len() as u64;
    let wire = Wire::new(header, Box::new(Memory(body)), size, nature.eight_bit);
    let (mut data, mut bdat) = (Vec::new(), Vec::new());
    wire.data(&mut |chunk| {
        data.extend_from_slice(chunk);
        Ok(())
    })
    .expect("a canonical message");
    wire.bdat(&mut |chunk| {
        bdat.extend_from_slice(chunk);
        Ok(())
    })
    .expect("a canonical message");
    assert_eq!(bdat.len() as u64, wire.size());
    assert_eq!(ends(&data), (1, Some(data.len())), "{:?}", String::from_utf8_lossy(&data));
    assert!(!data.contains(&0));
    assert_eq!(wire.eight_bit(), !bdat.is_ascii());
    let longest = bdat.split(|&byte| byte == b'\n').map(|line| line.len().saturating_sub(1)).max();
    assert!(longest <= Some(998), "{longest:?}");
    bdat
}

fuzz_target!(|text: &[u8]| {
    for dots in [Dots::Keep, Dots::End] {
        let Ok((header, mut rest)) = message::read(text, dots) else { continue };
        let mut body = Vec::new();
        let nature = rest.copy_to(&mut body).expect("memory");
        let kept = body.clone();
        let (header, body, nature) = if encode::unfit(&nature) {
            let (size, mut better) = (body.len() as u64, Vec::new());
            let Ok((header, nature)) = encode::rework(header, &Memory(body), size, &mut better) else { continue };
            (header, better, nature)
        } else {
            (header, body, nature)
        };
        let message = sent(&header, body.clone(), &nature);
        if body == kept {
            assert!(message.ends_with(&kept));
        }
        let (size, mut seven) = (body.len() as u64, Vec::new());
        if let Ok((header, nature)) = encode::seven_bit(header, &Memory(body), size, &mut seven) {
            sent(&header, seven, &nature);
        }
    }
});
