//! xtext (RFC 3461 section 4): printable ASCII in which `+` and two hexadecimal digits stand for an octet.

/// Decodes; `None` when it is not xtext, or when what comes out is not printable ASCII, which ENVID and ORCPT must be.
pub(super) fn decode(text: &str) -> Option<String> {
    decode_text(text).filter(|decoded| decoded.bytes().all(|octet| (b' '..=b'~').contains(&octet)))
}

/// Decodes text of our own client: any UTF-8 without control characters.
pub(super) fn decode_text(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => 16 * upper_hex(bytes.next()?)? + upper_hex(bytes.next()?)?,
            b'!'..=b'~' if byte != b'=' => byte,
            _ => return None,
        });
    }
    String::from_utf8(decoded).ok().filter(|text| !text.contains(char::is_control))
}

/// Encodes.
pub(super) fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, octet| {
        match octet {
            b'!'..=b'~' if octet != b'+' && octet != b'=' => encoded.push(char::from(octet)),
            _ => encoded.push_str(&format!("+{octet:02X}")),
        }
        encoded
    })
}

fn upper_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_decoded_or_refused() {
        let cases = [
            ("", Some("")),
            ("QQ314159", Some("QQ314159")),
            ("Bob+40x+2B+3D", Some("Bob@x+=")),
            ("a+20b", Some("a b")),
            ("a+4", None),
            ("a+4g", None),
            ("a+2b", None),
            ("a=b", None),
            ("a b", None),
            ("a+0Ab", None),
            ("a+00", None),
            ("é", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
    }
}
