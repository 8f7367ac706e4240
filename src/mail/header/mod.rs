//! The header of a message as a list of fields, each kept byte for byte (RFC 5322 section 2.2). What the fields mean
//! is for their readers: `address`, `compose`, `encode`.

mod content_type;
mod fold;
mod phrase;

pub use content_type::ContentType;
pub use phrase::display_name;

use fold::{fold_hard, fold_soft};

/// The longest line, in octets without CRLF, that mail can carry (RFC 5322 section 2.1.1).
pub const LONGEST_LINE: usize = 998;

/// The longest field that is decoded, in octets.
const MOST_DECODED: usize = 8192;

/// One header field: name, colon, value with its folding, in canonical lines (CRLF, no bare CR, no NUL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    raw: Vec<u8>,
    /// Octets of the name.
    name: usize,
}

impl Field {
    /// Makes a field. Control bytes in the value become blanks; a long value is folded. `name` is a field name
    /// (RFC 5322 section 3.6.8).
    pub fn new(name: &str, value: &str) -> Field {
        debug_assert!(name_length(name.as_bytes()) == Some(name.len()), "{name:?} is no field name");
        let blank_out = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
        let value: Vec<u8> = value.bytes().map(blank_out).collect();
        let line = [name.as_bytes(), b": ", value.trim_ascii()].concat();
        Field { raw: fold_soft(line.trim_ascii_end(), name.len()), name: name.len() }
    }

    /// Makes a field of one or more lines as they came in, without line ends, the first with name and colon. Bare CRs
    /// become blanks, a blank before the colon goes, blank continuation lines go, over-long lines are folded; nothing
    /// else changes. `None` when the first line does not start a field.
    pub fn from_lines<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Field> {
        let mut lines = lines.into_iter();
        let first = lines.next()?;
        let name = field_name(first)?.len();
        let colon = first.iter().position(|&byte| byte == b':')?;
        let mut raw = Vec::with_capacity(first.len() + 2);
        fold_hard(&[&first[..name], &first[colon..]].concat(), name + 1, &mut raw);
        for line in lines.filter(|line| !is_blank(line)) {
            fold_hard(line, 0, &mut raw);
        }
        Some(Field { raw, name })
    }

    /// The name as written.
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.raw[..self.name]).unwrap_or_default()
    }

    /// Whether this is the field of that name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.raw[..self.name].eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value unfolded, without line ends and blanks around it, not decoded.
    pub fn value(&self) -> Vec<u8> {
        let mut value = self.folded_value().to_vec();
        value.retain(|byte| !matches!(byte, b'\r' | b'\n'));
        value.trim_ascii().to_vec()
    }

    /// The value with encoded words (RFC 2047) decoded, for people. A value no person reads, over 8 KiB, is not decoded.
    pub fn text(&self) -> String {
        // mailparse's time grows with the cube of a line's length.
        let readable = self.raw.len() <= MOST_DECODED
            && self.raw.split(|&b| b == b'\n').all(|line| line.len() <= LONGEST_LINE + 1);
        match mailparse::parse_header(&self.raw) {
            Ok((field, _)) if readable => field.get_value().trim().to_owned(),
            _ => String::from_utf8_lossy(&self.value()).into_owned(),
        }
    }

    /// Whether the value is empty or blank.
    pub fn is_empty(&self) -> bool {
        self.folded_value().trim_ascii().is_empty()
    }

    /// The bytes with their final CRLF.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The bytes behind the colon, folding and final CRLF included.
    pub fn folded_value(&self) -> &[u8] {
        self.raw.get(self.name + 1..).unwrap_or_default()
    }

    /// The same field with other bytes behind the colon: a changed [`Field::folded_value`], canonical.
    pub(super) fn with_folded_value(&self, value: &[u8]) -> Field {
        let line = [&self.raw[..=self.name], value].concat();
        let lines = line.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        Field::from_lines(lines).unwrap_or_else(|| self.clone())
    }
}

/// Whether a line holds nothing but blanks.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// The name of the field that a line starts, if it starts one. A blank between name and colon is tolerated.
pub(super) fn field_name(line: &[u8]) -> Option<&[u8]> {
    let name = &line[..name_length(line)?];
    let behind = line[name.len()..].iter().find(|&&byte| byte != b' ' && byte != b'\t');
    (behind == Some(&b':')).then_some(name)
}

fn name_length(line: &[u8]) -> Option<usize> {
    let name = |byte: &u8| matches!(byte, 33..=126) && *byte != b':';
    let length = line.iter().position(|byte| !name(byte)).unwrap_or(line.len());
    (length > 0).then_some(length)
}

/// The fields of a message in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    fields: Vec<Field>,
}

impl Header {
    /// Reads back a header that [`Header::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Header {
        let mut fields: Vec<Field> = Vec::new();
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match fields.last_mut() {
                Some(field) if line.starts_with(b" ") || line.starts_with(b"\t") => field.raw.extend_from_slice(line),
                _ => fields.push(Field { raw: line.to_vec(), name: field_name(line).map_or(0, <[u8]>::len) }),
            }
        }
        Header { fields }
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The first field of that name, in any case.
    pub fn first(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.is(name))
    }

    /// All fields of that name, in any case, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.is(name))
    }

    pub fn push(&mut self, field: Field) {
        self.fields.push(field);
    }

    /// Drops all fields of that name, in any case.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|field| !field.is(name));
    }

    /// Puts `field` in the place of the first field of its name, drops the others of that name; appends when there is none.
    pub fn replace(&mut self, field: Field) {
        let mut new = Some(field.clone());
        self.fields.retain_mut(|old| {
            if !old.is(field.name()) {
                return true;
            }
            let place = new.take();
            let first = place.is_some();
            if let Some(field) = place {
                *old = field;
            }
            first
        });
        self.fields.extend(new);
    }

    /// Puts the field that `change` makes of it in the place of each field for which it makes one.
    pub fn rewrite(&mut self, change: impl Fn(&Field) -> Option<Field>) {
        for field in &mut self.fields {
            if let Some(changed) = change(field) {
                *field = changed;
            }
        }
    }

    /// Whether every octet is below 128.
    pub fn is_ascii(&self) -> bool {
        self.fields.iter().all(|field| field.raw.is_ascii())
    }

    /// The canonical bytes, *without* the empty line that ends the header.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.fields.iter().flat_map(Field::raw).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(lines: &[&str]) -> String {
        let field = Field::from_lines(lines.iter().map(|line| line.as_bytes())).unwrap();
        String::from_utf8(field.raw().to_vec()).unwrap()
    }

    #[test]
    fn a_field_stays_as_it_came() {
        let cases: [(&[&str], &str); 9] = [
            (&["Subject: s"], "Subject: s\r\n"),
            (&["sUBJECT:s  "], "sUBJECT:s  \r\n"),
            (&["Subject : s"], "Subject: s\r\n"),
            (&["Subject \t:\ts"], "Subject:\ts\r\n"),
            (&["Subject:"], "Subject:\r\n"),
            (&["To: a,", "\tb,", "  c"], "To: a,\r\n\tb,\r\n  c\r\n"),
            (&["To: a,", "  ", "\t", " c"], "To: a,\r\n c\r\n"),
            (&["Subject: s\rBcc: x"], "Subject: s Bcc: x\r\n"),
            (&["http://example.org is nice"], "http://example.org is nice\r\n"),
        ];
        for (lines, expected) in cases {
            assert_eq!(field(lines), expected);
        }
    }

    #[test]
    fn a_line_without_name_and_colon_starts_no_field() {
        for line in [
            "",
            "This is body",
            "This is body: yes",
            ": x",
            "Sübject: s",
            " Subject: s",
            "\u{feff}Subject: s",
            "From a@x 12:00",
        ] {
            assert_eq!(Field::from_lines([line.as_bytes()]), None, "{line:?}");
        }
    }

    #[test]
    fn a_new_field_is_clean_and_folded() {
        let value = format!("<{}>\r\nBcc: evil\0 {}", "a".repeat(60), "b".repeat(60));
        let field = Field::new("References", &value);
        let expected = format!("References: <{}>\r\n Bcc: evil  {}\r\n", "a".repeat(60), "b".repeat(60));
        assert_eq!(String::from_utf8_lossy(field.raw()), expected);
        assert_eq!(Field::new("Subject", "  ").raw(), b"Subject:\r\n");
    }

    #[test]
    fn a_value_is_read_unfolded_and_decoded() {
        let field = Field::from_lines([b"Subject: =?utf-8?Q?J=C3=B6rg?=".as_slice(), b" =?utf-8?B?w6Q=?= x "]).unwrap();
        assert_eq!(field.name(), "Subject");
        assert_eq!(field.value(), b"=?utf-8?Q?J=C3=B6rg?= =?utf-8?B?w6Q=?= x");
        assert_eq!(field.text(), "J\u{f6}rg\u{e4} x");
    }

    #[test]
    fn bytes_make_the_same_header_again() {
        let lines: [&[&[u8]]; 6] = [
            &[b"To: a,", b" b"],
            &[b"Subject:"],
            &[b"X-Latin: \xe4\xf6 "],
            &[b"X: y", b"\tz", b" : not: a: name"],
            &[&[b"Long: ".as_slice(), &b"x".repeat(3000)].concat()],
            &[b"x:", b"\t\x0bq"],
        ];
        let mut header = Header::default();
        for lines in lines {
            header.push(Field::from_lines(lines.iter().copied()).unwrap());
        }
        assert_eq!(Header::from_bytes(&header.to_bytes()), header);
        assert_eq!(Header::from_bytes(b""), Header::default());
    }

    #[test]
    fn fields_are_found_replaced_and_removed_in_any_case() {
        let mut header = Header::from_bytes(b"A: 1\r\nB: 2\r\na: 3\r\n");
        assert_eq!(header.all("A").count(), 2);
        header.replace(Field::new("A", "4"));
        header.replace(Field::new("C", "5"));
        assert_eq!(header.to_bytes(), b"A: 4\r\nB: 2\r\nC: 5\r\n");
        header.remove("b");
        assert_eq!(header.to_bytes(), b"A: 4\r\nC: 5\r\n");
        assert_eq!(header.first("b"), None);
    }

    /// Each would take minutes if anything here grew faster than the field.
    #[test]
    fn a_hostile_field_is_read_in_time() {
        for piece in ["=?utf-8?Q?a?= ", "=?", "?=", "=? ?=x", "=?a?b?", " \t", "\r", "x*0=", ";a*0*=b"] {
            for length in [990, 8000, 1 << 18] {
                let line = [b"Content-Type: ".as_slice(), piece.repeat(length / piece.len()).as_bytes()].concat();
                let field = Field::from_lines([line.as_slice()]).unwrap();
                let raw = [b"Content-Type: ".as_slice(), line.as_slice(), b"\r\n"].concat();
                for header in [Header { fields: vec![field] }, Header::from_bytes(&raw)] {
                    let _ = (header.fields()[0].text(), header.content_type());
                }
            }
        }
    }
}
