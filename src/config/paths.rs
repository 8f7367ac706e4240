//! Where the configuration and the spool are when nobody says so: the user's folders, the system's.
//!
//! The crate `directories` knows the XDG rules, but it asks `$HOME` and `$XDG_*` itself, and those may be another
//! user's (Debian's cron and at run us with root's). So it is asked only when every variable that it would read
//! belongs to the caller; else the folders stand at their usual places below the passwd entry's home.

use crate::process::Process;
use directories::ProjectDirs;
use std::path::{Path, PathBuf};

/// The file for all users.
pub(super) const SYSTEM_FILE: &str = "/etc/mailchute/config.toml";

/// The spool of root, of the system's spooler, and of users without a home.
const SYSTEM_SPOOL: &str = "/var/spool/mailchute";

/// The user's folders for mailchute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folders {
    pub config: PathBuf,
    pub state: PathBuf,
}

/// The folders of the calling user; `None` when there is no home at all.
pub(super) fn folders(process: &Process) -> Option<Folders> {
    let trusted = |name: &str| process.variable(name).is_none() || process.own_folder(name).is_some();
    let home_is_ours = process.own_folder("HOME").is_some();
    if home_is_ours && ["XDG_CONFIG_HOME", "XDG_STATE_HOME"].into_iter().all(trusted) {
        let project = ProjectDirs::from("", "", "mailchute")?;
        let state = project.state_dir()?.to_path_buf();
        return Some(Folders { config: project.config_dir().to_path_buf(), state });
    }
    process.home().map(|home| below(&home))
}

/// The file of the calling user, whether it exists or not.
pub(super) fn user_file(process: &Process) -> Option<PathBuf> {
    folders(process).map(|folders| folders.config.join("config.toml"))
}

/// The spool when the configuration names none.
pub(super) fn spool(process: &Process) -> PathBuf {
    // Root's is the system's, unless root says otherwise.
    if let Some(state) = process.own_folder("XDG_STATE_HOME") {
        return state.join("mailchute/spool");
    }
    match folders(process) {
        // Many system users have a home that is not there, the spooler's among them.
        Some(folders) if !process.caller.is_root() && process.home().is_some_and(|home| home.is_dir()) => {
            folders.state.join("spool")
        }
        _ => PathBuf::from(SYSTEM_SPOOL),
    }
}

fn below(home: &Path) -> Folders {
    Folders { config: home.join(".config/mailchute"), state: home.join(".local/state/mailchute") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_places_are_below_the_home() {
        assert_eq!(
            below(Path::new("/home/alice")),
            Folders {
                config: PathBuf::from("/home/alice/.config/mailchute"),
                state: PathBuf::from("/home/alice/.local/state/mailchute"),
            }
        );
    }

    #[test]
    fn the_usual_places_are_those_of_the_crate() {
        let project = ProjectDirs::from("", "", "mailchute").unwrap();
        assert!(project.config_dir().ends_with("mailchute"));
        assert!(project.state_dir().unwrap().ends_with("mailchute"));
    }
}
