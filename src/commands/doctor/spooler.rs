//! The machine's spooler, for callers whose mail goes through it: whether it is there, serves this caller, and what it
//! says of itself.

use super::super::context::Context;
use super::super::handover::{self, Unmet};
use super::check::{Check, Group};
use super::health;
use crate::diagnostic::Explain;
use crate::exit::Exit;
use std::io::ErrorKind;

/// Nothing for a caller whose mail goes its own way.
pub fn checks(context: &Context) -> Vec<Check> {
    let socket = context.config.serve.socket.display().to_string();
    let Some(spooler) = handover::spooler(context) else {
        let none = Check::warning(Group::Spooler, socket, "is not there")
            .because("who has no account of his own sends through the machine's spooler, and there is none")
            .fix("as root: mailchute serve, or systemctl enable --now mailchute.socket mailchute-send.service");
        return if context.config.accounts.is_empty() { vec![none] } else { Vec::new() };
    };
    match spooler.examine() {
        Ok((greeting, lines)) => {
            let mut checks = vec![Check::good(Group::Spooler, socket, format!("answers: {greeting}"))];
            checks.extend(health::read(&lines));
            checks
        }
        Err(unmet) => vec![missed(&socket, &unmet)],
    }
}

fn missed(socket: &str, unmet: &Unmet) -> Check {
    match unmet {
        Unmet::Away(_, error) => {
            let check = Check::bad(Group::Spooler, socket, error.to_string(), Exit::TempFail);
            match error.kind() {
                ErrorKind::PermissionDenied => Check { mark: super::check::Mark::Bad(Exit::NoPerm), ..check }
                    .because("this user may not connect to the socket")
                    .fix("as root: the socket has mode 0666, and its folders 0755"),
                ErrorKind::WouldBlock | ErrorKind::TimedOut => check
                    .because("the spooler takes the call and says nothing: it hangs, or its disk does")
                    .fix("as root: systemctl restart mailchute.service, and look into its log"),
                _ => check
                    .because("no spooler runs: mail is refused until it does")
                    .fix("as root: systemctl start mailchute.socket mailchute-send.service, or mailchute serve"),
            }
        }
        Unmet::Declined(_, reply) if reply.code == 554 => {
            Check::bad(Group::Spooler, socket, format!("says {reply}"), Exit::NoPerm)
                .because("the spooler does not serve this user")
                .fix("as root: allow and deny in [serve]")
        }
        Unmet::Declined(_, reply) => {
            Check::bad(Group::Spooler, socket, format!("says {reply}"), Exit::TempFail).fix("try again in a minute")
        }
        Unmet::Lost(..) | Unmet::Selection => Check::bad(Group::Spooler, socket, unmet.to_string(), unmet.exit()),
    }
}
