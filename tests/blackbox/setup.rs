//! `mailchute setup`: at a terminal, as a person does it, and from a script.

use crate::support::*;
use nix::pty::openpty;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

fn relay() -> Relay {
    // A port without a name is tried with TLS first.
    Relay::start(Script::starttls().login(USER, PASSWORD)).tolerant()
}

/// The program at a terminal, and a person who types.
pub struct Terminal {
    keyboard: File,
    screen: Receiver<u8>,
    pub shown: String,
    child: std::process::Child,
    lines: usize,
}

impl Terminal {
    pub fn start(sandbox: &Sandbox, arguments: &[&str]) -> Terminal {
        let pair = openpty(None, None).unwrap();
        let side = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = Command::new(sandbox.path("bin/mailchute"))
            .args(arguments)
            .env_clear()
            .env("HOME", sandbox.path("home"))
            .env("XDG_STATE_HOME", sandbox.path("state"))
            .env("MAILCHUTE_CONFIG", sandbox.path("home/.config/mailchute/config.toml"))
            .env("PATH", "/usr/bin:/bin")
            .env("SSL_CERT_FILE", sandbox.path("ca.pem"))
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        drop(pair.slave);
        let keyboard = File::from(pair.master);
        let mut eyes = keyboard.try_clone().unwrap();
        let (seen, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut byte = [0];
            while eyes.read(&mut byte).is_ok_and(|count| count == 1) && seen.send(byte[0]).is_ok() {}
        });
        Terminal { keyboard, screen, shown: String::new(), child, lines: 0 }
    }

    /// Waits for a question, answers it with a line.
    pub fn answer(self, question: &str, line: &str) -> Terminal {
        let mut terminal = self.wait_for(question);
        writeln!(terminal.keyboard, "{line}").unwrap();
        terminal.lines += 1;
        terminal
    }

    /// Waits for something to be shown.
    pub fn wait_for(mut self, question: &str) -> Terminal {
        let from = self.shown.len();
        let end = Instant::now() + Duration::from_secs(20);
        while !self.shown[from..].contains(question) {
            let left = end.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(byte) => self.shown.push(char::from(byte)),
                Err(_) => panic!("{question:?} was not asked:\n{}", self.shown),
            }
        }
        self
    }

    /// Waits for its end: the status, and all that was shown.
    pub fn end(mut self) -> (i32, String) {
        while let Ok(byte) = self.screen.recv_timeout(Duration::from_secs(20)) {
            self.shown.push(char::from(byte));
        }
        let status = self.child.wait().unwrap().code().unwrap();
        assert!(!self.shown.contains(PASSWORD), "the password is shown:\n{}", self.shown);
        (status, self.shown.replace('\r', ""))
    }
}

#[test]
fn from_nothing_to_a_delivered_test_mail_in_under_ten_lines() {
    let relay = relay();
    let sandbox = Sandbox::empty();
    let port = relay.port().to_string();
    let terminal = Terminal::start(&sandbox, &["setup"])
        .answer("Address to send from: ", USER)
        .answer("Mail server (SMTP host): ", "localhost")
        .answer("Port [587, else 465]: ", &port)
        .answer(&format!("Login name [{USER}]: "), "")
        .answer("Password (not shown): ", PASSWORD)
        .answer(&format!("Mail for root goes to [{USER}]: "), "")
        .answer(&format!("Send a test mail to {USER}? [Y/n]: "), "");
    assert!(terminal.lines < 10);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("the test mail was taken: 250"), "{shown}");
    let message = relay.message();
    assert_eq!(message.to(), [USER]);
    assert_eq!(message.field("Subject").as_deref(), Some("Test of mailchute"));
    let file = sandbox.path("home/.config/mailchute/config.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let wanted = format!(
        "[accounts.example]\nhost = \"localhost\"\nport = {port}\ntls = \"starttls\"\nuser = \"{USER}\"\n\
         password = \"{PASSWORD}\"\n\n[aliases]\nroot = \"{USER}\"\n"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), wanted);
    let sent = Command::new(sandbox.path("bin/sendmail"))
        .arg("root")
        .env_clear()
        .env("HOME", sandbox.path("home"))
        .env("XDG_STATE_HOME", sandbox.path("state"))
        .env("MAILCHUTE_CONFIG", &file)
        .env("SSL_CERT_FILE", sandbox.path("ca.pem"))
        .stdin(Stdio::null())
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(relay.messages()[1].to(), [USER]);
}

#[test]
fn the_readme_shows_what_is_shown() {
    let readme = fs::read_to_string("README.md").unwrap();
    let screen = readme.split("```text\n$ mailchute setup\n").nth(1).unwrap().split("```").next().unwrap();
    let relay = Relay::start(Script::implicit().login("someone@gmail.com", "abcdefghijklmnop"));
    let sandbox = Sandbox::empty();
    let port = relay.port().to_string();
    // Gmail as the preset knows it, but for the network.
    let terminal = Terminal::start(&sandbox, &["setup", "--provider", "gmail", "--host", "localhost", "--port", &port]);
    let (status, shown) = terminal
        .answer("Address to send from: ", "someone@gmail.com")
        .answer("App password (not shown): ", "abcd efgh ijkl mnop")
        .answer("Mail for root goes to [someone@gmail.com]: ", "")
        .answer("[Y/n]: ", "")
        .end();
    assert_eq!(status, 0, "{shown}");
    let shown = shown
        .replace(&format!("localhost[127.0.0.1]:{port}"), "smtp.gmail.com[142.250.1.108]:587")
        .replace(sandbox.path("home").to_str().unwrap(), "/home/someone")
        .replace("250 2.0.0 ok, message 1", "250 2.0.0 OK")
        .replace(": \n", ":\n");
    assert_eq!(shown, screen);
}

#[test]
fn a_refused_password_may_be_typed_again_and_nothing_is_written_before_it_is_right() {
    let relay = relay();
    let sandbox = Sandbox::empty();
    let (host, port) = ("--host=localhost", format!("--port={}", relay.port()));
    let arguments = ["setup", USER, host, &port, "--user", USER, "--root", USER];
    let (status, shown) = Terminal::start(&sandbox, &arguments)
        .answer("Password (not shown): ", "wrong")
        .answer("Password (not shown): ", PASSWORD)
        .answer("Send a test mail", "n")
        .end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("535"), "{shown}");
    assert_eq!(relay.messages().len(), 0);
    let again = Sandbox::empty();
    let (status, shown) = Terminal::start(&again, &arguments)
        .answer("Password (not shown): ", "wrong")
        .answer("Password (not shown): ", "wrong again")
        .end();
    assert_eq!(status, 78, "{shown}");
    assert!(!again.path("home/.config").exists());
}

#[test]
fn an_account_is_replaced_only_when_a_person_says_so_and_the_rest_of_the_file_stays() {
    let relay = relay();
    let sandbox = Sandbox::for_relay(&relay).top("# mine").tables("[queue]\nexpire = \"2d\" # short");
    let before = fs::read_to_string(sandbox.config()).unwrap();
    let port = format!("--port={}", relay.port());
    let config = sandbox.config();
    let arguments =
        ["setup", USER, "--host=localhost", &port, "--user", USER, "-a", "test", "-C", config.to_str().unwrap()];
    let typed = |terminal: Terminal| terminal.answer("Password (not shown): ", PASSWORD);
    let (status, shown) = typed(Terminal::start(&sandbox, &arguments)).answer("Replace it? [y/N]: ", "").end();
    assert_eq!(status, 78, "{shown}");
    assert_eq!(fs::read_to_string(sandbox.config()).unwrap(), before);
    let (status, shown) = typed(Terminal::start(&sandbox, &arguments))
        .answer("Replace it? [y/N]: ", "y")
        .answer("Mail for root", "")
        .answer("Send a test mail", "n")
        .end();
    assert_eq!(status, 0, "{shown}");
    let after = fs::read_to_string(sandbox.config()).unwrap();
    assert!(after.starts_with("# mine\n") && after.contains("expire = \"2d\" # short"), "{after}");
    assert!(after.contains("[accounts.test]\nhost = \"localhost\"\n"), "{after}");
}

#[test]
fn a_script_says_everything_at_once() {
    let relay = relay();
    let sandbox = Sandbox::empty();
    let port = format!("--port={}", relay.port());
    let run = |more: &[&str]| {
        let arguments = [&["setup", USER, "--host=localhost", &port, "--password-stdin"], more].concat();
        sandbox.mailchute(arguments).env("SSL_CERT_FILE", sandbox.path("ca.pem")).input(format!("{PASSWORD}\n"))
    };
    let said = run(&["--test-mail"]).prints();
    assert!(said.starts_with("account example is in ") && said.contains("the test mail was taken: 250"), "{said}");
    assert_eq!(relay.message().to(), [USER]);
    assert!(run(&[]).fails(78).contains("--replace"));
    run(&["--replace", "--default", "--no-test"]).prints();
    let text = fs::read_to_string(sandbox.config()).unwrap();
    assert!(text.starts_with("default-account = \"example\"\n"), "{text}");
    sandbox.mailchute(["queue"]).prints();
}

#[test]
fn a_port_that_begins_with_tls_is_found_out() {
    let relay = Relay::start(Script::implicit().login(USER, PASSWORD));
    let sandbox = Sandbox::empty();
    let port = format!("--port={}", relay.port());
    let arguments = ["setup", USER, "--host=localhost", &port, "--password-stdin"];
    sandbox.mailchute(arguments).env("SSL_CERT_FILE", sandbox.path("ca.pem")).input(PASSWORD).prints();
    assert!(fs::read_to_string(sandbox.config()).unwrap().contains("tls = \"implicit\""));
}

#[test]
fn a_provider_without_passwords_gets_a_client_that_is_to_log_in() {
    let sandbox = Sandbox::empty();
    let said = sandbox.mailchute(["setup", "me@outlook.com", "--password-stdin"]).input("hunter2\n").fails(65);
    assert!(said.contains("no password works there"), "{said}");
    assert!(!sandbox.config().exists());
    let said = sandbox.mailchute(["setup", "me@outlook.com", "--client-id", "12-ab"]).prints();
    assert!(said.ends_with("now log in: mailchute login --account outlook\n"), "{said}");
    assert!(fs::read_to_string(sandbox.config()).unwrap().contains("oauth2 = { client-id = \"12-ab\" }\n"));
}

#[test]
fn what_is_missing_in_a_script_is_named_with_its_option() {
    let sandbox = Sandbox::empty();
    for (arguments, hint) in [
        (&["setup"][..], "an address"),
        (&["setup", "me@mail.test"], "--host"),
        (&["setup", "me@gmail.com"], "--password-stdin"),
        (&["setup", "me@outlook.com"], "--client-id"),
    ] {
        let said = sandbox.mailchute(arguments).fails(64);
        assert!(said.contains(&format!("say it with {hint}")), "{arguments:?}: {said}");
    }
    let said = sandbox.mailchute(["setup", "me@gmail.com", "--password-stdin"]).input("hunter2").fails(65);
    assert!(said.contains("16 small letters"), "{said}");
    assert!(!sandbox.config().exists());
}

#[test]
fn on_a_machine_with_a_spooler_root_writes_for_the_spooler() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let relay = relay();
    let sandbox = Sandbox::empty();
    let (file, spool) = (sandbox.config(), sandbox.path("their-spool"));
    fs::create_dir(&spool).unwrap();
    std::os::unix::fs::chown(&spool, Some(12_345), Some(12_346)).unwrap();
    let own = format!(
        "# ours\n[spool]\ndirectory = \"{}\"\n\n[accounts.old]\nhost = \"h\"\nuser = \"u\"\npassword = \"o\"\nfrom = \"u@x.test\"\n\n\
         [accounts.g]\nprovider = \"gmail\"\nuser = \"g@gmail.com\"\noauth2 = {{ client-id = \"c\", client-secret = \"k\" }}\n",
        spool.display()
    );
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, own).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let port = format!("--port={}", relay.port());
    let arguments = ["setup", USER, "--host=localhost", &port, "--password-stdin"];
    let run = sandbox.mailchute(arguments).env("SSL_CERT_FILE", sandbox.path("ca.pem")).input(format!("{PASSWORD}\n"));
    assert!(run.prints().contains("its password is the spooler's alone: systemctl restart"));
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.starts_with("# ours\n") && !text.contains("password =") && !text.contains("client-secret ="),
        "{text}"
    );
    let facts = |path: &std::path::Path| {
        let found = fs::metadata(path).unwrap();
        (found.uid(), found.gid(), found.permissions().mode() & 0o7777)
    };
    let secrets = file.parent().unwrap().join("secrets");
    assert_eq!(facts(&file), (0, 0, 0o644));
    assert_eq!(facts(&secrets), (0, 12_346, 0o750));
    for (name, password) in [("old", "o"), ("example", PASSWORD)] {
        assert!(text.contains(&format!("password-file = \"secrets/{name}\"")), "{text}");
        assert_eq!(facts(&secrets.join(name)), (12_345, 12_346, 0o600));
        assert_eq!(fs::read_to_string(secrets.join(name)).unwrap(), format!("{password}\n"));
    }
    assert_eq!(facts(&secrets.join("g+client-secret")), (12_345, 12_346, 0o600));
    assert_eq!(fs::read_to_string(secrets.join("g+client-secret")).unwrap(), "k\n");
}

#[test]
fn root_sets_up_nothing_that_the_spooler_cannot_reach() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let sandbox = Sandbox::empty();
    let (spool, mail) = (sandbox.path("their-spool"), sandbox.path("home/Mail"));
    fs::create_dir(&spool).unwrap();
    std::os::unix::fs::chown(&spool, Some(12_345), Some(12_346)).unwrap();
    fs::create_dir_all(sandbox.config().parent().unwrap()).unwrap();
    let own = format!("[spool]\ndirectory = \"{}\"\n", spool.display());
    fs::write(sandbox.config(), &own).unwrap();
    let arguments = ["setup", USER, "--host=localhost", "--port=587", "--password-stdin", "--no-test", "--keyring"];
    let said = sandbox.mailchute(arguments).input("x\n").fails(65);
    assert!(said.contains("--keyring: the spooler of this machine sees no keyring of root's"), "{said}");
    let set_up = || sandbox.mailchute(["setup", "--maildir", "~/Mail"]);
    let said = set_up().fails(65);
    let (_, command) = said.trim_end().split_once("which writes the mail here: ").unwrap();
    assert!(command.starts_with("install -d -m 700 -o 12345 -g 12346 ") && !mail.exists(), "{said}");
    assert_eq!(fs::read_to_string(sandbox.config()).unwrap(), own);
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
    set_up().prints();
    assert_eq!(fs::metadata(mail.join("new")).unwrap().uid(), 12_345);
}

#[test]
fn a_maildir_is_set_up_without_a_question() {
    let sandbox = Sandbox::empty();
    let said = sandbox.mailchute(["setup", "--maildir", "~/Mail"]).prints();
    assert!(said.starts_with("account here is in /") && said.ends_with("/home/Mail\n"), "{said}");
    sandbox.sendmail(["-i", "root"]).input(MESSAGE).silent();
    assert_eq!(std::fs::read_dir(sandbox.path("home/Mail/new")).unwrap().count(), 1);
    let again = sandbox.mailchute(["setup", "--maildir", "~/Mail"]).fails(78);
    assert!(again.contains("there is an account here already"), "{again}");
    sandbox.mailchute(["setup", "--maildir", "~/Mail", "--replace"]).prints();
    sandbox.mailchute(["setup", "--maildir", "~/Mail", "--host", "x.org"]).fails(64);
    sandbox.mailchute(["setup", "--maildir", "~/Mail", "a@x.org"]).fails(64);
}
