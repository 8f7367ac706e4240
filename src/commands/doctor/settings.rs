//! What is configured, who decided it, and who else can read or change it; and whether `sendmail` is this program.

use super::super::confinement;
use super::super::context::Context;
use super::super::handover;
use super::check::{Check, Group};
use crate::config::provenance::{self, Setting};
use crate::config::{Account, Sandbox, Secret};
use crate::exit::Exit;
use crate::route::RouteError;
use crate::sandbox::{self, Walls};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file and what it says for all accounts.
pub fn general(context: &Context) -> Vec<Check> {
    let config = &context.config;
    let mut checks = Vec::new();
    match &config.file {
        Some(file) => {
            checks.push(mode(file, "configuration"));
            checks.extend(config.fragments.iter().map(|file| mode(file, "configuration")));
        }
        None => checks.push(Check::good(Group::File, "configuration", "there is none, all is default")),
    }
    checks.extend(provenance::general(config).iter().map(shown));
    if config.accounts.is_empty() {
        checks.push(if handover::spooler(context).is_some() {
            Check::good(Group::Config, "account", "none of this user's own: mail goes to the machine's spooler")
        } else {
            Check::of(Group::Config, &RouteError::NoAccount { unreadable: config.unreadable.clone() })
        });
    }
    checks
}

/// The settings of an account, and the files its password and key are in.
pub fn of_account(context: &Context, account: &Account) -> Vec<Check> {
    let mut checks: Vec<Check> = provenance::of_account(&context.config, account).iter().map(shown).collect();
    match account.secret.as_ref().map(Secret::source) {
        Some(Secret::File(path)) => checks.push(mode(path, "password-file")),
        Some(Secret::Netrc { file, .. }) => checks.push(mode(file, "netrc")),
        _ => {}
    }
    if let Some(shown) = &account.certificate {
        checks.push(mode(&shown.key, "tls-key-file"));
    }
    if account.from.is_none() && account.store.is_none() {
        checks.push(
            Check::warning(Group::Config, "from", "not set")
                .because("the relay sees this host's own login names as senders")
                .fix(format!("from = \"you@example.org\" in [accounts.{}]", account.name)),
        );
    }
    checks
}

fn shown(setting: &Setting) -> Check {
    Check::good(Group::Config, setting.key, format!("{} ({})", setting.value, setting.origin))
}

/// A file that cannot be read was refused before, or will be by whoever needs it: only its mode is shown here.
fn mode(path: &Path, what: &str) -> Check {
    match std::fs::metadata(path) {
        Ok(facts) => {
            let mode = facts.permissions().mode() & 0o7777;
            let check = Check::good(Group::File, what, format!("{} (mode {mode:04o})", path.display()));
            if mode & 0o022 != 0 {
                check.warned().because("others can change it").fix(format!("chmod go-w {}", path.display()))
            } else {
                check
            }
        }
        Err(error) => Check::bad(Group::File, what, format!("{}: {error}", path.display()), Exit::Config),
    }
}

/// What stands between a relay's or a local caller's words and the rest of this host.
pub fn sandbox(context: &Context) -> Check {
    match context.config.sandbox {
        Sandbox::Off => Check::warning(Group::Sandbox, "", "switched off")
            .because("a fault in reading strangers' words would reach all that you can")
            .fix("leave out sandbox = \"off\""),
        Sandbox::On => walls(&confinement::opened_folders(context), context.process.home().as_deref()),
    }
}

/// The walls, and the folders that they leave open.
fn walls(opened: &[PathBuf], home: Option<&Path>) -> Check {
    let offered = sandbox::offered();
    if offered == Walls::None || opened.is_empty() {
        return Check::good(Group::Sandbox, "", offered.to_string());
    }
    let shown: Vec<String> = opened.iter().map(|folder| folder.display().to_string()).collect();
    let found = format!("{offered}; all in {} stays open", shown.join(", "));
    // The home itself, or what it lies in.
    if home.is_some_and(|home| opened.iter().any(|folder| home.starts_with(folder))) {
        Check::warning(Group::Sandbox, "", found)
            .because("a fault in reading a relay's words would reach the whole home directory")
            .fix("give the mbox or metrics-file a folder of its own")
    } else {
        Check::good(Group::Sandbox, "", found)
    }
}

/// Whether programs that call `sendmail` reach this program.
pub fn sendmail_link() -> Vec<Check> {
    let ours = std::fs::canonicalize("/proc/self/exe").ok();
    let path = Path::new("/usr/sbin/sendmail");
    let check = match std::fs::canonicalize(path) {
        Ok(found) if Some(&found) == ours.as_ref() => {
            Check::good(Group::Program, path.display().to_string(), "is mailchute")
        }
        Ok(found) => Check::warning(Group::Program, path.display().to_string(), format!("is {}", found.display()))
            .because("programs that call it do not reach mailchute")
            .fix("name mailchute where they let you choose, or install it as sendmail"),
        Err(_) => Check::warning(Group::Program, path.display().to_string(), "is not there")
            .because("programs that call sendmail find none")
            .fix(format!("ln -s {} {}", ours.as_deref().unwrap_or(Path::new("mailchute")).display(), path.display())),
    };
    vec![check]
}
