//! Who is served, as whom, and how much of it: by the kernel's word.

use super::*;

#[test]
fn a_user_sees_his_own_mail_and_root_all() {
    if !is_root() {
        // Only root can be several users.
        return;
    }
    let machine = Machine::start(Script::plain().when("MAIL", [say("451 4.3.0 closed for lunch")]), "");
    machine.sendmail_as("www-data", &TO_BOB).input(MESSAGE).silent();
    machine.sendmail(&["-i", "carol@example.org"]).input(MESSAGE).silent();
    let sees = |listing: &str| ["bob@", "carol@"].map(|who| listing.contains(who));
    let mailq = || machine.sendmail_as("www-data", &["-bp"]).prints();
    eventually("the reason is known", || mailq().contains("closed for lunch"));
    assert_eq!(sees(&mailq()), [true, false]);
    assert_eq!(sees(&machine.sendmail(&["-bp"]).prints()), [true, true]);
    assert_eq!(machine.user.list().len(), 2);
    let other = machine.sendmail_as("daemon", &["-bp"]).prints();
    assert_eq!(other, "Mail queue is empty\n");
    let script = format!(
        "exec setpriv --reuid www-data --regid www-data --clear-groups -- cat {0}/config.toml {0}/spool/*/*",
        machine.system.root().display()
    );
    let read = machine.sendmail(&[]).within(Path::new("/")).through_shell(&script).finish();
    assert_eq!((read.status.success(), read.stdout.as_str()), (false, ""), "who may send may not read");
    // A forced run is root's; anybody may ask for what is due.
    let lunch = machine.relay.connections();
    machine.sendmail(&["-q"]).silent();
    eventually("root has it tried", || machine.relay.connections() > lunch);
    machine.sendmail_as("www-data", &["-q"]).silent();
    assert_eq!(machine.sendmail(&["-qRbob"]).finish().status.code(), Some(64));
}

#[test]
fn the_greedy_are_told_to_wait_and_the_denied_are_not_served() {
    if !is_root() {
        // Only root can be several users.
        return;
    }
    let machine =
        Machine::start(Script::plain(), "rate = 2\ndeny = [\"games\"]\nallow = [\"@www-data\", \"0\", \"games\"]");
    for _ in 0..2 {
        machine.sendmail_as("www-data", &TO_BOB).input(MESSAGE).silent();
    }
    let said = machine.sendmail_as("www-data", &TO_BOB).input(MESSAGE).fails(75);
    assert!(said.contains("too many messages of yours in this minute"), "{said}");
    for denied in ["games", "daemon"] {
        let said = machine.sendmail_as(denied, &TO_BOB).input(MESSAGE).fails(77);
        assert!(said.contains("554 5.7.1 you are not served here"), "{said}");
    }
    machine.sendmail_as("65534", &TO_BOB).input(MESSAGE).fails(77);
    for _ in 0..5 {
        machine.sendmail(&TO_BOB).input(MESSAGE).silent();
    }
    machine.relay.wait_for_messages(7);
}

#[test]
fn a_user_has_only_so_much_waiting() {
    if !is_root() {
        // Only root can be several users.
        return;
    }
    let mut machine = Machine::off(Relay::offline(Script::plain()), "queued = 2");
    machine.turn_on();
    for _ in 0..2 {
        machine.sendmail_as("www-data", &TO_BOB).input(MESSAGE).silent();
    }
    let said = machine.sendmail_as("www-data", &TO_BOB).input(MESSAGE).fails(75);
    assert!(said.contains("too many messages of yours wait"), "{said}");
    machine.sendmail_as("daemon", &TO_BOB).input(MESSAGE).silent();
    assert_eq!(machine.waiting(), 3);
}

#[test]
fn who_may_only_be_himself_is_not_believed_otherwise() {
    if !is_root() {
        // Only root can be several users.
        return;
    }
    let machine = Machine::start(Script::plain(), "senders = \"own\"\ntrusted = \"daemon\"");
    let ceo = ["-i", "-f", "ceo@example.org", "bob@example.org"];
    let forged = MESSAGE.replace("Alice <alice@example.test>", "CEO <ceo@example.org>");
    let from = |message: &Received| (message.reverse_path.clone(), message.field("From").unwrap());
    for (user, believed) in [("www-data", false), ("daemon", true), ("root", true)] {
        let before = machine.relay.messages().len();
        machine.sendmail_as(user, &ceo).input(&forged).silent();
        machine.relay.wait_for_messages(before + 1);
        let message = &machine.relay.messages()[before];
        let address = if believed { "ceo@example.org" } else { "alice@example.test" };
        assert_eq!(from(message), (address.to_string(), format!("CEO <{address}>")), "{user}");
        let old = (!believed).then(|| "CEO <ceo@example.org>".to_string());
        assert_eq!(message.field("Original-From"), old, "{user}");
    }
}
