# mailchute(1) in bash. Made from the tables of the program: UPDATE_COMPLETIONS=1 cargo test --test completions

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
            case ' -a --account -C --config -B -b -e -F -f -N -O -o -R -r -V --warn-age --crit-age --warn-queued --crit-queued --user --client-id --maildir --root --older-than --provider --host --port --password-command --token-command ' in
            *" ${before:-none} "*) ;;
            *) said+="$word " ;;
            esac
            before=''
            ;;
        esac
    done
    [ "$current" != = ] || current=''
    case $before in
    -a | --account) _mailchute_words "$(_mailchute_accounts)"; return ;;
    -C | --config) _mailchute_files; return ;;
    -B | -b | -e | -F | -f | -N | -O | -o | -R | -r | -V | --warn-age | --crit-age | --warn-queued | --crit-queued | --user | --client-id | --maildir | --root | --older-than) :; return ;;
    --provider) _mailchute_words "$(_mailchute_providers)"; return ;;
    --host) _mailchute_generate -A hostname; return ;;
    --port) _mailchute_words '587 465'; return ;;
    --password-command | --token-command) _mailchute_generate -c; return ;;
    esac
    case $said in
    'queue dead list '*) options='--json' ;;
    'queue dead retry '*) options=''
        [[ $current == -* ]] || { _mailchute_words "$(_mailchute_entries queue dead list)"; return; } ;;
    'queue dead remove '*) options=''
        [[ $current == -* ]] || { _mailchute_words "$(_mailchute_entries queue dead list)"; return; } ;;
    'queue list '*) options='--json' ;;
    'queue show '*) options=''
        [[ $current == -* ]] || { _mailchute_words "$(_mailchute_entries queue list)"; return; } ;;
    'queue metrics '*) options='' ;;
    'queue flush '*) options='--due' ;;
    'queue retry '*) options=''
        [[ $current == -* ]] || { _mailchute_words "$(_mailchute_entries queue list)"; return; } ;;
    'queue hold '*) options=''
        [[ $current == -* ]] || { _mailchute_words "$(_mailchute_entries queue list)"; return; } ;;
    'queue release '*) options=''
        [[ $current == -* ]] || { _mailchute_words "$(_mailchute_entries queue list)"; return; } ;;
    'queue remove '*) options='--all --older-than'
        [[ $current == -* ]] || { _mailchute_words "$(_mailchute_entries queue list)"; return; } ;;
    'queue dead ') options='--json' words='list retry remove' ;;
    'help ') options='' words='queue setup login import doctor health providers serve help' ;;
    'queue ') options='--json' words='list show metrics flush retry hold release remove dead' ;;
    'setup '*) options='--provider --host --port --user --password-stdin --keyring --password-command --client-id --token-command --maildir --root --default --replace --test-mail --no-test' ;;
    'login '*) options='--device --password-stdin --no-test' ;;
    'import '*) options='--write --replace'
        if [ "$said" = 'import ' ]; then words='msmtp ssmtp nullmailer dma postfix git'; else [[ $current == -* ]] || { _mailchute_files; return; }; fi ;;
    'doctor '*) options='--json' ;;
    'health '*) options='--warn-age --crit-age --warn-queued --crit-queued' ;;
    'providers '*) options=''
        [[ $current == -* ]] || { _mailchute_words "$(_mailchute_providers)"; return; } ;;
    'serve '*) options='--accept --send' ;;
    '') options='-B -b -e -F -f -G -I -i -N -n -O -o -q -R -r -t -V --version' words='queue setup login import doctor health providers serve help' ;;
    esac
    [[ $current != -* ]] || words="$options -a --account -C --config -v --help"
    _mailchute_words "$words"
}

complete -F _mailchute mailchute
