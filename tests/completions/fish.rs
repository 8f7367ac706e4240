//! For fish.

use super::places::{Choice, Place, Value, global, valued};
use std::fmt::Write;

pub fn script(places: &[Place]) -> String {
    let mut text = HEAD.replace("@VALUED@", &valued(places).join(" "));
    for choice in global() {
        let _ = writeln!(text, "complete -c mailchute {}", option(&choice));
    }
    for Place { path, words, options, operands } in places.iter().rev() {
        if words.is_empty() && options.is_empty() && *operands == Value::Free {
            continue;
        }
        text.push('\n');
        let when = match (path.as_str(), words.is_empty()) {
            (path, false) => format!("__mailchute_at {path}").trim_end().to_owned(),
            (path, true) => format!("__mailchute_behind {path}"),
        };
        for (word, help) in words {
            let _ = writeln!(text, "complete -c mailchute -n '{when}' -a {word} -d {}", quoted(help));
        }
        if words.is_empty() {
            let _ = match operands {
                Value::Free => Ok(()),
                Value::WordsThenFiles(words) => writeln!(
                    text,
                    "complete -c mailchute -n '__mailchute_at {path}' -a '{}'\n\
                     complete -c mailchute -n '{when}; and not __mailchute_at {path}' -F",
                    words.join(" ")
                ),
                value => writeln!(text, "complete -c mailchute -n '{when}' {}", proposal(value)),
            };
        }
        for choice in options {
            let _ = writeln!(text, "complete -c mailchute -n '{when}' {}", option(choice));
        }
    }
    text
}

fn option(choice: &Choice) -> String {
    let mut text = String::new();
    for spelling in &choice.spellings {
        match spelling.strip_prefix("--") {
            Some(word) => text += &format!("-l {word} "),
            None => text += &format!("-s {} ", spelling.trim_start_matches('-')),
        }
    }
    if let Some(value) = &choice.value {
        text += if matches!(value, Value::Files) { "-r " } else { "-x " };
        text += &proposal(value);
        text += if text.ends_with(' ') { "" } else { " " };
    }
    text + "-d " + &quoted(choice.help)
}

fn quoted(help: &str) -> String {
    format!("'{}'", help.replace('\'', "\\'"))
}

fn proposal(value: &Value) -> String {
    match value {
        Value::Free => String::new(),
        Value::Words(words) | Value::WordsThenFiles(words) => format!("-a '{}'", words.join(" ")),
        Value::Accounts => "-a '(__mailchute_accounts)'".to_owned(),
        Value::Providers => "-a '(__mailchute_providers)'".to_owned(),
        Value::Entries(list) => format!("-a '(__mailchute_entries {list})'"),
        Value::Files => "-F".to_owned(),
        Value::Hosts => "-a '(__fish_print_hostnames)'".to_owned(),
        Value::Programs => "-a '(__fish_complete_command)'".to_owned(),
    }
}

const HEAD: &str = r#"# mailchute(1) in fish. Made from the tables of the program: UPDATE_COMPLETIONS=1 cargo test --test completions

# What stands before the cursor without options and their arguments.
function __mailchute_said
    set -l said
    set -l before
    for word in (commandline -opc)[2..-1]
        switch $word
            case '--*=*'
                set before
            case '-*'
                set before $word
            case '*'
                contains -- "$before" @VALUED@
                or set -a said $word
                set before
        end
    end
    string join -- ' ' $said
end

# Whether it is these words.
function __mailchute_at
    set -l said (__mailchute_said)
    test "$said" = "$argv"
end

# Whether it begins with these words.
function __mailchute_behind
    string match -q -- "$argv *" (__mailchute_said)' '
end

function __mailchute_accounts
    set -l folder $HOME/.config
    set -q XDG_CONFIG_HOME; and set folder $XDG_CONFIG_HOME
    for file in $MAILCHUTE_CONFIG $folder/mailchute/config.toml /etc/mailchute/config.toml
        if test -r $file
            string replace -rf '^\[accounts\.["\']?([A-Za-z0-9._-]+).*' '$1' <$file
            return
        end
    end
end

function __mailchute_providers
    mailchute providers 2>/dev/null | string replace -r ' +' \t
end

function __mailchute_entries
    mailchute $argv --json 2>/dev/null | string match -rag '"id": *"([^"]*)"'
end

complete -c mailchute -f
"#;
