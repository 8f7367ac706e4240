//! One run of the program: its arguments, environment and input, and what came of it. Silence is expected unless a test
//! says otherwise, and no run outlives its time.

use super::relay::base64;
use super::sandbox::PASSWORD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The longest any run may take, to its end and to the closing of its streams.
const LIMIT: Duration = Duration::from_secs(20);

/// A run that is being prepared.
#[must_use = "nothing runs before it is asked how it ended"]
pub struct Run {
    command: Command,
    input: Vec<u8>,
    shown: String,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
    shown: String,
}

impl Run {
    pub(super) fn new<A: AsRef<OsStr>>(program: PathBuf, arguments: impl IntoIterator<Item = A>) -> Run {
        let mut command = Command::new(&program);
        command.env_clear().args(arguments);
        let shown = format!("{command:?}");
        // Where an instrumented program counts what it reaches (tests/security/run coverage).
        if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
            command.env("LLVM_PROFILE_FILE", profile);
        }
        Run { command, input: Vec::new(), shown }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(name, value);
        self
    }

    /// Runs in that folder.
    pub fn within(mut self, folder: &Path) -> Run {
        self.command.current_dir(folder);
        self
    }

    /// What is written to its standard input.
    pub fn input(mut self, bytes: impl AsRef<[u8]>) -> Run {
        self.input = bytes.as_ref().to_vec();
        self
    }

    /// Through `sh -c SCRIPT`, in which `"$@"` is the command: for limits and closed descriptors.
    pub fn through_shell(mut self, script: &str) -> Run {
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().args(["-c", script, "sh"]).arg(self.command.get_program()).args(self.command.get_args());
        shell.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = self.command.get_current_dir() {
            shell.current_dir(folder);
        }
        self.shown = format!("{} through {script}", self.shown);
        self.command = shell;
        self
    }

    /// Exit 0, not a byte on either stream.
    pub fn silent(self) {
        let finished = self.finish().exits(0);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""), "{}", finished.shown);
    }

    /// Exit 0 and something to read on standard output, which is returned.
    pub fn prints(self) -> String {
        let finished = self.finish().exits(0);
        assert_eq!(finished.stderr, "", "{}", finished.shown);
        finished.stdout
    }

    /// Exit 0, and a diagnostic, which is returned.
    pub fn warns(self) -> String {
        self.fails(0)
    }

    /// That exit status, and a diagnostic, which is returned.
    pub fn fails(self, status: i32) -> String {
        let finished = self.finish().exits(status);
        assert_eq!(finished.stdout, "", "{}", finished.shown);
        assert_ne!(finished.stderr, "", "{} says nothing", finished.shown);
        finished.stderr
    }

    /// However it ends.
    #[must_use]
    pub fn finish(self) -> Finished {
        let input = self.input.clone();
        let mut started = self.start();
        let mut stdin = started.child.stdin.take().expect("a piped standard input");
        thread::spawn(move || stdin.write_all(&input));
        started.finish()
    }

    /// Started, with its standard input open in `child.stdin`.
    pub fn start(mut self) -> Started {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.command.spawn().unwrap_or_else(|error| panic!("{error}: {}", self.shown));
        Started { child, since: Instant::now(), shown: self.shown }
    }
}

/// A program that is running.
pub struct Started {
    pub child: Child,
    since: Instant,
    shown: String,
}

impl Started {
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Waits for its end and for the end of its output, which a detached child must not hold open.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        let pid = self.pid();
        drop(self.child.stdin.take());
        let (done, ended) = mpsc::channel();
        let (stdout, stderr) = (self.child.stdout.take().unwrap(), self.child.stderr.take().unwrap());
        let mut child = self.child;
        thread::spawn(move || {
            let errors = thread::spawn(move || text(stderr));
            let output = text(stdout);
            let errors = errors.join().unwrap();
            let _ = done.send((child.wait().unwrap(), output, errors));
        });
        let Ok((status, stdout, stderr)) = ended.recv_timeout(LIMIT) else {
            let _ = kill(pid, Signal::SIGKILL);
            panic!("{} took more than {LIMIT:?}", self.shown);
        };
        let finished = Finished { status, stdout, stderr, took: self.since.elapsed(), shown: self.shown };
        finished.keeps_the_secret()
    }
}

fn text(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Finished {
    /// That exit status, whatever was said.
    pub fn exits(self, status: i32) -> Finished {
        assert_eq!(self.status.code(), Some(status), "{}: {}\n{}{}", self.shown, self.status, self.stdout, self.stderr);
        self
    }

    /// Ended by that signal.
    pub fn dies_of(self, signal: Signal) {
        assert_eq!(self.status.signal(), Some(signal as i32), "{}: {}", self.shown, self.status);
    }

    /// The password is in neither stream, as it is or inside base64 at any alignment.
    fn keeps_the_secret(self) -> Finished {
        for secret in spellings_of(PASSWORD) {
            assert!(
                !self.stdout.contains(&secret) && !self.stderr.contains(&secret),
                "the password is shown: {self:?}"
            );
        }
        self
    }
}

/// A secret as it is, in hexadecimal, and the part of it that shows in the base64 of any text around it.
pub fn spellings_of(secret: &str) -> Vec<String> {
    let hexadecimal = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let shifted = (0..3).map(|shift| {
        let encoded = base64::encode(&[vec![0; shift], secret.as_bytes().to_vec()].concat());
        encoded[4..encoded.len() - 4].to_string()
    });
    [secret.to_string(), hexadecimal].into_iter().chain(shifted).collect()
}
