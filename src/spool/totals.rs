//! What has become of messages since the spool was made, counted by processes that live for milliseconds: one small
//! file of numbers, changed in place by whoever holds its lock. A count, never more: what cannot be written in a moment
//! is not counted, and no message waits for it.

use super::Spool;
use super::claim;
use super::directory::{Access, Found};
use super::durable;
use super::error::SpoolError;
use crate::clock::Moment;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

/// Messages taken, fates of recipients, failures of accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages made durable.
    pub queued: u64,
    pub accepted: u64,
    /// Once for each try.
    pub deferred: u64,
    pub rejected: u64,
    pub expired: u64,
    pub bounced: u64,
    /// Tries that held an account.
    pub held: u64,
    /// When a recipient was last accepted; 1970 for never.
    pub last_success: Moment,
}

/// The file.
pub const TOTALS: &str = "totals";
/// The words of its lines, in order.
const WORDS: [&str; 8] = ["queued", "accepted", "deferred", "rejected", "expired", "bounced", "held", "last-success"];
/// How often the lock is tried, and how far apart.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);

impl Totals {
    fn numbers(&self) -> [u64; 8] {
        let Totals { queued, accepted, deferred, rejected, expired, bounced, held, last_success } = *self;
        [queued, accepted, deferred, rejected, expired, bounced, held, last_success.seconds()]
    }

    fn of([queued, accepted, deferred, rejected, expired, bounced, held, last]: [u64; 8]) -> Totals {
        let last_success = Moment::from_seconds(last);
        Totals { queued, accepted, deferred, rejected, expired, bounced, held, last_success }
    }

    fn and(&self, more: &Totals) -> Totals {
        let (mut numbers, more) = (self.numbers(), more.numbers());
        for (number, more) in numbers.iter_mut().zip(more).take(WORDS.len() - 1) {
            *number = number.saturating_add(more);
        }
        Totals {
            last_success: self.last_success.max(Moment::from_seconds(more[WORDS.len() - 1])),
            ..Totals::of(numbers)
        }
    }

    /// Lines of a fixed width, so that the file never changes its size.
    fn write(&self) -> String {
        WORDS.iter().zip(self.numbers()).map(|(word, number)| format!("{word} {number:020}\n")).collect()
    }

    /// What cannot be read counts as nothing.
    fn read(text: &str) -> Totals {
        let number = |word: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        Totals::of(WORDS.map(number))
    }
}

impl Spool {
    /// The totals so far.
    pub fn totals(&self) -> Totals {
        match self.root.find(TOTALS, Access::Look) {
            Ok(Found::Ours(file, _)) => read(&file).unwrap_or_default(),
            _ => Totals::default(),
        }
    }

    /// Adds to the totals, unless the file is in other hands for longer than a moment.
    pub fn count(&self, more: &Totals) -> Result<(), SpoolError> {
        let add = || -> io::Result<()> {
            let Some(file) = self.counting_file()? else { return Ok(()) };
            for _ in 0..TRIES {
                if claim::lock(&file)? {
                    let totals = read(&file)?.and(more);
                    return file.write_all_at(totals.write().as_bytes(), 0);
                }
                thread::sleep(PAUSE);
            }
            Ok(())
        };
        add().map_err(SpoolError::io("counting", &self.root.path().join(TOTALS)))
    }

    fn counting_file(&self) -> io::Result<Option<File>> {
        if let Found::Nothing = self.root.find(TOTALS, Access::Change)? {
            durable::create_empty(&self.root, TOTALS)?;
        }
        match self.root.find(TOTALS, Access::Change)? {
            Found::Ours(file, _) => Ok(Some(file)),
            Found::Nothing | Found::Foreign(_) => Ok(None),
        }
    }
}

fn read(file: &File) -> io::Result<Totals> {
    let mut text = [0; 1024];
    let mut filled = 0;
    while filled < text.len() {
        match file.read_at(&mut text[filled..], filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(Totals::read(&String::from_utf8_lossy(&text[..filled])))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "plants what others would")]
mod tests {
    use super::super::tests::Room;
    use super::*;

    #[test]
    fn what_many_count_at_once_is_counted() {
        let room = Room::make();
        assert_eq!(room.spool.totals(), Totals::default());
        let one = Totals { accepted: 1, deferred: 2, last_success: Moment::from_seconds(7), ..Totals::default() };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..20).for_each(|_| room.spool.count(&one).unwrap()));
            }
        });
        let totals = room.spool.totals();
        assert_eq!((totals.accepted, totals.deferred, totals.queued), (160, 320, 0));
        assert_eq!(totals.last_success, Moment::from_seconds(7));
    }

    #[test]
    fn a_damaged_file_begins_anew_and_a_foreign_one_is_left_alone() {
        let room = Room::make();
        let one = Totals { bounced: 1, ..Totals::default() };
        room.spool.count(&one).unwrap();
        for text in ["", "bounced x\n", "bounced 99999999999999999999999\n", "\u{0}\u{0}"] {
            std::fs::write(room.path(TOTALS), text).unwrap();
            room.spool.count(&one).unwrap();
            assert_eq!(room.spool.totals(), one, "{text:?}");
        }
        std::fs::remove_file(room.path(TOTALS)).unwrap();
        let victim = room.folder.path().join("victim");
        std::fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, room.path(TOTALS)).unwrap();
        room.spool.count(&one).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    }
}
