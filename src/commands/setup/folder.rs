//! `mailchute setup --maildir`: an account that needs no relay, and so nothing to ask or to try.

use super::asker::Asker;
use super::{check_name, target};
use crate::cli::{Global, Setup};
use crate::commands::Failed;
use crate::config::Store;
use crate::config::editor::{Editor, Entry};
use crate::config::keeper::Keeper;
use crate::delivery;
use crate::exit::Exit;
use crate::process::{self, Process};
use std::path::{Path, PathBuf};

/// The account's name, unless another is said.
const NAME: &str = "here";

/// Makes the Maildir, and the account that keeps its mail there.
///
/// # Errors
/// The folder cannot be made or would not be used, the file cannot be written.
pub fn set_up(process: &Process, global: &Global, wishes: &Setup, folder: &str) -> Result<Exit, Failed> {
    let mut editor = Editor::open(&target(process, global)?)?;
    let name = global.account.as_deref().unwrap_or(NAME);
    check_name(name, wishes, Asker::new(true), &editor)?;
    let folder = absolute(process, folder);
    let store = Store::Maildir(folder.clone());
    delivery::make_maildir(&folder).map_err(Failed::system)?;
    if let Err((problem, _)) = delivery::examine(&store) {
        return Err(super::Unanswered::Unusable(format!("{store}: {problem}")).into());
    }
    editor.set_account(name, &[Entry::text("maildir", folder.display().to_string())]);
    if wishes.default {
        editor.set_default(name);
    }
    let keeper = Keeper::of(process, &editor.config(process)?.spool);
    editor.write(keeper)?;
    process::say(&format!("account {name} is in {}, its mail in {}\n", editor.path().display(), folder.display()));
    Ok(Exit::Ok)
}

/// As a shell would have it, for words that no shell has seen.
fn absolute(process: &Process, folder: &str) -> PathBuf {
    match (folder.strip_prefix("~/"), process.home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => std::path::absolute(folder).unwrap_or_else(|_| Path::new(folder).to_path_buf()),
    }
}
