//! What becomes of an input, row by row of what Sendmail, Postfix and Exim agree on.

use super::*;
use std::io::BufReader;

/// Header, `|`, body, with every CRLF shown as `/`.
fn taken(input: &[u8], dots: Dots) -> String {
    let shown = |capacity: usize| {
        let (header, mut body) = read(BufReader::with_capacity(capacity, input), dots).unwrap();
        let mut output = Vec::new();
        let nature = body.copy_to(&mut output).unwrap();
        assert_eq!(nature.size, output.len() as u64);
        let bytes = [header.to_bytes(), b"|".to_vec(), output].concat();
        String::from_utf8_lossy(&bytes).replace("\r\n", "/")
    };
    let whole = shown(1 << 16);
    assert_eq!(shown(1), whole, "read byte by byte");
    whole
}

#[test]
fn an_input_is_taken_as_others_take_it() {
    let cases = [
        ("", "|"),
        ("\n", "|"),
        ("\n\n", "|/"),
        ("A: b\n\nbody\n", "A: b/|body/"),
        ("A: b\r\n\r\nbody\r\n", "A: b/|body/"),
        ("A: b\nC: d\r\n\nx\r\ny\n", "A: b/C: d/|x/y/"),
        ("A: b\r\r\n\r\r\nbody\r\r\n", "A: b/|body/"),
        ("A: b\rC: d\n\nx\n", "A: b C: d/|x/"),
        ("A: b", "A: b/|"),
        ("A: b\n", "A: b/|"),
        ("A: b\n\n", "A: b/|"),
        ("A: b\n\nx", "A: b/|x/"),
        ("A: b\n\nx\n\n\n", "A: b/|x///"),
        ("A: b\n\n\nx\n", "A: b/|/x/"),
        ("\nA: b\n\nx\n", "|A: b//x/"),
        ("\n\nx\n", "|/x/"),
        (" A: b\nx\n", "| A: b/x/"),
        ("  \nA: b\n", "|  /A: b/"),
        ("A: b\n  \n c\n\nx\n", "A: b/ c/|x/"),
        ("A: b\n \nHello there\n", "A: b/|Hello there/"),
        ("A: b\n c\n\td\n\nx\n", "A: b/ c/\td/|x/"),
        ("A: b\nThis is body\nC: d\n", "A: b/|This is body/C: d/"),
        ("A: b\nThis is body: yes\n", "A: b/|This is body: yes/"),
        ("no header at all\n\nx\n", "|no header at all//x/"),
        ("http://example.org is nice\nx\n", "http://example.org is nice/|x/"),
        ("A : b\n\nx\n", "A: b/|x/"),
        (": x\n\ny\n", "|: x//y/"),
        ("A: b\nSübject: x\n\ny\n", "A: b/|Sübject: x//y/"),
        ("\u{feff}A: b\n\nx\n", "|\u{feff}A: b//x/"),
        ("Text: a\nMessage: b\n\nx\n", "Text: a/Message: b/|x/"),
        ("A: b\nA: b\nA: c\n\nx\n", "A: b/A: b/A: c/|x/"),
        ("From a@x Mon Jan  1 00:00:00 2024\nA: b\n\nx\n", "A: b/|x/"),
        (">From a@x Mon\nA: b\n\nx\n", "A: b/|x/"),
        ("From a\n>From b\nFrom c\r\nA: b\n\nFrom x\n>From y\n", "A: b/|From x/>From y/"),
        ("From a\n\nx\n", "|x/"),
        ("A: b\nFrom x\n\ny\n", "A: b/|From x//y/"),
        ("From : a@b\n\nx\n", "From: a@b/|x/"),
        ("A: b\n\nx\x0b\x0c\x1a\n", "A: b/|x\x0b\x0c\x1a/"),
        ("A: b\n\nx\ry\n", "A: b/|x/y/"),
        ("A: b\rC: d\r\rx", "A: b C: d  x/|"),
    ];
    for (input, expected) in cases {
        for dots in [Dots::End, Dots::Keep] {
            assert_eq!(taken(input.as_bytes(), dots), expected, "{input:?}");
        }
    }
}

#[test]
fn a_dot_ends_the_message_unless_it_is_kept() {
    let cases = [
        ("A: b\n\nx\n.\nz\n", "A: b/|x/", "A: b/|x/./z/"),
        ("A: b\n\nx\r\n.\r\nz\r\n", "A: b/|x/", "A: b/|x/./z/"),
        ("A: b\n\nx\n.", "A: b/|x/", "A: b/|x/./"),
        ("A: b\n\n.\nz\n", "A: b/|", "A: b/|./z/"),
        ("A: b\n\n..\n..a\n", "A: b/|../..a/", "A: b/|../..a/"),
        ("A: b\n.\nz\n", "A: b/|", "A: b/|./z/"),
        (".\nz\n", "|", "|./z/"),
        (".", "|", "|./"),
        ("A: b\n.\r\nz\n", "A: b/|", "A: b/|./z/"),
        ("no header\n.\nz\n", "|no header/", "|no header/./z/"),
    ];
    for (input, ended, kept) in cases {
        assert_eq!(taken(input.as_bytes(), Dots::End), ended, "{input:?}");
        assert_eq!(taken(input.as_bytes(), Dots::Keep), kept, "{input:?}");
    }
}

/// Hands out its pieces one by one and then fails, if it is to fail.
struct Pieces<'a> {
    pieces: &'a [&'a [u8]],
    fails: bool,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.pieces.split_first() {
            Some((piece, rest)) => {
                self.pieces = rest;
                buffer[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
            None if self.fails => Err(io::ErrorKind::BrokenPipe.into()),
            None => Ok(0),
        }
    }
}

#[test]
fn the_input_is_read_to_its_end_whatever_is_in_it() {
    let long = [b'x'; 4096];
    let too_long: Vec<&[u8]> = std::iter::once(b"A: ".as_slice()).chain([long.as_slice(); 300]).collect();
    let cases: [&[&[u8]]; 5] = [
        &[b"A: b\n\nx\n.\n", b"y", b"z"],
        &[b"A: b\n.\n", b"y"],
        &[b"A\0: b\n\n", b"y"],
        &[b"A: \0\n", b"y"],
        &too_long,
    ];
    for pieces in cases {
        let mut input = BufReader::new(Pieces { pieces, fails: false });
        if let Ok((_, mut body)) = read(&mut input, Dots::End) {
            body.copy_to(&mut Vec::new()).unwrap();
        }
        assert!(input.get_ref().pieces.is_empty());
    }
}

/// A terminal: behind each end it hands out there is more to come.
struct Terminal<'a>(&'a [&'a [u8]]);

impl Read for Terminal<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (line, rest) = self.0.split_first().expect("nobody types more");
        self.0 = rest;
        buffer[..line.len()].copy_from_slice(line);
        Ok(line.len())
    }
}

#[test]
fn a_terminal_is_not_read_behind_the_end() {
    let cases: [&[&[u8]]; 5] = [
        &[b"A: b\n", b"\n", b"x\n", b".\n"],
        &[b"A: b\n", b".\n"],
        &[b"A: b\n", b"\n", b"x\n", b""],
        &[b"A: b\n", b""],
        &[b""],
    ];
    for lines in cases {
        let (_, mut body) = read(BufReader::new(Terminal(lines)), Dots::EndInput).unwrap();
        body.copy_to(&mut Vec::new()).unwrap();
        body.drain().unwrap();
    }
}

#[test]
fn an_input_that_fails_is_no_message() {
    let cases: [&[&[u8]]; 5] = [&[], &[b"A: b"], &[b"A: b\n\n"], &[b"A: b\n\nx"], &[b"A: b\n\nx\n.\n"]];
    for pieces in cases {
        let result = read(BufReader::new(Pieces { pieces, fails: true }), Dots::End)
            .and_then(|(_, mut body)| body.copy_to(&mut Vec::new()));
        assert_eq!(result.unwrap_err().exit(), Exit::IoErr, "{pieces:?}");
    }
}

#[test]
fn a_header_of_a_mebibyte_is_taken_and_no_more() {
    let header = |octets: usize| [b"A: ".as_slice(), "x\n y".repeat(octets / 4).as_bytes()].concat()[..octets].to_vec();
    let fits = header((1 << 20) - 1);
    assert!(read([fits.as_slice(), b"\n\nx\n"].concat().as_slice(), Dots::End).is_ok());
    for input in [
        header((1 << 20) + 1),
        [b"A: b\n".as_slice(), &header(1 << 20)].concat(),
        "From a\n".repeat(1 << 18).into_bytes(),
    ] {
        let error = read(input.as_slice(), Dots::End).err().unwrap();
        assert!(matches!(error, MessageError::HeaderTooLong));
        assert_eq!(error.exit(), Exit::DataErr);
    }
}

#[test]
fn a_header_that_is_too_long_is_refused_wherever_the_limit_cuts_it() {
    for shift in 0..12 {
        let input = format!("A: {}\n{}\nbody\n", "x".repeat(shift), "X-Fill: xx\n".repeat(120_000));
        let error = read(input.as_bytes(), Dots::End).err();
        assert!(matches!(error, Some(MessageError::HeaderTooLong)), "{shift}");
    }
}

#[test]
fn a_long_line_without_header_is_a_body() {
    let input = vec![b'x'; 3 << 20];
    let (header, mut body) = read(input.as_slice(), Dots::End).unwrap();
    let nature = body.copy_to(&mut io::sink()).unwrap();
    assert_eq!((header.fields().len(), nature.longest_line), (0, 3 << 20));
}

#[test]
fn a_nul_is_refused_in_the_header_and_told_in_the_body() {
    assert!(matches!(read(b"A: b\0\n\n".as_slice(), Dots::End), Err(MessageError::NulInHeader)));
    let (_, mut body) = read(b"A: b\n\nx\0\n".as_slice(), Dots::End).unwrap();
    assert!(body.copy_to(&mut io::sink()).unwrap().nul);
}

#[test]
fn a_copy_that_cannot_be_written_is_not_the_inputs_fault() {
    let (_, mut body) = read(b"A: b\n\nxyz\n".as_slice(), Dots::End).unwrap();
    let error = body.copy_to(&mut [0u8; 2].as_mut_slice()).unwrap_err();
    assert_eq!(error.exit(), Exit::TempFail);
}

#[test]
fn hops_are_received_fields() {
    let (header, _) = read(b"Received: a\nreceived: b\nX-Received: c\n\n".as_slice(), Dots::End).unwrap();
    assert_eq!(hops(&header), 2);
}

/// Every input of up to five of the pieces that matter.
#[test]
fn whatever_comes_in_leaves_as_canonical_lines() {
    const PIECES: [&str; 8] = ["A", ":", "\r", "\n", " ", ".", "From ", "\n\n"];
    for number in 0..PIECES.len().pow(5) {
        let input: String = (0..5).map(|at| PIECES[number / PIECES.len().pow(at) % PIECES.len()]).collect();
        let (header, mut body) = read(input.as_bytes(), Dots::End).unwrap();
        let bytes = header.to_bytes();
        assert_eq!(Header::from_bytes(&bytes), header, "{input:?}");
        for field in header.fields() {
            assert!(!field.name().is_empty() && !field.name().contains([' ', ':']), "{input:?}");
        }
        let mut output = Vec::new();
        body.copy_to(&mut output).unwrap();
        for text in [bytes, output] {
            let left = String::from_utf8(text).unwrap().replace("\r\n", "/");
            assert!(left.is_empty() || left.ends_with('/'), "{input:?}");
            assert!(!left.contains(['\r', '\n']), "{input:?}");
        }
    }
}
