//! What a mail provider says of itself in XML (draft-ietf-mailmaint-autoconfig, `config-v1.1.xml`): its first submission
//! server that can be used here. The text is a stranger's, so each value is checked before it is more than a text.

use crate::config::{Tls, is_host_name};
use crate::mail::address::Mailbox;
use roxmltree::{Document, Node, ParsingOptions};

/// More elements than any such file has.
const NODES: u32 = 4000;

/// A way to submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub host: String,
    pub port: u16,
    /// Never [`Tls::None`].
    pub tls: Tls,
    /// The login name, when it is said.
    pub user: Option<String>,
    pub login: Login,
}

/// What has to be shown there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    Password,
    /// An OAuth 2 token and nothing else.
    Token,
    Nothing,
}

/// Reads the file as it holds for one address; `None` when there is nothing in it that can be used.
pub fn read(xml: &[u8], address: &Mailbox) -> Option<Offer> {
    let text = std::str::from_utf8(xml).ok()?;
    // Without a document type: no entities, so nothing grows.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).ok()?;
    let servers = document.descendants().filter(|node| node.tag_name().name() == "outgoingServer");
    servers.filter(|server| server.attribute("type") == Some("smtp")).find_map(|server| offer(server, address))
}

fn offer(server: Node, address: &Mailbox) -> Option<Offer> {
    let values = |name: &'static str| {
        let children = server.children().filter(move |child| child.tag_name().name() == name);
        children.map(|child| child.text().unwrap_or_default().trim())
    };
    let one = |name| values(name).next();
    let host = filled(one("hostname")?, address).to_ascii_lowercase();
    let tls = match one("socketType")? {
        "SSL" => Tls::Implicit,
        "STARTTLS" => Tls::Starttls,
        _ => return None,
    };
    let user = match one("username") {
        Some(name) if !name.is_empty() => Some(filled(name, address)).filter(|name| is_sane(name)),
        _ => None,
    };
    Some(Offer {
        host: Some(host).filter(|host| is_public(host))?,
        port: one("port")?.parse().ok().filter(|port| *port > 0)?,
        tls,
        user,
        login: login(values("authentication"))?,
    })
}

/// The first way to log in that is possible here; they are written in the provider's order.
fn login<'a>(mut ways: impl Iterator<Item = &'a str>) -> Option<Login> {
    ways.find_map(|way| match way {
        "password-cleartext" | "plain" | "password-encrypted" | "secure" => Some(Login::Password),
        "OAuth2" => Some(Login::Token),
        "none" | "client-IP-address" => Some(Login::Nothing),
        _ => None,
    })
}

fn filled(text: &str, address: &Mailbox) -> String {
    text.replace("%EMAILADDRESS%", &address.to_string())
        .replace("%EMAILLOCALPART%", address.local())
        .replace("%EMAILDOMAIN%", address.domain())
}

/// A name that only a certificate for it can stand for: no address, and not this very host.
pub fn is_public(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    is_host_name(host) && host.contains('.') && !last.bytes().all(|octet| octet.is_ascii_digit()) && last != "localhost"
}

fn is_sane(user: &str) -> bool {
    user.len() <= 255 && !user.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_server(server: &str) -> Option<Offer> {
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\"><emailProvider id=\"x.org\">\n\
             <domain>x.org</domain><new-thing a=\"b\"/><incomingServer type=\"imap\"><hostname>i.x.org</hostname>\
             </incomingServer><outgoingServer type=\"smtp\">{server}</outgoingServer></emailProvider></clientConfig>"
        );
        read(xml.as_bytes(), &Mailbox::parse("me.too@x.org").unwrap())
    }

    fn server(host: &str, port: &str, socket: &str, user: &str, authentication: &str) -> String {
        format!(
            "<hostname>{host}</hostname><port> {port} </port><socketType>{socket}</socketType>\
             <username>{user}</username><authentication>{authentication}</authentication>"
        )
    }

    #[test]
    fn the_first_server_that_can_be_used_is_taken() {
        let offer = read_server(&server("smtp.%EMAILDOMAIN%", "465", "SSL", "%EMAILADDRESS%", "password-cleartext"));
        let wanted = Offer {
            host: "smtp.x.org".into(),
            port: 465,
            tls: Tls::Implicit,
            user: Some("me.too@x.org".into()),
            login: Login::Password,
        };
        assert_eq!(offer, Some(wanted.clone()));
        let both = format!(
            "{}</outgoingServer><outgoingServer type=\"smtp\">{}",
            server("mail.x.org", "25", "plain", "", "password-cleartext"),
            server(
                "Mail.X.org",
                "587",
                "STARTTLS",
                "%EMAILLOCALPART%",
                "GSSAPI</authentication><authentication>OAuth2"
            )
        );
        let second = Offer {
            host: "mail.x.org".into(),
            port: 587,
            tls: Tls::Starttls,
            user: Some("me.too".into()),
            login: Login::Token,
        };
        assert_eq!(read_server(&both), Some(second));
        let unnamed = server("smtp.x.org", "465", "SSL", "", "OAuth2</authentication><authentication>plain");
        assert_eq!(read_server(&unnamed), Some(Offer { user: None, login: Login::Token, ..wanted }));
    }

    #[test]
    fn hostile_values_are_no_offer() {
        let good = ["smtp.x.org", "465", "SSL", "me", "password-cleartext"];
        assert!(read_server(&server(good[0], good[1], good[2], good[3], good[4])).is_some());
        for (place, bad) in [
            (0, "localhost"),
            (0, "127.0.0.1"),
            (0, "[::1]"),
            (0, "a.localhost"),
            (0, "smtp.x.org:25"),
            (0, "smtp.x.org&#10;evil"),
            (0, "smtp x.org"),
            (0, "-smtp.x.org"),
            (0, "%EMAILLOCALPART%\"@x.org"),
            (0, ""),
            (1, "0"),
            (1, "65536"),
            (1, "-1"),
            (1, "smtp"),
            (2, "plain"),
            (2, ""),
            (4, "NTLM"),
        ] {
            let mut values = good;
            values[place] = bad;
            let [host, port, socket, user, authentication] = values;
            assert_eq!(read_server(&server(host, port, socket, user, authentication)), None, "{bad:?}");
        }
        // A name that cannot be is asked for; the server may still be right.
        for user in ["me&#13;&#10;evil", &"x".repeat(300)] {
            assert_eq!(read_server(&server(good[0], good[1], good[2], user, good[4])).unwrap().user, None);
        }
    }

    #[test]
    fn what_is_no_such_file_is_nothing() {
        let address = Mailbox::parse("me@x.org").unwrap();
        let deep = "<a>".repeat(20_000);
        let wide = format!("<a>{}</a>", "<b/>".repeat(10_000));
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        let html = "<!DOCTYPE html><html><body>not found<br></body></html>";
        for text in ["", "garbage", html, bomb, &deep, &wide, "<a>", "\u{feff}<clientConfig/>"] {
            assert_eq!(read(text.as_bytes(), &address), None, "{text:.40}");
        }
        assert_eq!(read(b"\xff\xfe<\0a\0", &address), None);
    }
}
