//! Who gets a message, and where its bounces go: operands, `-t`, `-f`, names without a domain. The rows of
//! `reference/interface.md` sections 1.7 to 1.9.

use crate::support::*;

/// A world where `root` is somebody, and its relay.
fn world() -> (Relay, Sandbox) {
    let relay = Relay::start(Script::plain().offering("SMTPUTF8"));
    let sandbox = Sandbox::for_relay(&relay).tables("[aliases]\nroot = \"admin@example.net\"");
    (relay, sandbox)
}

fn message_with(fields: &str) -> String {
    format!("From: alice@example.test\n{fields}\n\nbody\n")
}

#[test]
fn operands_are_address_lists() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["b@x.org", "c@x.org"], &["b@x.org", "c@x.org"]),
        (&["b@x.org,c@x.org"], &["b@x.org", "c@x.org"]),
        (&["b@x.org, c@x.org"], &["b@x.org", "c@x.org"]),
        (&["b@x.org c@x.org"], &["b@x.org", "c@x.org"]),
        (&["b@x.org;c@x.org"], &["b@x.org", "c@x.org"]),
        (&["Bob B <b@x.org>"], &["b@x.org"]),
        (&["b@x.org (Bob)"], &["b@x.org"]),
        (&["grp: b@x.org, c@x.org;"], &["b@x.org", "c@x.org"]),
        (&["", "b@x.org"], &["b@x.org"]),
        (&["b@x.org", "b@X.ORG", "B@x.org"], &["b@x.org", "B@x.org"]),
        (&["root"], &["admin@example.net"]),
        (&["\"bob b\"@x.org", "bob+tag@x.org", "bob%x@x.org"], &["\"bob b\"@x.org", "bob+tag@x.org", "bob%x@x.org"]),
        (&["<@a.example,@b.example:bob@x.org>"], &["bob@x.org"]),
        (&["bob@[127.0.0.1]"], &["bob@[127.0.0.1]"]),
        (&["bob@x.org."], &["bob@x.org"]),
        (&["bob@b\u{fc}cher.example"], &["bob@xn--bcher-kva.example"]),
        (&["--", "-dash@x.org"], &["-dash@x.org"]),
    ];
    for (operands, expected) in cases {
        let (relay, sandbox) = world();
        sandbox.sendmail(["-i"].iter().chain(*operands)).input(MESSAGE).silent();
        assert_eq!(relay.message().to(), *expected, "{operands:?}");
    }
}

#[test]
fn an_operand_that_is_no_address_stops_everything() {
    let cases: &[(&[&str], i32)] = &[
        (&[""], 64),
        (&["<>"], 65),
        (&["@x.org"], 65),
        (&["bob@"], 65),
        (&["a@b@x.org"], 65),
        (&["<bob@x.org"], 65),
        (&["good@x.org", "bad@"], 65),
        (&["b@x.org\nRCPT TO:<evil@x.org>"], 65),
        (&["b@x.org\u{7f}"], 65),
        (&["|/bin/true"], 65),
        (&["/tmp/file"], 65),
        (&[":include:/tmp/file"], 65),
    ];
    for (operands, status) in cases {
        let (relay, sandbox) = world();
        sandbox.sendmail(["-i"].iter().chain(*operands)).input(MESSAGE).fails(*status);
        assert_eq!(relay.record().offers.len(), 0, "{operands:?}");
        assert!(sandbox.queue().is_empty(), "{operands:?}");
    }
}

#[test]
fn recipients_are_read_from_the_header_as_people_write_them() {
    let cases: &[(&str, &[&str])] = &[
        ("To: b1@x.org, \"Doe, J.\" <b2@x.org>,\n b3@x.org (c, d)", &["b1@x.org", "b2@x.org", "b3@x.org"]),
        ("To: undisclosed-recipients:;\nBcc: b@x.org", &["b@x.org"]),
        ("To: team: x@o.org, Y <y@o.org>; , z@o.org", &["x@o.org", "y@o.org", "z@o.org"]),
        ("To: =?utf-8?Q?Bj=C3=B6rn=2C_x?= <b@o.org>", &["b@o.org"]),
        ("To: Bj\u{f6}rn <b@o.org>", &["b@o.org"]),
        ("To: J. Doe <b@o.org>", &["b@o.org"]),
        ("To: foo@bar.example <b@o.org>", &["b@o.org"]),
        ("To: A <b1@o.org> B <b2@o.org>", &["b1@o.org", "b2@o.org"]),
        ("To: b1@o.org; b2@o.org", &["b1@o.org", "b2@o.org"]),
        ("To: b1@o.org b2@o.org", &["b1@o.org", "b2@o.org"]),
        ("To: b1@o.org, ,b2@o.org,", &["b1@o.org", "b2@o.org"]),
        ("To: bob @ example . org", &["bob@example.org"]),
        ("To: (a (b) c) b@o.org (d \\) e)", &["b@o.org"]),
        ("To: \"john doe\"@o.org", &["\"john doe\"@o.org"]),
        ("To: <@a.example:b@o.org>", &["b@o.org"]),
        ("To: b1@o.org,\n\tb2@o.org\n b3@o.org", &["b1@o.org", "b2@o.org", "b3@o.org"]),
        ("To: b@o.org\nCc: b@o.org", &["b@o.org"]),
        ("to : b@o.org\nCC: c@o.org", &["b@o.org", "c@o.org"]),
        (
            "To: root, \"a b\"@x.org, G: c@d.org;, e@f.org,,g@h.org",
            &["admin@example.net", "\"a b\"@x.org", "c@d.org", "e@f.org", "g@h.org"],
        ),
        ("To: a@x.org\nReply-To: no@x.org\nSender: no@x.org\nApparently-To: no@x.org", &["a@x.org"]),
        ("To: a@x.org\nResent-To: r@x.org\nResent-Bcc: s@x.org", &["r@x.org", "s@x.org"]),
        ("To: a@x.org\nResent-From: f@x.org", &["a@x.org"]),
    ];
    for (fields, expected) in cases {
        let (relay, sandbox) = world();
        sandbox.sendmail(["-t", "-i"]).input(message_with(fields)).silent();
        let message = relay.message();
        assert_eq!(message.to(), *expected, "{fields}");
        // A Message-ID may hold these letters as digits.
        let named =
            |line: &str| line.to_lowercase().starts_with("bcc") || line.to_lowercase().starts_with("resent-bcc");
        assert!(!message.header().lines().any(named), "{fields}: {}", message.text());
    }
}

#[test]
fn operands_are_added_to_the_headers_recipients() {
    let (relay, sandbox) = world();
    sandbox.sendmail(["-t", "-i", "carol@x.org", "b@x.org"]).input(message_with("To: b@x.org")).silent();
    let message = relay.message();
    let mut reached = message.to();
    reached.sort_unstable();
    assert_eq!(reached, ["b@x.org", "carol@x.org"]);
}

#[test]
fn a_header_without_a_usable_recipient_sends_nothing() {
    for fields in ["Subject: s", "To:", "To: (nobody)", "To: <>", "To: mailto:b@o.org", "To: \"bob <bob@o.org>"] {
        let (relay, sandbox) = world();
        sandbox.sendmail(["-t", "-i"]).input(message_with(fields)).fails(65);
        assert_eq!(relay.record().offers.len(), 0, "{fields}");
    }
}

#[test]
fn no_recipients_at_all_is_a_mistake_in_use() {
    let (_relay, sandbox) = world();
    sandbox.sendmail(["-i"]).input(MESSAGE).fails(64);
}

#[test]
fn the_reverse_path_is_what_f_says_in_all_its_spellings() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "alice@example.test"),
        (&["-f", "s@work.example"], "s@work.example"),
        (&["-fs@work.example"], "s@work.example"),
        (&["-r", "s@work.example"], "s@work.example"),
        (&["-f", "<s@work.example>"], "s@work.example"),
        (&["-f", "Name <s@work.example>"], "s@work.example"),
        (&["-f", "a@work.example", "-f", "s@work.example"], "s@work.example"),
        (&["-f", ""], ""),
        (&["-f", "<>"], ""),
        (&["-f<>"], ""),
    ];
    for (options, expected) in cases {
        let relay = Relay::start(Script::plain());
        let sandbox = Sandbox::for_relay(&relay).account("identities = [\"*@work.example\"]");
        sandbox.sendmail(["-i"].iter().chain(*options).chain(&["bob@example.org"])).input(MESSAGE).silent();
        assert_eq!(relay.message().reverse_path, *expected, "{options:?}");
        assert_eq!(relay.message().text(), on_the_wire(MESSAGE), "{options:?}");
    }
}

#[test]
fn a_reverse_path_that_is_none_stops_everything() {
    for sender in ["a@x.org,b@x.org", "a b@x.org", "a@x.org\nX: y", "a@x.org\rX: y", "a@x.org\u{1}"] {
        let (relay, sandbox) = world();
        sandbox.sendmail(["-i", "-f", sender, "bob@example.org"]).input(MESSAGE).fails(65);
        assert_eq!(relay.record().offers.len(), 0, "{sender:?}");
    }
}

#[test]
fn a_sender_of_this_host_leaves_as_the_account() {
    for sender in ["root", "www-data@localhost"] {
        let (relay, sandbox) = world();
        let input = format!("From: {sender} (Cron Daemon)\nTo: bob@example.org\nSubject: s\n\nb\n");
        sandbox.sendmail(["-t", "-f", sender]).input(input).silent();
        let message = relay.message();
        assert_eq!(message.reverse_path, "alice@example.test");
        assert!(message.field("From").unwrap().contains("<alice@example.test>"), "{}", message.text());
        assert!(message.field("Original-From").unwrap().contains(sender), "{}", message.text());
    }
}

#[test]
fn a_full_name_is_written_so_that_it_cannot_be_mistaken() {
    let cases = [
        ("Joe Miller", "Joe Miller <alice@example.test>"),
        ("O'Brien, Joe (x)", "\"O'Brien, Joe (x)\" <alice@example.test>"),
        ("J\u{f6}rg", "=?"),
        ("evil\nBcc: x@y.org", "evil Bcc: x@y.org"),
        ("", "alice@example.test"),
    ];
    for (name, expected) in cases {
        let (relay, sandbox) = world();
        sandbox.sendmail(["-F", name, "bob@example.org"]).input("Subject: s\n\nb\n").silent();
        let from = relay.message().field("From").unwrap();
        assert!(from.contains(expected) && from.contains("alice@example.test"), "{name:?}: {from}");
        assert!(relay.message().field("Bcc").is_none());
    }
}

#[test]
fn delivery_status_wishes_reach_a_relay_that_knows_them() {
    let relay = Relay::start(Script::plain().offering("DSN"));
    let wishes = ["-N", "success,failure", "-R", "hdrs", "-V", "id 1", "bob@example.org"];
    Sandbox::for_relay(&relay).sendmail(wishes).input(MESSAGE).silent();
    let message = relay.message();
    assert!(message.mail_parameters.contains(&"RET=HDRS".into()), "{message:?}");
    assert!(message.mail_parameters.contains(&"ENVID=id+201".into()), "{message:?}");
    assert!(message.recipients[0].parameters.contains(&"NOTIFY=SUCCESS,FAILURE".into()), "{message:?}");
}

#[test]
fn delivery_status_wishes_do_not_disturb_a_relay_that_does_not_know_them() {
    let relay = Relay::start(Script::plain());
    Sandbox::for_relay(&relay).sendmail(["-N", "never", "-R", "full", "bob@example.org"]).input(MESSAGE).silent();
    assert_eq!(relay.message().recipients[0].parameters, [""; 0]);
}
