//! For callers without an account of their own: everything goes to the spooler of the machine, over its socket. The
//! message is read and parsed here, as the caller, before the spooler hears a word of it; what local names and senders
//! become is for the spooler.

mod call;

use super::Failed;
use super::context::Context;
use super::letter::{Aliases, Asked, Names};
use super::list_queue::Form;
use super::taking::login;
use crate::cli::{Delivering, ErrorMode, Listing, Selection, Verbosity};
use crate::config::is_socket;
use crate::diagnostic::{Explain, printable};
use crate::exit::Exit;
use crate::mail::address::Addressee;
use crate::mail::header::Header;
use crate::mail::message::Body;
use crate::process;
use crate::queue::condition::Condition;
use crate::server::{Forward, Transaction, Wishes};
use crate::system;
use call::{Call, Reply, Trouble};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// The spooler's place.
pub struct Spooler {
    socket: PathBuf,
    verbose: Verbosity,
}

/// How long a spooler that starts, restarts or is full is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take for one reply: its disk may be slow.
const REPLY: Duration = Duration::from_secs(300);

/// The spooler, when it is for it to send: the caller has no account of his own, as that of the system's file is the
/// spooler's; or the spool is not his to write to.
pub fn spooler(context: &Context) -> Option<Spooler> {
    let config = &context.config;
    let socket = &config.serve.socket;
    let has_none = config.accounts.is_empty() || config.is_the_systems();
    let goes = (has_none || has_foreign_spool(context)) && is_socket(socket);
    goes.then(|| Spooler { socket: socket.clone(), verbose: context.global.verbose })
}

/// Whether the spool is another user's, as the system's is that of the spooler.
pub fn has_foreign_spool(context: &Context) -> bool {
    std::fs::metadata(&context.config.spool).is_ok_and(|found| found.uid() != nix::unistd::geteuid().as_raw())
}

/// Hands a message over.
///
/// # Errors
/// It was not taken: the caller still owns it.
pub fn deliver<R: BufRead>(
    context: &Context,
    spooler: &Spooler,
    request: &Delivering,
    header: Header,
    body: &mut Body<R>,
) -> Result<Exit, Failed> {
    let asked = Asked::by_options(request, &header).map_err(Failed::from);
    let asked = asked.and_then(|asked| if asked.to.is_empty() { Err(asked.nobody.into()) } else { Ok(asked) });
    let asked = match asked {
        Ok(asked) => asked,
        Err(failed) => {
            let _ = body.drain();
            return Err(failed);
        }
    };
    let mut message = File::from(system::scratch().map_err(Failed::system)?);
    message.write_all(&header.to_bytes()).and_then(|()| message.write_all(b"\r\n")).map_err(Failed::system)?;
    body.copy_to(&mut message)?;
    system::ignore_endings();
    let commands = transaction(context, asked).commands();
    match spooler.insist(|call| call.send(&commands, &mut message)) {
        Ok(()) => Ok(Exit::Ok),
        Err(unmet) if request.errors == ErrorMode::Quiet => Ok(unmet.exit()),
        Err(unmet) => Err(unmet.into()),
    }
}

/// `sendmail -bs`: the session is the spooler's.
///
/// # Errors
/// It is not there.
pub fn pass_through(spooler: &Spooler) -> Result<Exit, Failed> {
    let stream = spooler.insist(|call| Ok(call.stream)).inspect_err(|unmet| {
        process::say(&format!("421 4.3.2 {}\r\n", printable(&unmet.to_string())));
    })?;
    let (mut from, mut to) = (stream.get_ref().try_clone().map_err(Failed::system)?, io::stdout());
    let host = format!("220 {} ESMTP mailchute\r\n", nix::unistd::gethostname().unwrap_or_default().to_string_lossy());
    process::say(&host);
    thread::spawn(move || {
        // What we have read of the session ahead of the client belongs to nobody: it was only our greeting.
        let mut upstream = stream.into_inner();
        let _ = io::copy(&mut io::stdin(), &mut upstream);
        let _ = upstream.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 8192];
    loop {
        match from.read(&mut buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Ok(count @ 1..) => {
                if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
                    return Ok(Exit::IoErr);
                }
            }
            Ok(0) | Err(_) => return Ok(Exit::Ok),
        }
    }
}

/// Shows what waits: the caller's own, for root all.
///
/// # Errors
/// The spooler does not say.
pub fn list(spooler: &Spooler, form: Form) -> Result<Exit, Failed> {
    let command = match form {
        Form::Own(Listing::Json) => "XQUEUE JSON\r\n",
        Form::Own(Listing::Text) | Form::Mailq => "XQUEUE\r\n",
    };
    let mut reply = spooler.insist(|call| call.ask(command)?.good())?;
    // The last line is only the end.
    reply.lines.pop();
    process::say(&reply.lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    Ok(Exit::Ok)
}

/// How the queue of all users stands.
///
/// # Errors
/// The spooler does not say.
pub fn condition(spooler: &Spooler) -> Result<Condition, Failed> {
    let reply = spooler.insist(|call| call.ask("XQUEUE STATE\r\n")?.good())?;
    let told = reply.lines.first().and_then(|line| Condition::parse(line));
    told.ok_or_else(|| Unmet::Declined(spooler.socket.clone(), reply).into())
}

/// Asks that what waits is tried now.
///
/// # Errors
/// The spooler does not listen; or only some of it is meant, which it cannot do.
pub fn flush(spooler: &Spooler, selection: &Selection) -> Result<Exit, Failed> {
    if *selection != Selection::All {
        return Err(Unmet::Selection.into());
    }
    spooler.insist(|call| call.ask("ETRN @\r\n")?.good())?;
    Ok(Exit::Ok)
}

fn transaction(context: &Context, asked: Asked) -> Transaction {
    let variable = context.process.variable("NAME").and_then(|name| name.to_str()).filter(|name| !name.is_empty());
    let unsaid = asked.sender.is_none();
    let own = || Some(Addressee::Local(login(&context.process.caller)));
    let forward = |wanted: super::letter::Wanted| Forward {
        addressee: wanted.addressee,
        notify: wanted.notify,
        original: wanted.original,
    };
    Transaction {
        reverse_path: asked.sender.unwrap_or_else(own),
        recipients: asked.to.into_iter().map(forward).collect(),
        ret: asked.ret,
        envid: asked.envid,
        wishes: Wishes {
            account: asked.account,
            full_name: asked.full_name.or_else(|| variable.map(str::to_owned)),
            unsaid,
            keep_bare_names: asked.names == Names::Keep,
            no_aliases: asked.aliases == Aliases::Ignore,
        },
    }
}

impl Spooler {
    /// Calls, and does something; again when the spooler was away or full, as long as it has nothing of the message.
    fn insist<T>(&self, mut act: impl FnMut(Call) -> Result<T, Trouble>) -> Result<T, Unmet> {
        let end = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(20);
        loop {
            let trouble = match self.call().and_then(&mut act) {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Away(_) | Trouble::Declined(Reply { code: 421, .. }) if Instant::now() + pause < end => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                trouble => return Err(self.unmet(trouble)),
            }
        }
    }

    /// Calls once, and does not wait long: its greeting, and what it says of itself, if it is one that can.
    ///
    /// # Errors
    /// It is not there, or does not serve this caller.
    pub fn examine(&self) -> Result<(String, Vec<String>), Unmet> {
        let asked = Call::begin(&self.socket, PATIENCE, self.verbose)
            .and_then(|(call, greeting)| Ok((greeting, call.ask("XHEALTH\r\n")?)));
        let (mut greeting, reply) = asked.map_err(|trouble| self.unmet(trouble))?;
        Ok((greeting.lines.swap_remove(0), if reply.code == 250 { reply.lines } else { Vec::new() }))
    }

    fn unmet(&self, trouble: Trouble) -> Unmet {
        match trouble {
            Trouble::Away(error) => Unmet::Away(self.socket.clone(), error),
            Trouble::Lost(error) => Unmet::Lost(self.socket.clone(), error),
            Trouble::Declined(reply) => Unmet::Declined(self.socket.clone(), reply),
        }
    }

    fn call(&self) -> Result<Call, Trouble> {
        Call::begin(&self.socket, REPLY, self.verbose).map(|(call, _)| call)
    }
}

/// Why something was not done.
#[derive(Debug)]
pub enum Unmet {
    Away(PathBuf, io::Error),
    Lost(PathBuf, io::Error),
    Declined(PathBuf, Reply),
    Selection,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmet::Away(socket, error) => write!(f, "spooler {}: {error}", socket.display()),
            Unmet::Lost(socket, error) => {
                write!(f, "spooler {}: gone before it said that the message is safe: {error}", socket.display())
            }
            Unmet::Declined(socket, reply) => {
                write!(f, "spooler {}: {reply}", socket.display())
            }
            Unmet::Selection => f.write_str("the spooler tries all that waits, not parts of it"),
        }
    }
}

impl std::error::Error for Unmet {}

impl Explain for Unmet {
    fn exit(&self) -> Exit {
        match self {
            Unmet::Away(..) | Unmet::Lost(..) => Exit::TempFail,
            Unmet::Declined(_, reply) => reply.exit(),
            Unmet::Selection => Exit::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Unmet::Away(..) => vec!["nothing was taken; is mailchute serve running?".into()],
            Unmet::Lost(..) => vec!["it may have been taken, and sent again if you send it again".into()],
            Unmet::Declined(..) => Vec::new(),
            Unmet::Selection => vec!["sendmail -q, without more".into()],
        }
    }
}
