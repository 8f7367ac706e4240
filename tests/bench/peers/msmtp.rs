//! msmtp: sends at once, has no queue.

use super::super::contenders::{Contender, Message};
use super::super::measure::Task;
use super::super::{Relay, Security};
use super::{CA_FILE, Root, recipients};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

const CONFIG: &str = "/etc/msmtp-bench";

pub struct Msmtp {
    root: Root,
}

impl Msmtp {
    pub fn new(root: Root) -> Msmtp {
        Msmtp { root }
    }
}

impl Contender for Msmtp {
    fn name(&self) -> &str {
        "msmtp"
    }

    fn prepare(&mut self, relay: &Relay) -> io::Result<()> {
        let starttls = if relay.security == Security::Starttls { "on" } else { "off" };
        let text = format!(
            "account default\nhost {}\nport {}\nfrom bench@example.test\nauth plain\nuser bench\npassword secret\n\
             tls on\ntls_starttls {starttls}\ntls_trust_file {CA_FILE}\ndomain bench.example\n",
            relay.host, relay.port
        );
        self.root.write(CONFIG, &text)?;
        fs::set_permissions(self.root.at(CONFIG), PermissionsExt::from_mode(0o600))
    }

    fn send(&self, message: &Message, count: usize) -> Option<Task> {
        let task = self.root.task("/usr/bin/msmtp", &message.text);
        Some(task.arguments(["-C", CONFIG, "-f", "bench@example.test", "--"]).arguments(recipients(count)))
    }
}
