//! The name of an entry. Knows how names sort and how a bounce is named after its original; whether a name is free is
//! found out by linking it.

use crate::clock::Moment;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Hexadecimal digits of the whole, and of its first part, the time.
const DIGITS: usize = 24;
const TIME_DIGITS: usize = 14;

/// New ids leave the upper half of the second part free for the ids derived from them, which must sort behind.
const NEW: u64 = (1 << 39) - 1;
const DERIVED: u64 = (1 << 38) - 1;
const SECOND_PART: u64 = (1 << 40) - 1;

/// The name of an entry: 24 upper-case hexadecimal digits, 14 of them microseconds since 1970, 10 random. Their order
/// is the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(String);

impl QueueId {
    /// A new id for a message that arrived at this moment.
    pub fn new(created: Moment) -> QueueId {
        // The standard library seeds this from getrandom(2), else from /dev/urandom.
        let random = RandomState::new().hash_one(std::process::id());
        QueueId::from_parts(created.0, random & NEW)
    }

    /// The id of what is made once for `original`: the same arguments give the same id. It sorts behind `original`,
    /// so that a queue run meets the original first and finds its bounce already there.
    pub fn derived(original: &QueueId, tag: &str) -> QueueId {
        let (time, random) = original.parts();
        let hash = fnv1a([original.0.as_bytes(), b" ", tag.as_bytes()].into_iter().flatten());
        QueueId::from_parts(time, (random + 1 + (hash & DERIVED)) & SECOND_PART)
    }

    /// Reads an id; `None` for anything else, such as the name of a file that is not ours.
    pub fn parse(text: &str) -> Option<QueueId> {
        let good = text.len() == DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
        good.then(|| QueueId(text.to_string()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_parts(time: u64, random: u64) -> QueueId {
        let time = time & ((1 << (4 * TIME_DIGITS)) - 1);
        QueueId(format!("{time:014X}{random:010X}"))
    }

    fn parts(&self) -> (u64, u64) {
        let (time, random) = self.0.split_at(TIME_DIGITS);
        let number = |digits| u64::from_str_radix(digits, 16).unwrap_or_default();
        (number(time), number(random))
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// FNV-1a: the same in every release, which the standard library's hashers do not promise.
fn fnv1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Moment = Moment(1_795_529_045_123_456);

    #[test]
    fn an_id_is_24_digits_that_can_be_read_back() {
        let id = QueueId::new(MOMENT);
        assert_eq!(&id.as_str()[..14], "0661062EEB2180");
        assert_eq!(QueueId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn foreign_names_are_not_ids() {
        for name in ["", ".", "..", "../x", ".tmp.000661ABCDEF0123456789AB", "0661abcdef0123456789abcd", "VERSION"] {
            assert_eq!(QueueId::parse(name), None, "{name}");
        }
        assert_eq!(QueueId::parse(&"0".repeat(25)), None);
    }

    #[test]
    fn later_arrivals_sort_behind_and_no_two_are_the_same() {
        let mut ids: Vec<QueueId> = (0..2000).map(|n| QueueId::new(Moment(MOMENT.0 + n / 4))).collect();
        assert!(ids.chunks(4).map(|four| four.iter().max()).is_sorted());
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 2000);
    }

    #[test]
    fn a_derived_id_is_always_the_same_and_sorts_behind_its_original() {
        for _ in 0..1000 {
            let original = QueueId::new(MOMENT);
            let bounce = QueueId::derived(&original, "bounce");
            assert_eq!(bounce, QueueId::derived(&original, "bounce"));
            assert_ne!(bounce, QueueId::derived(&original, "delay"));
            assert!(bounce > original, "{bounce} {original}");
            assert_eq!(bounce.as_str().len(), DIGITS);
            assert_eq!(bounce.as_str()[..TIME_DIGITS], original.as_str()[..TIME_DIGITS]);
        }
    }

    #[test]
    fn the_hash_stays_the_same_for_ever() {
        let original = QueueId::parse("06610306F68E400123456789").unwrap();
        assert_eq!(QueueId::derived(&original, "bounce").as_str(), "06610306F68E403B25218F05");
    }
}
