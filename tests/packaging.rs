//! What packages install, as far as it can be seen without installing: units that start what there is, in cages that
//! hold, and hooks that a shell can read.
#![allow(clippy::unwrap_used, clippy::disallowed_macros, reason = "a test program")]

use mailchute::cli::{self, Invocation};
use mailchute::config;
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
    for line in [
        "PrivateNetwork=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "InaccessiblePaths=-/run/credentials",
        "InaccessiblePaths=-/etc/mailchute/secrets",
        "InaccessiblePaths=-/var/spool/mailchute/tokens",
    ] {
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
fn a_shell_can_read_the_scripts() {
    let folders = ["packaging/network", "packaging/debian", "packaging/rpm", "packaging/alpine", "packaging/sysv"];
    let scripts = folders.iter().flat_map(|folder| files(Path::new(folder))).filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        let is_text = ["README", "changelog", "copyright", "description", "lintian", "APKBUILD"];
        !is_text.iter().any(|start| name.starts_with(start))
    });
    for path in scripts {
        assert!(Command::new("sh").arg("-n").arg(&path).status().unwrap().success(), "{}", path.display());
    }
}

#[test]
fn every_recipe_makes_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    for (recipe, line) in [
        ("packaging/debian/changelog", format!("mailchute ({version}-1) ")),
        ("packaging/arch/PKGBUILD", format!("\npkgver={version}\n")),
        ("packaging/alpine/APKBUILD", format!("\npkgver={version}\n")),
        ("packaging/nix/default.nix", format!("version = \"{version}\";")),
        ("packaging/homebrew/mailchute.rb", format!("/mailchute-{version}.tar.gz\"\n")),
    ] {
        assert!(fs::read_to_string(recipe).unwrap().contains(&line), "{recipe}: {line:?}");
    }
}

#[test]
fn what_the_packages_hold_is_there_and_not_set_id() {
    let manifest: toml::Table = fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    let metadata = manifest["package"]["metadata"].as_table().unwrap();
    for kind in ["deb", "generate-rpm"] {
        let assets = metadata[kind]["assets"].as_array().unwrap();
        let said: Vec<(&str, &str)> = assets.iter().filter_map(source_and_mode).collect();
        for (source, mode) in &said {
            assert!(["644", "755"].contains(mode), "{kind}: {source} has mode {mode}");
            let made_by_the_build = source.starts_with("target/");
            assert!(made_by_the_build || source.ends_with('*') || Path::new(source).is_file(), "{kind}: {source}");
        }
        for unit in ["mailchute.socket", "mailchute.service", "mailchute-send.service"] {
            assert!(said.iter().any(|(source, _)| source.ends_with(&format!("system/{unit}"))), "{kind}: {unit}");
        }
    }
}

/// Of an asset that is a file: `None` for a link.
fn source_and_mode(asset: &toml::Value) -> Option<(&str, &str)> {
    match asset.as_array() {
        Some(list) => Some((list[0].as_str()?, list[2].as_str()?)),
        None => Some((asset.get("source")?.as_str()?, asset["mode"].as_str()?)),
    }
}

#[test]
fn the_example_of_a_configuration_is_one() {
    let example = fs::read_to_string("packaging/config.toml").unwrap();
    assert!(example.parse::<toml::Table>().unwrap().is_empty(), "an account that nobody has asked for");
    let blocks: Vec<String> = example.split("\n\n").map(|block| block.replace("\n#", "\n")).collect();
    let sections: Vec<toml::Table> = blocks
        .iter()
        .filter_map(|block| block.strip_prefix('#').filter(|text| text.starts_with('[')))
        .map(|text| text.parse().unwrap())
        .collect();
    assert_eq!(sections.len(), 3, "{blocks:?}");
    for account in sections.iter().filter_map(|section| section.get("accounts")?.get("relay")?.as_table()) {
        for key in account.keys() {
            assert!(config::KEYS.iter().any(|(_, keys)| keys.contains(&key.as_str())), "{key}");
        }
    }
}

fn units(whose: &str) -> Vec<PathBuf> {
    files(&Path::new("packaging/systemd").join(whose))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
