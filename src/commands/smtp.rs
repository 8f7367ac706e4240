//! `sendmail -bs`: an SMTP server on standard input and output.

use super::Failed;
use crate::cli::Delivering;
use crate::exit::Exit;
use crate::process::Process;

pub fn serve(_process: &Process, _request: Delivering) -> Result<Exit, Failed> {
    Ok(Exit::Ok)
}
