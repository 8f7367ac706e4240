//! Permission through a browser (RFC 6749 section 4.1 with PKCE; RFC 8252): the address is shown, and the answer comes
//! to a port of this host, or from a person who pastes where the browser ended.

use super::loopback::{Door, Verdict, judge, target_of};
use crate::commands::Failed;
use crate::commands::setup::asker::Asker as Person;
use crate::diagnostic::printable;
use crate::http;
use crate::oauth::{Asker, Grant, OauthError, Proof};
use crate::process;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, BufRead};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a person may take.
const WAIT: Duration = Duration::from_secs(600);

/// Asks for permission and redeems what comes.
///
/// # Errors
/// It is refused, nobody answers, the port cannot be had, the token server gives none.
pub fn ask(asker: &Asker, user: &str) -> Result<Grant, Failed> {
    let door = Door::open(&asker.settings.redirect)?;
    let redirect = door.uri();
    let proof = Proof::new().ok_or(OauthError::NoRandomness)?;
    let address = asker.authorize_address(&proof, &redirect, user);
    // There is one, or the other way would have been taken.
    let address = address.ok_or(OauthError::Unanswered)?;
    process::say(&format!("Open this address in a browser, and allow it for {}:\n\n{address}\n\n", printable(user)));
    process::say(&format!("Waiting {} minutes for the answer at {redirect}\n", WAIT.as_secs() / 60));
    let person = Person::new(false);
    person
        .say("Is the browser on another machine? Then its last page cannot be shown: paste that page's address here.");
    let code = wait(&door, &proof, asker, person)?;
    Ok(asker.redeem(&code, &proof, &redirect, &mut http::patience())?)
}

/// Waits for the code at the door and, when somebody is there, at the terminal.
fn wait(door: &Door, proof: &Proof, asker: &Asker, person: Person) -> Result<Zeroizing<String>, Failed> {
    let end = Instant::now() + WAIT;
    let mut hears = person == Person::Person;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(OauthError::Unanswered.into());
        }
        let (listener, stdin) = (door.listener(), io::stdin());
        let mut waiting = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if hears {
            waiting.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let nap = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut waiting, nap).is_err() {
            continue;
        }
        let ready: Vec<bool> = waiting.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let mut verdict = Verdict::Nothing;
        if ready[0] {
            verdict = door.hear(&proof.state);
        } else if ready.get(1).is_some_and(|ready| *ready) {
            let mut line = Zeroizing::new(String::with_capacity(16 * 1024));
            hears = stdin.lock().read_line(&mut line).is_ok_and(|count| count > 0);
            verdict = judge(target_of(line.trim()), &proof.state);
            if matches!(verdict, Verdict::Nothing | Verdict::Stranger) && !line.trim().is_empty() {
                person.say(&format!("that is not it: the address begins with {}", door.uri()));
            }
        }
        match verdict {
            Verdict::Code(code) => return Ok(code),
            Verdict::Declined(words) => {
                let server = asker.settings.authorize.as_ref().map(|url| url.authority()).unwrap_or_default();
                return Err(OauthError::Declined { server, words }.into());
            }
            Verdict::Nothing | Verdict::Stranger => {}
        }
    }
}
