//! For zsh: an autoloaded function.

use super::places::{Choice, Place, Value, arguments, global, valued};
use std::fmt::Write;

pub fn script(places: &[Place]) -> String {
    let mut text = HEAD.replace("@VALUED@", &valued(places).join(" "));
    text.push_str("  case $before in\n");
    for (spellings, value) in arguments(places) {
        let _ = writeln!(text, "    ({}) {}; return ;;", spellings.join("|"), proposal(&value));
    }
    text.push_str("  esac\n  case $said in\n");
    for Place { path, words, options, operands } in places {
        let _ = writeln!(text, "    ({})", pattern(path, !words.is_empty()));
        if !options.is_empty() {
            let _ = writeln!(text, "      options=({})", described(options));
        }
        if words.is_empty() {
            let _ = match operands {
                Value::WordsThenFiles(words) => writeln!(
                    text,
                    "      if [[ $said == '{path} ' ]]; then operands='compadd -- {}'; else operands=_files; fi",
                    words.join(" ")
                ),
                value => writeln!(text, "      operands='{}'", proposal(value)),
            };
        } else {
            let words: Vec<String> = words.iter().map(|(word, help)| pair(word, help)).collect();
            let _ = writeln!(text, "      commands=({})", words.join(" "));
        }
        text.push_str("      ;;\n");
    }
    text + &TAIL.replace("@GLOBAL@", &described(&global()))
}

fn pattern(path: &str, goes_on: bool) -> String {
    match (path, goes_on) {
        ("", _) => "''".to_owned(),
        (path, true) => format!("'{path} '"),
        (path, false) => format!("'{path} '*"),
    }
}

fn described(options: &[Choice]) -> String {
    let pairs = options.iter().flat_map(|choice| choice.spellings.iter().map(|word| pair(word, choice.help)));
    pairs.collect::<Vec<_>>().join(" ")
}

fn pair(word: &str, help: &str) -> String {
    format!("'{word}:{}'", help.replace('\'', "'\\''").replace(':', "\\:"))
}

fn proposal(value: &Value) -> String {
    match value {
        Value::Free => ":".to_owned(),
        Value::Words(words) | Value::WordsThenFiles(words) => format!("compadd -- {}", words.join(" ")),
        Value::Accounts => "_mailchute_accounts".to_owned(),
        Value::Providers => "_mailchute_providers".to_owned(),
        Value::Entries(list) => format!("_mailchute_entries {list}"),
        Value::Files => "_files".to_owned(),
        Value::Hosts => "_hosts".to_owned(),
        Value::Programs => "_command_names".to_owned(),
    }
}

const HEAD: &str = r#"#compdef mailchute
# mailchute(1) in zsh. Made from the tables of the program: UPDATE_COMPLETIONS=1 cargo test --test completions

_mailchute_accounts() {
  local file
  for file in "$MAILCHUTE_CONFIG" "${XDG_CONFIG_HOME:-$HOME/.config}/mailchute/config.toml" /etc/mailchute/config.toml; do
    if [[ -r $file ]]; then
      compadd -- ${(f)"$(sed -n "s/^\[accounts\.[\"']\{0,1\}\([A-Za-z0-9._-]*\).*/\1/p" $file)"}
      return
    fi
  done
}

_mailchute_providers() {
  local -a found
  found=(${(f)"$(mailchute providers 2>/dev/null | sed 's/  */:/')"})
  _describe provider found
}

_mailchute_entries() {
  compadd -- ${(f)"$(mailchute $@ --json 2>/dev/null | grep -o '"id": *"[^"]*"' | cut -d '"' -f 4)"}
}

_mailchute() {
  local before said word operands
  local -a valued options commands
  valued=(@VALUED@)
  # What stands before the cursor: its words without options and their arguments, and an option that waits for one.
  for word in "${(@)words[2,CURRENT-1]}"; do
    case $word in
      (--*=*) before= ;;
      (-*) before=$word ;;
      (*)
        (( ${valued[(Ie)$before]} )) || said+="$word "
        before=
        ;;
    esac
  done
  if [[ $PREFIX == --*=* ]]; then
    before=${PREFIX%%=*}
    compset -P '*='
  fi
"#;

const TAIL: &str = "  esac
  if [[ $PREFIX == -* ]]; then
    options+=(@GLOBAL@)
    _describe -o option options
  elif (( $#commands )); then
    _describe command commands
  else
    ${(z)operands:-:}
  fi
}

_mailchute \"$@\"
";
