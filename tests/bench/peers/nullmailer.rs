//! nullmailer: its protocol module sends at once, its daemon goes through the queue once when it may not pause.

use super::super::contenders::{Contender, Message};
use super::super::measure::Task;
use super::super::{Relay, Security};
use super::{CA_FILE, Root, recipients};
use std::fs;
use std::io;
use std::path::Path;

const SPOOL: &str = "/var/spool/nullmailer";
const QUEUE: &str = "/var/spool/nullmailer/queue";

pub struct Nullmailer {
    root: Root,
    relay: Option<Relay>,
}

impl Nullmailer {
    pub fn new(root: Root) -> io::Result<Nullmailer> {
        root.on_disk(SPOOL)?;
        root.run("mkfifo", &["-m", "0622", "/var/spool/nullmailer/trigger"])?;
        root.run("chown", &["mail:root", "/var/spool/nullmailer/trigger"])?;
        root.write("/etc/nullmailer/pausetime", "0\n")?;
        Ok(Nullmailer { root, relay: None })
    }

    /// With its envelope, as the protocol modules and the queue have it.
    fn enveloped(&self, message: &Message, count: usize) -> io::Result<std::path::PathBuf> {
        let name = format!("/tmp/{count}-{}", message.text.file_name().unwrap_or_default().to_string_lossy());
        let path = self.root.at(&name);
        if !path.exists() {
            let envelope: String = recipients(count).map(|to| to + "\n").collect();
            let text = fs::read(&message.text)?;
            fs::write(&path, [b"bench@example.test\n", envelope.as_bytes(), b"\n", &text].concat())?;
        }
        Ok(path)
    }
}

impl Contender for Nullmailer {
    fn name(&self) -> &str {
        "nullmailer"
    }

    fn prepare(&mut self, relay: &Relay) -> io::Result<()> {
        let tls = if relay.security == Security::Starttls { "starttls" } else { "tls" };
        let line =
            format!("{} smtp port={} {tls} user=bench pass=secret x509cafile={CA_FILE}\n", relay.host, relay.port);
        self.root.write("/etc/nullmailer/remotes", &line)?;
        self.relay = Some(relay.clone());
        self.root.empty(QUEUE)
    }

    fn send(&self, message: &Message, count: usize) -> Option<Task> {
        let relay = self.relay.as_ref()?;
        let tls = if relay.security == Security::Starttls { "starttls" } else { "tls" };
        // The module wants its options on 0 and the message on 3. The shell is gone before it starts.
        let command = format!(
            "exec /usr/lib/nullmailer/smtp --host={} --port={} --{tls} --user=bench --pass=secret \
             --x509cafile={CA_FILE} 3<&0 </dev/null >/dev/null 2>&1",
            relay.host, relay.port
        );
        let input = self.enveloped(message, count).ok()?;
        Some(self.root.task("/bin/sh", &input).variable("HELOHOST", "bench.example").arguments(["-c", &command]))
    }

    fn deposit(&self, message: &Message) -> Option<Task> {
        let task = self.root.task("/usr/bin/nullmailer-inject", &message.text);
        Some(task.arguments(["-a", "-f", "bench@example.test", "r0@example.test"]))
    }

    /// One real deposit, copied.
    fn fill(&mut self, message: &Message, count: usize) -> io::Result<()> {
        self.root.empty(QUEUE)?;
        self.deposit(message).map(|task| task.measure(1));
        let Some(first) = fs::read_dir(self.root.at(QUEUE))?.next() else {
            return Err(io::Error::other("nothing was deposited"));
        };
        let entry = fs::read(first?.path())?;
        for number in 1..count {
            fs::write(self.root.at(QUEUE).join(format!("1790000000.{number}")), &entry)?;
        }
        self.root.run("chown", &["-R", "mail:root", QUEUE])
    }

    fn flush(&mut self, _message: &Message, _count: usize) -> Option<Task> {
        Some(self.root.task("/usr/sbin/nullmailer-send", Path::new("/dev/null")))
    }

    fn list(&self) -> Option<Task> {
        Some(self.root.task("/usr/bin/mailq", Path::new("/dev/null")))
    }
}
