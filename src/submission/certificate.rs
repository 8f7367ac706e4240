//! The two names in a certificate, for people: whose it is and who signed it. Used only to explain a refusal, never to
//! decide one.

/// Subject and issuer, as `CN (O)` or whichever of them is there.
#[derive(Debug, Default)]
pub struct Names {
    pub subject: String,
    pub issuer: String,
    self_signed: bool,
}

impl Names {
    /// Whether subject and issuer are the same, octet for octet.
    pub fn is_self_signed(&self) -> bool {
        self.self_signed
    }
}

/// Reads them from DER (RFC 5280 section 4.1); `None` when it is none.
pub fn names(der: &[u8]) -> Option<Names> {
    let (certificate, _) = element(der)?.of(SEQUENCE)?;
    let (mut rest, _) = element(certificate)?.of(SEQUENCE)?;
    if element(rest)?.tag == VERSION {
        rest = element(rest)?.rest;
    }
    let serial_number = element(rest)?;
    let algorithm = element(serial_number.rest)?;
    let (issuer, rest) = element(algorithm.rest)?.of(SEQUENCE)?;
    let validity = element(rest)?;
    let (subject, _) = element(validity.rest)?.of(SEQUENCE)?;
    Some(Names { subject: shown(subject), issuer: shown(issuer), self_signed: issuer == subject })
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The explicit tag of the version field.
const VERSION: u8 = 0xa0;
/// 2.5.4.3 and 2.5.4.10 (RFC 5280 appendix A.1).
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn of(self, tag: u8) -> Option<(&'a [u8], &'a [u8])> {
        (self.tag == tag).then_some((self.content, self.rest))
    }
}

/// One tag, length and value.
fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&[tag, short], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if short < 0x80 {
        (usize::from(short), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
        if length.len() > 4 {
            return None;
        }
        (length.iter().fold(0, |sum, &octet| sum << 8 | usize::from(octet)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(Element { tag, content, rest })
}

/// The value of one attribute of a Name.
fn attribute(mut name: &[u8], oid: &[u8]) -> Option<String> {
    while let Some(set) = element(name) {
        name = set.rest;
        let (attribute, _) = element(set.of(SET)?.0)?.of(SEQUENCE)?;
        let kind = element(attribute)?;
        if kind.content == oid {
            return Some(String::from_utf8_lossy(element(kind.rest)?.content).into_owned());
        }
    }
    None
}

fn shown(name: &[u8]) -> String {
    match (attribute(name, COMMON_NAME), attribute(name, ORGANIZATION)) {
        (Some(common), Some(organization)) => format!("{common} ({organization})"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "no name".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn subject_and_issuer_are_read() {
        let mut params = CertificateParams::new(vec!["mail.x.org".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "mail.x.org");
        params.distinguished_name.push(DnType::OrganizationName, "X");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names = names(certificate.der()).unwrap();
        assert_eq!(names.subject, "mail.x.org (X)");
        assert_eq!(names.issuer, "mail.x.org (X)");
        assert!(names.is_self_signed());
    }

    #[test]
    fn broken_der_is_no_certificate() {
        let certificate = rcgen::generate_simple_self_signed(vec!["x.org".into()]).unwrap().cert;
        let der = certificate.der();
        for end in 0..der.len() / 2 {
            let _ = names(&der[..end]);
        }
        assert!(names(b"").is_none());
        assert!(names(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none());
        assert!(names(&[0x30, 0xff]).is_none());
    }
}
