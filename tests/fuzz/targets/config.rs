//! A configuration file: read or refused with line and key, never shown with its password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailchute::config::Config;
use mailchute::diagnostic;
use mailchute::process::Process;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

fuzz_target!(|text: &[u8]| {
    static WORLD: OnceLock<(Process, PathBuf)> = OnceLock::new();
    let (process, path) = WORLD.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = base.join(format!("mailchute-fuzz-{}.toml", std::process::id()));
        // SAFETY: no other thread has been started yet. LISTEN_FDS keeps the fuzzer's own descriptors open.
        unsafe {
            std::env::set_var("MAILCHUTE_CONFIG", &path);
            std::env::set_var("LISTEN_FDS", "0");
        }
        (Process::from_world().expect("no privileges"), path)
    });
    let named = text.first().is_some_and(|first| *first == b'#');
    fs::write(path, text).expect("room");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("our file");
    match Config::load(process, named.then_some(path.as_path())) {
        Ok(config) => {
            for account in &config.accounts {
                assert!(!account.endpoints.is_empty());
                let _ = format!("{account:?}");
            }
        }
        Err(error) => {
            let shown = diagnostic::render(&error);
            assert!(shown.lines().all(|line| line.starts_with("mailchute: ")));
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        }
    }
});
