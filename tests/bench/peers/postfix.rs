//! Postfix: a system of daemons; sendmail(1) hands over, the relay has the message a little later.

use super::super::contenders::{Contender, Message};
use super::super::measure::Task;
use super::super::{Relay, Security};
use super::{CA_FILE, Root, recipients};
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const SPOOL: &str = "/var/spool/postfix";
const LONG: Duration = Duration::from_secs(60);

pub struct Postfix {
    root: Root,
    settings: String,
    runs: bool,
}

impl Postfix {
    pub fn new(root: Root) -> io::Result<Postfix> {
        root.append("/etc/passwd", "postfix:x:2125:2125::/var/spool/postfix:/usr/sbin/nologin\n")?;
        root.append("/etc/group", "postfix:x:2125:\npostdrop:x:2126:\n")?;
        root.run("cp", &["/usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf"])?;
        root.run("cp", &["/usr/share/postfix/dynamicmaps.cf", "/etc/postfix/dynamicmaps.cf"])?;
        // No port 25, no chroot, a log that is a file.
        let services = fs::read_to_string(root.at("/etc/postfix/master.cf"))?;
        let services: Vec<String> = services
            .lines()
            .filter(|line| !line.starts_with("smtp      inet"))
            .map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                match fields.as_slice() {
                    [name, kind @ ("unix" | "fifo" | "inet" | "unix-dgram"), private, unpriv, _, rest @ ..] => {
                        format!("{name} {kind} {private} {unpriv} n {}", rest.join(" "))
                    }
                    _ => line.to_string(),
                }
            })
            .collect();
        root.write("/etc/postfix/master.cf", &(services.join("\n") + "\n"))?;
        root.run("mkdir", &["-p", SPOOL, "/var/lib/postfix"])?;
        root.on_disk(SPOOL)?;
        root.on_disk("/var/lib/postfix")?;
        Ok(Postfix { root, settings: String::new(), runs: false })
    }

    fn configure(&self, more: &str) -> io::Result<()> {
        self.root.write("/etc/postfix/main.cf", &format!("{}{more}", self.settings))
    }

    fn start(&mut self) -> io::Result<()> {
        self.root.run("postfix", &["start"])?;
        self.runs = true;
        Ok(())
    }

    fn stop(&mut self) {
        if std::mem::take(&mut self.runs) {
            let _ = self.root.run("postfix", &["stop"]);
        }
    }

    fn queued(&self, folder: &str) -> usize {
        let count = |path: &Path| fs::read_dir(path).map_or(0, Iterator::count);
        let folder = self.root.at(SPOOL).join(folder);
        // Hashed: one level of folders.
        fs::read_dir(&folder).into_iter().flatten().flatten().map(|inner| count(&inner.path())).sum()
    }

    fn sendmail(&self, message: &Message, count: usize) -> Task {
        let task = self.root.task("/usr/sbin/sendmail", &message.text);
        task.arguments(["-i", "-f", "bench@example.test"]).arguments(recipients(count))
    }
}

impl Contender for Postfix {
    fn name(&self) -> &str {
        "postfix"
    }

    fn prepare(&mut self, relay: &Relay) -> io::Result<()> {
        self.stop();
        let wrapper = if relay.security == Security::Implicit { "yes" } else { "no" };
        let host = if relay.host == "localhost" { "near.bench" } else { relay.host };
        self.settings = format!(
            "compatibility_level = 3.6\nqueue_directory = {SPOOL}\ncommand_directory = /usr/sbin\n\
             daemon_directory = /usr/lib/postfix/sbin\ndata_directory = /var/lib/postfix\nmyhostname = bench.example\n\
             mydestination =\ninet_interfaces = loopback-only\ninet_protocols = ipv4\nmaillog_file = /var/log/postfix.log\n\
             maillog_file_prefixes = /var\nmail_owner = postfix\nsetgid_group = postdrop\nalias_maps =\n\
             relayhost = [{host}]:{}\nsmtp_host_lookup = native\nsmtp_tls_security_level = verify\n\
             smtp_tls_verify_cert_match = localhost, far.bench\nsmtp_tls_wrappermode = {wrapper}\n\
             smtp_tls_CAfile = {CA_FILE}\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous\n\
             smtp_sasl_password_maps = inline:{{ {{ [{host}]:{} = bench:secret }} }}\n\
             smtp_tls_session_cache_database = btree:${{data_directory}}/smtp_scache\n\
             default_process_limit = 20\nqueue_minfree = 0\nmessage_size_limit = 0\nmailbox_size_limit = 0\n",
            relay.port, relay.port
        );
        self.configure("")?;
        self.root
            .run("sh", &["-c", "rm -rf /var/spool/postfix/* && postfix set-permissions create-missing 2>&1 || true"])?;
        self.start()
    }

    fn rest(&mut self) {
        self.stop();
    }

    fn hand_over(&self, message: &Message, count: usize) -> Option<Task> {
        Some(self.sendmail(message, count))
    }

    fn deposit(&self, message: &Message) -> Option<Task> {
        // Its daemons would deliver meanwhile.
        self.root.run("postfix", &["stop"]).ok();
        Some(self.sendmail(message, 1))
    }

    /// Deposited with delivery put off, until everything waits in the queue proper.
    fn fill(&mut self, message: &Message, count: usize) -> io::Result<()> {
        self.stop();
        self.configure("defer_transports = smtp\n")?;
        self.start()?;
        self.sendmail(message, 1).measure_together(2, count / 2);
        let begun = Instant::now();
        while self.queued("deferred") < count && begun.elapsed() < LONG {
            thread::sleep(Duration::from_millis(50));
        }
        self.configure("")?;
        self.root.run("postfix", &["reload"])
    }

    fn flush(&mut self, _message: &Message, _count: usize) -> Option<Task> {
        Some(self.root.task("/usr/sbin/postqueue", Path::new("/dev/null")).arguments(["-f"]))
    }
}
