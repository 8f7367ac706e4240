//! Several messages under way at once.

use super::*;

#[test]
fn several_messages_under_way_keep_their_order_and_go_once() {
    let bench = Bench::new();
    (0..20).for_each(|_| drop(bench.deposit(mail(ME, &["bob@a.example"]))));
    let expected = bench.queue();
    let town = Town::chunking(&|offer| all(offer, accepted()));
    assert_eq!(by_hand(&bench, &town).finished, 20);
    assert_eq!((town.ids(), town.connections.lock().unwrap().len()), (expected, 1));
}

#[test]
fn a_break_leaves_what_was_under_way_for_a_later_run_and_the_rest_goes_one_by_one() {
    let bench = Bench::new();
    (0..20).for_each(|_| drop(bench.deposit(mail(ME, &["bob@a.example"]))));
    let ids = bench.queue();
    let relay = |offer: &Offer| if offer.id == ids[3] { broken(offer, Stage::Data) } else { all(offer, accepted()) };
    let town = Town::chunking(&relay);
    let finished = by_hand(&bench, &town).finished;
    // The relay may have any of those that were under way behind the one that broke the connection.
    let left = bench.queue();
    assert!(ids[3..].starts_with(&left) && (1..=judge::WINDOW).contains(&left.len()), "{left:?}");
    assert_eq!(finished, 20 - left.len());
    assert!(left.iter().all(|id| bench.peek(id).progress.attempts == 1));
    assert_eq!(town.connections.lock().unwrap().len(), 2);
}

#[test]
fn messages_behind_a_goodbye_go_over_the_next_connection_uncharged() {
    let bench = Bench::new();
    (0..20).for_each(|_| drop(bench.deposit(mail(ME, &["bob@a.example"]))));
    let expected = bench.queue();
    let used = Mutex::new([0; 8]);
    let relay = |offer: &Offer| {
        let mut used = used.lock().unwrap();
        used[offer.connection] += 1;
        if used[offer.connection] == 5 { broken(offer, Stage::Mail) } else { all(offer, accepted()) }
    };
    let town = Town::chunking(&relay);
    assert_eq!(by_hand(&bench, &town).finished, 20);
    assert_eq!(bench.queue(), []);
    let mut carried = town.ids();
    carried.dedup();
    assert_eq!((carried, town.connections.lock().unwrap().len()), (expected, 5));
}

#[test]
fn an_account_held_in_mid_flight_keeps_what_the_relay_took_and_the_rest_goes_elsewhere() {
    let bench = Bench::new();
    (0..20).for_each(|_| drop(bench.deposit(mail(ME, &["bob@full-or-good.example"]))));
    let queued = bench.queue();
    let quota =
        |offer: &Offer| Attempt::failed(Trouble::Held(failure(Stage::Rcpt, 550, "5.4.5 quota")), offer.to.len());
    let refused = [3, 5].map(|at| queued[at].clone());
    let relay = |offer: &Offer| {
        if offer.account == "full" && refused.contains(&offer.id) { quota(offer) } else { all(offer, accepted()) }
    };
    let town = Town::chunking(&relay);
    assert_eq!(by_hand(&bench, &town).finished, 20);
    assert_eq!(bench.queue(), []);
    let offers = town.offers();
    let taken = offers.iter().filter(|offer| offer.account == "good" || !refused.contains(&offer.id));
    let mut taken: Vec<QueueId> = taken.map(|offer| offer.id.clone()).collect();
    taken.sort();
    assert_eq!(taken, queued, "each once");
    assert!(bench.room.spool.recall("full").hold.is_some());
}
