//! What a spooler says of itself when it is asked over its socket, and how its checks are written there: a line each,
//! their parts between tabs.

use super::super::context::Context;
use super::check::{Check, Group, Mark};
use super::spool;
use crate::diagnostic::printable;
use crate::exit::Exit;
use crate::mail::header::Header;
use crate::route;
use crate::spool::Spool;

/// The spooler's side. A user hears whether his mail would be taken and go; root hears all of the spool.
pub fn lines(context: &Context, uid: u32) -> String {
    let mut checks = vec![account(context)];
    if uid == 0 {
        checks.extend(spool::checks(context));
    } else {
        checks.extend(room(context));
    }
    checks.iter().map(line).collect()
}

/// Through whom mail goes.
fn account(context: &Context) -> Check {
    let account = match route::choose(&context.config, None, None, &Header::default()) {
        Ok(route) => route.account,
        Err(error) => {
            return Check::of(Group::Spooler, &error).because("the spooler has no account: it refuses all mail");
        }
    };
    let hold = Spool::existing(&context.config.spool).ok().flatten();
    let hold = hold.and_then(|spool| spool.recall(&account.name).hold);
    let subject = format!("account {}", account.name);
    match hold {
        None => Check::good(Group::Spooler, subject, "takes mail, and sends it"),
        Some(hold) => Check::warning(Group::Spooler, subject, format!("held: {}", hold.reason))
            .because("mail is taken and waits until the administrator has mended it")
            .fix("as root: mailchute doctor"),
    }
}

/// Whether the spool can take one more message.
fn room(context: &Context) -> Option<Check> {
    let full = |error: &dyn crate::diagnostic::Explain| {
        Check::of(Group::Spooler, error).because("the spooler can take no mail until the administrator has mended it")
    };
    match Spool::existing(&context.config.spool) {
        Ok(spool) => spool?.check_room().err().map(|error| full(&error)),
        Err(error) => Some(full(&error)),
    }
}

fn line(check: &Check) -> String {
    let status = match check.mark {
        Mark::Good => "ok".to_owned(),
        Mark::Warning => "warning".to_owned(),
        Mark::Bad(exit) => format!("error {}", exit.code()),
    };
    let cause = check.cause.as_deref().unwrap_or_default();
    let parts = [&status, &*check.subject, &*check.found, cause].into_iter();
    let parts = parts.chain(check.fixes.iter().map(String::as_str)).map(printable);
    parts.collect::<Vec<_>>().join("\t") + "\n"
}

/// The asker's side; what is no check is left out.
pub fn read(lines: &[String]) -> Vec<Check> {
    lines.iter().filter_map(|line| read_line(line)).collect()
}

fn read_line(line: &str) -> Option<Check> {
    let mut parts = line.split('\t');
    let (status, subject, found, cause) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let mark = match status {
        "ok" => Mark::Good,
        "warning" => Mark::Warning,
        _ => Mark::Bad(exit(status.strip_prefix("error ")?)),
    };
    let check = Check { mark, ..Check::good(Group::Spooler, subject, found) };
    let check = if cause.is_empty() { check } else { check.because(cause) };
    Some(parts.fold(check, |check, fix| check.fix(fix)))
}

fn exit(code: &str) -> Exit {
    let known = [Exit::Config, Exit::NoPerm, Exit::TempFail, Exit::IoErr, Exit::OsErr].into_iter();
    known.into_iter().find(|exit| exit.code().to_string() == code).unwrap_or(Exit::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_come_over_a_socket_as_they_are() {
        let checks = vec![
            Check::good(Group::Spooler, "", "fine"),
            Check::warning(Group::Spooler, "account a", "held: 535\t5.7.8").because("why").fix("one").fix("two"),
            Check::bad(Group::Spooler, "", "full", Exit::TempFail),
        ];
        let text: String = checks.iter().map(line).collect();
        let lines: Vec<String> = text.lines().map(String::from).collect();
        let mut wanted = checks.clone();
        wanted[1].found = "held: 535\\x095.7.8".into();
        assert_eq!(read(&lines), wanted);
        assert_eq!(read(&["nonsense".into(), "error\tx".into()]), []);
    }
}
