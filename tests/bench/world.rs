//! A world of the bench's own: name spaces in which the loopback interface, `/etc/hosts` and every mount are private,
//! so that a peer can be unpacked over `/` and a path can be slow without anybody else noticing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The relay's name over loopback, and over the slow path.
pub const NEAR: &str = "localhost";
pub const FAR: &str = "far.bench";

/// Says that we are in name spaces of our own already.
pub const INSIDE: &str = "--inside";

/// Starts the bench again in name spaces of its own and hands back its status; `None` when we are there already, or
/// when there can be none.
pub fn enter(arguments: &[String]) -> Option<i32> {
    if arguments.iter().any(|argument| argument == INSIDE) {
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let works = Command::new(command.get_program()).args(command.get_args()).arg("true").stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        eprintln!("bench: no name spaces to be had (unshare): without peers, without the slow path");
        return None;
    }
    let status = command.arg(own_program()).args(arguments).arg(INSIDE).status().expect("unshare worked a moment ago");
    Some(status.code().unwrap_or(1))
}

/// What there is of a world once inside.
pub struct World {
    /// Everything the bench writes.
    pub folder: PathBuf,
    pub is_private: bool,
}

impl World {
    /// Makes the folder new, and brings up what a new network name space lacks.
    pub fn make(arguments: &[String]) -> io::Result<World> {
        let is_private = arguments.iter().any(|argument| argument == INSIDE);
        let folder = target().join("bench");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let world = World { folder, is_private };
        if is_private {
            run("ip", &["link", "set", "lo", "up"])?;
            world.hide("/etc/hosts", &format!("127.0.0.1 localhost near.bench\n10.77.0.2 {FAR}\n"))?;
            // Nobody waits for a name server that is out of reach here.
            world.hide("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
        }
        Ok(world)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts another content over a file of the system's, for us alone.
    fn hide(&self, path: &str, content: &str) -> io::Result<()> {
        let instead = self.path(&path.replace('/', "_"));
        fs::write(&instead, content)?;
        run("mount", &["--bind", &instead.to_string_lossy(), path])
    }
}

/// The folder that cargo builds in.
pub fn target() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_mailchute"));
    program.ancestors().nth(2).expect("target/release/mailchute").to_path_buf()
}

/// This very program.
pub fn own_program() -> PathBuf {
    std::env::current_exe().expect("Linux knows")
}

/// Runs a tool of the system's.
pub fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}", arguments.join(" "), words.trim())))
}
