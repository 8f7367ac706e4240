//! What a message, or a part of one, says about its body (RFC 2045).

use super::Header;

/// The Content-Type of a message or part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// `text/plain`, in lower case.
    pub kind: String,
    /// The boundary between the parts of a multipart.
    pub boundary: Option<String>,
}

impl Header {
    /// The Content-Type; `None` when there is no such field.
    pub fn content_type(&self) -> Option<ContentType> {
        let field = self.first("Content-Type")?;
        let parsed = mailparse::parse_content_type(&String::from_utf8_lossy(&field.value()));
        let kind = parsed.mimetype.trim().to_owned();
        Some(ContentType { kind, boundary: parsed.params.get("boundary").filter(|text| !text.is_empty()).cloned() })
    }

    /// The Content-Transfer-Encoding in lower case, without comments; empty when there is no such field.
    pub fn transfer_encoding(&self) -> String {
        let value = self.first("Content-Transfer-Encoding").map(super::Field::value).unwrap_or_default();
        let word = value.split(|byte| b" \t;(".contains(byte)).next().unwrap_or_default();
        String::from_utf8_lossy(word).to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_boundary_are_found_however_they_are_written() {
        let cases = [
            ("text/plain", "text/plain", None),
            ("Text/HTML; charset=\"utf-8\"", "text/html", None),
            ("multipart/mixed; boundary=abc", "multipart/mixed", Some("abc")),
            ("multipart/mixed;\r\n\tBOUNDARY=\"=_a b;:c\"; x=y", "multipart/mixed", Some("=_a b;:c")),
            ("multipart/mixed; boundary=\"\"", "multipart/mixed", None),
            ("nonsense", "nonsense", None),
        ];
        for (value, kind, boundary) in cases {
            let header = Header::from_bytes(format!("content-type: {value}\r\n").as_bytes());
            let expected = ContentType { kind: kind.into(), boundary: boundary.map(str::to_owned) };
            assert_eq!(header.content_type(), Some(expected));
        }
        assert_eq!(Header::default().content_type(), None);
    }

    #[test]
    fn the_transfer_encoding_is_one_word_in_lower_case() {
        for (value, expected) in [("8BIT", "8bit"), (" base64 (yes)", "base64"), ("7bit; x", "7bit"), ("", "")] {
            let header = Header::from_bytes(format!("Content-Transfer-Encoding: {value}\r\n").as_bytes());
            assert_eq!(header.transfer_encoding(), expected);
        }
        assert_eq!(Header::default().transfer_encoding(), "");
    }
}
