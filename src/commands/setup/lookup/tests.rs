//! The order of the questions, and what is believed: against a name server and web servers on loopback.

use super::super::dns::tests::{mx, responder, srv};
use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use simple_dns::rdata::RData;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use tempfile::NamedTempFile;

const SUBMISSIONS: &str = "_submissions._tcp.corp.example.org";
const SUBMISSION: &str = "_submission._tcp.corp.example.org";

fn address() -> Mailbox {
    Mailbox::parse("me@corp.example.org").unwrap()
}

fn xml(host: &str) -> String {
    format!(
        "<clientConfig><emailProvider id=\"x\"><outgoingServer type=\"smtp\"><hostname>{host}</hostname>\
         <port>465</port><socketType>SSL</socketType><username>%EMAILLOCALPART%</username>\
         <authentication>password-cleartext</authentication></outgoingServer></emailProvider></clientConfig>"
    )
}

/// Pages by their address, and what was asked for.
struct Web {
    pages: BTreeMap<String, String>,
    asked: Mutex<Vec<String>>,
}

impl Web {
    fn of(pages: &[(&str, &str)]) -> Web {
        let pages = pages.iter().map(|(url, host)| ((*url).to_owned(), xml(host))).collect();
        Web { pages, asked: Mutex::default() }
    }

    fn fetch(&self, url: &str) -> Option<Vec<u8>> {
        self.asked.lock().unwrap().push(url.to_owned());
        self.pages.get(url).map(|page| page.clone().into_bytes())
    }
}

/// Who submits for our address when nobody is there to ask: the host, or the preset.
fn found(web: &Web, records: Vec<(&'static str, RData<'static>)>) -> Option<String> {
    let fetch = |url: &str| web.fetch(url);
    let sources = Sources { fetch: &fetch, resolver: &responder(records) };
    match look_up(&address(), &sources, Asker::Nobody).unwrap() {
        Known::Preset(preset) => Some(preset.id),
        Known::Offer(offer) => Some(offer.host),
        Known::Nobody => None,
    }
}

const OWN: &str = "https://autoconfig.corp.example.org/mail/config-v1.1.xml?emailaddress=me%40corp.example.org";
const WELL_KNOWN: &str = "https://corp.example.org/.well-known/autoconfig/mail/config-v1.1.xml";
const LISTED: &str = "https://autoconfig.thunderbird.net/v1.1/corp.example.org";
const LISTED_BY_MX: &str = "https://autoconfig.thunderbird.net/v1.1/hoster.example.net";

#[test]
fn the_domains_own_word_goes_before_the_lists() {
    let all = [(OWN, "own.example.org"), (WELL_KNOWN, "well.example.org"), (LISTED, "listed.example.org")];
    for (first, wanted) in [(0, "own.example.org"), (1, "well.example.org"), (2, "listed.example.org")] {
        assert_eq!(found(&Web::of(&all[first..]), vec![]).as_deref(), Some(wanted));
    }
    assert_eq!(found(&Web::of(&[]), vec![]), None);
}

#[test]
fn a_preset_by_mx_goes_before_the_web_and_only_the_own_domain_learns_the_address() {
    let web = Web::of(&[(OWN, "own.example.org")]);
    let google = vec![("corp.example.org", mx(1, "aspmx.l.google.com"))];
    assert_eq!(found(&web, google).as_deref(), Some("gmail"));
    assert!(web.asked.lock().unwrap().is_empty());
    found(&web, vec![("corp.example.org", mx(1, "mx1.mail.hoster.example.net"))]);
    let mut asked = web.asked.lock().unwrap().clone();
    asked.sort();
    let by_mx = "https://autoconfig.thunderbird.net/v1.1/mail.hoster.example.net";
    let mut wanted = vec![OWN, WELL_KNOWN, LISTED, LISTED_BY_MX, by_mx];
    wanted.sort_unstable();
    assert_eq!(asked, wanted);
}

#[test]
fn what_only_dns_says_is_not_believed_when_nobody_is_there_to_say_yes() {
    let listed = Web::of(&[(LISTED_BY_MX, "smtp.hoster.example.net")]);
    assert_eq!(found(&listed, vec![("corp.example.org", mx(1, "mx1.hoster.example.net"))]), None);
    let inside = vec![(SUBMISSIONS, srv(0, 1, 465, "smtp.corp.example.org"))];
    assert_eq!(found(&Web::of(&[]), inside), None);
}

#[test]
fn dns_is_read_as_the_rfcs_say() {
    for (records, wanted) in [
        (vec![(SUBMISSION, srv(0, 1, 587, "a.example.net"))], Some(("a.example.net", 587, Tls::Starttls))),
        (
            vec![(SUBMISSION, srv(0, 1, 587, "a.example.net")), (SUBMISSIONS, srv(0, 1, 4465, "B.example.net"))],
            Some(("b.example.net", 4465, Tls::Implicit)),
        ),
        (
            vec![(SUBMISSIONS, srv(0, 0, 0, "")), (SUBMISSION, srv(0, 1, 587, "a.example.net"))],
            Some(("a.example.net", 587, Tls::Starttls)),
        ),
        (vec![(SUBMISSIONS, srv(0, 1, 465, "localhost"))], None),
        (vec![(SUBMISSIONS, srv(0, 1, 465, "127.0.0.1"))], None),
        (vec![(SUBMISSIONS, srv(0, 1, 465, "a b.example.net"))], None),
    ] {
        let offer = in_dns("corp.example.org", &responder(records)).map(|(offer, _)| offer);
        let told = offer.as_ref().map(|offer| (offer.host.as_str(), offer.port, offer.tls));
        assert_eq!(told, wanted);
    }
}

#[test]
fn a_private_domain_is_nobodys_business() {
    let web = Web::of(&[]);
    let fetch = |url: &str| web.fetch(url);
    let sources = Sources { fetch: &fetch, resolver: &responder(vec![]) };
    for address in ["me@mail.test", "me@corp.internal", "me@printer.local", "me@localhost", "me@[192.0.2.1]"] {
        let Ok(address) = Mailbox::parse(address) else { continue };
        assert_eq!(look_up(&address, &sources, Asker::Nobody).unwrap(), Known::Nobody);
    }
    assert!(web.asked.lock().unwrap().is_empty());
}

/// A web server that answers once for each of these heads and bodies; and who signed its certificate.
fn web_server(name: &str, answers: Vec<String>) -> (u16, NamedTempFile) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (answer, socket) in answers.into_iter().zip(listener.incoming()) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, socket.unwrap());
            let mut head = Vec::new();
            let mut octets = [0; 4096];
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut octets) {
                    Ok(count) if count > 0 => head.extend_from_slice(&octets[..count]),
                    _ => break,
                }
            }
            let _ = stream.write_all(answer.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(authority.pem().as_bytes()).unwrap();
    (port, file)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_page_is_believed_over_verified_tls_alone() {
    let moved = "302 Found\r\nLocation: https://evil.example.net/";
    let answers =
        vec![answer("200 OK", &xml("smtp.corp.example.org")), answer("404 Not Found", "x"), answer(moved, "x")];
    let (port, authority) = web_server("localhost", answers);
    let roots = Roots { ssl_cert_file: Some(authority.path().to_owned()) };
    let url = format!("https://localhost:{port}/mail/config-v1.1.xml");
    let page = fetch(&url, &roots).unwrap();
    assert_eq!(autoconfig::read(&page, &address()).unwrap().host, "smtp.corp.example.org");
    assert_eq!((fetch(&url, &roots), fetch(&url, &roots)), (None, None));

    let (port, _) = web_server("localhost", vec![answer("200 OK", "x")]);
    assert_eq!(fetch(&format!("https://localhost:{port}/"), &roots), None, "another authority");
    let (port, authority) = web_server("other.example", vec![answer("200 OK", "x")]);
    let roots = Roots { ssl_cert_file: Some(authority.path().to_owned()) };
    assert_eq!(fetch(&format!("https://localhost:{port}/"), &roots), None, "another name");
    assert_eq!(fetch("http://autoconfig.corp.example.org/mail/config-v1.1.xml", &roots), None, "no TLS");
}
