//! The text that Prometheus reads: how the queue stands, and what has become of messages so far. Pure.

use super::condition::Condition;
use crate::clock::Moment;
use crate::spool::Totals;
use std::fmt::{Display, Write};

/// Writes it (<https://prometheus.io/docs/instrumenting/exposition_formats/>). `accounts` are all that are configured;
/// times are seconds since 1970, and one that is not known has no line.
pub fn render<'a>(
    condition: &Condition,
    totals: &Totals,
    accounts: impl Iterator<Item = &'a str>,
    now: Moment,
) -> String {
    let mut text = Text::default();
    text.one("queue_messages", "gauge", "Messages that wait in the queue.", condition.queued);
    if let Some(oldest) = condition.oldest {
        let help = "When the first message that waits was taken.";
        text.one("queue_oldest_timestamp_seconds", "gauge", help, oldest.seconds());
    }
    text.one("dead_messages", "gauge", "Messages that were given up and are still kept.", condition.dead);
    text.one("spool_full", "gauge", "Whether the disk has no room for another message.", u8::from(condition.full));
    text.head("account_held", "gauge", "Whether an account waits for a person.");
    for account in accounts {
        let held = u8::from(condition.held.iter().any(|held| held == account));
        text.line("account_held", &format!("{{account=\"{}\"}}", escaped(account)), held);
    }
    text.one("messages_total", "counter", "Messages made durable in the spool.", totals.queued);
    text.head("recipients_total", "counter", "What became of recipients; deferred once for each try.");
    for (outcome, count) in [
        ("accepted", totals.accepted),
        ("deferred", totals.deferred),
        ("rejected", totals.rejected),
        ("expired", totals.expired),
        ("bounced", totals.bounced),
    ] {
        text.line("recipients_total", &format!("{{outcome=\"{outcome}\"}}"), count);
    }
    text.one("account_failures_total", "counter", "Tries that a fault of the account ended.", totals.held);
    if totals.last_success > Moment::default() {
        let help = "When a recipient was last accepted.";
        text.one("last_success_timestamp_seconds", "gauge", help, totals.last_success.seconds());
    }
    text.one("last_run_timestamp_seconds", "gauge", "When the queue was last looked through.", now.seconds());
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP mailchute_{name} {help}\n# TYPE mailchute_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "mailchute_{name}{labels} {value}");
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_line() {
        let condition = Condition {
            queued: 2,
            oldest: Some(Moment::from_seconds(7)),
            held: vec!["work".into()],
            ..Condition::default()
        };
        let totals = Totals { accepted: 5, last_success: Moment::from_seconds(8), ..Totals::default() };
        let text = render(&condition, &totals, ["gmail", "work"].into_iter(), Moment::from_seconds(9));
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "mailchute_queue_messages 2",
                "mailchute_queue_oldest_timestamp_seconds 7",
                "mailchute_dead_messages 0",
                "mailchute_spool_full 0",
                "mailchute_account_held{account=\"gmail\"} 0",
                "mailchute_account_held{account=\"work\"} 1",
                "mailchute_messages_total 0",
                "mailchute_recipients_total{outcome=\"accepted\"} 5",
                "mailchute_recipients_total{outcome=\"deferred\"} 0",
                "mailchute_recipients_total{outcome=\"rejected\"} 0",
                "mailchute_recipients_total{outcome=\"expired\"} 0",
                "mailchute_recipients_total{outcome=\"bounced\"} 0",
                "mailchute_account_failures_total 0",
                "mailchute_last_success_timestamp_seconds 8",
                "mailchute_last_run_timestamp_seconds 9",
            ]
        );
        assert!(text.starts_with("# HELP mailchute_queue_messages Messages that wait in the queue.\n# TYPE "));
    }
}
