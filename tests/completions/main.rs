//! The completions that packages install, against the tables of the program: `packaging/completions` holds what is made
//! here. `UPDATE_COMPLETIONS=1 cargo test --test completions` writes them anew; shells that are installed try them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test program")]

mod bash;
mod fish;
mod places;
mod zsh;

use std::fs;
use std::path::Path;
use std::process::Command;

const FOLDER: &str = "packaging/completions";

#[test]
fn completions_are_as_the_tables_have_it() {
    let places = places::places();
    for (name, made) in [
        ("mailchute.bash", bash::script(&places)),
        ("_mailchute", zsh::script(&places)),
        ("mailchute.fish", fish::script(&places)),
    ] {
        let path = Path::new(FOLDER).join(name);
        if std::env::var_os("UPDATE_COMPLETIONS").is_some() {
            // At once: the other tests read it meanwhile.
            let new = path.with_extension("new");
            fs::write(&new, &made).unwrap();
            fs::rename(new, &path).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == made, "{} is old: UPDATE_COMPLETIONS=1 cargo test --test completions", path.display());
    }
}

#[test]
fn every_shell_can_read_its_own() {
    for (shell, name) in [("bash", "mailchute.bash"), ("zsh", "_mailchute"), ("fish", "mailchute.fish")] {
        let Ok(read) = Command::new(shell).arg("-n").arg(Path::new(FOLDER).join(name)).output() else {
            eprintln!("note: {shell} is not installed, its completions are not read");
            continue;
        };
        let words = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success() && words.is_empty(), "{shell}: {words}");
    }
}

/// A command line up to the cursor, and the first of what is proposed.
const PROPOSALS: [(&str, &[&str]); 11] = [
    ("", &["queue", "setup", "import", "doctor", "providers", "serve", "help"]),
    ("qu", &["queue"]),
    ("queue ", &["list", "show", "flush", "retry", "hold", "release", "remove", "dead"]),
    ("queue dead re", &["retry", "remove"]),
    ("-v -C /dev/null queue dead l", &["list"]),
    ("queue flush --d", &["--due"]),
    ("import ", &["msmtp", "ssmtp", "nullmailer", "dma", "postfix", "git"]),
    ("setup --password-s", &["--password-stdin"]),
    ("setup --port ", &["587", "465"]),
    ("--account ", &["gmail", "my.work"]),
    ("help do", &["doctor"]),
];

fn tried(shell: &str, script: impl Fn(&str) -> String, tidy: impl Fn(&str) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    fs::write(&config, "# x\n[accounts.gmail]\nprovider = \"gmail\"\n[accounts.\"my.work\"]\n[aliases]\n").unwrap();
    for (line, wanted) in PROPOSALS {
        let mut command = Command::new(shell);
        let ran = command.arg("-c").arg(script(line)).env("MAILCHUTE_CONFIG", &config).env("HOME", folder.path());
        let Ok(ran) = ran.output() else {
            eprintln!("note: {shell} is not installed, its completions are not tried");
            return;
        };
        let mut proposed: Vec<String> = String::from_utf8_lossy(&ran.stdout).lines().map(&tidy).collect();
        let mut wanted = wanted.to_vec();
        proposed.sort();
        wanted.sort_unstable();
        // Tables grow: what is wanted must be there, and where a beginning is given, nothing else.
        let begun = !line.is_empty() && !line.ends_with(' ');
        let good =
            if begun { proposed == wanted } else { wanted.iter().all(|word| proposed.iter().any(|p| p == word)) };
        assert!(
            good,
            "{shell}: {line:?} proposes {proposed:?}, not {wanted:?}; {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}

#[test]
fn bash_proposes_what_can_follow() {
    let script = |line: &str| {
        format!(
            "source {FOLDER}/mailchute.bash; read -ra COMP_WORDS <<<'mailchute {line}'; \
             [[ '{line}' != *' ' && -n '{line}' ]] || COMP_WORDS+=(''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _mailchute; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
    };
    tried("bash", script, |line| line.trim().to_owned());
}

#[test]
fn fish_proposes_what_can_follow() {
    let script = |line: &str| format!("source {FOLDER}/mailchute.fish; complete -C 'mailchute {line}'");
    tried("fish", script, |line| line.split('\t').next().unwrap().to_owned());
}
