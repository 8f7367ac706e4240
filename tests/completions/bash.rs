//! For bash, with or without the package bash-completion.

use super::places::{Choice, Place, Value, arguments, global, valued};
use std::fmt::Write;

pub fn script(places: &[Place]) -> String {
    let mut text = HEAD.replace("@VALUED@", &valued(places).join(" "));
    text.push_str("    case $before in\n");
    for (spellings, value) in arguments(places) {
        let _ = writeln!(text, "    {}) {}; return ;;", spellings.join(" | "), proposal(&value));
    }
    text.push_str("    esac\n    case $said in\n");
    for Place { path, words, options, operands } in places {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let _ = write!(text, "    {}) options='{}'", pattern(path, !words.is_empty()), spellings(options));
        let _ = match (words.is_empty(), operands) {
            (false, _) => writeln!(text, " words='{}' ;;", words.join(" ")),
            (true, Value::Free) => writeln!(text, " ;;"),
            (true, Value::WordsThenFiles(words)) => writeln!(
                text,
                "\n        if [ \"$said\" = '{path} ' ]; then words='{}'; else [[ $current == -* ]] || {{ _mailchute_files; \
                 return; }}; fi ;;",
                words.join(" ")
            ),
            (true, value) => writeln!(text, "\n        [[ $current == -* ]] || {{ {}; return; }} ;;", proposal(value)),
        };
    }
    text + &TAIL.replace("@GLOBAL@", &spellings(&global()))
}

fn spellings(options: &[Choice]) -> String {
    options.iter().flat_map(|choice| &choice.spellings).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Only the very words, where more words follow; else whatever stands behind.
fn pattern(path: &str, goes_on: bool) -> String {
    match (path, goes_on) {
        ("", _) => "''".to_owned(),
        (path, true) => format!("'{path} '"),
        (path, false) => format!("'{path} '*"),
    }
}

fn proposal(value: &Value) -> String {
    match value {
        Value::Free => ":".to_owned(),
        Value::Words(words) | Value::WordsThenFiles(words) => format!("_mailchute_words '{}'", words.join(" ")),
        Value::Accounts => "_mailchute_words \"$(_mailchute_accounts)\"".to_owned(),
        Value::Providers => "_mailchute_words \"$(_mailchute_providers)\"".to_owned(),
        Value::Entries(list) => format!("_mailchute_words \"$(_mailchute_entries {list})\""),
        Value::Files => "_mailchute_files".to_owned(),
        Value::Hosts => "_mailchute_generate -A hostname".to_owned(),
        Value::Programs => "_mailchute_generate -c".to_owned(),
    }
}

const HEAD: &str = r#"# mailchute(1) in bash. Made from the tables of the program: UPDATE_COMPLETIONS=1 cargo test --test completions

_mailchute_generate() { mapfile -t COMPREPLY < <(compgen "$@" -- "$current"); }

_mailchute_words() { _mailchute_generate -W "$1"; }

_mailchute_files() {
    compopt -o filenames 2>/dev/null
    _mailchute_generate -f
}

_mailchute_accounts() {
    local file
    for file in "$MAILCHUTE_CONFIG" "${XDG_CONFIG_HOME:-$HOME/.config}/mailchute/config.toml" /etc/mailchute/config.toml; do
        if [ -r "$file" ]; then
            sed -n "s/^\[accounts\.[\"']\{0,1\}\([A-Za-z0-9._-]*\).*/\1/p" "$file"
            return
        fi
    done
}

_mailchute_providers() { mailchute providers 2>/dev/null | cut -d ' ' -f 1; }

_mailchute_entries() { mailchute "$@" --json 2>/dev/null | grep -o '"id": *"[^"]*"' | cut -d '"' -f 4; }

_mailchute() {
    local current=${COMP_WORDS[COMP_CWORD]} before='' said='' word options='' words=''
    COMPREPLY=()
    # What stands before the cursor: its words without options and their arguments, and an option that waits for one.
    # An equals sign is a word of its own.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
        =) ;;
        -*) before=$word ;;
        *)
            case ' @VALUED@ ' in
            *" ${before:-none} "*) ;;
            *) said+="$word " ;;
            esac
            before=''
            ;;
        esac
    done
    [ "$current" != = ] || current=''
"#;

const TAIL: &str = r#"    esac
    [[ $current != -* ]] || words="$options @GLOBAL@"
    _mailchute_words "$words"
}

complete -F _mailchute mailchute
"#;
