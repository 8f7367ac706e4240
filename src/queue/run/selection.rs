//! Which entries a run takes.

use crate::spool::{QueueId, Ticket};
use std::collections::HashSet;

/// Which entries a run takes; a text matches anywhere, in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    All,
    /// These and no others.
    These(HashSet<QueueId>),
    /// `-qI`
    Id(String),
    /// `-qR`
    Recipient(String),
    /// `-qS`
    Sender(String),
}

impl Selection {
    pub(super) fn takes_id(&self, id: &QueueId) -> bool {
        match self {
            Selection::Id(text) => contains(id.as_str(), text),
            Selection::These(ids) => ids.contains(id),
            Selection::All | Selection::Recipient(_) | Selection::Sender(_) => true,
        }
    }

    pub(super) fn takes(&self, ticket: &Ticket) -> bool {
        match self {
            Selection::All | Selection::These(_) | Selection::Id(_) => true,
            Selection::Recipient(text) => {
                ticket.envelope.recipients().iter().any(|to| contains(&to.mailbox.to_string(), text))
            }
            Selection::Sender(text) => contains(&ticket.envelope.reverse_path().to_string(), text),
        }
    }
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::bench::{Bench, mail};

    #[test]
    fn a_text_matches_anywhere_in_any_case() {
        let bench = Bench::new();
        let id = bench.deposit(mail("Me@web.example.org", &["bob@example.org", "Ann@x.example"]));
        let ticket = bench.peek(&id).ticket;
        let text = |text: &str| text.to_string();
        let cases = [
            (Selection::All, true),
            (Selection::Id(id.as_str()[2..9].to_lowercase()), true),
            (Selection::Id(text("Z")), false),
            (Selection::Recipient(text("ann@")), true),
            (Selection::Recipient(text("me@web")), false),
            (Selection::Sender(text("ME@WEB")), true),
            (Selection::Sender(text("bob")), false),
        ];
        for (selection, takes) in cases {
            assert_eq!(selection.takes_id(&id) && selection.takes(&ticket), takes, "{selection:?}");
        }
    }
}
