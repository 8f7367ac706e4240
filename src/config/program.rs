//! A program whose first output line is a secret: how its words are written, and how it is run without a shell, a
//! terminal or unlimited patience.

use super::file::first_line;
use super::password::{Password, SecretError};
use crate::diagnostic::printable;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a program may take: a person may have to touch a key.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a bare program name is looked for; `$PATH` is the caller's caller's.
const SEARCHED: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// The most that is kept of one stream; OAuth 2 tokens have a few KiB.
const KEPT: usize = 64 * 1024;

/// Something to be done at a moment, even while a program runs: a caller is let go by a fork, and a program is only
/// its parent's to wait for. So it is ended first, and begins anew behind it.
pub struct Leave<'a> {
    pub at: Instant,
    /// Whether there is still time for the program.
    pub act: &'a mut dyn FnMut() -> ControlFlow<()>,
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// First the program: an absolute path, or a bare name to look for.
    words: Vec<String>,
    /// What the program finds in `$HOME`: the caller's own, though cron hands over root's.
    home: Option<PathBuf>,
    /// What it reads on its standard input.
    input: String,
    /// What it finds in its environment besides ours.
    variable: Option<(&'static str, String)>,
}

impl Program {
    /// `None` without a word.
    pub fn new(words: Vec<String>, home: Option<PathBuf>) -> Option<Program> {
        words.first().is_some_and(|program| !program.is_empty()).then_some(Program {
            words,
            home,
            input: String::new(),
            variable: None,
        })
    }

    /// The same with something to read.
    pub(super) fn told(self, input: String) -> Program {
        Program { input, ..self }
    }

    /// The same with an environment variable.
    pub(super) fn with_variable(self, name: &'static str, value: String) -> Program {
        Program { variable: Some((name, value)), ..self }
    }

    /// Runs it to its end, whatever that is, with something to read.
    pub(super) fn run(&self, input: &[u8], leave: Option<Leave>) -> Result<Ended, SecretError> {
        run_or_leave(&self.found()?, self, input, PATIENCE, leave).map_err(|error| self.failed(&error.to_string()))
    }

    /// Runs it and takes what stands behind `lead` on one of its lines.
    pub(super) fn line_behind(&self, lead: &str, leave: Option<Leave>) -> Result<Password, SecretError> {
        let output = self.output_within(PATIENCE, leave)?;
        let line = output.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(lead.as_bytes()));
        match line.filter(|line| !line.is_empty()) {
            Some(line) => Ok(Password::new(line.to_vec())),
            None => Err(SecretError::new(format!("{self}: has no password"))),
        }
    }

    /// Runs it and takes its first output line.
    pub(super) fn first_line(&self, leave: Option<Leave>) -> Result<Password, SecretError> {
        self.first_line_within(PATIENCE, leave)
    }

    fn first_line_within(&self, patience: Duration, leave: Option<Leave>) -> Result<Password, SecretError> {
        match first_line(&self.output_within(patience, leave)?) {
            [] => Err(SecretError::new(format!("{self}: printed nothing"))),
            line => Ok(Password::new(line.to_vec())),
        }
    }

    /// Runs it: what it prints, which is something.
    fn output_within(&self, patience: Duration, leave: Option<Leave>) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        match run_or_leave(&self.found()?, self, self.input.as_bytes(), patience, leave) {
            Err(error) => Err(self.failed(&error.to_string())),
            Ok(Ended { status, errors, .. }) if !status.success() => {
                Err(self.failed(&with_errors(&errors, &status.to_string())))
            }
            Ok(Ended { output, errors, .. }) if first_line(&output).is_empty() => {
                Err(self.failed(&with_errors(&errors, "printed nothing")))
            }
            Ok(Ended { output, .. }) => Ok(output),
        }
    }

    fn found(&self) -> Result<PathBuf, SecretError> {
        find(&self.words[0]).ok_or_else(|| {
            self.failed("no such program").with_hint(format!("write its whole path; looked in {}", SEARCHED.join(", ")))
        })
    }

    fn failed(&self, problem: &str) -> SecretError {
        SecretError::new(format!("{self}: {problem}"))
    }
}

/// The program's name; its arguments may be nobody's business.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.words[0]))
    }
}

/// Splits a command line into words as a shell would: blanks, quotes, backslashes. What only a shell can do is an error.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (None | Some('"'), '\\') => match letters.next() {
                Some(next) if quote.is_none() || matches!(next, '"' | '\\' | '$' | '`') => {
                    word.get_or_insert_default().push(next);
                }
                Some(next) => word.get_or_insert_default().extend(['\\', next]),
                None => return Err("ends with a backslash".into()),
            },
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?') | (None | Some('"'), '$' | '`') => {
                return Err(format!("has {c:?}, which only a shell understands, and no shell runs it"));
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("has a quote that is not closed".into());
    }
    words.extend(word);
    Ok(words)
}

pub(super) fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    SEARCHED.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// How a program ended, and what it wrote.
pub(super) struct Ended {
    pub status: ExitStatus,
    pub output: Zeroizing<Vec<u8>>,
    pub errors: Zeroizing<Vec<u8>>,
}

/// Runs it, and once more when we had to leave before it was done.
fn run_or_leave(
    path: &Path,
    program: &Program,
    input: &[u8],
    patience: Duration,
    leave: Option<Leave>,
) -> io::Result<Ended> {
    if let Some(Leave { at, act }) = leave {
        if let Some(ended) = run(path, program, input, patience, Some(at))? {
            return Ok(ended);
        }
        if act().is_break() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    run(path, program, input, patience, None)?.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// Runs it to its end, or to the end of our patience; `None` when `leave` came first, and ended it. A helper that it leaves behind with the same pipes, as
/// gpg-agent(1) is, is not waited for.
fn run(
    path: &Path,
    program: &Program,
    input: &[u8],
    patience: Duration,
    leave: Option<Instant>,
) -> io::Result<Option<Ended>> {
    let Program { words, home, variable, .. } = program;
    let mut command = Command::new(path);
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    // Nobody is there to be asked.
    command.env("GIT_TERMINAL_PROMPT", "0");
    command.args(&words[1..]).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/");
    for variable in ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"] {
        command.env_remove(variable);
    }
    if let Some(home) = home {
        command.env("HOME", home);
    }
    command.envs(variable.iter().map(|(name, value)| (name, value)));
    let deadline = Instant::now() + patience;
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Shorter than any pipe's buffer; a program that does not read it says why by its end.
        let _ = stdin.write_all(input);
    }
    let mut output = Stream::new(child.stdout.take().map(OwnedFd::from))?;
    let mut errors = Stream::new(child.stderr.take().map(OwnedFd::from))?;
    loop {
        let ended = child.try_wait()?;
        output.drain()?;
        errors.drain()?;
        if let Some(status) = ended {
            return Ok(Some(Ended { status, output: output.kept, errors: errors.kept }));
        }
        let now = Instant::now();
        let leaves = leave.is_some_and(|leave| now >= leave);
        if leaves || now >= deadline {
            child.kill()?;
            child.wait()?;
            if leaves {
                return Ok(None);
            }
            let problem = with_errors(&errors.kept, &format!("took longer than {} s", patience.as_secs()));
            return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
        }
        wait_for_any(&[&output, &errors])?;
    }
}

/// One end of a pipe, read as far as it goes without waiting.
struct Stream {
    pipe: Option<std::fs::File>,
    /// Never grows beyond the capacity it starts with, so that no copy is left behind.
    kept: Zeroizing<Vec<u8>>,
}

impl Stream {
    fn new(pipe: Option<OwnedFd>) -> io::Result<Stream> {
        if let Some(pipe) = &pipe {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Stream { pipe: pipe.map(std::fs::File::from), kept: Zeroizing::new(Vec::with_capacity(KEPT)) })
    }

    fn drain(&mut self) -> io::Result<()> {
        let mut chunk = Zeroizing::new([0; 4096]);
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut *chunk) {
                Ok(0) => self.pipe = None,
                Ok(more) => {
                    let room = KEPT - self.kept.len();
                    self.kept.extend_from_slice(&chunk[..more.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Waits until a stream has something, or a moment: that a child has ended is not seen on its pipes.
fn wait_for_any(streams: &[&Stream]) -> io::Result<()> {
    let open = streams.iter().filter_map(|stream| stream.pipe.as_ref());
    let mut waiting: Vec<PollFd> = open.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)).collect();
    let moment = PollTimeout::from(if waiting.is_empty() { 1u8 } else { 20u8 });
    match poll(&mut waiting, moment) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the program said of its trouble, else what we saw.
fn with_errors(errors: &[u8], seen: &str) -> String {
    let said = String::from_utf8_lossy(errors);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if said.is_empty() { seen.to_string() } else { format!("{seen}: {}", printable(&said.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new(vec!["sh".into(), "-c".into(), script.into()], Some(PathBuf::from("/nowhere"))).unwrap()
    }

    #[test]
    fn the_first_output_line_is_the_secret_and_stderr_explains_its_absence() {
        for (script, wanted) in [
            ("echo secret; echo more", Ok("secret")),
            ("echo noise >&2; printf 'secret'", Ok("secret")),
            ("echo $HOME", Ok("/nowhere")),
            ("cat; echo no input", Ok("no input")),
            ("true", Err("sh: printed nothing")),
            ("echo; echo secret", Err("sh: printed nothing")),
            ("echo 'gpg: no key' >&2; exit 2", Err("sh: exit status: 2: gpg: no key")),
            (
                "echo secret; printf '\\033[1mlocked\\nbye\\n' >&2; exit 1",
                Err("sh: exit status: 1: \\x1b[1mlocked; bye"),
            ),
            ("head -c 300000 /dev/zero | tr '\\0' x; echo; exit 3", Err("sh: exit status: 3")),
            ("sleep 60 & echo secret", Ok("secret")),
        ] {
            let found = shell(script).first_line(None).map(|found| String::from_utf8(found.expose().to_vec()).unwrap());
            assert_eq!(found.map_err(|error| error.cause), wanted.map(String::from).map_err(String::from), "{script}");
        }
    }

    #[test]
    fn a_line_is_found_by_its_beginning_in_the_answer_to_what_was_told() {
        let asked = |script: &str| shell(script).told("host=x.org\n\n".into()).line_behind("password=", None);
        let found = asked("cat; echo password=se=cret; echo more").unwrap();
        assert_eq!(found.expose(), b"se=cret");
        assert_eq!(asked("cat").unwrap_err().cause, "sh: has no password");
        assert_eq!(asked("echo no helper >&2; exit 128").unwrap_err().cause, "sh: exit status: 128: no helper");
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let error =
            shell("echo waiting >&2; exec sleep 60").first_line_within(Duration::from_millis(200), None).unwrap_err();
        assert!(error.cause.starts_with("sh: took longer than 0 s"), "{error}");
    }

    #[test]
    fn who_has_to_leave_ends_the_program_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let done = folder.path().join("done");
        let waits = shell(&format!("test -e {0} || exec sleep 60; echo secret", done.display()));
        let mut left = 0;
        let mut act = || {
            left += 1;
            std::os::unix::fs::symlink("/", &done).unwrap();
            ControlFlow::Continue(())
        };
        let leave = Leave { at: Instant::now() + Duration::from_millis(50), act: &mut act };
        assert_eq!(waits.first_line(Some(leave)).unwrap().expose(), b"secret");
        assert_eq!(left, 1);
        let late = Leave { at: Instant::now(), act: &mut || ControlFlow::Break(()) };
        assert_eq!(shell("exec sleep 60").first_line(Some(late)).unwrap_err().cause, "sh: timed out");
        let early = Leave { at: Instant::now() + Duration::from_secs(60), act: &mut || panic!("left") };
        assert_eq!(shell("echo secret").first_line(Some(early)).unwrap().expose(), b"secret");
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_places_searched() {
        let error = Program::new(vec!["no-such-program".into()], None).unwrap().first_line(None).unwrap_err();
        assert_eq!(error.cause, "no-such-program: no such program");
        assert_eq!(error.hint.unwrap(), "write its whole path; looked in /usr/local/bin, /usr/bin, /bin");
        let error = Program::new(vec!["/no/such".into()], None).unwrap().first_line(None).unwrap_err();
        assert_eq!(error.cause, "/no/such: No such file or directory (os error 2)");
        assert_eq!(Program::new(vec![], None), None);
    }

    #[test]
    fn a_command_line_is_split_into_words_and_what_needs_a_shell_is_refused() {
        for (line, wanted) in [
            ("pass show mail/gmail", Ok(vec!["pass", "show", "mail/gmail"])),
            ("  a   b\t", Ok(vec!["a", "b"])),
            ("a 'b c' \"d e\" f\\ g", Ok(vec!["a", "b c", "d e", "f g"])),
            ("a '' \"x\\\"y\\z\" 'p\\q|'", Ok(vec!["a", "", "x\"y\\z", "p\\q|"])),
            ("", Ok(vec![])),
            ("a 'b", Err("has a quote that is not closed")),
            ("a \\", Err("ends with a backslash")),
            ("a | b", Err("has '|', which only a shell understands, and no shell runs it")),
            ("a \"$HOME\"", Err("has '$', which only a shell understands, and no shell runs it")),
        ] {
            let wanted = wanted.map(|words| words.into_iter().map(String::from).collect()).map_err(String::from);
            assert_eq!(split(line), wanted, "{line}");
        }
    }
}
