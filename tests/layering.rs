//! The map in `src/lib.rs` against the code: every `crate::` path is an arrow, and every arrow must be drawn.
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_module_uses_what_the_map_does_not_let_it_use() {
    let map = map();
    for (file, text) in sources(Path::new("src")) {
        let module = module_of(&file);
        let Some(allowed) = map.get(&module) else { continue };
        for used in paths(&text) {
            let drawn = used == module || allowed.contains(&used) || allowed.contains("*");
            assert!(
                drawn || !map.contains_key(&used),
                "{}: {module} -> {used} is not drawn in src/lib.rs",
                file.display()
            );
        }
    }
}

#[test]
fn the_map_shows_every_module_and_no_other() {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let modules: BTreeSet<String> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or(line.strip_prefix("mod ")))
        .map(|rest| rest.trim_end_matches(';').to_owned())
        .collect();
    let map = map();
    assert_eq!(map.keys().cloned().collect::<BTreeSet<_>>(), modules);
    let all: BTreeSet<&String> = map.values().flatten().filter(|name| *name != "*").collect();
    assert!(all.iter().all(|name| modules.contains(*name)), "an arrow points at no module: {all:?}");
}

#[test]
fn a_path_is_found_in_every_form() {
    let text = "use crate::exit::Exit;\nuse crate::{mail::{address, wire}, spool};\nlet x = crate::clock::now();\n// crate::queue\n";
    assert_eq!(paths(text), BTreeSet::from(["exit", "mail", "spool", "clock"].map(str::to_owned)));
}

/// The rows `name -> names` of the drawing.
fn map() -> Arrows {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! ")?.split_once("->"));
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    rows.map(|(module, used)| (module.trim().to_owned(), words(used))).collect()
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

/// `src/mail/wire.rs` and `src/mail.rs` are of `mail`.
fn module_of(file: &Path) -> String {
    let first = file.components().nth(1).unwrap().as_os_str();
    Path::new(first).file_stem().unwrap().to_string_lossy().into_owned()
}

/// The modules named behind `crate::`, comments left out.
fn paths(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let name =
        |text: &str| text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    let mut found = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        match path.strip_prefix('{') {
            None => drop(found.insert(name(path))),
            Some(group) => found.extend(top_level(group).iter().map(|part| name(part))),
        }
    }
    found
}

/// The parts of a `{...}` group, whose opening brace is gone, that no inner brace holds.
fn top_level(group: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            c if depth == 0 => parts.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// What the compiler cannot be told: `forbid` knows no exception, so the one module is looked for here.
#[test]
fn one_module_alone_may_be_unsafe_and_says_why_at_each_place() {
    let home = Path::new("src/system.rs");
    for (file, text) in sources(Path::new("src")) {
        let allows = text.contains("allow(unsafe_code");
        assert_eq!(allows, file == home, "{}", file.display());
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let is_unsafe =
            |line: &str| !line.starts_with("//") && line.replace('(', " ").split(' ').any(|word| word == "unsafe");
        for (number, _) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
            assert!(file == home, "{}:{}", file.display(), number + 1);
            let above = &lines[number.saturating_sub(5)..=number];
            assert!(above.iter().any(|line| line.contains("SAFETY:")), "{}:{}", file.display(), number + 1);
        }
    }
}

/// `crc32fast 1.5.5 of 2026-11; who keeps it`: somebody has read the version that is locked.
#[test]
fn each_crate_stands_below_the_note_of_who_has_read_it() {
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let (mut section, mut note, mut count) = ("", String::new(), 0);
    for line in manifest.lines() {
        match line.split_once(" = ") {
            _ if line.starts_with('[') => section = line,
            _ if line.starts_with('#') => {
                note += line;
                continue;
            }
            Some((name, _)) if section.ends_with("dependencies]") => {
                count += 1;
                let version = |found: &str| found.split(['"', '+']).next().unwrap_or_default().to_owned();
                let locked = format!("\nname = \"{name}\"\nversion = \"");
                let read =
                    lock.split(&locked).skip(1).map(version).any(|version| note.contains(&format!("{version} of 20")));
                assert!(read, "{name}: the locked version is not the one in its note: {note:?}");
            }
            _ => {}
        }
        note.clear();
    }
    assert!(count > 15);
}
