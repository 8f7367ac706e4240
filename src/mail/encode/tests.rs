//! Whole messages before and after.

use super::*;

/// A body in memory, read in pieces of at most so many octets.
pub struct Memory(pub Vec<u8>, pub usize);

impl Source for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[usize::try_from(offset).unwrap().min(self.0.len())..];
        let length = rest.len().min(buffer.len()).min(self.1);
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

type Encode = fn(Header, &dyn Source, u64, &mut dyn Write) -> Result<(Header, Nature), EncodeError>;

/// The message afterwards, `\n` for CRLF as in `header` and `body`; the nature checked against it.
fn after(encode: Encode, header: &str, body: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let crlf = |text: &[u8]| text.split(|&b| b == b'\n').collect::<Vec<_>>().join(b"\r\n".as_slice());
    let body = Memory(crlf(body), 4096);
    let mut output = Vec::new();
    let header = Header::from_bytes(&crlf(header.as_bytes()));
    let (header, nature) = encode(header, &body, body.0.len() as u64, &mut output)?;
    let longest = output.split(|&byte| byte == b'\n').map(|line| line.len().saturating_sub(1)).max().unwrap_or(0);
    let nul = output.contains(&b'\0');
    assert_eq!(nature, Nature { size: output.len() as u64, eight_bit: !output.is_ascii(), longest_line: longest, nul });
    let mut message = [header.to_bytes().as_slice(), b"\r\n", &output].concat();
    message.retain(|&byte| byte != b'\r');
    Ok(message)
}

fn text(message: Result<Vec<u8>, EncodeError>) -> String {
    String::from_utf8(message.unwrap()).unwrap()
}

/// `x` as quoted-printable writes it: so many of them on a line of their own.
fn quoted_line(length: usize) -> String {
    let mut lines = String::new();
    let mut left = length;
    while left > 75 {
        lines += &format!("{}=\n", "x".repeat(75));
        left -= 75;
    }
    lines + &"x".repeat(left)
}

#[test]
fn only_long_lines_and_nuls_are_unfit() {
    let fit = Nature { size: 9, eight_bit: true, longest_line: 998, nul: false };
    assert!(!unfit(&fit));
    assert!(unfit(&Nature { longest_line: 999, ..fit }));
    assert!(unfit(&Nature { nul: true, ..fit }));
}

#[test]
fn text_without_mime_fields_gets_them() {
    let long = "x".repeat(999);
    let quoted = quoted_line(999);
    let cases: [(&[u8], &str, &str); 4] = [
        (b"", "us-ascii", ""),
        ("é".as_bytes(), "utf-8", "=C3=A9"),
        (b"\xe9", "unknown-8bit", "=E9"),
        (b"\0", "us-ascii", "=00"),
    ];
    for (byte, charset, shown) in cases {
        let body = [long.as_bytes(), b"\n", byte, b" = \n"].concat();
        assert_eq!(
            text(after(rework, "Subject: s\n", &body)),
            format!(
                "Subject: s\nMIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\n\
                 Content-Transfer-Encoding: quoted-printable\n\n{quoted}\n{shown} =3D=20\n"
            )
        );
    }
}

#[test]
fn a_content_type_stays_and_the_encoding_is_replaced_where_it_stands() {
    let header = "MIME-Version: 1.0\nContent-transfer-encoding: 8bit\nContent-Type: text/html;\n charset=latin1\n";
    assert_eq!(
        text(after(rework, header, b"a\0\xe9\n")),
        "MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\nContent-Type: text/html;\n charset=latin1\n\n\
         a=00=E9\n"
    );
}

#[test]
fn each_part_is_encoded_by_itself() {
    let header = "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n";
    let (long, quoted) = ("x".repeat(1200), quoted_line(1200));
    let body = format!(
        "pre\n--b\nContent-Type: text/plain; charset=utf-8\n\né\n--b\nX: y\n\n{long}\n\n--b\n\
         Content-Type: message/rfc822\n\nSubject: in\n\n{long}\n--b--\n"
    );
    assert_eq!(
        text(after(rework, header, body.as_bytes())),
        format!(
            "{header}\npre\n--b\nContent-Type: text/plain; charset=utf-8\n\né\n--b\nX: y\n\
             Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: quoted-printable\n\n{quoted}\n\n--b\n\
             Content-Type: message/rfc822\n\nSubject: in\nContent-Type: text/plain; charset=us-ascii\n\
             Content-Transfer-Encoding: quoted-printable\n\n{quoted}\n--b--\n"
        )
    );
    assert_eq!(
        text(after(seven_bit, header, body.as_bytes())),
        format!(
            "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\npre\n--b\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9\n--b\nX: y\n\n\
             {0}\n\n--b\nContent-Type: message/rfc822\n\nSubject: in\n\n{0}\n--b--\n",
            folded(&long)
        )
    );
}

fn folded(line: &str) -> String {
    format!("{}\n {}", &line[..998], &line[998..])
}

#[test]
fn what_cannot_be_encoded_is_folded() {
    let long = "x".repeat(1200);
    let base64 = "Content-Transfer-Encoding: base64\n";
    assert_eq!(text(after(rework, base64, format!("{long}\n").as_bytes())), format!("{base64}\n{}\n", folded(&long)));
    let header = "Content-Type: multipart/mixed; boundary=b\n";
    let body = format!("{long}\n--b\nX: {long}\n\na\n--b--\n{long}\n");
    let expected = format!(
        "{header}\n{}\n--b\nX: {}\n {}\n\na\n--b--\n{}\n",
        folded(&long),
        &long[..995],
        &long[995..],
        folded(&long)
    );
    assert_eq!(text(after(rework, header, body.as_bytes())), expected);
}

#[test]
fn a_fold_cuts_no_character_and_no_quoted_octet() {
    let header = "Content-Type: multipart/mixed; boundary=b\n";
    let body = format!("{}\n", "é".repeat(1000));
    let expected = format!("{header}\n{}\n {}\n {}\n", "é".repeat(499), "é".repeat(498), "é".repeat(3));
    assert_eq!(text(after(rework, header, body.as_bytes())), expected);
    let header = "Content-Transfer-Encoding: quoted-printable\n";
    let body = format!("{}\n", "=C3".repeat(400));
    let expected = format!("{header}\n{}=\n{}\n", "=C3".repeat(332), "=C3".repeat(68));
    assert_eq!(text(after(rework, header, body.as_bytes())), expected);
}

#[test]
fn a_nul_where_nothing_can_be_encoded_is_refused() {
    let multipart = "Content-Type: multipart/mixed; boundary=b\n";
    let cases: [(&str, &[u8]); 4] = [
        ("Content-Transfer-Encoding: base64\n", b"\0\n"),
        (multipart, b"\0\n--b\n\na\n--b--\n"),
        (multipart, b"--b\nX: \0\n\na\n--b--\n"),
        (multipart, b"--b\n\na\n--b--\n\0\n"),
    ];
    for (header, body) in cases {
        assert_eq!(after(rework, header, body).unwrap_err().exit(), Exit::DataErr);
    }
}

#[test]
fn a_signed_message_is_left_to_eight_bits() {
    let header = "Content-Type: multipart/signed; boundary=b\n";
    let body = "--b\nContent-Type: text/plain\n\né\n--b\n\nsignature\n--b--\n";
    assert_eq!(text(after(seven_bit, header, body.as_bytes())), format!("{header}\n{body}"));
}

#[test]
fn what_fits_stays_byte_for_byte() {
    let header = "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n";
    let body = format!("--b\nA:b\n\t c \n\n {}\t\n--b--  \n\n", "x".repeat(996));
    for encode in [rework as Encode, seven_bit] {
        assert_eq!(text(after(encode, header, body.as_bytes())), format!("{header}\n{body}"));
    }
}

#[test]
fn a_line_longer_than_memory_should_be_is_encoded() {
    let body = ["é".repeat(200_000).as_bytes(), b"\n"].concat();
    for encode in [rework as Encode, seven_bit] {
        let message = text(after(encode, "", &body));
        let (header, content) = message.split_once("\n\n").unwrap();
        assert!(header.contains("charset=utf-8"));
        assert_eq!(content.replace("=\n", ""), "=C3=A9".repeat(200_000) + "\n");
    }
}

#[test]
fn an_output_that_fails_is_not_the_messages_fault() {
    let body = Memory(b"a\0\r\n".to_vec(), 9);
    let error = rework(Header::default(), &body, 4, &mut [0u8; 2].as_mut_slice()).unwrap_err();
    assert_eq!(error.exit(), Exit::TempFail);
}

/// Every body of up to four of the pieces that matter, in and out of multiparts.
#[test]
fn whatever_is_encoded_fits_and_what_fits_is_encoded_no_further() {
    let long = "x".repeat(1500) + "\n";
    let pieces = ["--b\n", "--b--\n", "\n", "A: b\n", "é\n", "é", &long];
    let headers = ["", "Content-Type: multipart/mixed; boundary=b\n", "Content-Type: message/rfc822\n"];
    for number in 0..pieces.len().pow(4) {
        let body: String =
            (0..4).map(|at| pieces[number / pieces.len().pow(at) % pieces.len()]).collect::<String>() + "\n";
        for header in headers {
            let once = text(after(rework, header, body.as_bytes()));
            let (header, fit) = once.split_at(once.find("\n\n").map_or(0, |end| end + 1));
            assert!(fit.lines().all(|line| line.len() <= LONGEST_LINE), "{body:?}");
            assert_eq!(text(after(rework, header, &fit.as_bytes()[1..])), once);
        }
    }
}
