//! Broken networks as facts, and what is said of each.

use super::super::reach::Around;
use super::*;
use crate::clock::Moment;
use crate::mail::outcome::{Failure, Reply, Stage};
use crate::submission::Facts;
use std::net::SocketAddr;

const V4: &str = "192.0.2.10";
const V6: &str = "2001:db8::10";

fn knock(port: u16, address: &str, failed: Option<Symptom>) -> Knock {
    let tls = if port == 465 { Tls::Implicit } else { Tls::Starttls };
    let failure = Failure {
        stage: Stage::Connect,
        relay: "smtp.x.org".into(),
        reply: None,
        cause: "words".into(),
        hint: Some("hint".into()),
    };
    Knock {
        endpoint: Endpoint { host: "smtp.x.org".into(), port, tls },
        address: SocketAddr::new(address.parse().unwrap(), port),
        greeting: Some(Reply { code: 220, lines: vec!["smtp.x.org ESMTP".into()] }),
        protection: Some("TLS 1.3".into()),
        certificate: Some(Facts { issuer: "CA".into(), last_day: "2027-02-01".into(), ..Facts::default() }),
        capabilities: Some(Capabilities { auth: vec!["PLAIN".into()], ..Capabilities::default() }),
        failed: failed.map(|symptom| (symptom, failure)),
    }
}

fn greeted(knock: Knock, greeting: &str) -> Knock {
    Knock { greeting: Some(Reply { code: 220, lines: vec![greeting.into()] }), ..knock }
}

fn survey(knocks: Vec<Knock>, spare: Vec<Knock>) -> Survey {
    let addresses = Ok(knocks.iter().map(|knock| knock.address.ip()).collect());
    let around = Around { v4: true, v6: true, ..Around::default() };
    Survey { host: "smtp.x.org".into(), addresses, knocks, spare, servers: Vec::new(), around }
}

/// Marks, causes and fixes of the ports.
fn told(survey: &Survey) -> Vec<String> {
    let ports = checks(survey, "2026-12-08").into_iter().filter(|check| check.group == Group::Port);
    ports
        .map(|check| {
            let mark = if check.is_bad() {
                "bad"
            } else if check == check.clone().warned() {
                "warning"
            } else {
                "good"
            };
            format!("{mark}; {}; {}", check.cause.unwrap_or_default(), check.fixes.join(", "))
        })
        .collect()
}

/// What is said of one broken port when it is the only one.
fn alone(knock: Knock) -> String {
    told(&survey(vec![knock], Vec::new())).remove(0)
}

#[test]
fn a_good_port_says_what_it_offers() {
    let check = checks(&survey(vec![knock(587, V4, None)], Vec::new()), "2026-12-08").remove(1);
    let wanted = "TLS 1.3, certificate by CA until 2027-02-01; offers AUTH PLAIN";
    assert_eq!(check, Check::good(Group::Port, "587 on 192.0.2.10", wanted));
    let ends = checks(&survey(vec![knock(587, V4, None)], Vec::new()), "2027-02-02").remove(1);
    assert_eq!(ends.cause.as_deref(), Some("the certificate ends on 2027-02-01"));
    assert!(!ends.is_bad());
}

#[test]
fn a_blocked_port_is_told_from_a_blocked_network_and_from_no_network() {
    let dropped = |port| knock(port, V4, Some(Symptom::Dropped));
    let blocked = "port 587 is blocked: packets to it vanish in a firewall, an antivirus program or the provider's \
                   network";
    let other_works = survey(vec![dropped(587)], vec![knock(465, V4, None)]);
    assert_eq!(told(&other_works)[0], format!("bad; {blocked}; port = 465, which works here"));
    assert_eq!(told(&other_works)[1], "good; ; port = 465");
    let configured = survey(vec![dropped(587), knock(465, V4, None)], Vec::new());
    assert_eq!(told(&configured)[0], format!("warning; {blocked}; port = 465, which works here"));
    let all = |around: Around| {
        let blocked = survey(vec![dropped(587), dropped(465)], Vec::new());
        told(&Survey { around, ..blocked }).remove(0)
    };
    let way = Around { v4: true, v6: true, ..Around::default() };
    for (around, wanted) in [
        (way, blocked),
        (Around { web: Some(true), ..way }, "every mail port is blocked here, while the web can be reached"),
        (
            Around { web: Some(false), ..way },
            "neither mail nor web servers can be reached: the connection to the internet is down",
        ),
        (
            Around { nobody_answers: true, ..way },
            "this network intercepts mail connections: an address that nobody has accepts them",
        ),
        (Around { v4: false, ..way }, "this host has no network at all"),
    ] {
        let told = all(around);
        assert!(told.starts_with(&format!("bad; {wanted};")), "{told}");
    }
}

#[test]
fn broken_ipv6_is_told_from_none() {
    let with = |symptom| told(&survey(vec![knock(587, V6, Some(symptom)), knock(587, V4, None)], Vec::new())).remove(0);
    assert_eq!(
        with(Symptom::Dropped),
        "warning; IPv6 is broken on this network; the other family works, and is used; mend IPv6 on the router, or \
         turn it off on this host"
    );
    let none = with(Symptom::Unreachable);
    assert!(none.starts_with("good; this host has no IPv6; its other addresses work"), "{none}");
}

#[test]
fn each_symptom_has_its_cause() {
    for (port, symptom, wanted) in [
        (
            587,
            Symptom::Refused,
            "bad; nothing listens there, or a firewall answers for the server: the host name may be wrong; look at host and port, \
             and whether the mail server runs",
        ),
        (
            587,
            Symptom::CutOff,
            "bad; something on the way cuts mail connections: a firewall, an antivirus program, or the server; use \
             another network, or a VPN",
        ),
        (
            587,
            Symptom::Forbidden,
            "bad; this very host forbids it: a firewall rule for outgoing mail, SELinux, or a container's policy; allow \
             connections to port 587 here; it may work for another user, such as root",
        ),
        (
            587,
            Symptom::Web,
            "bad; a web server answers in place of the mail server: the network wants you to sign in first; open a web \
             page and sign in to the network, then try again",
        ),
        (587, Symptom::Foreign, "bad; what listens there is no mail server; check host and port"),
        (
            587,
            Symptom::NoStarttls,
            "bad; something on the way hides STARTTLS, or the server has none; the password was not sent; hint",
        ),
        (
            587,
            Symptom::Certificate,
            "bad; whoever answers cannot prove to be the relay; the password was not sent; hint",
        ),
        (
            587,
            Symptom::Dates,
            "bad; the certificate is out of date, or this host's clock is; the password was not sent; hint",
        ),
        (
            587,
            Symptom::Handshake,
            "bad; whoever answers and this program have no safe TLS in common; nothing was sent; hint",
        ),
        (587, Symptom::NoRoots, "bad; there is nothing to verify certificates with; hint"),
        (587, Symptom::Injected, "bad; somebody between adds replies of his own: an attack, or a broken proxy; hint"),
        (587, Symptom::TurnedAway, "bad; the server does not want to talk with this host; hint"),
    ] {
        assert_eq!(alone(knock(port, V4, Some(symptom))), wanted, "{symptom:?}");
    }
}

#[test]
fn what_is_seen_around_decides_between_causes() {
    let web = Around { v4: true, v6: true, web: Some(true), ..Around::default() };
    let nobody = Around { nobody_answers: true, ..web };
    let day = |day: u64| Moment::from_seconds(1_795_529_045 + day * 86_400);
    let wrong = Around { clock: Some((day(400), day(0))), ..web };
    let right = Around { clock: Some((day(0), day(0))), ..web };
    for (symptom, around, wanted) in [
        (Symptom::Unreachable, web, "a firewall rejects mail connections (it says \"unreachable\")"),
        (Symptom::Unreachable, Around { web: None, ..web }, "a router on the way says"),
        (Symptom::NoStarttls, nobody, "this network intercepts mail connections: an address that nobody has accepts"),
        (Symptom::Certificate, nobody, "this network intercepts mail connections"),
        (Symptom::Silent, nobody, "this network intercepts mail connections"),
        (Symptom::Dates, wrong, "this host's clock is wrong: it says 2027-12-29T14:04:05Z, others say 2026-11-24"),
        (Symptom::Dates, right, "the certificate is out of date, and this host's clock is right"),
    ] {
        let told = told(&Survey { around, ..survey(vec![knock(587, V4, Some(symptom))], Vec::new()) }).remove(0);
        assert!(told.starts_with(&format!("bad; {wanted}")), "{symptom:?}: {told}");
    }
    let stuck = knock(587, V4, Some(Symptom::Silent));
    let failure = Failure { stage: Stage::Tls, ..stuck.failed.clone().unwrap().1 };
    let told = alone(Knock { failed: Some((Symptom::Silent, failure)), ..stuck });
    assert!(told.starts_with("bad; the server speaks, but its certificate does not arrive"), "{told}");
    let at = |port, symptom| {
        let knock = knock(port, V4, Some(symptom));
        let endpoint = Endpoint { host: "smtp.gmail.com".into(), ..knock.endpoint.clone() };
        alone(Knock { endpoint, ..knock })
    };
    assert!(at(587, Symptom::Refused).starts_with("bad; smtp.gmail.com does listen on port 587: a firewall"));
    assert!(at(25, Symptom::Refused).starts_with("bad; nothing listens there"));
    assert!(
        at(587, Symptom::NoStarttls).starts_with("bad; something on the way hides STARTTLS, which the server does")
    );
    assert!(at(25, Symptom::Dropped).starts_with("bad; port 25 is for servers among each other"));
}

#[test]
fn a_port_spoken_to_in_the_wrong_way_says_the_right_one() {
    let with = |port, tls, symptom| {
        let knock = knock(port, V4, Some(symptom));
        alone(Knock { endpoint: Endpoint { tls, ..knock.endpoint.clone() }, ..knock })
    };
    let starttls = "tls = \"starttls\"";
    let implicit = "tls = \"implicit\"";
    assert!(with(465, Tls::Starttls, Symptom::Silent).ends_with(implicit));
    assert!(with(587, Tls::Implicit, Symptom::Silent).ends_with(starttls));
    assert!(with(587, Tls::Implicit, Symptom::NotTls).ends_with(starttls));
}

#[test]
fn who_answers_in_the_relays_place_is_named() {
    let redirected = greeted(knock(587, V4, Some(Symptom::NoStarttls)), "ghosted.example ESMTP Exim 4.89");
    assert!(alone(redirected).starts_with("bad; what answers calls itself ghosted.example: unless that is"));
    let stranger = greeted(knock(587, V4, Some(Symptom::Certificate)), "ghosted.example ESMTP Exim 4.89");
    assert!(alone(stranger).starts_with("bad; what answers calls itself ghosted.example; the password was not sent"));
    let masked = greeted(knock(587, V4, Some(Symptom::NoStarttls)), "*****************");
    assert!(alone(masked).starts_with("bad; a Cisco firewall rewrites the dialogue and hides STARTTLS"));
}

#[test]
fn dns_that_is_down_is_told_from_a_name_that_does_not_exist() {
    let failure = |cause: &str| Failure {
        stage: Stage::Resolve,
        relay: "smtp.x.org".into(),
        reply: None,
        cause: cause.into(),
        hint: None,
    };
    let name = |symptom, around| {
        let survey = Survey { addresses: Err((symptom, failure("words"))), around, ..survey(Vec::new(), Vec::new()) };
        let check = checks(&survey, "").remove(0);
        (check.mark, check.cause.unwrap_or_default())
    };
    let way = Around { v4: true, ..Around::default() };
    use super::super::check::Mark::Bad;
    assert_eq!(
        name(Symptom::NoSuchHost, way),
        (Bad(Exit::Config), "no name server knows a host of that name".to_owned())
    );
    assert_eq!(
        name(Symptom::NoResolver, Around::default()),
        (Bad(Exit::Unavailable), "this host has no network at all".to_owned())
    );
    let servers = |answers: &[Answer]| {
        let servers = answers.iter().map(|answer| ("192.0.2.53".parse().unwrap(), *answer)).collect();
        let addresses = Err((Symptom::NoResolver, failure("words")));
        let survey = Survey { addresses, servers, around: way, ..survey(Vec::new(), Vec::new()) };
        checks(&survey, "").remove(0).cause.unwrap_or_default()
    };
    for (answers, wanted) in [
        (&[][..], "/etc/resolv.conf names no name server"),
        (&[Answer::None], "no name server answers, though this host has a network"),
        (&[Answer::None, Answer::Failure], "the name server 192.0.2.53 answers that it fails (SERVFAIL)"),
        (&[Answer::Refused], "the name server 192.0.2.53 does not answer this host (REFUSED)"),
        (&[Answer::Closed], "no name server runs at 192.0.2.53"),
    ] {
        assert!(servers(answers).starts_with(wanted), "{answers:?}: {}", servers(answers));
    }
    let known = Survey {
        host: "smtp.gmail.com".into(),
        addresses: Err((Symptom::NoSuchHost, failure("no such host"))),
        ..survey(Vec::new(), Vec::new())
    };
    assert_eq!(checks(&known, "")[0].mark, Bad(Exit::Unavailable));
    let portal = Survey {
        around: Around { made_up_name: true, ..way },
        ..survey(vec![knock(587, V4, Some(Symptom::Web))], Vec::new())
    };
    let check = checks(&portal, "").remove(0);
    assert!(check.cause.unwrap().contains("a captive portal"));
}
