//! What packages install, as far as it can be seen without installing: units that start what there is, in cages that
//! hold, and hooks that a shell can read.
#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "a test program")]

use mailchute::cli::{self, Invocation};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_unit_starts_a_command_that_there_is() {
    let mut commands = Vec::new();
    for unit in units("system").into_iter().chain(units("user")) {
        let text = fs::read_to_string(&unit).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("ExecStart=")) {
            let mut words = line.split(' ').map(OsString::from);
            assert_eq!(words.next().unwrap(), "/usr/bin/mailchute", "{}", unit.display());
            let asked = cli::parse("mailchute", &words.collect::<Vec<_>>());
            assert!(matches!(asked, Ok(Invocation::Own(..))), "{}: {asked:?}", unit.display());
            commands.push(line.to_owned());
        }
    }
    commands.sort();
    assert_eq!(
        commands,
        [
            "/usr/bin/mailchute queue flush --due",
            "/usr/bin/mailchute queue flush --due",
            "/usr/bin/mailchute serve --accept",
            "/usr/bin/mailchute serve --send",
        ]
    );
}

#[test]
fn the_exposure_of_every_system_service_is_below_2() {
    for unit in units("system").iter().filter(|unit| unit.extension().is_some_and(|end| end == "service")) {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--threshold=19"]).arg(unit);
        let Ok(found) = analyze.output() else {
            eprintln!("note: systemd-analyze is not installed, units are not checked");
            return;
        };
        let text = String::from_utf8_lossy(&found.stdout).into_owned() + &String::from_utf8_lossy(&found.stderr);
        if text.contains("unrecognized option") {
            eprintln!("note: this systemd-analyze cannot look at files");
            return;
        }
        assert!(found.status.success(), "{text}");
    }
}

#[test]
fn the_acceptor_has_no_way_to_the_password_or_the_network() {
    let text = fs::read_to_string("packaging/systemd/system/mailchute.service").unwrap();
    for line in ["PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX", "InaccessiblePaths=-/run/credentials"] {
        assert!(text.lines().any(|there| there == line), "{line}");
    }
    assert!(!text.contains("LoadCredential"));
    assert!(!text.lines().any(|line| line.starts_with("PrivateUsers=")), "the kernel would not name its callers");
}

/// Else it would run without its own walls, and say nothing.
#[test]
fn no_unit_keeps_the_program_from_shutting_itself_in() {
    for unit in units("system").iter().filter(|unit| unit.extension().is_some_and(|end| end == "service")) {
        let text = fs::read_to_string(unit).unwrap();
        let filters = text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
        let allowed: Vec<&str> =
            filters.filter(|filter| !filter.starts_with('~')).flat_map(str::split_whitespace).collect();
        for call in ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"] {
            assert!(allowed.is_empty() || allowed.contains(&call), "{}: {call}", unit.display());
        }
    }
}

#[test]
fn a_shell_can_read_the_hooks() {
    for entry in fs::read_dir("packaging/network").unwrap() {
        let path = entry.unwrap().path();
        assert!(Command::new("sh").arg("-n").arg(&path).status().unwrap().success(), "{}", path.display());
    }
}

fn units(whose: &str) -> Vec<PathBuf> {
    let folder = Path::new("packaging/systemd").join(whose);
    let mut units: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    units.sort();
    units
}
