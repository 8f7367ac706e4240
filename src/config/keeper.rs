//! For whom a configuration is written: its owner alone; or, where root sets up the account of a machine with a spooler,
//! for the spooler, which is another user.

use crate::process::Process;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Who reads a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// Who writes it.
    Caller,
    /// The spooler of the machine: passwords are in files of its own, the rest is open to all.
    Spooler { uid: u32, gid: u32 },
}

impl Keeper {
    /// Root's configuration is the spooler's when the spool belongs to another user.
    pub fn of(process: &Process, spool: &Path) -> Keeper {
        match fs::metadata(spool) {
            Ok(found) if process.caller.is_root() && found.uid() != 0 => {
                Keeper::Spooler { uid: found.uid(), gid: found.gid() }
            }
            _ => Keeper::Caller,
        }
    }
}
