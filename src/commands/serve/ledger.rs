//! What each user has had lately, against what one may have: so that one program gone mad does not keep others from
//! sending. Knows no clock but the moments it is told.

use crate::config::Quota;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

/// The books of one acceptor.
#[derive(Default)]
pub struct Ledger {
    users: HashMap<u32, Page>,
    connections: usize,
    /// Another one goes on with the books: nothing refills in these.
    is_handed_over: bool,
}

/// Of one user.
struct Page {
    connections: usize,
    /// What is left of the minute's messages; refills evenly.
    credit: f64,
    counted: Instant,
}

/// Why something is not had now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All users together have too many connections.
    Busy,
    /// This one has.
    Connections,
    /// Too many messages in a minute.
    Rate,
    /// Too many messages wait.
    Queued,
}

/// Connections of all users together: each costs a thread.
const MOST_CONNECTIONS: usize = 256;
/// Kept free of ordinary users for root.
const RESERVED: usize = 16;

/// What of the books goes over to others: so many users, who have the least left, in as many octets as a pipe takes at once.
const MOST_USERS: usize = 340;
const USER: usize = 12;

const MINUTE: Duration = Duration::from_secs(60);

impl Ledger {
    /// Books a connection. Root has no quota, and finds a place when all others are taken.
    pub fn connect(&mut self, uid: u32, quota: &Quota, now: Instant) -> Result<(), Refusal> {
        let most = if uid == 0 { MOST_CONNECTIONS } else { MOST_CONNECTIONS - RESERVED };
        if self.connections >= most {
            return Err(Refusal::Busy);
        }
        let page = self.page(uid, quota, now);
        if uid != 0 && page.connections >= quota.connections {
            return Err(Refusal::Connections);
        }
        page.connections += 1;
        self.connections += 1;
        Ok(())
    }

    /// The connection is over.
    pub fn disconnect(&mut self, uid: u32) {
        self.connections = self.connections.saturating_sub(1);
        if let Some(page) = self.users.get_mut(&uid) {
            page.connections = page.connections.saturating_sub(1);
        }
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Books a message.
    pub fn message(&mut self, uid: u32, quota: &Quota, now: Instant) -> Result<(), Refusal> {
        if uid == 0 {
            return Ok(());
        }
        let page = self.page(uid, quota, now);
        if page.credit < 1.0 {
            return Err(Refusal::Rate);
        }
        page.credit -= 1.0;
        Ok(())
    }

    /// Forgets those who have had nothing for a while.
    pub fn forget(&mut self, now: Instant) {
        self.users.retain(|_, page| page.connections > 0 || now.saturating_duration_since(page.counted) < MINUTE);
    }

    /// What the next one begins with. A message is left here for each connection that there is, and is not had there: so
    /// a change of books gives nobody more.
    pub fn hand_over(&mut self, quota: &Quota, now: Instant) -> Vec<u8> {
        let users: Vec<u32> = self.users.keys().copied().filter(|uid| *uid != 0).collect();
        let mut left = Vec::new();
        for uid in users {
            let page = self.page(uid, quota, now);
            let most = u32::try_from(page.connections).map_or(f64::MAX, f64::from);
            let kept = page.credit.min(most);
            left.push((page.credit - kept, uid));
            page.credit = kept;
        }
        self.is_handed_over = true;
        left.retain(|(credit, _)| *credit < f64::from(quota.rate));
        left.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        let octets = |(credit, uid): &(f64, u32)| [&uid.to_be_bytes()[..], &credit.to_be_bytes()[..]].concat();
        left.iter().take(MOST_USERS).flat_map(octets).collect()
    }

    /// Goes on with the books of another, who need not be believed: at worst somebody has no message for a minute.
    pub fn go_on(octets: &[u8], now: Instant) -> Ledger {
        let page = |user: &[u8]| {
            let (uid, credit) = user.split_first_chunk()?;
            let credit = f64::from_be_bytes(credit.try_into().ok()?).max(0.0);
            Some((u32::from_be_bytes(*uid), Page { connections: 0, credit, counted: now }))
        };
        Ledger { users: octets.chunks_exact(USER).filter_map(page).collect(), ..Ledger::default() }
    }

    fn page(&mut self, uid: u32, quota: &Quota, now: Instant) -> &mut Page {
        let full = f64::from(quota.rate);
        let page = self.users.entry(uid).or_insert(Page { connections: 0, credit: full, counted: now });
        let minutes = now.saturating_duration_since(page.counted).as_secs_f64() / MINUTE.as_secs_f64();
        if !self.is_handed_over {
            page.credit = (page.credit + full * minutes).min(full);
            page.counted = now;
        }
        page
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Busy => "too many callers, try again",
            Refusal::Connections => "too many connections of yours, try again",
            Refusal::Rate => "too many messages of yours in this minute, try again",
            Refusal::Queued => "too many messages of yours wait, try again",
        })
    }
}

impl std::error::Error for Refusal {}

impl Explain for Refusal {
    fn exit(&self) -> Exit {
        Exit::TempFail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota() -> Quota {
        Quota { rate: 60, size: 1, recipients: 1, queued: 1, connections: 2 }
    }

    #[test]
    fn a_minute_has_so_many_messages_and_they_come_back_evenly() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        for _ in 0..60 {
            assert_eq!(ledger.message(33, &quota(), start), Ok(()));
        }
        assert_eq!(ledger.message(33, &quota(), start), Err(Refusal::Rate));
        assert_eq!(ledger.message(34, &quota(), start), Ok(()), "nobody pays for another");
        let later = start + Duration::from_millis(1500);
        assert_eq!(ledger.message(33, &quota(), later), Ok(()));
        assert_eq!(ledger.message(33, &quota(), later), Err(Refusal::Rate));
        for _ in 0..1000 {
            assert_eq!(ledger.message(0, &quota(), start), Ok(()));
        }
    }

    #[test]
    fn a_change_of_books_gives_nobody_more() {
        let (mut old, now) = (Ledger::default(), Instant::now());
        old.connect(33, &quota(), now).unwrap();
        for uid in [33, 34] {
            (0..50).for_each(|_| old.message(uid, &quota(), now).unwrap());
        }
        let mut new = Ledger::go_on(&old.hand_over(&quota(), now), now);
        let later = now + Duration::from_millis(500);
        let taken =
            |ledger: &mut Ledger, uid| (0..99).take_while(|_| ledger.message(uid, &quota(), now).is_ok()).count();
        assert_eq!([33, 34, 35].map(|uid| taken(&mut new, uid)), [9, 10, 60]);
        assert_eq!([33, 34].map(|uid| taken(&mut old, uid)), [1, 0]);
        assert_eq!(old.message(33, &quota(), later + MINUTE), Err(Refusal::Rate), "nothing refills");
        for uid in 0..1000 {
            let _ = new.message(uid, &quota(), now);
        }
        assert!(new.hand_over(&quota(), now).len() < 4096);
        let nonsense = [[0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0].as_slice(), &[1; 5]].concat();
        assert_eq!(taken(&mut Ledger::go_on(&nonsense, now), 7), 0);
    }

    #[test]
    fn a_user_has_so_many_connections_and_root_always_finds_a_place() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        for wanted in [Ok(()), Ok(()), Err(Refusal::Connections)] {
            assert_eq!(ledger.connect(33, &quota(), now), wanted);
        }
        ledger.disconnect(33);
        assert_eq!(ledger.connect(33, &quota(), now), Ok(()));
        for uid in 1000..2000 {
            let _ = ledger.connect(uid, &quota(), now);
        }
        assert_eq!(ledger.connect(34, &quota(), now), Err(Refusal::Busy));
        assert_eq!(ledger.connect(0, &quota(), now), Ok(()));
        ledger.forget(now + MINUTE);
        assert!(ledger.users.contains_key(&33), "who is connected is not forgotten");
    }
}
