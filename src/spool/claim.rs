//! Who may work on an entry: whoever holds the lock on its inode. The lock dies with the process, so there is nothing
//! to recover and nothing to time out. There is no lock on the queue as a whole, but for a turn that spares
//! processes which look through it unasked from doing so all at once; nothing depends on it.

use super::directory::{Access, Directory, Found};
use super::durable;
use super::entry::{Entry, Place};
use super::error::{Flaw, SpoolError};
use super::layout::Layout;
use super::progress::Progress;
use super::queue_id::QueueId;
use super::region::Region;
use super::ticket::Ticket;
use super::{Peek, Spool};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// What came of a claim.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is nearly always `Mine`")]
pub enum Claim {
    Mine(Entry),
    /// Another process works on it.
    Busy,
    /// Done and removed meanwhile.
    Gone,
    /// Not an entry of ours (link, wrong owner or mode, damaged): set aside or left alone, with the reason.
    Unusable(String),
}

/// Takes an entry, or says why not.
pub fn claim(spool: &Spool, place: Place, id: &QueueId) -> Result<Claim, SpoolError> {
    let directory = spool.directory(place);
    let trouble = |doing| SpoolError::io(doing, &directory.path().join(id.as_str()));
    let (file, found) = match directory.find(id.as_str(), Access::Change).map_err(trouble("opening it"))? {
        Found::Ours(file, found) => (file, found),
        Found::Nothing => return Ok(Claim::Gone),
        Found::Foreign(why) => return Ok(Claim::Unusable(Flaw::Foreign(why).to_string())),
    };
    if !lock(&file).map_err(trouble("locking it"))? {
        return Ok(Claim::Busy);
    }
    // Between opening and locking, its owner may have removed or moved it.
    if !directory.holds(id.as_str(), &found).map_err(trouble("looking at it"))? {
        return Ok(Claim::Gone);
    }
    let read = read(&file, found.size()).map_err(trouble("reading it"))?;
    let flaw = match read {
        Ok((layout, ticket, progress)) => match checksum(&file, &layout).map_err(trouble("reading it"))? {
            crc if crc == layout.crc => match ticket {
                Ok(ticket) => {
                    let entry = Entry::new(spool, place, id.clone(), Arc::new(file), layout, ticket, progress);
                    return Ok(Claim::Mine(entry));
                }
                // What has its checksum is whole: whatever we cannot read in it, another version can.
                Err(flaw) => return Ok(Claim::Unusable(flaw.to_string())),
            },
            _ => Flaw::Damaged("checksum"),
        },
        Err(flaw) => flaw,
    };
    match flaw {
        Flaw::Damaged(why) => set_aside(spool, directory, id, why),
        Flaw::Newer(_) | Flaw::Foreign(_) => Ok(Claim::Unusable(flaw.to_string())),
    }
}

/// Reads an entry without taking it.
pub fn peek(spool: &Spool, place: Place, id: &QueueId) -> Result<Option<Peek>, SpoolError> {
    let directory = spool.directory(place);
    let path = || directory.path().join(id.as_str());
    let unreadable = |flaw| SpoolError::Unreadable { path: path(), flaw };
    let (file, found) = match directory.find(id.as_str(), Access::Look) {
        Ok(Found::Ours(file, found)) => (file, found),
        Ok(Found::Nothing) => return Ok(None),
        Ok(Found::Foreign(why)) => return Err(unreadable(Flaw::Foreign(why))),
        Err(error) => return Err(SpoolError::io("opening it", &path())(error)),
    };
    let read = read(&file, found.size()).map_err(|error| SpoolError::io("reading it", &path())(error))?;
    let (layout, ticket, progress) = read.map_err(unreadable)?;
    let ticket = ticket.map_err(unreadable)?;
    let header = Region { file: Arc::new(file), start: layout.message(), size: layout.header };
    Ok(Some(Peek { ticket, progress, header, size: layout.header + layout.body, inode: found.ino() }))
}

/// The inodes of all files on a folder's file system that somebody has locked, as far as the kernel shows us (proc(5),
/// `/proc/locks`). Looking there takes no lock, so that a listing never makes a queue run pass an entry by.
pub fn locked_inodes(folder: &impl AsFd) -> HashSet<u64> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let opened = read(&format!("/proc/self/fdinfo/{}", folder.as_fd().as_raw_fd()));
    let device = device(&opened, &read("/proc/self/mountinfo"));
    inodes(&read("/proc/locks"), device.as_deref())
}

/// The file system's number as the kernel writes it beside a lock; that of stat(2) is another on btrfs and overlayfs.
fn device(opened: &str, mounts: &str) -> Option<String> {
    let mount = opened.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    let mut rows = mounts.lines().map(|line| line.split(' '));
    let number = rows.find_map(|mut row| (row.next() == Some(mount)).then(|| row.nth(1)).flatten())?;
    let (major, minor) = number.split_once(':')?;
    Some(format!("{:02x}:{:02x}", major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
}

/// Those on one device; on all, where that is not known.
fn inodes(locks: &str, device: Option<&str>) -> HashSet<u64> {
    let inode = |line: &str| {
        let (place, inode) = line.split_whitespace().find(|word| word.matches(':').count() == 2)?.rsplit_once(':')?;
        device.is_none_or(|device| device == place).then(|| inode.parse().ok()).flatten()
    };
    locks.lines().filter_map(inode).collect()
}

/// Locks a file, unless somebody else has: whether it is ours now.
pub fn lock(file: &File) -> io::Result<bool> {
    loop {
        match fs2::FileExt::try_lock_exclusive(file) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Unlocks a file for everyone who has it open through us; failing that, it is free when the last of them ends.
pub fn unlock(file: &File) {
    let _ = fs2::FileExt::unlock(file);
}

/// The turn to look through the whole queue unasked; ends when the last process that shares it is gone.
#[derive(Debug)]
pub struct Turn(#[allow(dead_code, reason = "held for its lock")] File);

/// The turn, unless another process has it.
pub fn turn(file: File) -> io::Result<Option<Turn>> {
    Ok(lock(&file)?.then_some(Turn(file)))
}

/// What must stay free for results of mail that is already ours to be recorded: 1 % of the disk, at most this.
const FLOOR: u64 = 16 << 20;

/// Refuses when the disk is nearly full.
pub fn check_room(path: &Path) -> Result<(), SpoolError> {
    let disk = fs2::statvfs(path).map_err(SpoolError::io("asking for free space", path))?;
    let (free, floor) = (disk.available_space(), (disk.total_space() / 100).min(FLOOR));
    if free < floor { Err(SpoolError::Full { path: path.to_path_buf(), free, floor }) } else { Ok(()) }
}

/// One read fetches the blocks and the envelope of an ordinary entry.
const FIRST_READ: usize = 4096;

type Parts = (Layout, Result<Ticket, Flaw>, Progress);

fn read(file: &File, size: u64) -> io::Result<Result<Parts, Flaw>> {
    let mut start = vec![0; FIRST_READ.min(usize::try_from(size).unwrap_or(FIRST_READ))];
    if let Err(error) = file.read_exact_at(&mut start, 0) {
        return if error.kind() == io::ErrorKind::UnexpectedEof {
            Ok(Err(Flaw::Damaged("cut off")))
        } else {
            Err(error)
        };
    }
    let layout = match Layout::read(&start, size) {
        Ok(layout) => layout,
        Err(flaw) => return Ok(Err(flaw)),
    };
    let Ok(end) = usize::try_from(layout.message()) else { return Ok(Err(Flaw::Damaged("sizes"))) };
    if end > start.len() {
        let have = start.len();
        start.resize(end, 0);
        file.read_exact_at(&mut start[have..], have as u64)?;
    }
    let slots = Progress::region(layout.recipients);
    let ticket = Ticket::read(&start[slots.end..end]).and_then(|ticket| {
        let same = ticket.envelope.recipients().len() == layout.recipients;
        same.then_some(ticket).ok_or(Flaw::Damaged("number of recipients"))
    });
    let progress = Progress::read(&start[slots]);
    Ok(Ok((layout, ticket, progress)))
}

fn checksum(file: &File, layout: &Layout) -> io::Result<u32> {
    let mut crc = crc32fast::Hasher::new();
    let mut buffer = vec![0; (128 << 10).min(usize::try_from(layout.length).unwrap_or(128 << 10))];
    let (mut at, end) = (layout.offset, layout.size());
    while at < end {
        let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(buffer.len()));
        file.read_exact_at(&mut buffer[..wanted], at)?;
        crc.update(&buffer[..wanted]);
        at += wanted as u64;
    }
    Ok(crc.finalize())
}

fn set_aside(spool: &Spool, from: &Directory, id: &QueueId, why: &str) -> Result<Claim, SpoolError> {
    let corrupt = spool.corrupt_directory()?;
    let name = format!("{id}.{}", why.replace(' ', "-"));
    durable::relocate(from, id.as_str(), &corrupt, &name)
        .map_err(SpoolError::io("setting it aside", &from.path().join(id.as_str())))?;
    let place = corrupt.path().join(name);
    Ok(Claim::Unusable(format!("incomplete or damaged, moved to {}", place.display())))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "plants what others would")]
mod tests {
    use super::super::tests::{BODY, Room};
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn place(room: &Room, id: &QueueId) -> PathBuf {
        room.path("queue").join(id.as_str())
    }

    fn refusal(room: &Room, id: &QueueId) -> String {
        assert!(room.spool.peek(id).is_err(), "peek refuses too");
        match room.spool.claim(id).unwrap() {
            Claim::Unusable(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_somebody_planted_is_left_alone_and_does_no_harm() {
        let room = Room::make();
        let secret = room.folder.path().join("secret");
        fs::copy(place(&room, &room.deposit(1)), &secret).unwrap();
        type Planter = fn(&Path, &Path);
        let planted: [(Planter, &str); 5] = [
            (|path, secret| symlink(secret, path).unwrap(), "not an entry: a symbolic link"),
            (|path, _| mkfifo(path, Mode::S_IRWXU).unwrap(), "not an entry: not a regular file"),
            (|path, _| fs::create_dir(path).unwrap(), "not an entry: a directory"),
            (
                |path, secret| {
                    fs::copy(secret, path).unwrap();
                    fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
                },
                "not an entry: others can read or write it",
            ),
            (
                |path, secret| {
                    fs::copy(secret, path).unwrap();
                    if std::os::unix::fs::chown(path, Some(65534), None).is_err() {
                        fs::set_permissions(path, Permissions::from_mode(0o604)).unwrap();
                    }
                },
                "not an entry: ",
            ),
        ];
        for (plant, why) in planted {
            let id = QueueId::new(crate::clock::Moment(7));
            plant(&place(&room, &id), &secret);
            assert!(refusal(&room, &id).starts_with(why), "{why}");
            assert!(place(&room, &id).symlink_metadata().is_ok(), "left alone");
        }
        for name in ["x", ".nfs0001", "..data", "06610306F68E4001234567890", &"A".repeat(250)] {
            fs::write(room.path("queue").join(name), "x").unwrap();
        }
        assert_eq!(room.spool.queue().unwrap().len(), 6);
    }

    #[test]
    fn a_backup_by_hard_link_does_not_stop_delivery() {
        let room = Room::make();
        let id = room.deposit(1);
        fs::hard_link(place(&room, &id), room.folder.path().join("backup")).unwrap();
        assert_eq!(room.claim(&id).body().read().unwrap(), BODY);
    }

    #[test]
    fn whatever_is_cut_or_changed_in_it_is_noticed_and_set_aside() {
        let room = Room::make();
        let whole = fs::read(place(&room, &room.deposit(1))).unwrap();
        let mut broken: Vec<Vec<u8>> = (0..whole.len()).step_by(97).map(|size| whole[..size].to_vec()).collect();
        broken.push([&whole[..], b"x"].concat());
        broken.push([&[0; 512], &whole[512..]].concat());
        for at in (1536..whole.len()).step_by(7) {
            let mut copy = whole.clone();
            copy[at] ^= 0x20;
            broken.push(copy);
        }
        for (number, content) in broken.iter().enumerate() {
            let id = QueueId::new(crate::clock::Moment(number as u64));
            fs::write(place(&room, &id), content).unwrap();
            fs::set_permissions(place(&room, &id), Permissions::from_mode(0o600)).unwrap();
            let claim = room.spool.claim(&id).unwrap();
            assert!(matches!(&claim, Claim::Unusable(why) if why.contains("moved to")), "{number}: {claim:?}");
        }
        assert_eq!(room.spool.corrupt().unwrap().len(), broken.len());
        assert_eq!(room.count("queue"), 1);
    }

    #[test]
    fn a_newer_entry_is_left_as_it_is() {
        let room = Room::make();
        let id = room.deposit(1);
        let mut content = fs::read(place(&room, &id)).unwrap();
        content[9] = b'2';
        fs::write(place(&room, &id), &content).unwrap();
        assert_eq!(refusal(&room, &id), "made by a newer mailchute: format 2");
        assert_eq!(fs::read(place(&room, &id)).unwrap(), content);
    }

    #[test]
    fn sixteen_threads_take_each_entry_once() {
        let room = Room::make();
        let ids: Vec<QueueId> = (0..40).map(|_| room.deposit(1)).collect();
        let (taken, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for id in &ids {
                        match room.spool.claim(id).unwrap() {
                            Claim::Mine(entry) => {
                                taken.fetch_add(1, Ordering::Relaxed);
                                entry.remove().unwrap();
                            }
                            Claim::Gone | Claim::Busy => {
                                gone.fetch_add(1, Ordering::Relaxed);
                            }
                            Claim::Unusable(why) => panic!("{why}"),
                        }
                    }
                });
            }
        });
        assert_eq!((taken.into_inner(), gone.into_inner()), (40, 15 * 40));
        assert_eq!(room.count("queue"), 0);
    }

    #[test]
    fn a_lock_on_another_file_system_is_no_claim() {
        let mounts = "36 1 0:27 / /dev/shm rw - tmpfs t rw\n7 1 254:0 / / rw - ext4 /dev/vda rw\n";
        let device = |mount| device(&format!("pos:\t0\nflags:\t02\nmnt_id:\t{mount}\nino:\t5\n"), mounts);
        assert_eq!(device("7").as_deref(), Some("fe:00"));
        assert_eq!((device("36").as_deref(), device("9")), (Some("00:1b"), None));
        let locks = "1: FLOCK  ADVISORY  WRITE 21 fe:00:165 0 EOF\n2: FLOCK  ADVISORY  WRITE 22 00:1b:7 0 EOF\n";
        assert_eq!(inodes(locks, Some("fe:00")), HashSet::from([165]));
        assert_eq!(inodes(locks, None), HashSet::from([165, 7]));
    }

    #[test]
    fn a_thousand_recipients_are_no_trouble() {
        let room = Room::make();
        let id = room.deposit(1000);
        assert_eq!(room.claim(&id).ticket().envelope.recipients().len(), 1000);
        assert_eq!(room.spool.peek(&id).unwrap().unwrap().progress.recipients.len(), 1000);
    }
}
