//! Shows the whole path on one screen: a relay with TLS and a login on loopback, the real program, a real message, and
//! what arrived. `cargo run --release --example quickstart`; ends with an error when anything is not as it should be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    dead_code,
    reason = "a demonstration for a terminal, which ends where something cannot go on"
)]

#[path = "../blackbox/support/relay/mod.rs"]
mod relay;

use relay::record::{Conversation, Received};
use relay::{Relay, Script, certificates};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use tempfile::TempDir;

const USER: &str = "alice@example.test";
const PASSWORD: &str = "correct horse battery staple";
const RECIPIENTS: [&str; 5] =
    ["bob@example.org", "jane@example.net", "carol@example.org", "dave@example.org", "secret.reader@example.com"];

type Check = Result<(), String>;

fn main() -> ExitCode {
    let end = program().and_then(|program| {
        println!("mailchute quickstart: {} on loopback, nothing leaves this machine\n", program.display());
        submission_port(&program)?;
        tls_port(&program)?;
        wrong_password(&program)?;
        no_network(&program)
    });
    match end {
        Ok(()) => {
            println!("quickstart: all as it should be");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("quickstart: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn submission_port(program: &Path) -> Check {
    println!("1. As on port 587: STARTTLS, then a login");
    arrives(program, &Relay::start(Script::starttls().login(USER, PASSWORD)), "starttls")
}

fn tls_port(program: &Path) -> Check {
    println!("2. As on port 465: TLS from the first byte");
    arrives(program, &Relay::start(Script::implicit().login(USER, PASSWORD)), "implicit")
}

fn arrives(program: &Path, relay: &Relay, tls: &str) -> Check {
    let world = World::new(program, relay, tls, PASSWORD);
    let output = world.sendmail(&["-t", "-i"]);
    must(output.status.success(), || format!("exit status {}", output.status))?;
    must(output.stdout.is_empty() && output.stderr.is_empty(), || "the program was not silent".into())?;
    let record = relay.record();
    let conversation = record.conversations.last().ok_or("no connection was made")?;
    let messages = relay.messages();
    let [message] = messages.as_slice() else { return Err(format!("{} messages arrived", messages.len())) };
    show_dialogue(conversation);
    show_message(conversation, message);
    must(conversation.tls.is_some() && message.secure, || "the message went in clear".into())?;
    must(message.login.as_deref() == Some(USER), || "there was no login".into())?;
    must(message.to() == RECIPIENTS, || format!("recipients {:?}", message.to()))?;
    must(message.field("Bcc").is_none(), || "the Bcc field was sent on".into())?;
    let sent = fs::read_to_string(message_file()).map_err(|error| error.to_string())?;
    let body = sent.split_once("\n\n").map(|(_, body)| body.replace('\n', "\r\n")).unwrap_or_default();
    must(message.body() == body.as_bytes(), || "the body has changed".into())
}

fn wrong_password(program: &Path) -> Check {
    println!("3. A wrong password: kept in the queue, and this is what the caller reads");
    let relay = Relay::start(Script::starttls().login(USER, PASSWORD));
    let world = World::new(program, &relay, "starttls", "tr0ub4dor&3");
    let output = world.sendmail(&["-t", "-i"]);
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().for_each(|line| println!("   ! {line}"));
    println!();
    must(output.status.success(), || "a message that is kept must be exit 0".into())?;
    must(said.contains("535"), || "the relay's words are missing".into())?;
    must(!said.contains("tr0ub4dor"), || "the password is shown".into())?;
    must(world.waiting() == 1, || format!("{} messages in the queue", world.waiting()))
}

fn no_network(program: &Path) -> Check {
    println!("4. No network: kept in silence, listed, and sent when the network is back");
    let mut relay = Relay::offline(Script::starttls().login(USER, PASSWORD));
    let world = World::new(program, &relay, "starttls", PASSWORD);
    let output = world.sendmail(&["-t", "-i"]);
    must(output.status.success() && output.stderr.is_empty(), || "waiting must be silent".into())?;
    println!("   $ mailq");
    let listing = world.run("mailq", &[]);
    String::from_utf8_lossy(&listing.stdout).lines().for_each(|line| println!("   | {line}"));
    relay.go_online();
    println!("   $ sendmail -q");
    let flush = world.run("sendmail", &["-q"]);
    println!("   {} message(s) arrived, {} waiting\n", relay.messages().len(), world.waiting());
    must(flush.status.success(), || "the queue run failed".into())?;
    must(relay.messages().len() == 1 && world.waiting() == 0, || "the message is not where it should be".into())
}

/// A home of its own for one step.
struct World {
    folder: TempDir,
}

impl World {
    fn new(program: &Path, relay: &Relay, tls: &str, password: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sendmail", "mailq"] {
            symlink(program, folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("ca.pem"), certificates::authority()).unwrap();
        let config = folder.path().join("config.toml");
        let text = format!(
            "[accounts.demo]\nhost = \"localhost\"\nport = {}\ntls = \"{tls}\"\ntls-ca-file = \"ca.pem\"\n\
             user = \"{USER}\"\npassword = \"{password}\"\n\n[spool]\ndirectory = \"{}\"\n",
            relay.port(),
            folder.path().join("spool").display()
        );
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        World { folder }
    }

    fn sendmail(&self, arguments: &[&str]) -> Output {
        println!("   $ sendmail {} < tests/data/hello.eml", arguments.join(" "));
        self.run("sendmail", arguments)
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Output {
        Command::new(self.folder.path().join(name))
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("MAILCHUTE_CONFIG", self.folder.path().join("config.toml"))
            .stdin(File::open(message_file()).unwrap())
            .output()
            .unwrap()
    }

    fn waiting(&self) -> usize {
        fs::read_dir(self.folder.path().join("spool/queue")).map_or(0, Iterator::count)
    }
}

fn show_dialogue(conversation: &Conversation) {
    println!("   what the relay heard and said (* is inside TLS):");
    for line in &conversation.lines {
        let text = line.to_string();
        match text.strip_prefix("C* AUTH PLAIN ") {
            Some(_) => println!("     C* AUTH PLAIN (user and password)"),
            None => println!("     {text}"),
        }
    }
}

fn show_message(conversation: &Conversation, message: &Received) {
    println!("   what arrived:");
    let name = conversation.server_name.as_deref().unwrap_or("nobody");
    println!("     security   {} for {name}", conversation.tls.as_deref().unwrap_or("none"));
    println!("     login      {}", message.login.as_deref().unwrap_or("none"));
    println!("     envelope   <{}> to {}", message.reverse_path, message.to().join(", "));
    message.text().lines().for_each(|line| println!("     | {line}"));
    println!();
}

fn must(good: bool, problem: impl FnOnce() -> String) -> Check {
    if good { Ok(()) } else { Err(problem()) }
}

fn message_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hello.eml")
}

/// The program beside this example. `cargo run --example` builds no programs, so it is built here first; without cargo
/// what lies there is taken.
fn program() -> Result<PathBuf, String> {
    let example = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = example.ancestors().nth(2).ok_or("an example lies in target/PROFILE/examples")?;
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--bin", "mailchute"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        build.args((!cfg!(debug_assertions)).then_some("--release"));
        must(build.status().is_ok_and(|status| status.success()), || "mailchute was not built".into())?;
    }
    let program = folder.join("mailchute");
    must(program.exists(), || format!("{} is missing: cargo build first", program.display()))?;
    Ok(program)
}
