//! What follows from an attempt: who is told, whether the entry is done, when it is tried again. Pure; `conclude`
//! carries it out, in the order that loses nothing.

use super::retry::{self, Policy};
use crate::clock::Moment;
use crate::exit::Exit;
use crate::mail::bounce::{self, Action};
use crate::mail::envelope::ReversePath;
use crate::mail::outcome::{Attempt, Outcome, Stage, Trouble};
use crate::spool::{Progress, State, Ticket};
use std::hash::Hash;
use std::time::Duration;

/// Whether somebody hears the result from us directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The program that handed the message in waits for our exit status.
    Waits,
    /// A queue run, or a detached child.
    Gone,
}

/// What is known when an attempt is over.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub ticket: &'a Ticket,
    /// With the attempt's outcomes recorded, and the tries and the age from before it.
    pub progress: &'a Progress,
    /// `None` when nobody was left to try and only an earlier failure is still to be told.
    pub attempt: Option<&'a Attempt>,
    pub caller: Caller,
    pub now: Moment,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Recipients to give up now because the message is too old.
    pub expired: Vec<usize>,
    /// Failed recipients that one bounce tells of; durable before anything else goes.
    pub bounce: Vec<usize>,
    /// Failed recipients of whom nobody wants to hear.
    pub unsaid: Vec<usize>,
    /// Waiting recipients that one delay warning tells of, and until when they are tried.
    pub warn: Option<(Vec<usize>, Moment)>,
    pub then: Then,
    /// For the entry that stays, also when its bounce could not be made durable.
    pub schedule: Schedule,
    /// The status for a caller whose message nobody takes.
    pub refused: Option<Exit>,
}

/// Where the entry goes once everybody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Remove,
    /// To `dead/`: nobody can be told by mail.
    Bury,
    /// Some recipients still wait.
    Keep,
}

/// What the queue knows of an entry that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub attempts: u32,
    pub next: Moment,
    pub age: Duration,
    pub last: Moment,
    pub warned: bool,
}

/// Decides what follows. `id` is the entry's, for the jitter.
pub fn settle(policy: &Policy, id: &impl Hash, case: &Case) -> Settlement {
    let progress = case.progress;
    let trouble = case.attempt.and_then(|attempt| attempt.trouble.as_ref());
    // Waiting for a person to mend an account is no try and ages nothing.
    let counted = if matches!(trouble, Some(Trouble::Held(_))) { Counted::No } else { Counted::Yes };
    let mut schedule = schedule(policy, id, progress, counted, case.now);

    let mut waiting = progress.which(State::Pending);
    let mut failed = progress.which(State::Failed);
    let mut expired = Vec::new();
    if counted == Counted::Yes && !waiting.is_empty() && retry::expired(policy, schedule.age, schedule.attempts) {
        expired.append(&mut waiting);
        failed.extend(&expired);
        failed.sort_unstable();
    }
    let warn = warning(policy, case, &waiting, schedule.age);
    schedule.warned |= warn.is_some();
    let settlement = Settlement {
        bounce: Vec::new(),
        unsaid: Vec::new(),
        warn,
        then: if waiting.is_empty() { Then::Remove } else { Then::Keep },
        schedule,
        refused: None,
        expired,
    };

    if case.caller == Caller::Waits && failed.len() == progress.recipients.len() {
        return Settlement { then: Then::Bury, refused: Some(refusal(case.attempt)), ..settlement };
    }
    let recipients = case.ticket.envelope.recipients();
    let wanted = |index: &usize| recipients.get(*index).is_none_or(|to| bounce::wanted(to, Action::Rejected));
    let (tell, unsaid): (Vec<usize>, Vec<usize>) = failed.into_iter().partition(wanted);
    match case.ticket.envelope.reverse_path() {
        ReversePath::Mailbox(_) => Settlement { bounce: tell, unsaid, ..settlement },
        ReversePath::Null if tell.is_empty() || settlement.then == Then::Keep => Settlement { unsaid, ..settlement },
        ReversePath::Null => Settlement { unsaid, then: Then::Bury, ..settlement },
    }
}

fn schedule(policy: &Policy, id: &impl Hash, progress: &Progress, counted: Counted, now: Moment) -> Schedule {
    if counted == Counted::No {
        let Progress { attempts, next, age, last, warned, .. } = *progress;
        return Schedule { attempts, next, age, last, warned };
    }
    let attempts = progress.attempts.saturating_add(1);
    let next = now.after(retry::next(policy, attempts, id));
    Schedule { attempts, next, age: retry::age(policy, progress, now), last: now, warned: progress.warned }
}

/// A delay is told only when the relay put this message off: while no relay can be reached, the warning would come
/// with the message itself.
fn warning(policy: &Policy, case: &Case, waiting: &[usize], age: Duration) -> Option<(Vec<usize>, Moment)> {
    let reached = case.attempt.is_some_and(|attempt| attempt.trouble.is_none());
    if !reached || *case.ticket.envelope.reverse_path() == ReversePath::Null {
        return None;
    }
    let until = case.now.after(policy.expire.saturating_sub(age));
    let recipients = case.ticket.envelope.recipients();
    let wanted = |to| bounce::wanted(to, Action::Delayed { until });
    let told = waiting.iter().copied().filter(|index| recipients.get(*index).is_some_and(wanted));
    let told: Vec<usize> = told.collect();
    (!told.is_empty() && retry::late(policy, age, case.progress)).then_some((told, until))
}

/// `NoUser` when it was the recipients that were refused; `Unavailable` when it was the sender or the message.
fn refusal(attempt: Option<&Attempt>) -> Exit {
    let outcomes = attempt.map_or(&[][..], |attempt| &attempt.outcomes);
    let at_recipient =
        |outcome: &Outcome| matches!(outcome, Outcome::Rejected(failure) if failure.stage == Stage::Rcpt);
    if outcomes.iter().all(at_recipient) { Exit::NoUser } else { Exit::Unavailable }
}

/// Whether a look at an entry counts as a try.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::address::Mailbox;
    use crate::mail::envelope::{Envelope, Notify, Recipient};
    use crate::mail::outcome::{Failure, Reply};
    use crate::spool::Status;

    const HOUR: u64 = 3600;

    /// A message to as many recipients as there are states: `N`, `D`, `F` or `B` each.
    struct Scene {
        ticket: Ticket,
        progress: Progress,
        attempt: Option<Attempt>,
        caller: Caller,
    }

    fn scene(states: &str) -> Scene {
        let recipients = (0..states.len()).map(|number| mailbox(&format!("r{number}@example.org")));
        let recipients = recipients.map(Recipient::new).collect();
        let statuses = states.chars().map(|letter| Status {
            state: match letter {
                'N' => State::Pending,
                'D' => State::Accepted,
                'F' => State::Failed,
                _ => State::Bounced,
            },
            reason: String::new(),
            at: Moment::default(),
        });
        Scene {
            ticket: Ticket {
                envelope: Envelope::new(ReversePath::Mailbox(mailbox("me@example.org")), recipients).unwrap(),
                account: None,
                uid: 0,
                created: start(),
                message_id: String::new(),
            },
            progress: Progress {
                attempts: 0,
                next: start(),
                age: Duration::ZERO,
                last: start(),
                held: false,
                warned: false,
                recipients: statuses.collect(),
            },
            attempt: Some(Attempt { outcomes: Vec::new(), trouble: None }),
            caller: Caller::Gone,
        }
    }

    impl Scene {
        fn settle(&self) -> Settlement {
            let Scene { ticket, progress, attempt, caller } = self;
            let case = Case { ticket, progress, attempt: attempt.as_ref(), caller: *caller, now: start() };
            settle(&Policy::default(), &"A", &case)
        }

        fn aged(mut self, hours: u64, attempts: u32) -> Scene {
            self.progress.age = Duration::from_secs(hours * HOUR);
            self.progress.attempts = attempts;
            self
        }

        fn from(mut self, reverse_path: ReversePath) -> Scene {
            self.ticket.envelope = self.ticket.envelope.with_reverse_path(reverse_path);
            self
        }

        fn notify(mut self, notify: Notify) -> Scene {
            let reverse_path = self.ticket.envelope.reverse_path().clone();
            let asked = |to: &Recipient| Recipient { notify: Some(notify), ..to.clone() };
            let recipients = self.ticket.envelope.recipients().iter().map(asked).collect();
            self.ticket.envelope = Envelope::new(reverse_path, recipients).unwrap();
            self
        }

        fn after(mut self, trouble: Option<Trouble>, outcomes: Vec<Outcome>) -> Scene {
            self.attempt = Some(Attempt { outcomes, trouble });
            self
        }
    }

    fn start() -> Moment {
        Moment::from_seconds(1_800_000_000)
    }

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn failure(stage: Stage) -> Failure {
        let reply = Some(Reply { code: 550, lines: vec!["5.1.1 no".into()] });
        Failure { stage, relay: "relay.example".into(), reply, cause: String::new(), hint: None }
    }

    #[test]
    fn what_the_states_ask_for() {
        // states, caller, bounce, then
        let cases: [(&str, Caller, &[usize], Then); 12] = [
            ("D", Caller::Gone, &[], Then::Remove),
            ("DDB", Caller::Gone, &[], Then::Remove),
            ("N", Caller::Gone, &[], Then::Keep),
            ("DN", Caller::Waits, &[], Then::Keep),
            ("F", Caller::Gone, &[0], Then::Remove),
            ("DFF", Caller::Gone, &[1, 2], Then::Remove),
            ("DFN", Caller::Gone, &[1], Then::Keep),
            ("BFN", Caller::Gone, &[1], Then::Keep),
            ("F", Caller::Waits, &[], Then::Bury),
            ("FF", Caller::Waits, &[], Then::Bury),
            ("DF", Caller::Waits, &[1], Then::Remove),
            ("NF", Caller::Waits, &[1], Then::Keep),
        ];
        for (states, caller, bounce, then) in cases {
            let settlement = Scene { caller, ..scene(states) }.settle();
            assert_eq!(settlement.bounce, bounce, "{states} {caller:?}");
            assert_eq!(settlement.then, then, "{states} {caller:?}");
            assert_eq!(settlement.refused.is_some(), then == Then::Bury, "{states} {caller:?}");
        }
    }

    #[test]
    fn a_message_with_no_reverse_path_is_buried_when_nobody_is_left_to_try() {
        for (states, then) in [("D", Then::Remove), ("F", Then::Bury), ("DF", Then::Bury), ("NF", Then::Keep)] {
            let settlement = scene(states).from(ReversePath::Null).settle();
            assert_eq!((settlement.then, settlement.bounce.len()), (then, 0), "{states}");
        }
        let expired = scene("N").from(ReversePath::Null).aged(200, 40).settle();
        assert_eq!((expired.then, expired.expired), (Then::Bury, vec![0]));
    }

    #[test]
    fn the_exit_status_says_whether_the_recipients_or_the_message_were_refused() {
        let cases = [
            (vec![Stage::Rcpt, Stage::Rcpt], Exit::NoUser),
            (vec![Stage::Rcpt, Stage::Data], Exit::Unavailable),
            (vec![Stage::Mail, Stage::Mail], Exit::Unavailable),
        ];
        for (stages, exit) in cases {
            let outcomes = stages.into_iter().map(|stage| Outcome::Rejected(failure(stage))).collect();
            let scene = Scene { caller: Caller::Waits, ..scene("FF") }.after(None, outcomes);
            assert_eq!(scene.settle().refused, Some(exit));
        }
    }

    #[test]
    fn notify_decides_who_is_told() {
        let never = scene("FF").notify(Notify::NEVER).settle();
        assert_eq!((never.bounce.len(), never.unsaid, never.then), (0, vec![0, 1], Then::Remove));
        let failure = scene("F").notify(Notify { failure: true, ..Notify::NEVER }).settle();
        assert_eq!(failure.bounce, [0]);
    }

    #[test]
    fn an_old_message_expires_and_is_bounced() {
        let settlement = scene("DNF").aged(121, 40).settle();
        assert_eq!(settlement.expired, [1]);
        assert_eq!(settlement.bounce, [1, 2]);
        assert_eq!(settlement.then, Then::Remove);
    }

    #[test]
    fn a_held_account_costs_a_message_nothing() {
        let mut scene = scene("N").aged(200, 40).after(Some(Trouble::Held(failure(Stage::Auth))), Vec::new());
        scene.progress.last = Moment::default();
        let settlement = scene.settle();
        let Progress { attempts, next, age, last, warned, .. } = scene.progress;
        assert_eq!(settlement.schedule, Schedule { attempts, next, age, last, warned });
        assert_eq!((settlement.then, settlement.expired.len(), settlement.warn), (Then::Keep, 0, None));
    }

    #[test]
    fn a_try_makes_the_next_wait_longer() {
        let settlement = scene("N").aged(1, 4).settle();
        let wait = settlement.schedule.next.since(start());
        assert_eq!(settlement.schedule.attempts, 5);
        assert!(wait >= Duration::from_secs(16 * 48) && wait <= Duration::from_secs(16 * 72), "{wait:?}");
        assert_eq!(settlement.schedule.last, start());
    }

    #[test]
    fn a_delay_is_told_once_and_only_when_the_relay_was_reached() {
        let told = scene("DN").aged(5, 9).settle();
        assert_eq!(told.warn, Some((vec![1], start().after(Duration::from_secs(115 * HOUR)))));
        assert!(told.schedule.warned);
        let mut again = scene("DN").aged(5, 9);
        again.progress.warned = true;
        let silent = [
            scene("N").aged(3, 9),
            again,
            scene("N").aged(5, 9).from(ReversePath::Null),
            scene("N").aged(5, 9).notify(Notify { failure: true, ..Notify::NEVER }),
            scene("N").aged(5, 9).after(Some(Trouble::Waiting(failure(Stage::Connect))), Vec::new()),
        ];
        for scene in silent {
            assert_eq!(scene.settle().warn, None);
        }
    }

    #[test]
    fn a_failure_still_to_be_told_is_told_without_a_try() {
        let scene = Scene { attempt: None, ..scene("DF") };
        assert_eq!((scene.settle().bounce, scene.settle().then), (vec![1], Then::Remove));
    }
}
