//! The narrow room that a process goes into before it hears strangers: from then on it opens the files it has named,
//! reaches the TCP ports it has named, and runs no program; nor does any process that it starts. What is open already
//! stays open.
//!
//! The walls are Landlock's (landlock(7)) and `no_new_privs`, as far as the kernel has them: files from Linux 5.19 on,
//! ports from 6.7, signals and abstract sockets from 6.12. Sockets that are files, and UDP, are free: the journal, the
//! local resolver and DNS are reached over them.
//!
//! There is no filter of system calls in here. Modules of other people's name services run in this process, so nobody
//! knows which calls to allow; a list of forty that are forbidden took 0.18 ms to set up where all these walls take
//! 0.11 ms, of a send of 3 ms, and hides the kernel, which is not what a mailer holds. The units of systemd have one.

use landlock::{
    ABI, Access, AccessFs, AccessNet, AddRuleError, AddRulesError, BitFlags, CompatLevel, Compatible, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a process still needs. Folders are meant with all that is below them; what is not there is no error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files and folders that are read.
    pub read: Vec<PathBuf>,
    /// Files that are written to and never made.
    pub write: Vec<PathBuf>,
    /// Folders in which files are made, changed, moved and removed.
    pub keep: Vec<PathBuf>,
    /// Folders that are opened and listed, with those below them, but no file there.
    pub list: Vec<PathBuf>,
    /// TCP ports that are connected to; none is listened on.
    pub ports: Vec<u16>,
    pub signals: Signals,
}

/// Which processes it may send signals to, or ask whether they are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signals {
    /// Those in the same room.
    #[default]
    Inside,
    All,
}

/// What stands around a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Walls {
    None,
    /// Programs and files.
    Files,
    /// TCP ports as well.
    Ports,
    /// Signals and abstract sockets as well.
    Whole,
}

/// The rights that are asked for; newer ones are not taken unseen.
const KNOWN: ABI = ABI::V6;

/// Shuts the door behind the calling thread and all that it starts; there is no way back. Other threads stay as they
/// are, so a process enters before it has any. Whether there are walls.
pub fn enter(needs: &Needs) -> bool {
    matches!(build(needs), Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced))
}

/// What this kernel can put up.
pub fn offered() -> Walls {
    let must = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if must().scope(Scope::from_all(KNOWN)).is_ok() {
        Walls::Whole
    } else if must().handle_access(AccessNet::from_all(KNOWN)).is_ok() {
        Walls::Ports
    } else if must().handle_access(AccessFs::Refer).is_ok() {
        Walls::Files
    } else {
        Walls::None
    }
}

impl fmt::Display for Walls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Walls::None => "none, this kernel has no Landlock that would do",
            Walls::Files => "programs and files (Landlock)",
            Walls::Ports => "programs, files and TCP ports (Landlock)",
            Walls::Whole => "programs, files, TCP ports and signals (Landlock)",
        })
    }
}

fn build(needs: &Needs) -> Result<RulesetStatus, RulesetError> {
    // Without the right to move between folders all moves are forbidden, and a given up message could not be laid aside:
    // then rather no walls.
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(match needs.signals {
            Signals::Inside => Scope::from_all(KNOWN),
            Signals::All => Scope::AbstractUnixSocket.into(),
        })?
        .create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::ReadFile | AccessFs::WriteFile;
    let keep = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::Refer;
    let files: [(&[PathBuf], BitFlags<AccessFs>); 4] =
        [(&needs.read, read), (&needs.write, write), (&needs.keep, keep), (&needs.list, AccessFs::ReadDir.into())];
    for (paths, rights) in files {
        for opened in paths.iter().filter_map(|path| PathFd::new(path).ok()) {
            match (&mut rules).add_rule(PathBeneath::new(opened, rights)) {
                Err(error) if !is_beyond(&error) => return Err(error),
                _ => {}
            }
        }
    }
    for port in &needs.ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Whether it is about a pipe or a socket without a place in any folder, such as /dev/stderr can be: there are no rules
/// for those, and they are opened without one.
fn is_beyond(error: &RulesetError) -> bool {
    let RulesetError::AddRules(AddRulesError::Fs(AddRuleError::AddRuleCall { source, .. })) = error else {
        return false;
    };
    source.raw_os_error() == Some(Errno::EBADFD as i32)
}

/// What the C library reads when it looks up hosts, and what dates need: system folders that hold no secrets, and
/// files of /etc one by one, where secrets lie beside them.
pub fn name_services() -> Vec<PathBuf> {
    // Where the resolver's settings are a link, they are replaced as we go: then the folder they lie in is meant.
    let settings = Path::new("/etc/resolv.conf");
    let linked = is_link(settings).then(|| settings.canonicalize().ok()).flatten();
    let folder = linked.as_deref().and_then(Path::parent).filter(|folder| folder.starts_with("/run"));
    everybody().chain(HOST_NAMES.iter().map(PathBuf::from)).chain(folder.map(Path::to_path_buf)).collect()
}

/// What the C library reads when it looks up users.
pub fn user_services() -> Vec<PathBuf> {
    everybody().chain(USER_NAMES.iter().map(PathBuf::from)).collect()
}

fn everybody() -> impl Iterator<Item = PathBuf> {
    // Most systems have them below /usr, and each place costs time.
    let outside = OFTEN_LINKS.iter().map(Path::new).filter(|path| !is_link(path));
    outside.chain(EVERYBODY.iter().map(Path::new)).map(Path::to_path_buf)
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|facts| facts.is_symlink())
}

/// Modules of the name services, the time zone.
const OFTEN_LINKS: [&str; 3] = ["/lib", "/lib64", "/etc/localtime"];

/// The rest of them, and where distributions keep all files; sssd's tables.
const EVERYBODY: [&str; 6] =
    ["/usr", "/nix/store", "/gnu/store", "/etc/ld.so.cache", "/etc/nsswitch.conf", "/var/lib/sss/mc"];

const HOST_NAMES: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/mdns.allow",
    "/var/lib/libvirt/dnsmasq",
];

const USER_NAMES: [&str; 6] =
    ["/etc/passwd", "/etc/group", "/etc/userdb", "/run/userdb", "/run/systemd/userdb", "/var/lib/extrausers"];

/// Files as they are at one moment. What is replaced afterwards is another file, which has no place in a room that was
/// entered before.
#[derive(Debug)]
pub struct Seen(Vec<(PathBuf, Option<(u64, u64)>)>);

impl Seen {
    pub fn now(paths: Vec<PathBuf>) -> Seen {
        Seen(paths.into_iter().map(|path| (path.clone(), identity(&path))).collect())
    }

    /// Whether all of them are still what they were.
    pub fn holds(&self) -> bool {
        self.0.iter().all(|(path, was)| identity(path) == *was)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let facts: Metadata = std::fs::metadata(path).ok()?;
    Some((facts.dev(), facts.ino()))
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests make their own files, and say what they skip"
)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::{ErrorKind::PermissionDenied, Read, Write};
    use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::Command;
    use std::thread;

    /// Whether the walls are there to be tried; says so when not.
    fn can(wanted: Walls) -> bool {
        let offered = offered();
        if offered < wanted {
            eprintln!("note: not tried, this kernel offers: {offered}");
        }
        offered >= wanted
    }

    /// Does something inside; a thread enters alone, so the test itself stays free.
    fn inside<T: Send>(needs: &Needs, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                assert!(enter(needs));
                act()
            });
            inside.join().unwrap()
        })
    }

    fn denied<T>(result: std::io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == PermissionDenied)
    }

    #[test]
    fn only_named_files_are_opened_and_changed() {
        if !can(Walls::Files) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["spool/queue", "spool/dead", "home"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        for name in ["home/secret", "home/named", "log", "spool/old"] {
            fs::write(path(name), "text").unwrap();
        }
        let needs = Needs {
            read: vec![path("home/named"), path("not there")],
            write: vec![path("log")],
            keep: vec![path("spool")],
            ..Needs::default()
        };
        let mut open = File::open(path("home/secret")).unwrap();
        inside(&needs, || {
            assert_eq!(fs::read(path("home/named")).unwrap(), b"text");
            assert!(denied(fs::write(path("home/named"), "")), "read only");
            for secret in [path("home/secret"), "/etc/shadow".into(), "/proc/self/environ".into()] {
                assert!(denied(File::open(&secret)), "{}", secret.display());
            }
            assert!(denied(fs::read_dir(path("home"))), "not listed");
            assert!(denied(fs::write(path("home/new"), "")) && denied(fs::remove_file(path("home/secret"))));
            assert!(fs::rename(path("spool/old"), path("home/old")).is_err(), "nothing is carried out");
            assert!(fs::hard_link(path("home/secret"), path("spool/link")).is_err(), "nor in");
            fs::OpenOptions::new().append(true).open(path("log")).unwrap();
            fs::write(path("spool/queue/1"), "m").unwrap();
            fs::rename(path("spool/queue/1"), path("spool/dead/1")).unwrap();
            fs::remove_file(path("spool/dead/1")).unwrap();
            fs::create_dir(path("spool/corrupt")).unwrap();
            let _bell = UnixListener::bind(path("spool/bell")).unwrap();
            let mut text = String::new();
            open.read_to_string(&mut text).unwrap();
            assert_eq!(text, "text", "what is open stays open");
        });
        assert!(File::open(path("home/secret")).is_ok(), "outside nothing has changed");
    }

    #[test]
    fn pipes_and_sockets_are_no_hole() {
        if !can(Walls::Files) {
            return;
        }
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (socket, _other) = UnixStream::pair().unwrap();
        let place = |fd: i32| PathBuf::from(format!("/proc/self/fd/{fd}"));
        let (pipe, socket) = (place(writer.as_raw_fd()), place(socket.as_raw_fd()));
        inside(&Needs { write: vec![pipe.clone(), socket], ..Needs::default() }, || {
            fs::OpenOptions::new().append(true).open(&pipe).unwrap().write_all(b"line").unwrap();
            assert!(denied(File::open("/etc/passwd")));
        });
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "line");
    }

    #[test]
    fn no_program_runs() {
        if !can(Walls::Files) {
            return;
        }
        let needs = Needs { read: vec!["/".into()], ..Needs::default() };
        let status = inside(&needs, || {
            assert!(denied(Command::new("/bin/true").status()));
            fs::read_to_string("/proc/thread-self/status").unwrap()
        });
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    }

    #[test]
    fn only_named_ports_are_reached() {
        if !can(Walls::Ports) {
            return;
        }
        let [named, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        inside(&Needs { ports: vec![port(&named)], ..Needs::default() }, || {
            TcpStream::connect(("127.0.0.1", port(&named))).unwrap();
            assert!(denied(TcpStream::connect(("127.0.0.1", port(&other)))));
            assert!(denied(TcpListener::bind("127.0.0.1:0")), "nothing is listened on");
        });
    }

    #[test]
    fn names_resolve_inside() {
        if !can(Walls::Ports) {
            return;
        }
        let local = tempfile::tempdir().unwrap();
        let daemon = UnixListener::bind(local.path().join("nscd")).unwrap();
        let name_server = UdpSocket::bind("127.0.0.1:0").unwrap();
        inside(&Needs { read: name_services(), ..Needs::default() }, || {
            assert!(("localhost", 25).to_socket_addrs().unwrap().any(|address| address.ip().is_loopback()));
            // A name that nobody has is looked for everywhere, and not refused for lack of rights.
            let error = ("no-such-host.invalid", 25).to_socket_addrs().unwrap_err();
            assert_ne!(error.kind(), PermissionDenied, "{error}");
            UnixStream::connect(daemon.local_addr().unwrap().as_pathname().unwrap()).unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.send_to(b"?", name_server.local_addr().unwrap()).unwrap();
        });
        let known = |needs| inside(&Needs { read: needs, ..Needs::default() }, || nix::unistd::User::from_name("root"));
        assert!(known(user_services()).unwrap().is_some());
    }

    #[test]
    fn nobody_outside_is_signalled() {
        if !can(Walls::Whole) {
            return;
        }
        let mut neighbour = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = nix::unistd::Pid::from_raw(neighbour.id().try_into().unwrap());
        let sent = inside(&Needs::default(), || nix::sys::signal::kill(pid, None));
        assert_eq!(sent, Err(nix::errno::Errno::EPERM));
        let asks = Needs { signals: Signals::All, ..Needs::default() };
        assert_eq!(inside(&asks, || nix::sys::signal::kill(pid, None)), Ok(()));
        neighbour.kill().unwrap();
        neighbour.wait().unwrap();
    }

    #[test]
    fn what_is_replaced_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, new) = (folder.path().join("passwd"), folder.path().join("passwd.new"));
        let seen = Seen::now(vec![file.clone()]);
        assert!(seen.holds());
        fs::write(&file, "1").unwrap();
        assert!(!seen.holds(), "made");
        let seen = Seen::now(vec![file.clone()]);
        fs::write(&file, "2").unwrap();
        assert!(seen.holds(), "the same file");
        fs::write(&new, "3").unwrap();
        fs::rename(new, file).unwrap();
        assert!(!seen.holds(), "replaced");
    }
}
