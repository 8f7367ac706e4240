//! All we take from the operating system, as one value: arguments, environment, who is calling, the host's name.
//! Who is calling is getuid() and the passwd entry, never `$USER` or `$HOME`: Debian's cron and at run us as the
//! job's owner with root's.

use crate::exit::Exit;
use crate::system;
use nix::unistd::{Gid, Uid, User, gethostname};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The world as this process found it.
#[derive(Clone, Debug)]
pub struct Process {
    /// The last part of argv[0], without a leading dash.
    pub program: String,
    /// Behind argv[0].
    pub arguments: Vec<OsString>,
    environment: HashMap<OsString, OsString>,
    pub caller: Caller,
    /// The host's own name, fully qualified when it is known; only letters, digits, dots and dashes.
    pub host: String,
    /// Whether there is a standard input at all.
    pub stdin_open: bool,
}

/// The user who runs us.
#[derive(Clone, Debug)]
pub struct Caller {
    pub uid: u32,
    /// The login name; `None` when the passwd database has no such uid.
    pub login: Option<String>,
    /// The GECOS field up to its first comma, `&` replaced by the capitalised login name.
    pub full_name: String,
    /// The home directory of the passwd entry.
    pub home: Option<PathBuf>,
}

impl Process {
    /// Takes the world, after making it safe to work in: no privileges that are not the caller's, no leaked
    /// descriptors, no fatal signal in the middle of a write, files private.
    ///
    /// # Errors
    /// `Exit::Config` when the program was installed set-user-id or set-group-id.
    pub fn from_world() -> Result<Process, Exit> {
        if system::runs_with_foreign_privileges() {
            let _ = io::stderr().write_all(
                b"mailchute: installed with set-user-id, set-group-id or file capabilities, which it must never be\n\
                  mailchute:   hint: chmod u-s,g-s on the program; mail of other users goes through mailchute serve\n",
            );
            return Err(Exit::Config);
        }
        system::share_heap();
        system::tame_signals();
        std::panic::set_hook(Box::new(|fault| own_fault(&fault.to_string())));
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let environment: HashMap<OsString, OsString> = world::environment();
        system::close_from(3 + passed_sockets(&environment));
        let mut arguments = world::arguments();
        let program = arguments.next().unwrap_or_default();
        Ok(Process {
            program: basename(&program),
            arguments: arguments.collect(),
            environment,
            caller: Caller::from_uid(Uid::current().as_raw()),
            host: host_name(&gethostname().unwrap_or_default().to_string_lossy(), hosts_file().as_deref()),
            stdin_open: system::stdin_was_open(),
        })
    }

    /// An environment variable.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// How many sockets systemd has passed, from descriptor 3 up (sd_listen_fds(3)).
    pub fn passed_sockets(&self) -> u32 {
        passed_sockets(&self.environment)
    }

    /// A folder named by an environment variable, when it is absolute and belongs to the caller; a bad one is never
    /// an error, it only does not count.
    pub fn own_folder(&self, variable: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.variable(variable)?);
        (path.is_absolute() && is_folder_of(&path, self.caller.uid)).then_some(path)
    }

    /// The home directory: `$HOME` when it belongs to the caller, else the passwd entry's.
    pub fn home(&self) -> Option<PathBuf> {
        self.own_folder("HOME").or_else(|| self.caller.home.clone())
    }
}

impl Caller {
    /// The user with that id, as the passwd database has it.
    pub fn from_uid(uid: u32) -> Caller {
        let entry = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let login = entry.as_ref().map(|user| user.name.clone());
        let gecos = entry.as_ref().map(|user| user.gecos.to_string_lossy().into_owned()).unwrap_or_default();
        Caller {
            uid,
            full_name: full_name(&gecos, login.as_deref().unwrap_or_default()),
            login,
            home: entry.map(|user| user.dir),
        }
    }

    /// Whether the caller is root.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The caller's primary group.
    pub fn gid(&self) -> u32 {
        Gid::current().as_raw()
    }
}

/// Writes to standard output. Errors are nobody's business here: nothing after the commit may change the exit status.
pub fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

/// Writes to standard error, in one piece.
pub fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

static MESSAGE_IS_SAFE: AtomicBool = AtomicBool::new(false);

/// From now on the message is ours to deliver: not even a fault in the program may tell the caller otherwise.
pub fn message_is_safe() {
    MESSAGE_IS_SAFE.store(true, Ordering::SeqCst);
}

/// Ends a process in which something has happened that cannot happen.
fn own_fault(words: &str) {
    complain(&format!("mailchute: a fault in mailchute itself: {}\n", words.replace('\n', " ")));
    let exit = if MESSAGE_IS_SAFE.load(Ordering::SeqCst) { Exit::Ok } else { Exit::Software };
    system::leave(exit.code());
}

/// Ends the process with a status.
#[allow(clippy::disallowed_methods, reason = "the one place that ends the process")]
pub fn end(code: i32) -> ! {
    std::process::exit(code)
}

#[allow(clippy::disallowed_methods, reason = "the one place that asks the world")]
mod world {
    use super::*;

    pub fn environment() -> HashMap<OsString, OsString> {
        std::env::vars_os().collect()
    }

    pub fn arguments() -> std::env::ArgsOs {
        std::env::args_os()
    }
}

/// The variables may have been meant for another process that left them in the environment.
fn passed_sockets(environment: &HashMap<OsString, OsString>) -> u32 {
    let number = |name: &OsStr| environment.get(name)?.to_str()?.parse::<u32>().ok();
    match (number(OsStr::new("LISTEN_PID")), number(OsStr::new("LISTEN_FDS"))) {
        (Some(pid), Some(sockets)) if pid == std::process::id() => sockets.min(MOST_SOCKETS),
        _ => 0,
    }
}

const MOST_SOCKETS: u32 = 16;

fn basename(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    name.strip_prefix('-').unwrap_or(&name).to_string()
}

fn is_folder_of(path: &Path, uid: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == uid)
}

fn full_name(gecos: &str, login: &str) -> String {
    let name = gecos.split(',').next().unwrap_or_default();
    if !name.contains('&') {
        return name.to_string();
    }
    let mut letters = login.chars();
    let capitalised: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    name.replace('&', &capitalised)
}

fn hosts_file() -> Option<String> {
    std::fs::read_to_string("/etc/hosts").ok()
}

/// The host's name: as it is when it has a dot, else the qualified name that /etc/hosts has for it. No DNS: a send
/// must start without a network.
fn host_name(name: &str, hosts: Option<&str>) -> String {
    let name = valid_host(name).unwrap_or_else(|| "localhost".to_string());
    if name.contains('.') {
        return name;
    }
    let qualified = hosts.and_then(|hosts| {
        hosts
            .lines()
            .filter_map(|line| {
                let names: Vec<&str> = line.split('#').next()?.split_whitespace().skip(1).collect();
                let ours = names.iter().any(|other| other.eq_ignore_ascii_case(&name));
                ours.then(|| names.iter().find(|other| is_qualified(other)).copied()).flatten()
            })
            .next()
    });
    qualified.and_then(valid_host).unwrap_or(name)
}

fn is_qualified(name: &str) -> bool {
    name.contains('.') && !name.starts_with("localhost")
}

fn valid_host(name: &str) -> Option<String> {
    let good = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        && !name.starts_with(['.', '-']);
    good.then(|| name.trim_end_matches('.').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_name_ends_at_the_first_comma_and_spells_out_the_ampersand() {
        assert_eq!(full_name("Test Er,room 1", "tester"), "Test Er");
        assert_eq!(full_name("& Miller", "joe"), "Joe Miller");
        assert_eq!(full_name("", "joe"), "");
    }

    #[test]
    fn a_host_is_qualified_from_the_hosts_file_alone() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 web1.example.org web1 # us\n";
        assert_eq!(host_name("web1", Some(hosts)), "web1.example.org");
        assert_eq!(host_name("web2.example.net", Some(hosts)), "web2.example.net");
        assert_eq!(host_name("web3", Some(hosts)), "web3");
        assert_eq!(host_name("we\nb", None), "localhost");
    }

    #[test]
    fn a_login_shell_dash_is_not_part_of_the_name() {
        assert_eq!(basename(OsStr::new("/usr/sbin/-sendmail")), "sendmail");
    }
}
