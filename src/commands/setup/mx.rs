//! Who takes the mail of a domain: one MX query (RFC 1035) to the name servers of this host. The answer is not signed,
//! so it is a proposal to a person; what it leads to still has to prove itself with a certificate.

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, TYPE};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long one name server may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Ends of names that no public name server may be asked for (RFC 2606, RFC 6762).
const PRIVATE: [&str; 6] = ["test", "example", "invalid", "localhost", "local", "internal"];

/// The mail exchanger that is preferred; `None` when there is none or nobody answers.
pub fn preferred(domain: &str) -> Option<String> {
    let last = domain.rsplit('.').next().unwrap_or_default().to_lowercase();
    if PRIVATE.contains(&last.as_str()) || domain.parse::<IpAddr>().is_ok() {
        return None;
    }
    let servers = name_servers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    servers.into_iter().take(2).find_map(|server| ask(SocketAddr::new(server, 53), domain))
}

pub fn name_servers(resolv: &str) -> Vec<IpAddr> {
    let addresses = resolv.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    addresses.filter_map(|address| address.trim().parse().ok()).collect()
}

fn ask(server: SocketAddr, domain: &str) -> Option<String> {
    let id = u16::try_from(crate::clock::Moment::now().0 & 0xffff).unwrap_or_default();
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(server).ok()?;
    socket.send(&question(id, domain)?).ok()?;
    let end = Instant::now() + PATIENCE;
    let mut answer = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        socket.set_read_timeout((!left.is_zero()).then_some(left)).ok()?;
        if left.is_zero() {
            return None;
        }
        let length = socket.recv(&mut answer).ok()?;
        if let Some(found) = read(id, &answer[..length]) {
            return found;
        }
    }
}

fn question(id: u16, domain: &str) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(domain).ok()?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::MX), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().ok()
}

/// The exchanger in the answer to our question; `None` when it is another's.
fn read(id: u16, answer: &[u8]) -> Option<Option<String>> {
    let packet = Packet::parse(answer).ok().filter(|packet| packet.id() == id)?;
    let exchangers = packet.answers.iter().filter_map(|record| match &record.rdata {
        RData::MX(mx) => Some((mx.preference, mx.exchange.to_string())),
        _ => None,
    });
    Some(exchangers.min().map(|(_, host)| host).filter(|host| !host.is_empty() && host != "."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::MX;

    #[test]
    fn the_exchanger_with_the_smallest_number_is_preferred() {
        let mut packet = Packet::new_reply(7);
        for (preference, host) in [(20, "alt.example.org"), (5, "aspmx.l.google.com")] {
            let rdata = RData::MX(MX { preference, exchange: Name::new_unchecked(host) });
            packet.answers.push(ResourceRecord::new(Name::new_unchecked("x.org"), CLASS::IN, 60, rdata));
        }
        let octets = packet.build_bytes_vec().unwrap();
        assert_eq!(read(7, &octets), Some(Some("aspmx.l.google.com".into())));
        assert_eq!(read(8, &octets), None);
        assert_eq!(read(7, &Packet::new_reply(7).build_bytes_vec().unwrap()), Some(None));
        assert_eq!(read(7, b"garbage"), None);
    }

    #[test]
    fn a_question_is_asked_of_the_hosts_own_name_servers_and_never_for_a_private_name() {
        let servers = name_servers("# x\nnameserver 192.0.2.1\nnameserver ::1\nnameserver nonsense\nsearch x.org\n");
        assert_eq!(servers, ["192.0.2.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert_eq!(preferred("mail.example"), None);
        let packet = question(7, "x.org").unwrap();
        let packet = Packet::parse(&packet).unwrap();
        assert_eq!(packet.questions[0].qname.to_string(), "x.org");
    }
}
