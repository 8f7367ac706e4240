//! What a certificate says of itself, for people: whose it is, who signed it, until when it holds. Used only to explain
//! a refusal or to show an acceptance, never to decide one.

/// Subject and issuer, as `CN (O)` or whichever of them is there, and the last day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub subject: String,
    pub issuer: String,
    /// `2027-02-01`; empty when it cannot be read.
    pub last_day: String,
    /// Whether subject and issuer are the same, octet for octet.
    pub is_self_signed: bool,
}

impl Facts {
    /// The program on the way that is known to make certificates of its own under this issuer's name.
    pub fn interceptor(&self) -> Option<&'static str> {
        let issuer = self.issuer.to_lowercase();
        INTERCEPTORS.iter().find(|(mark, _)| issuer.contains(mark)).map(|(_, name)| *name)
    }
}

/// Reads them from DER (RFC 5280 section 4.1); `None` when it is none.
pub fn facts(der: &[u8]) -> Option<Facts> {
    let (certificate, _) = element(der)?.of(SEQUENCE)?;
    let (mut rest, _) = element(certificate)?.of(SEQUENCE)?;
    if element(rest)?.tag == VERSION {
        rest = element(rest)?.rest;
    }
    let serial_number = element(rest)?;
    let algorithm = element(serial_number.rest)?;
    let (issuer, rest) = element(algorithm.rest)?.of(SEQUENCE)?;
    let (validity, rest) = element(rest)?.of(SEQUENCE)?;
    let (subject, _) = element(rest)?.of(SEQUENCE)?;
    Some(Facts {
        subject: shown(subject),
        issuer: shown(issuer),
        last_day: element(element(validity)?.rest).and_then(|end| day(&end)).unwrap_or_default(),
        is_self_signed: issuer == subject,
    })
}

/// Marks in an issuer's name, in small letters, of programs and appliances that read TLS on the way.
const INTERCEPTORS: [(&str, &str); 14] = [
    ("avast", "Avast"),
    ("avg ", "AVG"),
    ("kaspersky", "Kaspersky"),
    ("eset ", "ESET"),
    ("bitdefender", "Bitdefender"),
    ("norton", "Norton"),
    ("mcafee", "McAfee"),
    ("sophos", "Sophos"),
    ("fortinet", "Fortinet"),
    ("fortigate", "Fortinet"),
    ("zscaler", "Zscaler"),
    ("netskope", "Netskope"),
    ("palo alto", "Palo Alto Networks"),
    ("cisco umbrella", "Cisco Umbrella"),
];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
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

/// The day of a UTCTime or GeneralizedTime (RFC 5280 section 4.1.2.5).
fn day(time: &Element) -> Option<String> {
    let digits = std::str::from_utf8(time.content).ok().filter(|text| text.is_ascii())?;
    let (century, digits) = match time.tag {
        UTC_TIME if digits.get(..2)? < "50" => ("20", digits),
        UTC_TIME => ("19", digits),
        _ => digits.split_at_checked(2)?,
    };
    Some(format!("{century}{}-{}-{}", digits.get(..2)?, digits.get(2..4)?, digits.get(4..6)?))
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
    fn subject_issuer_and_last_day_are_read() {
        let mut params = CertificateParams::new(vec!["mail.x.org".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "mail.x.org");
        params.distinguished_name.push(DnType::OrganizationName, "X");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let facts = facts(certificate.der()).unwrap();
        assert_eq!(facts.subject, "mail.x.org (X)");
        assert_eq!(facts.issuer, "mail.x.org (X)");
        assert_eq!(facts.last_day, "4096-01-01");
        assert!(facts.is_self_signed);
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (tag, text, wanted) in [
            (UTC_TIME, "270201120000Z", Some("2027-02-01")),
            (UTC_TIME, "991231235959Z", Some("1999-12-31")),
            (0x18, "20510101000000Z", Some("2051-01-01")),
            (0x18, "2051", None),
            (UTC_TIME, "", None),
        ] {
            let time = Element { tag, content: text.as_bytes(), rest: b"" };
            assert_eq!(day(&time).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_program_that_reads_mail_on_the_way_is_known_by_its_issuer() {
        let by = |issuer: &str| Facts { issuer: issuer.into(), ..Facts::default() }.interceptor();
        assert_eq!(by("Avast Web/Mail Shield Root (Avast)"), Some("Avast"));
        assert_eq!(by("Kaspersky Anti-Virus Personal Root Certificate"), Some("Kaspersky"));
        assert_eq!(by("WR2 (Google Trust Services)"), None);
    }

    #[test]
    fn broken_der_is_no_certificate() {
        let certificate = rcgen::generate_simple_self_signed(vec!["x.org".into()]).unwrap().cert;
        let der = certificate.der();
        for end in 0..der.len() / 2 {
            let _ = facts(&der[..end]);
        }
        assert!(facts(b"").is_none());
        assert!(facts(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none());
        assert!(facts(&[0x30, 0xff]).is_none());
    }
}
