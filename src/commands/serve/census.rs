//! How many messages of each user wait. Counting reads every entry, so a count is kept for a while, and what comes in
//! meanwhile is added; only who seems to be at the limit has it counted again.

use crate::spool::{Place, Spool};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The last count.
#[derive(Default)]
pub struct Census {
    taken: Option<Instant>,
    counts: HashMap<u32, usize>,
}

/// How long a count is good, and how long even for somebody at his limit.
const GOOD: Duration = Duration::from_secs(30);
const FRESH: Duration = Duration::from_secs(2);

impl Census {
    /// Whether a user may have one more.
    pub fn has_room(&mut self, spool: &Spool, uid: u32, most: usize, now: Instant) -> bool {
        let age = self.taken.map(|taken| now.saturating_duration_since(taken));
        if age.is_none_or(|age| age > GOOD) || age.is_some_and(|age| age > FRESH) && self.of(uid) >= most {
            self.count(spool, now);
        }
        self.of(uid) < most
    }

    /// One more has come in.
    pub fn add(&mut self, uid: u32) {
        *self.counts.entry(uid).or_default() += 1;
    }

    fn of(&self, uid: u32) -> usize {
        self.counts.get(&uid).copied().unwrap_or_default()
    }

    fn count(&mut self, spool: &Spool, now: Instant) {
        self.counts.clear();
        self.taken = Some(now);
        for id in spool.ids(Place::Queue).unwrap_or_default() {
            if let Ok(Some(peek)) = spool.peek(&id) {
                self.add(peek.ticket.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::tests::Room;

    #[test]
    fn who_has_enough_waiting_has_no_room_until_something_goes() {
        let room = Room::make();
        let ids = [room.deposit(1), room.deposit(1)];
        let (spool, uid) = (&room.spool, room.claim(&ids[0]).ticket().uid);
        let (mut census, now) = (Census::default(), Instant::now());
        assert!(census.has_room(spool, uid, 3, now));
        census.add(uid);
        assert!(!census.has_room(spool, uid, 3, now));
        assert!(census.has_room(spool, uid + 1, 1, now));
        assert!(census.has_room(spool, uid, 3, now + FRESH * 2), "what was added had gone out meanwhile");
    }
}
