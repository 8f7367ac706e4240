//! The program: takes the world as one value, hands it on, ends with the status that comes back.

use mailchute::process::Process;

fn main() {
    let exit = match Process::from_world() {
        Ok(process) => mailchute::run(&process),
        Err(exit) => exit,
    };
    mailchute::process::end(exit.code());
}
