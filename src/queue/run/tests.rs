//! Queue runs over a real spool, with accounts that do as the test says.

use super::*;
use crate::mail::outcome::{Outcome, Stage};
use crate::queue::bench::{Bench, accepted, deferred, failure, mail, rejected};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

mod crowd;
mod flights;

/// What an account does with a message: the account, the connection's number at that account, the recipients.
type Relay<'a> = dyn Fn(&Offer) -> Attempt + Sync + 'a;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    account: String,
    connection: usize,
    id: QueueId,
    to: Vec<String>,
}

/// The account of a message is the domain of its first recipient; `x+y` falls back from `x` to `y`.
struct Town<'a> {
    relay: &'a Relay<'a>,
    /// Whether messages go in flights of several.
    chunking: bool,
    connections: Mutex<Vec<String>>,
    offers: Mutex<Vec<Offer>>,
}

impl<'a> Town<'a> {
    fn new(relay: &'a Relay<'a>) -> Town<'a> {
        Town { relay, chunking: false, connections: Mutex::default(), offers: Mutex::default() }
    }

    fn chunking(relay: &'a Relay<'a>) -> Town<'a> {
        Town { chunking: true, ..Town::new(relay) }
    }

    fn offers(&self) -> Vec<Offer> {
        std::mem::take(&mut self.offers.lock().unwrap())
    }

    fn ids(&self) -> Vec<QueueId> {
        self.offers().into_iter().map(|offer| offer.id).collect()
    }
}

impl Courier for Town<'_> {
    fn destinations(&self, ticket: &Ticket, header: &dyn Fn() -> Header) -> Result<Vec<Destination>, Failure> {
        assert!(!header().fields().is_empty());
        let to = ticket.envelope.recipients()[0].mailbox.domain();
        if to == "nowhere.example" {
            return Err(failure(Stage::Connect, 500, "no account"));
        }
        let accounts = to.trim_end_matches(".example").split("-or-");
        let destination =
            |account: &str| Destination { account: account.to_string(), digest: "1".into(), connections: 2 };
        Ok(accounts.map(destination).collect())
    }

    fn connect<'a>(&'a self, account: &str) -> Box<dyn Submitter + 'a> {
        let mut connections = self.connections.lock().unwrap();
        let connection = connections.iter().filter(|other| *other == account).count();
        connections.push(account.to_string());
        Box::new(Link { town: self, account: account.to_string(), connection, ahead: VecDeque::new() })
    }
}

struct Link<'a> {
    town: &'a Town<'a>,
    account: String,
    connection: usize,
    ahead: VecDeque<Attempt>,
}

impl Submitter for Link<'_> {
    fn submit(&mut self, entry: &Entry, recipients: &[usize]) -> Attempt {
        let envelope = &entry.ticket().envelope;
        let to = recipients.iter().map(|index| envelope.recipients()[*index].mailbox.to_string()).collect();
        let (account, connection, id) = (self.account.clone(), self.connection, entry.id().clone());
        let offer = Offer { account, connection, id, to };
        self.town.offers.lock().unwrap().push(offer.clone());
        (self.town.relay)(&offer)
    }

    fn send_ahead(&mut self, messages: &[(&Entry, &[usize])]) -> usize {
        if !self.town.chunking {
            return 0;
        }
        for (entry, recipients) in messages {
            let attempt = match self.ahead.back().and_then(|before| before.trouble.clone()) {
                Some(trouble @ Trouble::Waiting(_)) => Attempt::failed(trouble, recipients.len()),
                _ => self.submit(entry, recipients),
            };
            self.ahead.push_back(attempt);
        }
        messages.len()
    }

    fn hear(&mut self) -> Attempt {
        self.ahead.pop_front().unwrap()
    }
}

fn all(offer: &Offer, outcome: Outcome) -> Attempt {
    Attempt { outcomes: vec![outcome; offer.to.len()], trouble: None }
}

fn broken(offer: &Offer, stage: Stage) -> Attempt {
    Attempt::failed(Trouble::Waiting(failure(stage, 421, "4.3.2 closing")), offer.to.len())
}

fn refused(offer: &Offer) -> Attempt {
    Attempt::failed(Trouble::Held(failure(Stage::Auth, 535, "5.7.8 no")), offer.to.len())
}

#[test]
fn what_broke_over_its_message_does_not_go_to_a_fallback_in_the_same_run() {
    let bench = Bench::new();
    for _ in 0..judge::LOSSES {
        bench.deposit(mail("me@web1.example.org", &["x@one-or-two.example"]));
    }
    let town = Town::new(&|offer| broken(offer, Stage::Data));
    run(&bench, &town, Selection::All, Occasion::ByHand);
    let offers = town.offers();
    assert_eq!(offers.len(), judge::LOSSES, "{offers:?}");
    assert!(offers.iter().all(|offer| offer.account == "one"), "{offers:?}");
}

fn run(bench: &Bench, town: &Town, selection: Selection, occasion: Occasion) -> Tally {
    let run = Run {
        desk: bench.desk(),
        courier: town,
        selection: &selection,
        occasion,
        keep_dead: Duration::from_secs(7 * 86_400),
        watch: &|_| {},
        stop: &AtomicBool::new(false),
    };
    run.once().unwrap()
}

fn by_hand(bench: &Bench, town: &Town) -> Tally {
    run(bench, town, Selection::All, Occasion::ByHand)
}

const ME: &str = "me@a.example";

#[test]
fn twenty_messages_go_in_their_order_over_one_connection() {
    let bench = Bench::new();
    let ids: Vec<QueueId> = (0..20).map(|_| bench.deposit(mail(ME, &["bob@a.example"]))).collect();
    let town = Town::new(&|offer| all(offer, accepted()));
    let tally = by_hand(&bench, &town);
    assert_eq!((tally.total, tally.done, tally.finished), (20, 20, 20));
    let offers = town.offers();
    assert!(offers.iter().all(|offer| offer.connection == 0), "{offers:?}");
    let mut sorted = ids;
    sorted.sort();
    assert_eq!(offers.into_iter().map(|offer| offer.id).collect::<Vec<_>>(), sorted);
    assert_eq!(bench.queue(), []);
}

#[test]
fn a_long_queue_goes_over_two_connections_each_message_once() {
    let bench = Bench::new();
    (0..200).for_each(|_| drop(bench.deposit(mail(ME, &["bob@a.example"]))));
    let mut expected = bench.queue();
    let town = Town::new(&|offer| all(offer, accepted()));
    assert_eq!(by_hand(&bench, &town).finished, 200);
    assert!(town.connections.lock().unwrap().len() <= 2);
    let mut sent = town.ids();
    sent.sort();
    expected.sort();
    assert_eq!(sent, expected);
}

#[test]
fn a_refused_login_is_tried_once_and_the_other_account_goes_on() {
    let bench = Bench::new();
    let held: Vec<QueueId> = (0..10).map(|_| bench.deposit(mail(ME, &["bob@bad.example"]))).collect();
    (0..10).for_each(|_| drop(bench.deposit(mail(ME, &["bob@good.example"]))));
    let town = Town::new(&|offer| if offer.account == "bad" { refused(offer) } else { all(offer, accepted()) });
    let tally = by_hand(&bench, &town);
    assert_eq!((tally.done, tally.finished, tally.deferred), (20, 10, 1));
    let offers = town.offers();
    assert_eq!(offers.iter().filter(|offer| offer.account == "bad").count(), 1);
    assert_eq!(bench.queue().len(), held.len());
    let hold = bench.room.spool.recall("bad").hold.unwrap();
    assert!(hold.reason.contains("535 5.7.8 no") && hold.probes == 1, "{hold:?}");

    run(&bench, &town, Selection::All, Occasion::DueOnly);
    assert_eq!(town.offers(), [], "no timer tries before the probe is due");
    by_hand(&bench, &town);
    assert_eq!(town.offers().len(), 1, "a person does");
}

#[test]
fn everything_flows_when_a_held_account_works_again() {
    let bench = Bench::new();
    (0..3).for_each(|_| drop(bench.deposit(mail(ME, &["bob@a.example"]))));
    by_hand(&bench, &Town::new(&refused));
    assert!(bench.room.spool.recall("a").hold.is_some());
    let town = Town::new(&|offer| all(offer, accepted()));
    assert_eq!(by_hand(&bench, &town).finished, 3);
    assert_eq!(bench.room.spool.recall("a").hold, None);
}

#[test]
fn an_unreachable_account_costs_one_attempt() {
    let bench = Bench::new();
    (0..10).for_each(|_| drop(bench.deposit(mail(ME, &["bob@a.example"]))));
    let town = Town::new(&|offer| broken(offer, Stage::Connect));
    by_hand(&bench, &town);
    assert_eq!(town.offers().len(), 1);
    assert_eq!(bench.room.spool.recall("a").hold, None, "waiting holds nobody");
}

#[test]
fn the_fallback_takes_what_the_first_account_cannot() {
    let bench = Bench::new();
    (0..3).for_each(|_| drop(bench.deposit(mail(ME, &["bob@bad-or-good.example"]))));
    let town = Town::new(&|offer| if offer.account == "bad" { refused(offer) } else { all(offer, accepted()) });
    assert_eq!(by_hand(&bench, &town).finished, 3);
    let accounts: Vec<String> = town.offers().into_iter().map(|offer| offer.account).collect();
    assert_eq!(accounts, ["bad", "good", "good", "good"]);
}

#[test]
fn a_poisoned_message_does_not_block_the_others() {
    let bench = Bench::new();
    let poison = bench.deposit(mail(ME, &["poison@a.example"]));
    (0..5).for_each(|_| drop(bench.deposit(mail(ME, &["bob@a.example"]))));
    let town = Town::new(&|offer| match offer.to[0].as_str() {
        "poison@a.example" => broken(offer, Stage::Data),
        _ => all(offer, accepted()),
    });
    assert_eq!(by_hand(&bench, &town).finished, 5);
    assert_eq!(bench.queue(), std::slice::from_ref(&poison));
    assert_eq!(bench.peek(&poison).progress.attempts, 1);
}

#[test]
fn a_connection_that_the_relay_ends_is_replaced_and_no_message_is_charged() {
    let bench = Bench::new();
    (0..5).for_each(|_| drop(bench.deposit(mail(ME, &["bob@a.example"]))));
    let used = Mutex::new([0; 5]);
    let relay = |offer: &Offer| {
        let mut used = used.lock().unwrap();
        used[offer.connection] += 1;
        if used[offer.connection] > 2 { broken(offer, Stage::Mail) } else { all(offer, accepted()) }
    };
    let town = Town::new(&relay);
    assert_eq!(by_hand(&bench, &town).finished, 5);
    assert_eq!(bench.queue(), []);
    assert_eq!(town.connections.lock().unwrap().len(), 3);
}

#[test]
fn a_retry_offers_only_those_who_still_wait() {
    let bench = Bench::new();
    let id = bench.deposit(mail(ME, &["ann@a.example", "bob@a.example"]));
    let town = Town::new(&|offer| match offer.to.len() {
        2 => Attempt { outcomes: vec![accepted(), deferred()], trouble: None },
        _ => all(offer, accepted()),
    });
    by_hand(&bench, &town);
    assert_eq!(bench.states(&id), "DN");
    by_hand(&bench, &town);
    let offers: Vec<Vec<String>> = town.offers().into_iter().map(|offer| offer.to).collect();
    assert_eq!(offers, [vec!["ann@a.example", "bob@a.example"], vec!["bob@a.example"]]);
    assert_eq!(bench.queue(), []);
}

#[test]
fn trouble_behind_the_first_accepted_recipient_does_not_send_again() {
    let bench = Bench::new();
    let id = bench.deposit(mail(ME, &["ann@a-or-b.example", "bob@a-or-b.example"]));
    let trouble = failure(Stage::Connect, 421, "4.3.2 closing");
    let partial = Attempt {
        outcomes: vec![accepted(), Outcome::Deferred(trouble.clone())],
        trouble: Some(Trouble::Waiting(trouble)),
    };
    let relay = |_: &Offer| partial.clone();
    let town = Town::new(&relay);
    by_hand(&bench, &town);
    assert_eq!(town.offers().len(), 1);
    assert_eq!(bench.states(&id), "DN");
}

#[test]
fn a_bounce_is_sent_in_the_run_that_makes_it() {
    let bench = Bench::new();
    bench.deposit(mail(ME, &["gone@a.example"]));
    let town = Town::new(&|offer| match offer.to[0].as_str() {
        "gone@a.example" => all(offer, rejected()),
        _ => all(offer, accepted()),
    });
    let tally = by_hand(&bench, &town);
    assert_eq!((tally.total, tally.done, tally.finished), (2, 2, 2));
    let offers: Vec<Vec<String>> = town.offers().into_iter().map(|offer| offer.to).collect();
    assert_eq!(offers, [["gone@a.example"], [ME]]);
    assert_eq!((bench.queue(), bench.dead()), (vec![], vec![]));
}

#[test]
fn a_timer_takes_what_is_due_and_a_person_what_nobody_holds() {
    let bench = Bench::new();
    let [due, later, held] = [0; 3].map(|_| bench.deposit(mail(ME, &["bob@a.example"])));
    let mut entry = bench.room.claim(&later);
    let now = Moment::now();
    entry.reschedule(1, now, now.after(Duration::from_secs(600)), Duration::ZERO).unwrap();
    drop(entry);
    bench.room.claim(&held).hold().unwrap();
    let town = Town::new(&|offer| all(offer, deferred()));
    run(&bench, &town, Selection::All, Occasion::DueOnly);
    assert_eq!(town.ids(), std::slice::from_ref(&due));
    by_hand(&bench, &town);
    let mut expected = [due, later];
    expected.sort();
    assert_eq!(town.ids(), expected);
}

#[test]
fn a_selection_leaves_the_rest() {
    let bench = Bench::new();
    let ann = bench.deposit(mail(ME, &["ann@a.example"]));
    bench.deposit(mail(ME, &["bob@a.example"]));
    let town = Town::new(&|offer| all(offer, accepted()));
    run(&bench, &town, Selection::Recipient("ANN".into()), Occasion::ByHand);
    assert_eq!(town.ids(), [ann]);
}

#[test]
fn an_entry_in_other_hands_is_left_alone() {
    let bench = Bench::new();
    let id = bench.deposit(mail(ME, &["ann@a.example"]));
    let _elsewhere = bench.room.claim(&id);
    let town = Town::new(&|offer| all(offer, accepted()));
    let tally = by_hand(&bench, &town);
    assert_eq!((tally.done, town.offers().len()), (1, 0));
}

#[test]
fn what_a_crash_left_owed_is_done_without_a_connection() {
    let bench = Bench::new();
    let served = bench.deposit(mail(ME, &["ann@a.example"]));
    bench.room.claim(&served).record(0, &accepted(), Moment::now()).unwrap();
    let failed = bench.deposit(mail("", &["ann@a.example"]));
    bench.room.claim(&failed).record(0, &rejected(), Moment::now()).unwrap();
    let town = Town::new(&|offer| all(offer, accepted()));
    by_hand(&bench, &town);
    assert_eq!((town.offers(), bench.queue(), bench.dead()), (vec![], vec![], vec![failed]));
}

#[test]
fn a_message_that_no_account_takes_waits_with_the_reason() {
    let bench = Bench::new();
    let id = bench.deposit(mail(ME, &["ann@nowhere.example"]));
    let town = Town::new(&|offer| all(offer, accepted()));
    assert_eq!(by_hand(&bench, &town).deferred, 1);
    let progress = bench.peek(&id).progress;
    assert_eq!(progress.attempts, 0);
    assert!(progress.recipients[0].reason.contains("no account"));
}
