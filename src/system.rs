//! The operating system where Rust needs `unsafe` for it: the only module that may use it. A few lines each, no policy.
#![allow(unsafe_code)]

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::unistd::Pid;
use std::io::PipeReader;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Whether standard input was open when the process started. Rust's start-up puts /dev/null in the place of closed
/// descriptors, so this is looked up before it.
pub fn stdin_was_open() -> bool {
    STDIN_WAS_OPEN.load(Ordering::Relaxed)
}

static STDIN_WAS_OPEN: AtomicBool = AtomicBool::new(true);

extern "C" fn look_at_stdin() {
    // SAFETY: fcntl with F_GETFD takes no pointer and changes nothing; storing to an atomic is allowed before main.
    let open = unsafe { libc::fcntl(0, libc::F_GETFD) } != -1;
    STDIN_WAS_OPEN.store(open, Ordering::Relaxed);
}

// SAFETY: an entry of .init_array is a C function without arguments, called once before main by the C library.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look_at_stdin;

/// Whether the kernel runs us with privileges that the caller has not (set-id bits, file capabilities): getauxval(3)
/// AT_SECURE.
pub fn runs_with_foreign_privileges() -> bool {
    // SAFETY: getauxval only reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Closes every descriptor from `first` up, so that nothing a caller leaked is held open or written to.
pub fn close_from(first: u32) {
    // SAFETY: nothing of ours is open yet when this is called, at the very start of `Process::from_world`; or we are a
    // child that uses none of what it has inherited and ends with `leave`, which drops nothing.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, 0);
    }
}

// Backtraces of a fault are all that libgcc_s is loaded for, at the start of every process: a tenth of what starting costs.
// SAFETY: nothing is declared; the archive defines what the standard library asks libgcc_s for.
#[cfg(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static")))]
#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {}

/// Lets all threads allocate from one heap. Glibc would map one for each, 64 MiB of addresses, and grow it page by page:
/// a good part of what a thread costs that lives for a millisecond.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes plain numbers, and no other thread runs yet when this is called.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Ignores the signals that would end us in the middle of a write; the write then reports the error instead
/// (SIGPIPE: EPIPE, SIGXFSZ: EFBIG). SIGCHLD goes back to its default, which a caller may have changed to "ignore",
/// and nothing stays blocked.
pub fn tame_signals() {
    // SAFETY: SIG_IGN and SIG_DFL install no handler of ours; the set is initialised before it is read.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Lets SIGINT, SIGTERM, SIGHUP and SIGQUIT pass without effect: from the commit on, the message is ours to finish. Nor
/// does SIGUSR1 end a child of whoever watches for it.
pub fn ignore_endings() {
    // SAFETY: SIG_IGN installs no handler of ours.
    unsafe {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1] {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}

/// Where the handler writes the numbers of signals.
static SIGNALS: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note_signal(signal: libc::c_int) {
    // A signal number fits in an octet.
    let octet = signal as u8;
    // SAFETY: write(2) may be called in a handler; errno, which it may change, is put back for whom we interrupted.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(SIGNALS.load(Ordering::Relaxed), (&raw const octet).cast(), 1);
        *errno = before;
    }
}

/// From now on these signals do nothing but put their number, one octet, into the pipe that is returned, whose ends do
/// not block. Programs that we start have none of this.
pub fn watch_signals(signals: &[Signal]) -> std::io::Result<PipeReader> {
    let (reader, writer) = std::io::pipe()?;
    for end in [reader.as_fd(), writer.as_fd()] {
        nix::fcntl::fcntl(end, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    }
    SIGNALS.store(writer.into_raw_fd(), Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(note_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in signals {
        // SAFETY: the handler calls nothing but write(2), and its pipe stays open for good.
        unsafe { nix::sys::signal::sigaction(*signal, &action) }?;
    }
    Ok(reader)
}

/// The sockets that systemd has passed, from descriptor 3 up, taken over. To be called once.
pub fn take_sockets(count: u32) -> Vec<OwnedFd> {
    let first: RawFd = 3;
    let open = (first..).take(count as usize).filter(|fd| {
        // SAFETY: fcntl with F_SETFD takes a plain number; on a descriptor that is not open it fails.
        unsafe { libc::fcntl(*fd, libc::F_SETFD, libc::FD_CLOEXEC) != -1 }
    });
    // SAFETY: `Process::from_world` has kept these descriptors open and nothing of ours has them.
    open.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect()
}

/// Which side of a fork we are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Parent,
    Child,
}

/// Splits the process. The child shares every open file, so also the locks on them; it has only the calling thread.
pub fn fork() -> std::io::Result<Side> {
    Ok(if fork_child()?.is_some() { Side::Parent } else { Side::Child })
}

/// The same, and the parent knows its child; `None` is the child.
pub fn fork_child() -> std::io::Result<Option<Pid>> {
    // SAFETY: a child has only the calling thread, so no other may hold a lock that it needs. We start two besides:
    // the committing one, which has given its answer by then and holds nothing, and the one that waits for DNS, whose
    // answer the child asks for again; the C library takes care of its own locks at fork.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some(Pid::from_raw(child))),
    }
}

/// Ends the process at once, without exit handlers: for a parent whose child goes on with the same open files.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// Keeps other processes of the same user from reading our memory, and the kernel from writing it to a core file.
pub fn hide_memory() {
    // SAFETY: prctl(PR_SET_DUMPABLE) takes plain numbers.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}

/// A file without a name, in memory: for what must be held while no disk will take it.
pub fn scratch() -> std::io::Result<std::os::fd::OwnedFd> {
    // SAFETY: the name is a C string of ours; the descriptor that comes back is owned by nobody else.
    unsafe {
        match libc::memfd_create(c"mailchute".as_ptr(), libc::MFD_CLOEXEC) {
            -1 => Err(std::io::Error::last_os_error()),
            fd => Ok(std::os::fd::FromRawFd::from_raw_fd(fd)),
        }
    }
}
