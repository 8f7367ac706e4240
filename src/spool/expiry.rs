//! What is cleared away with time: entries kept for a person longer than promised, and temporary names whose makers
//! died. Everything else is kept until somebody removes it.

use super::Spool;
use super::claim::{self, Claim};
use super::directory::{Access, Directory, Found};
use super::durable::{self, TEMPORARY};
use super::entry::Place;
use super::error::SpoolError;
use crate::clock::Moment;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// A temporary name this old that nobody holds was left by a process that is dead.
const ABANDONED: Duration = Duration::from_secs(3600);

impl Spool {
    /// Clears away what has been in `dead/` for `keep` ([`Spool::KEEP`]), and temporary files over an hour old that
    /// nobody holds. Returns how many files went.
    pub fn tidy(&self, now: Moment, keep: Duration) -> Result<usize, SpoolError> {
        let mut gone = self.expire_dead(now, keep)?;
        let mut directories = vec![self.root.clone(), self.queue.clone()];
        for name in [super::accounts::ACCOUNTS, super::tokens::TOKENS] {
            directories.extend(self.existing_directory(name)?.map(Into::into));
        }
        for directory in directories {
            gone += sweep(&directory, now).map_err(SpoolError::io("clearing it", directory.path()))?;
        }
        Ok(gone)
    }

    /// How long what lies in `dead/` is kept.
    pub const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

    fn expire_dead(&self, now: Moment, keep: Duration) -> Result<usize, SpoolError> {
        let mut gone = 0;
        for id in self.ids(Place::Dead)? {
            // Only what can be read has a date; the rest is kept for a person to look at.
            let Ok(Some(peek)) = self.peek_in(Place::Dead, &id) else { continue };
            if now.since(peek.progress.last) > keep
                && let Claim::Mine(entry) = self.claim_in(Place::Dead, &id)?
            {
                let path = self.directory(Place::Dead).path();
                entry.remove().map_err(SpoolError::io("clearing it", path))?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

fn sweep(directory: &Directory, now: Moment) -> io::Result<usize> {
    let mut gone = 0;
    for name in directory.names()?.iter().filter(|name| name.starts_with(TEMPORARY)) {
        let Found::Ours(file, found) = directory.find(name, Access::Look)? else { continue };
        let born = Moment::from_seconds(u64::try_from(found.mtime()).unwrap_or_default());
        if now.since(born) > ABANDONED && claim::lock(&file)? {
            durable::unlink(directory, name)?;
            gone += 1;
        }
    }
    Ok(gone)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "plants what others would")]
mod tests {
    use super::super::tests::Room;
    use super::*;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn the_dead_are_kept_as_long_as_promised() {
        let room = Room::make();
        let buried = Moment::from_seconds(1_795_600_000);
        for _ in 0..2 {
            room.claim(&room.deposit(1)).bury("x", buried).unwrap();
        }
        room.deposit(1);
        assert_eq!(room.spool.tidy(buried.after(6 * DAY), Spool::KEEP).unwrap(), 0);
        assert_eq!(room.spool.tidy(Moment(0), Spool::KEEP).unwrap(), 0);
        assert_eq!(room.spool.tidy(buried.after(8 * DAY), Spool::KEEP).unwrap(), 2);
        assert_eq!((room.count("queue"), room.count("dead")), (1, 0));
    }

    #[test]
    fn an_abandoned_name_goes_and_one_in_use_stays() {
        let room = Room::make();
        let make = |name: &str, mode: u32| {
            let file = File::options().create_new(true).write(true).open(room.path("queue").join(name)).unwrap();
            fs::set_permissions(room.path("queue").join(name), Permissions::from_mode(mode)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_600_000)).unwrap();
            file
        };
        make(".tmp.dead", 0o600);
        make(".tmp.foreign", 0o644);
        let held = make(".tmp.held", 0o600);
        assert!(claim::lock(&held).unwrap());
        let later = |seconds: u64| Moment::from_seconds(1_795_600_000 + seconds);
        assert_eq!(room.spool.tidy(later(3599), DAY).unwrap(), 0);
        assert_eq!(room.spool.tidy(later(3601), DAY).unwrap(), 1);
        assert_eq!(room.count("queue"), 2);
    }
}
