//! What running a command costs: wall, CPU of it and its children, peak memory, instructions, flushes.
//!
//! Each command is run by a short-lived copy of the bench (`--measured`): the kernel counts a child's peak memory from
//! before its exec, so whoever starts it must be small, and must have had no other children.

use super::world::own_program;
use nix::sys::resource::{UsageWho, getrusage};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A command to be measured.
#[derive(Clone, Debug)]
pub struct Task {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(&'static str, OsString)>,
    /// The root directory it runs in.
    pub root: Option<PathBuf>,
    /// Its standard input.
    pub input: PathBuf,
}

/// The cost of one run.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub wall: Duration,
    pub cpu: Duration,
    /// KiB, the largest so far.
    pub peak: u64,
    pub succeeded: bool,
}

impl Task {
    pub fn new(program: impl Into<PathBuf>, input: &Path) -> Task {
        let environment = vec![("PATH", "/usr/bin:/bin:/usr/sbin:/sbin".into()), ("HOME", "/root".into())];
        Task { program: program.into(), arguments: Vec::new(), environment, root: None, input: input.into() }
    }

    pub fn arguments<S: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = S>) -> Task {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Task {
        self.environment.push((name, value.into()));
        self
    }

    pub fn in_root(self, root: &Path) -> Task {
        Task { root: Some(root.into()), ..self }
    }

    /// Runs it so many times, one after the other.
    pub fn measure(&self, runs: usize) -> Vec<Cost> {
        costs(self.start(runs))
    }

    /// Runs it so many times in each of so many processes at once; the whole time.
    pub fn measure_together(&self, processes: usize, runs: usize) -> (Duration, Vec<Cost>) {
        let start = Instant::now();
        let children: Vec<Child> = (0..processes).map(|_| self.start(runs)).collect();
        let costs = children.into_iter().flat_map(costs).collect();
        (start.elapsed(), costs)
    }

    fn start(&self, runs: usize) -> Child {
        let root = self.root.clone().unwrap_or_else(|| "/".into());
        let mut command = Command::new(own_program());
        command.arg("--measured").arg(runs.to_string()).arg(&self.input).arg(root).arg(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it is we ourselves")
    }

    /// The command itself, to be waited for by the caller.
    pub fn command(&self) -> Command {
        let mut command = match &self.root {
            None => Command::new(&self.program),
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(&self.program);
                command
            }
        };
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command.stdin(File::open(&self.input).expect("the input is there")).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Instructions of one run, of all its threads and processes, in millions; `None` without valgrind, or when it fails
    /// there.
    pub fn instructions(&self) -> Option<f64> {
        // In files, for a program may turn its standard error elsewhere.
        let folder = self.root.as_deref().unwrap_or(Path::new("/")).join("tmp");
        let counts = || {
            let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|file| file.path());
            files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(COUNTS)))
        };
        let log = format!("--log-file=/tmp/{COUNTS}%p");
        self.under(&[
            "timeout",
            "60",
            "valgrind",
            "--tool=callgrind",
            "--trace-children=yes",
            "--callgrind-out-file=/dev/null",
            &log,
        ])?;
        let count = |words: String| -> Option<f64> {
            words.lines().find_map(|line| line.split("Collected :").nth(1))?.trim().parse().ok()
        };
        let sum: f64 = counts().filter_map(|path| count(std::fs::read_to_string(path).ok()?)).sum();
        counts().for_each(|path| drop(std::fs::remove_file(path)));
        (sum > 0.0).then_some(sum / 1e6)
    }

    /// Calls of fsync and its kin in one run; `None` without strace.
    pub fn flushes(&self) -> Option<usize> {
        let words =
            self.under(&["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,sync,syncfs", "-e", "signal=none"])?;
        // A call that another thread's interrupts is shown in two lines, the second without its bracket.
        Some(words.lines().filter(|line| line.contains("sync(")).count())
    }

    /// What a tool that runs the command says of it.
    fn under(&self, tool: &[&str]) -> Option<String> {
        let (program, options) = tool.split_first()?;
        let whole = options.iter().map(OsString::from).chain([self.program.clone().into()]);
        let arguments = whole.chain(self.arguments.iter().cloned()).collect();
        let task = Task { program: program.into(), arguments, ..self.clone() };
        let output = task.command().stderr(Stdio::piped()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// How the files begin in which instructions are counted.
const COUNTS: &str = "mailchute-bench-callgrind.";

fn costs(child: Child) -> Vec<Cost> {
    let output = child.wait_with_output().expect("a child of ours");
    String::from_utf8_lossy(&output.stdout).lines().filter_map(read).collect()
}

fn read(line: &str) -> Option<Cost> {
    let mut words = line.split(' ').map(|word| word.parse::<u64>());
    let mut next = || words.next()?.ok();
    Some(Cost {
        wall: Duration::from_micros(next()?),
        cpu: Duration::from_micros(next()?),
        peak: next()?,
        succeeded: next()? == 1,
    })
}

/// The copy's work: RUNS INPUT ROOT PROGRAM ARGUMENT... One line for each run.
pub fn measured(arguments: &[String]) {
    let [runs, input, root, program, rest @ ..] = arguments else { panic!("--measured RUNS INPUT ROOT PROGRAM ...") };
    let input = File::open(input).expect("the input is there");
    if root != "/" {
        std::os::unix::fs::chroot(root).and_then(|()| std::env::set_current_dir("/")).expect("root may");
    }
    let mut before = used();
    for _ in 0..runs.parse::<usize>().expect("a number") {
        std::io::Seek::rewind(&mut &input).expect("a file");
        let input = input.try_clone().expect("a file");
        let start = Instant::now();
        let mut command = Command::new(program);
        let status = command.args(rest).stdin(input).stdout(Stdio::null()).stderr(Stdio::inherit()).status();
        let wall = start.elapsed();
        let after = used();
        let succeeded = u8::from(status.is_ok_and(|status| status.success()));
        println!("{} {} {} {succeeded}", wall.as_micros(), (after.0 - before.0).as_micros(), after.1);
        before = after;
    }
}

/// CPU and peak memory of all children so far.
fn used() -> (Duration, u64) {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("always there");
    let time =
        |time: nix::sys::time::TimeVal| Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()) as u64);
    (time(usage.user_time()) + time(usage.system_time()), usage.max_rss() as u64)
}
