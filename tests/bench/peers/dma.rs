//! dma: sends in the foreground when told to (-D), defers when its configuration says so.

use super::super::contenders::{Contender, Message};
use super::super::measure::Task;
use super::super::{Relay, Security};
use super::{Root, recipients};
use std::io;
use std::path::Path;

const SPOOL: &str = "/var/spool/dma";
const CONFIG: &str = "/etc/dma/dma.conf";

pub struct Dma {
    root: Root,
    settings: String,
}

impl Dma {
    pub fn new(root: Root) -> io::Result<Dma> {
        root.run("mkdir", &["-p", SPOOL])?;
        root.run("chown", &["root:mail", SPOOL])?;
        root.run("chmod", &["2775", SPOOL])?;
        root.on_disk(SPOOL)?;
        Ok(Dma { root, settings: String::new() })
    }

    fn defer(&self, defer: bool) -> io::Result<()> {
        self.root.write(CONFIG, &format!("{}{}", self.settings, if defer { "DEFER\n" } else { "" }))
    }

    fn dma(&self, message: &Message, options: &[&str], count: usize) -> Task {
        let task = self.root.task("/usr/sbin/dma", &message.text).arguments(options.iter().copied());
        task.arguments(["-i", "-f", "bench@example.test"]).arguments(recipients(count))
    }
}

impl Contender for Dma {
    fn name(&self) -> &str {
        "dma"
    }

    fn prepare(&mut self, relay: &Relay) -> io::Result<()> {
        let starttls = if relay.security == Security::Starttls { "STARTTLS\n" } else { "" };
        self.settings = format!(
            "SMARTHOST {}\nPORT {}\nAUTHPATH /etc/dma/auth.conf\nSECURETRANSFER\n{starttls}MAILNAME bench.example\n",
            relay.host, relay.port
        );
        self.root.write("/etc/dma/auth.conf", &format!("bench|{}:secret\n", relay.host))?;
        self.root.empty(SPOOL)?;
        self.defer(false)
    }

    fn send(&self, message: &Message, count: usize) -> Option<Task> {
        self.defer(false).ok()?;
        Some(self.dma(message, &["-D"], count))
    }

    fn deposit(&self, message: &Message) -> Option<Task> {
        self.defer(true).ok()?;
        Some(self.dma(message, &[], 1))
    }

    fn fill(&mut self, message: &Message, count: usize) -> io::Result<()> {
        self.root.empty(SPOOL)?;
        if let Some(task) = self.deposit(message) {
            task.measure(count);
        }
        self.defer(false)
    }

    fn flush(&mut self, _message: &Message, _count: usize) -> Option<Task> {
        Some(self.root.task("/usr/sbin/dma", Path::new("/dev/null")).arguments(["-q"]))
    }
}
