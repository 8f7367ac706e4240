//! The findings as a person reads them, and as JSON. Pure.

use super::check::{Check, Mark};
use crate::diagnostic::printable;
use crate::queue::listing::json::Value;
use std::fmt::Write;

/// The checks of one account, or those of this host.
pub struct Part {
    pub account: Option<String>,
    pub checks: Vec<Check>,
}

/// One line for each check, then its cause and what to do; a verdict at the end.
pub fn text(parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        if let Some(account) = &part.account {
            let _ = writeln!(text, "\naccount {account}");
        }
        part.checks.iter().for_each(|check| lines(&mut text, check));
    }
    let _ = writeln!(text, "\n{}", verdict(parts));
    text
}

fn lines(text: &mut String, check: &Check) {
    let mark = match check.mark {
        Mark::Good => '✓',
        Mark::Warning => '!',
        Mark::Bad(_) => '✗',
    };
    let subject = if check.subject.is_empty() { String::new() } else { format!(" {}:", check.subject) };
    let _ = writeln!(text, "{mark} {}:{} {}", check.group, printable(&subject), printable(&check.found));
    for (name, words) in
        check.cause.iter().map(|cause| ("cause", cause)).chain(check.fixes.iter().map(|fix| ("fix", fix)))
    {
        let _ = writeln!(text, "    {name}: {}", printable(words));
    }
}

fn verdict(parts: &[Part]) -> String {
    let checks = || parts.iter().flat_map(|part| &part.checks);
    let faults = checks().filter(|check| check.is_bad()).count();
    let warnings = checks().filter(|check| check.mark == Mark::Warning).count();
    match (faults, warnings) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => format!("mail goes, with {}", counted(warnings, "warning")),
        (faults, 0) => counted(faults, "fault"),
        (faults, warnings) => format!("{}, {}", counted(faults, "fault"), counted(warnings, "warning")),
    }
}

fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// An array, one check a line.
pub fn json(parts: &[Part]) -> String {
    let rows = parts.iter().flat_map(|part| part.checks.iter().map(move |check| object(part, check).to_string()));
    format!("[\n{}\n]\n", rows.collect::<Vec<_>>().join(",\n"))
}

fn object(part: &Part, check: &Check) -> Value {
    let status = match check.mark {
        Mark::Good => "ok",
        Mark::Warning => "warning",
        Mark::Bad(_) => "error",
    };
    Value::Object(vec![
        ("account", Value::optional(part.account.as_deref())),
        ("group", Value::text(&check.group.to_string())),
        ("subject", Value::text(&check.subject)),
        ("status", Value::text(status)),
        ("found", Value::text(&check.found)),
        ("cause", Value::optional(check.cause.as_deref())),
        ("fixes", Value::List(check.fixes.iter().map(|fix| Value::text(fix)).collect())),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::check::Group;
    use super::*;
    use crate::exit::Exit;

    fn parts() -> Vec<Part> {
        let port = Check::bad(Group::Port, "587 on 192.0.2.1", "timed\x1bout", Exit::Unavailable);
        vec![
            Part { account: None, checks: vec![Check::good(Group::Clock, "", "now")] },
            Part { account: Some("work".into()), checks: vec![port.because("blocked").fix("port = 465")] },
        ]
    }

    #[test]
    fn a_person_reads_a_line_for_each_check_then_its_cause_and_what_to_do() {
        let wanted = "✓ clock: now\n\naccount work\n✗ port: 587 on 192.0.2.1: timed\\x1bout\n    cause: blocked\n    \
                      fix: port = 465\n\n1 fault\n";
        assert_eq!(text(&parts()), wanted);
    }

    #[test]
    fn a_program_reads_objects() {
        let wanted = "[\n{\"account\": null, \"group\": \"clock\", \"subject\": \"\", \"status\": \"ok\", \"found\": \
                      \"now\", \"cause\": null, \"fixes\": []},\n{\"account\": \"work\", \"group\": \"port\", \
                      \"subject\": \"587 on 192.0.2.1\", \"status\": \"error\", \"found\": \"timed\\u001bout\", \
                      \"cause\": \"blocked\", \"fixes\": [\"port = 465\"]}\n]\n";
        assert_eq!(json(&parts()), wanted);
    }
}
