//! What an attempt says about the connection it was made on. Pure.

use crate::mail::outcome::{Attempt, Outcome, Stage, Trouble};

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The relay spoke about the message: on with the next one.
    Reached,
    /// The relay ended a connection that had carried messages before it heard of this one: the same message goes over
    /// a fresh one.
    Worn,
    /// The connection broke over this message, which waits; the next one goes over a fresh one.
    Lost,
    /// The account, or the way to it, fails: no more of it in this run.
    Down,
}

/// A worker's connection so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Messages it carried.
    pub messages: usize,
    /// Connections that broke over a message since the last one that was carried.
    pub losses: usize,
    /// One broke with several messages under way: for the rest of the run they go one by one.
    pub singly: bool,
}

/// Messages that may be under way at once. As many may be sent twice when a connection breaks, or we are killed.
pub const WINDOW: usize = 8;

impl Link {
    /// How many messages may be under way now: several only on a connection that has carried one.
    pub fn window(&self) -> usize {
        if self.messages > 0 && !self.singly { WINDOW } else { 1 }
    }
}

/// Messages that may break a connection one after the other before the relay, not they, is taken to be at fault. One
/// poisoned message so never blocks the others, and a dying relay is not tried a thousand times.
pub const LOSSES: usize = 5;

/// Judges an attempt, and keeps the account of the connection.
pub fn judge(attempt: &Attempt, link: &mut Link) -> Verdict {
    let verdict = match &attempt.trouble {
        None => Verdict::Reached,
        Some(Trouble::Held(_)) => Verdict::Down,
        Some(Trouble::Waiting(failure)) => match failure.stage {
            Stage::Rcpt | Stage::Data => lost(link),
            _ if link.messages > 0 && untouched(attempt) => Verdict::Worn,
            Stage::Mail => lost(link),
            _ => Verdict::Down,
        },
    };
    *link = match verdict {
        Verdict::Reached => Link { messages: link.messages + 1, losses: 0, ..*link },
        Verdict::Lost => Link { messages: 0, losses: link.losses + 1, ..*link },
        Verdict::Worn | Verdict::Down => Link { messages: 0, ..*link },
    };
    verdict
}

/// Whether no recipient was decided: only then may the same relay hear of the message as if nothing had been.
fn untouched(attempt: &Attempt) -> bool {
    attempt.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Deferred(_)))
}

fn lost(link: &Link) -> Verdict {
    if link.losses + 1 < LOSSES { Verdict::Lost } else { Verdict::Down }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::outcome::{Failure, Reply};

    fn attempt(trouble: Option<fn(Failure) -> Trouble>, stage: Stage) -> Attempt {
        let failure = Failure { stage, relay: "r".into(), reply: None, cause: "closed".into(), hint: None };
        Attempt { outcomes: Vec::new(), trouble: trouble.map(|kind| kind(failure)) }
    }

    #[test]
    fn where_it_broke_decides_what_is_next() {
        let waiting: Option<fn(Failure) -> Trouble> = Some(Trouble::Waiting);
        let held: Option<fn(Failure) -> Trouble> = Some(Trouble::Held);
        // trouble, stage, messages carried before, verdict
        let cases = [
            (None, Stage::Data, 0, Verdict::Reached),
            (waiting, Stage::Connect, 0, Verdict::Down),
            (waiting, Stage::Greeting, 3, Verdict::Worn),
            (waiting, Stage::Mail, 0, Verdict::Lost),
            (waiting, Stage::Mail, 100, Verdict::Worn),
            (waiting, Stage::Rcpt, 100, Verdict::Lost),
            (waiting, Stage::Data, 0, Verdict::Lost),
            (held, Stage::Auth, 0, Verdict::Down),
            (held, Stage::Data, 7, Verdict::Down),
        ];
        for (trouble, stage, messages, verdict) in cases {
            let mut link = Link { messages, ..Link::default() };
            assert_eq!(judge(&attempt(trouble, stage), &mut link), verdict, "{stage} {messages}");
        }
    }

    #[test]
    fn a_message_of_which_some_is_accepted_is_not_sent_again_as_a_whole() {
        let accepted = Outcome::Accepted(Reply { code: 250, lines: Vec::new() });
        let attempt = Attempt { outcomes: vec![accepted], ..attempt(Some(Trouble::Waiting), Stage::Mail) };
        assert_eq!(judge(&attempt, &mut Link { messages: 3, ..Link::default() }), Verdict::Lost);
    }

    #[test]
    fn a_relay_that_breaks_over_every_message_is_left_alone() {
        let mut link = Link::default();
        let broken = attempt(Some(Trouble::Waiting), Stage::Data);
        let verdicts: Vec<Verdict> = (0..LOSSES).map(|_| judge(&broken, &mut link)).collect();
        assert_eq!(verdicts[..LOSSES - 1], [Verdict::Lost; LOSSES - 1]);
        assert_eq!(verdicts[LOSSES - 1], Verdict::Down);
    }

    #[test]
    fn a_worn_connection_is_replaced_once() {
        let mut link = Link { messages: 9, ..Link::default() };
        let closed = attempt(Some(Trouble::Waiting), Stage::Connect);
        assert_eq!(judge(&closed, &mut link), Verdict::Worn);
        assert_eq!(judge(&closed, &mut link), Verdict::Down);
    }

    #[test]
    fn several_go_at_once_only_where_one_has_gone_and_none_has_broken() {
        let carried = Link { messages: 1, ..Link::default() };
        assert_eq!((Link::default().window(), carried.window()), (1, WINDOW));
        assert_eq!(Link { singly: true, ..carried }.window(), 1);
    }
}
