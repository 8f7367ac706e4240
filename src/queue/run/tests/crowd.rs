//! Two runs at once, and a queue of a hundred thousand.

use super::*;

#[test]
fn two_runs_at_once_send_each_message_once() {
    let bench = Bench::new();
    (0..100).for_each(|_| drop(bench.deposit(mail(ME, &["bob@a.example"]))));
    let town = Town::new(&|offer| all(offer, accepted()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| by_hand(&bench, &town));
        }
    });
    let mut sent = town.ids();
    sent.sort();
    sent.dedup();
    assert_eq!((sent.len(), bench.queue().len()), (100, 0));
}

#[test]
#[ignore = "measures; cargo test --release --lib a_hundred_thousand -- --ignored --nocapture, TMPDIR=/dev/shm"]
#[allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "plants copies and reports figures")]
fn a_hundred_thousand_entries_are_listed_and_begun_at_once() {
    use crate::queue::listing::{self, Place};
    let bench = Bench::new();
    let first = bench.deposit(mail(ME, &["bob@a.example"]));
    let folder = bench.room.path("queue");
    for number in 1..100_000u64 {
        let id = QueueId::new(Moment(Moment::now().0 + number));
        std::fs::copy(folder.join(first.as_str()), folder.join(id.as_str())).unwrap();
    }
    let started = Instant::now();
    let mut lines = FirstByte { started, first: None };
    let spool = &bench.room.spool;
    let rows = spool.queue().unwrap().into_iter().filter_map(|id| {
        let peek = spool.peek(&id).ok()??;
        Some(listing::row(id.as_str(), &peek.ticket, &peek.progress, peek.size, Place::Queue, None, None))
    });
    listing::mailq(rows, &mut std::io::BufWriter::new(&mut lines)).unwrap();
    eprintln!("mailq: first output {:?}, all {:?}", lines.first.unwrap(), started.elapsed());

    let begun = Mutex::new(None);
    let started = Instant::now();
    let relay = |offer: &Offer| {
        begun.lock().unwrap().get_or_insert_with(|| started.elapsed());
        all(offer, accepted())
    };
    let town = Town::new(&relay);
    let tally = by_hand(&bench, &town);
    eprintln!("run: first message {:?}, all {:?}", begun.lock().unwrap().unwrap(), tally.elapsed);
    assert_eq!(tally.finished, 100_000);
}

struct FirstByte {
    started: Instant,
    first: Option<Duration>,
}

impl std::io::Write for FirstByte {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.first.get_or_insert(self.started.elapsed());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
