//! `mailchute setup --maildir`: an account that needs no relay, and so nothing to ask or to try.

use super::asker::{Asker, Unanswered};
use super::{check_name, target};
use crate::cli::{Global, Setup};
use crate::commands::Failed;
use crate::config::Store;
use crate::config::editor::{Editor, Entry};
use crate::config::keeper::Keeper;
use crate::delivery;
use crate::exit::Exit;
use crate::process::{self, Process};
use std::fs;
use std::os::unix::fs::MetadataExt;
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
    editor.set_account(name, &[Entry::text("maildir", folder.display().to_string())]);
    if wishes.default {
        editor.set_default(name);
    }
    let keeper = Keeper::of(process, &editor.config(process)?.spool);
    match keeper {
        Keeper::Caller => make(&folder)?,
        Keeper::Spooler { uid, gid } => look_at(&folder, uid, gid)?,
    }
    editor.write(keeper)?;
    process::say(&format!("account {name} is in {}, its mail in {}\n", editor.path().display(), folder.display()));
    Ok(Exit::Ok)
}

fn make(folder: &Path) -> Result<(), Failed> {
    delivery::make_maildir(folder).map_err(Failed::system)?;
    let store = Store::Maildir(folder.to_path_buf());
    delivery::examine(&store).map_err(|(problem, _)| Unanswered::Unusable(format!("{store}: {problem}")).into())
}

/// The spooler's mail needs a Maildir of the spooler's. Root makes none for it: giving away folders that lie in
/// others' folders may give away something else.
fn look_at(folder: &Path, uid: u32, gid: u32) -> Result<(), Unanswered> {
    let parts = [folder.to_path_buf(), folder.join("tmp"), folder.join("new"), folder.join("cur")];
    if parts.iter().all(|part| fs::metadata(part).is_ok_and(|found| found.is_dir() && found.uid() == uid)) {
        return Ok(());
    }
    let names = parts.map(|part| part.display().to_string()).join(" ");
    Err(Unanswered::Unusable(format!(
        "{}: is no Maildir of the spooler's, which writes the mail here: install -d -m 700 -o {uid} -g {gid} {names}",
        folder.display()
    )))
}

/// As a shell would have it, for words that no shell has seen.
fn absolute(process: &Process, folder: &str) -> PathBuf {
    match (folder.strip_prefix("~/"), process.home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => std::path::absolute(folder).unwrap_or_else(|_| Path::new(folder).to_path_buf()),
    }
}
