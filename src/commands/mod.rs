//! One story for each thing a command line can ask. Only here do the rooms meet.

mod courier;
mod deposit;
mod detach;
mod list_queue;
mod parcel;
mod queue;
mod run_queue;
mod send;
mod smtp;
mod verify;

use crate::cli::{self, Invocation};
use crate::config::Config;
use crate::diagnostic::{self, Explain};
use crate::exit::Exit;
use crate::log::Log;
use crate::process::{self, Process};
use std::path::Path;

/// Does what the command line asks; what went wrong is on standard error, once.
pub fn run(process: &Process) -> Exit {
    let told = cli::parse(&process.program, &process.arguments).map_err(Failed::from).and_then(|invocation| {
        match invocation {
            Invocation::Deliver(request) => send::send(process, request),
            Invocation::Smtp(request) => smtp::serve(process, request),
            Invocation::Verify(request) => verify::verify(process, request),
            Invocation::ListQueue(place) => list_queue::list(process, &place),
            Invocation::Flush(place, selection) => run_queue::flush(process, &place, selection),
            Invocation::NewAliases(place) => verify::check_aliases(process, &place),
            Invocation::Own(place, own) => queue::own(process, &place, own),
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
    });
    told.unwrap_or_else(|failed| {
        process::complain(&diagnostic::render(failed.0.as_ref()));
        failed.0.exit()
    })
}

/// Any room's error, on its way to the one place that prints it.
#[derive(Debug)]
pub struct Failed(Box<dyn Explain>);

impl<E: Explain + 'static> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(Box::new(error))
    }
}
