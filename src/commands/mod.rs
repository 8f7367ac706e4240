//! One story for each thing a command line can ask. Only here do the rooms meet.

mod bury;
mod confinement;
mod context;
mod courier;
mod deposit;
mod detach;
mod dialogue;
mod doctor;
mod handover;
mod import;
mod letter;
mod list_queue;
mod monitor;
mod offer;
mod providers;
mod queue;
mod revive;
mod run_queue;
mod send;
mod serve;
mod setup;
mod smtp;
mod taking;
mod verdict;
mod verify;
mod way;

use crate::cli::{self, Invocation, Own};
use crate::diagnostic::{self, Explain};
use crate::exit::Exit;
use crate::process::{self, Process};
use std::fmt;
use std::io;

/// Does what the command line asks; what went wrong is on standard error, once.
pub fn run(process: &Process) -> Exit {
    let done = cli::parse(&process.program, &process.arguments).map_err(Failed::from);
    done.and_then(|invocation| perform(process, invocation)).unwrap_or_else(|failed| {
        process::complain(&diagnostic::render(failed.0.as_ref()));
        failed.exit()
    })
}

fn perform(process: &Process, invocation: Invocation) -> Result<Exit, Failed> {
    match invocation {
        Invocation::Deliver(request) => send::send(process, request),
        Invocation::Smtp(request) => smtp::serve(process, request),
        Invocation::Verify(request) => verify::verify(process, &request),
        Invocation::ListQueue(global) => list_queue::mailq(process, &global),
        Invocation::Flush(selection, global) => run_queue::by_hand(process, &global, selection),
        Invocation::NewAliases(global) => verify::aliases(process, &global),
        Invocation::Own(Own::Queue(command), global) => queue::act(process, &global, command),
        Invocation::Own(Own::Setup(wishes), global) => setup::set_up(process, &global, &wishes),
        Invocation::Own(Own::Import(wishes), global) => import::import(process, &global, &wishes),
        Invocation::Own(Own::Doctor(form), global) => doctor::examine(process, &global, form),
        Invocation::Own(Own::Health(asked), global) => monitor::health(process, &global, &asked),
        Invocation::Own(Own::Providers(name), _) => providers::show(name.as_deref()),
        Invocation::Own(Own::Serve(role), global) => serve::serve(process, &global, role),
        Invocation::Help(text) => {
            process::say(&text);
            Ok(Exit::Ok)
        }
        Invocation::Version => {
            process::say(concat!("mailchute ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(Exit::Ok)
        }
        Invocation::Nothing => Ok(Exit::Ok),
    }
}

/// Any room's error, on its way to the one place that prints it.
#[derive(Debug)]
pub struct Failed(Box<dyn Explain>);

impl Failed {
    /// The status it ends the process with.
    pub fn exit(&self) -> Exit {
        self.0.exit()
    }

    /// What went wrong and what to do, on one line, for somebody at the other end of a connection.
    pub fn told(&self) -> String {
        let hints = self.0.hints();
        std::iter::once(self.reason()).chain(hints).collect::<Vec<String>>().join("; ")
    }

    /// What went wrong, on one line.
    pub fn reason(&self) -> String {
        diagnostic::chain(self.0.as_ref())
    }

    /// The operating system refused what always works, such as memory for a message.
    pub fn system(error: io::Error) -> Failed {
        Failed::from(Fault::System(error))
    }

    /// The caller closed standard input before it started us.
    pub fn no_input() -> Failed {
        Failed::from(Fault::NoInput)
    }
}

impl<E: Explain + 'static> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(Box::new(error))
    }
}

/// What no room has a word for.
#[derive(Debug)]
enum Fault {
    System(io::Error),
    NoInput,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::System(error) => write!(f, "system: {error}"),
            Fault::NoInput => f.write_str("standard input is closed"),
        }
    }
}

impl std::error::Error for Fault {}

impl Explain for Fault {
    fn exit(&self) -> Exit {
        match self {
            Fault::System(_) => Exit::TempFail,
            Fault::NoInput => Exit::NoInput,
        }
    }
}
