//! The floor and mailchute as contenders: the command that does a work. The peers are in `peers.rs`.

use super::floor;
use super::measure::Task;
use super::table::{FLOOR, OURS};
use super::world::{World, own_program};
use super::{Relay, Security, ca_file};
use mailchute::clock::Moment;
use mailchute::spool::{QueueId, Spool};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A message as programs write it, and as the wire has it.
pub struct Message {
    pub text: PathBuf,
    pub wire: PathBuf,
}

impl Message {
    /// Makes one of about so many octets, in lines of 76.
    pub fn make(world: &World, name: &str, size: usize) -> io::Result<Message> {
        let head = "From: bench@example.test\nTo: r0@example.test\nSubject: bench\n\
                    Date: Tue, 24 Nov 2026 12:00:00 +0000\nMessage-ID: <bench@example.test>\n\n.a dot\n";
        let line = "The quick brown fox jumps over the lazy dog, again and again, until it ends\n";
        let text = format!("{head}{}", line.repeat(size.saturating_sub(head.len()).div_ceil(line.len())));
        let wire = text.replace("\n.", "\n..").replace('\n', "\r\n");
        let message = Message { text: world.path(name), wire: world.path(&format!("{name}.wire")) };
        fs::write(&message.text, text)?;
        fs::write(&message.wire, wire)?;
        Ok(message)
    }
}

/// A program that submits mail.
pub trait Contender {
    fn name(&self) -> &str;

    /// Sets it up for a relay; whatever it had queued is gone.
    fn prepare(&mut self, relay: &Relay) -> io::Result<()>;

    /// Ends what `prepare` may have started.
    fn rest(&mut self) {}

    /// Submits a message and ends; the relay has it then.
    fn send(&self, _message: &Message, _recipients: usize) -> Option<Task> {
        None
    }

    /// Hands a message to something that goes on running; the relay has it a little later.
    fn hand_over(&self, _message: &Message, _recipients: usize) -> Option<Task> {
        None
    }

    /// Keeps a message in the queue and ends.
    fn deposit(&self, _message: &Message) -> Option<Task> {
        None
    }

    /// Puts so many messages into the queue.
    fn fill(&mut self, _message: &Message, _count: usize) -> io::Result<()> {
        Ok(())
    }

    /// Sends what is in the queue.
    fn flush(&mut self, _message: &Message, _count: usize) -> Option<Task> {
        None
    }

    /// Lists the queue.
    fn list(&self) -> Option<Task> {
        None
    }
}

/// A client that does only the protocol.
pub struct Floor {
    relay: Option<Relay>,
    authority: PathBuf,
    /// Where it deposits.
    folder: PathBuf,
}

impl Floor {
    pub fn new(world: &World) -> io::Result<Floor> {
        let folder = world.path("floor");
        fs::create_dir(&folder)?;
        Ok(Floor { relay: None, authority: ca_file(world), folder })
    }

    fn task(&self, message: &Message, recipients: usize, messages: usize) -> Option<Task> {
        let arguments = floor::arguments(self.relay.as_ref()?, recipients, messages, &self.authority, &message.wire);
        Some(Task::new(own_program(), Path::new("/dev/null")).arguments(arguments))
    }
}

impl Contender for Floor {
    fn name(&self) -> &str {
        FLOOR
    }

    fn prepare(&mut self, relay: &Relay) -> io::Result<()> {
        self.relay = Some(relay.clone());
        Ok(())
    }

    fn send(&self, message: &Message, recipients: usize) -> Option<Task> {
        self.task(message, recipients, 1)
    }

    fn deposit(&self, message: &Message) -> Option<Task> {
        let folder = self.folder.as_os_str();
        Some(Task::new(own_program(), &message.text).arguments(["--floor-deposit".as_ref(), folder]))
    }

    /// As if the queue held the message so many times.
    fn flush(&mut self, message: &Message, count: usize) -> Option<Task> {
        self.task(message, 1, count)
    }
}

/// The program itself, under the names it goes by.
pub struct Mailchute {
    folder: PathBuf,
    authority: PathBuf,
    spool: PathBuf,
}

impl Mailchute {
    pub fn new(world: &World) -> io::Result<Mailchute> {
        let folder = world.path("mailchute");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder)?;
        for name in ["sendmail", "mailq"] {
            symlink(env!("CARGO_BIN_EXE_mailchute"), folder.join(name))?;
        }
        Ok(Mailchute { spool: folder.join("spool"), folder, authority: ca_file(world) })
    }

    /// Keeps its queue here instead.
    pub fn keep(&mut self, spool: PathBuf) {
        self.spool = spool;
    }

    /// Trusts the certificates in this file instead: a real bundle has a hundred and more.
    pub fn trust(&mut self, authority: PathBuf) {
        self.authority = authority;
    }

    fn task(&self, name: &str, input: &Path) -> Task {
        Task::new(self.folder.join(name), input).variable("MAILCHUTE_CONFIG", self.folder.join("config.toml"))
    }

    fn sendmail(&self, message: &Message, options: &[&str], recipients: usize) -> Task {
        let task = self.task("sendmail", &message.text).arguments(["-i", "-f", "bench@example.test"]);
        task.arguments(options.iter().copied()).arguments((0..recipients).map(|to| format!("r{to}@example.test")))
    }
}

impl Contender for Mailchute {
    fn name(&self) -> &str {
        OURS
    }

    fn prepare(&mut self, relay: &Relay) -> io::Result<()> {
        let config = self.folder.join("config.toml");
        let tls = if relay.security == Security::Implicit { "implicit" } else { "starttls" };
        let text = format!(
            "[accounts.bench]\nhost = {:?}\nport = {}\ntls = {tls:?}\ntls-ca-file = {:?}\nuser = \"bench\"\n\
             password = \"secret\"\nfrom = \"bench@example.test\"\nrecipients = 1000\nconnections = 2\n\
             [spool]\ndirectory = {:?}\n",
            relay.host, relay.port, self.authority, self.spool
        );
        fs::write(&config, text)?;
        fs::set_permissions(&config, PermissionsExt::from_mode(0o600))?;
        let _ = fs::remove_dir_all(&self.spool);
        // Made once in the life of an installation, so no part of a first send here.
        Spool::open(&self.spool).map(drop).map_err(io::Error::other)
    }

    fn send(&self, message: &Message, recipients: usize) -> Option<Task> {
        Some(self.sendmail(message, &[], recipients))
    }

    fn deposit(&self, message: &Message) -> Option<Task> {
        Some(self.sendmail(message, &["-odq"], 1))
    }

    /// One real deposit, copied under names of its own: depositing is measured elsewhere.
    fn fill(&mut self, message: &Message, count: usize) -> io::Result<()> {
        let queue = self.spool.join("queue");
        self.sendmail(message, &["-odq"], 1).measure(1);
        let Some(first) = fs::read_dir(&queue)?.next() else { return Err(io::Error::other("nothing was deposited")) };
        let entry = fs::read(first?.path())?;
        for _ in 1..count {
            let path = queue.join(QueueId::new(Moment::now()).as_str());
            fs::write(&path, &entry)?;
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        }
        Ok(())
    }

    fn flush(&mut self, _message: &Message, _count: usize) -> Option<Task> {
        Some(self.task("sendmail", Path::new("/dev/null")).arguments(["-q"]))
    }

    fn list(&self) -> Option<Task> {
        Some(self.task("mailq", Path::new("/dev/null")))
    }
}
