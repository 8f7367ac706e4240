//! The peers: fetched from the distribution, never installed. Each is unpacked over a view of `/` that only the bench
//! has, with a configuration of its own in that view and its queue on the same disk as ours.

mod dma;
mod msmtp;
mod nullmailer;
mod postfix;

use super::contenders::Contender;
use super::measure::Task;
use super::world::{World, run, target};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: [&str; 4] = ["msmtp", "nullmailer", "dma", "postfix"];

/// Downloads what is not there yet; says which peers cannot be had.
pub fn fetch() {
    for package in PACKAGES {
        if let Err(error) = fetch_one(package) {
            eprintln!("bench: without {package}: {error}");
        }
    }
}

fn archives(package: &str) -> PathBuf {
    target().join("peers").join(package)
}

/// The package and those of its dependencies that this system lacks.
fn fetch_one(package: &str) -> io::Result<()> {
    let (folder, complete) = (archives(package), archives(package).join("complete"));
    if complete.exists() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    // -s: says what would be installed, and installs nothing.
    let plan = Command::new("apt-get").args(["-s", "--no-install-recommends", "install", package]).output()?;
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    let missing: Vec<&str> = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next()).collect();
    if !missing.contains(&package) {
        return Err(io::Error::other("apt-get does not know it (apt-get update), or it is installed already"));
    }
    let output = Command::new("apt-get").arg("download").args(&missing).current_dir(&folder).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_string()));
    }
    fs::write(complete, "")
}

/// The peers that were fetched, ready to be prepared.
pub fn unpacked(world: &World) -> Vec<Box<dyn Contender>> {
    let mut peers: Vec<Box<dyn Contender>> = Vec::new();
    if !world.is_private {
        return peers;
    }
    for package in PACKAGES.into_iter().filter(|package| archives(package).join("complete").exists()) {
        let made = Root::make(world, package).and_then(|root| -> io::Result<Box<dyn Contender>> {
            Ok(match package {
                "msmtp" => Box::new(msmtp::Msmtp::new(root)),
                "nullmailer" => Box::new(nullmailer::Nullmailer::new(root)?),
                "dma" => Box::new(dma::Dma::new(root)?),
                _ => Box::new(postfix::Postfix::new(root)?),
            })
        });
        match made {
            Ok(peer) => peers.push(peer),
            Err(error) => eprintln!("bench: without {package}: {error}"),
        }
    }
    peers
}

/// A view of `/` with a package unpacked over it.
pub struct Root {
    path: PathBuf,
    /// A folder on the disk, for the queue.
    disk: PathBuf,
}

/// Where a view has the authority's certificate.
const CA_FILE: &str = "/etc/bench-ca.pem";

impl Root {
    fn make(world: &World, package: &str) -> io::Result<Root> {
        let folder = world.path(&format!("root-{package}"));
        fs::create_dir(&folder)?;
        // An upper layer must not lie inside its own lower one.
        run("mount", &["-t", "tmpfs", "none", &folder.to_string_lossy()])?;
        let [upper, work, path] = ["upper", "work", "root"].map(|name| folder.join(name));
        for folder in [&upper, &work, &path] {
            fs::create_dir(folder)?;
        }
        for archive in fs::read_dir(archives(package))? {
            let archive = archive?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                run("dpkg", &["-x", &archive.to_string_lossy(), &upper.to_string_lossy()])?;
            }
        }
        for folder in ["bin", "lib", "sbin"] {
            // Where / has a link to /usr, a folder in the upper layer would hide all of it.
            let (unpacked, merged) = (upper.join(folder), upper.join("usr").join(folder));
            if unpacked.is_dir() && Path::new("/").join(folder).is_symlink() {
                fs::create_dir_all(&merged)?;
                run("cp", &["-a", &format!("{}/.", unpacked.display()), &merged.to_string_lossy()])?;
                fs::remove_dir_all(&unpacked)?;
            }
        }
        let layers = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
        run("mount", &["-t", "overlay", "overlay", "-o", &layers, &path.to_string_lossy()])?;
        let disk = world.path(&format!("disk-{package}"));
        fs::create_dir(&disk)?;
        let root = Root { path, disk };
        for folder in ["dev", "proc"] {
            run("mount", &["--rbind", &format!("/{folder}"), &root.at(folder).to_string_lossy()])?;
        }
        for file in ["/etc/hosts", "/etc/resolv.conf"] {
            root.write(file, &fs::read_to_string(file)?)?;
        }
        root.write("/etc/mailname", "bench.example\n")?;
        root.write(CA_FILE, &fs::read_to_string(super::ca_file(world))?)?;
        Ok(root)
    }

    /// A path of the view, from outside.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, text: &str) -> io::Result<()> {
        fs::create_dir_all(self.at(path).parent().unwrap_or(&self.path))?;
        fs::write(self.at(path), text)
    }

    pub fn append(&self, path: &str, text: &str) -> io::Result<()> {
        self.write(path, &(fs::read_to_string(self.at(path)).unwrap_or_default() + text))
    }

    /// Puts a folder of the package on the disk: a queue in memory would be no queue.
    pub fn on_disk(&self, path: &str) -> io::Result<()> {
        let home = self.disk.join(path.replace('/', "_"));
        run("cp", &["-a", &self.at(path).to_string_lossy(), &home.to_string_lossy()])?;
        run("mount", &["--bind", &home.to_string_lossy(), &self.at(path).to_string_lossy()])
    }

    /// Removes the files in a folder.
    pub fn empty(&self, path: &str) -> io::Result<()> {
        for file in fs::read_dir(self.at(path))? {
            let file = file?;
            if file.file_type()?.is_file() {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    pub fn task(&self, program: &str, input: &Path) -> Task {
        Task::new(program, input).in_root(&self.path)
    }

    /// Runs a command in the view, for its effect.
    pub fn run(&self, program: &str, arguments: &[&str]) -> io::Result<()> {
        let path = self.path.to_string_lossy();
        let all: Vec<&str> = [&*path, program].into_iter().chain(arguments.iter().copied()).collect();
        run("chroot", &all)
    }
}

fn recipients(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|to| format!("r{to}@example.test"))
}
