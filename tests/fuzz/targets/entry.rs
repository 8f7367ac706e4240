//! A spool entry of any content: looked at, claimed, set aside, never followed by a panic; what is claimed is whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::spool::{Claim, QueueId, Spool};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

fuzz_target!(|octets: &[u8]| {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = base.join(format!("mailchute-fuzz-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    });
    let spool = Spool::open(folder).expect("a spool");
    let id = QueueId::parse("064D1A2B3C4D5E6F01234567").expect("an id");
    let path = folder.join("queue").join(id.as_str());
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).expect("a file");
    file.write_all(octets).expect("room");
    drop(file);
    if let Ok(Some(peek)) = spool.peek(&id) {
        let _ = peek.header.read();
    }
    match spool.claim(&id).expect("a spool that can be read") {
        Claim::Mine(entry) => {
            assert_eq!(entry.ticket().envelope.recipients().len(), entry.progress().recipients.len());
            assert_eq!(entry.header().read().expect("the header").len() as u64, entry.header().size());
            assert_eq!(entry.body().read().expect("the body").len() as u64, entry.body().size());
        }
        Claim::Unusable(why) => assert!(!why.is_empty()),
        Claim::Busy | Claim::Gone => {}
    }
    let _ = fs::remove_file(&path);
    if let Ok(corrupt) = fs::read_dir(folder.join("corrupt")) {
        corrupt.flatten().for_each(|entry| drop(fs::remove_file(entry.path())));
    }
});
