//! Others that know something of the relay's surroundings: the name servers, and whoever says what time it is. Asked
//! only when something is wrong; nothing they say is believed for more than a diagnosis.

use super::super::setup::dns::name_servers;
use crate::clock::Moment;
use crate::mail::outcome::Reply;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// How long one of them may take.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// Name servers that are asked: the resolver asks no more either (resolv.conf(5)).
const MOST_SERVERS: usize = 3;
/// Octets of a web server's answer that are read.
const ANSWER: u64 = 4096;

/// What a name server makes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It knows, or knows that there is nothing.
    Some,
    /// SERVFAIL.
    Failure,
    Refused,
    /// Nobody listens there.
    Closed,
    /// Silence.
    None,
}

/// What each name server of this host says to a name.
pub fn ask_servers(name: &str) -> Vec<(IpAddr, Answer)> {
    let servers = name_servers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    servers.into_iter().take(MOST_SERVERS).map(|server| (server, ask(server, name))).collect()
}

fn ask(server: IpAddr, name: &str) -> Answer {
    let id = u16::try_from(Moment::now().0 & 0xffff).unwrap_or_default();
    match exchange(server, &question(id, name)) {
        Ok(answer) => judged(id, &answer),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Answer::Closed,
        Err(_) => Answer::None,
    }
}

fn exchange(server: IpAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((server, 53))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(question)?;
    let mut answer = vec![0; 4096];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).unwrap_or_else(|_| Name::new_unchecked("invalid"));
    packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().unwrap_or_default()
}

fn judged(id: u16, answer: &[u8]) -> Answer {
    match Packet::parse(answer) {
        Ok(packet) if packet.id() == id => match packet.rcode() {
            RCODE::ServerFailure => Answer::Failure,
            RCODE::Refused | RCODE::NotImplemented => Answer::Refused,
            _ => Answer::Some,
        },
        _ => Answer::None,
    }
}

/// The date that many servers greet with: `relay ESMTP; Tue, 24 Nov 2026 14:04:05 +0000`.
pub fn greeted_date(greeting: &Reply) -> Option<Moment> {
    let days = ["Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ", "Sun, "];
    greeting.lines.iter().find_map(|line| {
        let start = days.iter().find_map(|day| line.find(day))?;
        Moment::from_date(&line[start..])
    })
}

/// What time a web server says it is, without TLS, which would need the right time.
pub fn web_date(address: SocketAddr, host: &str) -> Option<Moment> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("HEAD / HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.take(ANSWER).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let field = answer
        .lines()
        .find_map(|line| line.get(..5).filter(|name| name.eq_ignore_ascii_case("date:")).and(line.get(5..)))?;
    Moment::from_date(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_server_says_is_told_apart() {
        let reply = |rcode| {
            let mut packet = Packet::new_reply(7);
            *packet.rcode_mut() = rcode;
            packet.build_bytes_vec().unwrap()
        };
        for (rcode, wanted) in [
            (RCODE::NoError, Answer::Some),
            (RCODE::NameError, Answer::Some),
            (RCODE::ServerFailure, Answer::Failure),
            (RCODE::Refused, Answer::Refused),
        ] {
            assert_eq!(judged(7, &reply(rcode)), wanted);
        }
        assert_eq!(judged(8, &reply(RCODE::NoError)), Answer::None);
        assert_eq!(judged(7, b"garbage"), Answer::None);
        assert_eq!(Packet::parse(&question(7, "x.org")).unwrap().questions[0].qname.to_string(), "x.org");
    }

    #[test]
    fn the_date_in_a_greeting_is_found_wherever_it_stands() {
        let date = |line: &str| greeted_date(&Reply { code: 220, lines: vec![line.into()] });
        let wanted = Some(Moment::from_seconds(1_795_529_045));
        assert_eq!(date("x ESMTP Exim 4.96 Tue, 24 Nov 2026 15:04:05 +0100"), wanted);
        assert_eq!(date("x Microsoft ESMTP MAIL Service ready at Tue, 24 Nov 2026 14:04:05 +0000"), wanted);
        assert_eq!(date("smtp.gmail.com ESMTP x - gsmtp"), None);
    }
}
