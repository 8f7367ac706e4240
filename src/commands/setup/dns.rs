//! Who takes the mail of a domain (MX, RFC 1035), and where it is to be submitted (SRV, RFC 6186, RFC 8314): one query
//! each to the name servers of this host. The answers are not signed, so they are proposals to a person; what they lead
//! to still has to prove itself with a certificate.

use ring::rand::{SecureRandom, SystemRandom};
use simple_dns::rdata::{MX, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, TYPE};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long one name server may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The name servers to ask, in order.
pub struct Resolver {
    pub servers: Vec<SocketAddr>,
}

impl Resolver {
    /// The first two name servers of this host.
    pub fn of_this_host() -> Resolver {
        let servers = name_servers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        Resolver { servers: servers.into_iter().take(2).map(|server| SocketAddr::new(server, 53)).collect() }
    }

    /// The mail exchanger that is preferred; `None` when there is none or nobody answers.
    pub fn exchanger(&self, domain: &str) -> Option<String> {
        let answer = self.ask(domain, TYPE::MX)?;
        let packet = Packet::parse(&answer).ok()?;
        let exchangers = packet.answers.iter().filter_map(|record| match &record.rdata {
            RData::MX(MX { preference, exchange }) => Some((*preference, exchange.to_string())),
            _ => None,
        });
        exchangers.min().map(|(_, host)| host).filter(|host| is_named(host))
    }

    /// Host and port of a service, `_submission._tcp.example.org`; `None` also when it is said that there is none. Of
    /// several the first by priority, then the one with the greatest weight: a person is asked, not a share of load.
    pub fn service(&self, name: &str) -> Option<(String, u16)> {
        let answer = self.ask(name, TYPE::SRV)?;
        let packet = Packet::parse(&answer).ok()?;
        let services = packet.answers.iter().filter_map(|record| match &record.rdata {
            RData::SRV(SRV { priority, weight, port, target }) => {
                Some((*priority, u16::MAX - weight, target.to_string(), *port))
            }
            _ => None,
        });
        services.min().map(|(_, _, host, port)| (host, port)).filter(|(host, port)| is_named(host) && *port > 0)
    }

    /// The answer of the first server that has one.
    fn ask(&self, name: &str, kind: TYPE) -> Option<Vec<u8>> {
        self.servers.iter().find_map(|server| ask(*server, name, kind))
    }
}

/// A lone dot says that there is none (RFC 7505, RFC 6186 section 3.4).
fn is_named(host: &str) -> bool {
    !host.trim_end_matches('.').is_empty()
}

pub fn name_servers(resolv: &str) -> Vec<IpAddr> {
    let addresses = resolv.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    addresses.filter_map(|address| address.trim().parse().ok()).collect()
}

fn ask(server: SocketAddr, name: &str, kind: TYPE) -> Option<Vec<u8>> {
    let mut id = [0; 2];
    SystemRandom::new().fill(&mut id).ok()?;
    let id = u16::from_be_bytes(id);
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(server).ok()?;
    socket.send(&question(id, name, kind)?).ok()?;
    let end = Instant::now() + PATIENCE;
    let mut answer = vec![0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        socket.set_read_timeout((!left.is_zero()).then_some(left)).ok()?;
        if left.is_zero() {
            return None;
        }
        let length = socket.recv(&mut answer).ok()?;
        if answers(id, name, &answer[..length]) {
            answer.truncate(length);
            return Some(answer);
        }
    }
}

fn question(id: u16, name: &str, kind: TYPE) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().ok()
}

/// Whether it is the answer to our question and not another's.
fn answers(id: u16, name: &str, octets: &[u8]) -> bool {
    Packet::parse(octets).is_ok_and(|packet| {
        let asked = packet.questions.first().map(|question| question.qname.to_string());
        packet.id() == id && asked.is_some_and(|asked| asked.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use std::thread;

    /// A name server on loopback that knows these records.
    pub fn responder(records: Vec<(&'static str, RData<'static>)>) -> Resolver {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let servers = vec![socket.local_addr().unwrap()];
        thread::spawn(move || {
            let mut octets = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut octets) {
                let query = Packet::parse(&octets[..length]).unwrap();
                let asked = query.questions[0].qname.to_string();
                // Somebody else's answer comes first and must not count.
                for (id, wanted) in [(query.id().wrapping_add(1), "evil.example.net"), (query.id(), asked.as_str())] {
                    let mut reply = Packet::new_reply(id);
                    reply.questions = query.questions.clone();
                    for (name, rdata) in records.iter().filter(|(name, rdata)| {
                        *name == wanted && query.questions[0].qtype == QTYPE::TYPE(rdata.type_code())
                    }) {
                        let record = ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 60, rdata.clone());
                        reply.answers.push(record);
                    }
                    socket.send_to(&reply.build_bytes_vec().unwrap(), client).unwrap();
                }
            }
        });
        Resolver { servers }
    }

    pub fn mx(preference: u16, host: &'static str) -> RData<'static> {
        RData::MX(MX { preference, exchange: Name::new_unchecked(host) })
    }

    pub fn srv(priority: u16, weight: u16, port: u16, host: &'static str) -> RData<'static> {
        RData::SRV(SRV { priority, weight, port, target: Name::new_unchecked(host) })
    }

    #[test]
    fn the_exchanger_with_the_smallest_number_is_preferred() {
        let resolver = responder(vec![
            ("x.org", mx(20, "alt.example.org")),
            ("x.org", mx(5, "aspmx.l.google.com")),
            ("y.org", mx(0, "")),
        ]);
        assert_eq!(resolver.exchanger("x.org").as_deref(), Some("aspmx.l.google.com"));
        assert_eq!(resolver.exchanger("y.org"), None);
        assert_eq!(resolver.exchanger("z.org"), None);
    }

    #[test]
    fn of_several_services_priority_goes_before_weight_and_a_dot_is_none() {
        let name = "_submissions._tcp.x.org";
        let resolver = responder(vec![
            (name, srv(10, 90, 465, "later.x.org")),
            (name, srv(0, 1, 465, "light.x.org")),
            (name, srv(0, 5, 4465, "heavy.x.org")),
            ("_submission._tcp.x.org", srv(0, 0, 0, "")),
        ]);
        assert_eq!(resolver.service(name), Some(("heavy.x.org".into(), 4465)));
        assert_eq!(resolver.service("_submission._tcp.x.org"), None);
        assert_eq!(Resolver { servers: Vec::new() }.service(name), None);
    }

    #[test]
    fn what_answers_another_question_does_not_count() {
        let mut packet = Packet::new_reply(7);
        packet.questions.push(Question::new(
            Name::new_unchecked("x.org"),
            QTYPE::TYPE(TYPE::MX),
            QCLASS::CLASS(CLASS::IN),
            false,
        ));
        let octets = packet.build_bytes_vec().unwrap();
        assert!(answers(7, "X.org", &octets));
        assert!(!answers(8, "x.org", &octets) && !answers(7, "y.org", &octets) && !answers(7, "x.org", b"garbage"));
    }

    #[test]
    fn the_name_servers_are_the_hosts_own() {
        let servers = name_servers("# x\nnameserver 192.0.2.1\nnameserver ::1\nnameserver nonsense\nsearch x.org\n");
        assert_eq!(servers, ["192.0.2.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    }
}
