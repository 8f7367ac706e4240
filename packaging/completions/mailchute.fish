# mailchute(1) in fish. Made from the tables of the program: UPDATE_COMPLETIONS=1 cargo test --test completions

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
                contains -- "$before" -a --account -C --config -B -b -e -F -f -N -O -o -R -r -V --warn-age --crit-age --warn-queued --crit-queued --user --client-id --maildir --root --older-than --provider --host --port --password-command --token-command
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
complete -c mailchute -s a -l account -x -a '(__mailchute_accounts)' -d 'submit through this account'
complete -c mailchute -s C -l config -r -F -d 'read this configuration file and no other'
complete -c mailchute -s v -d 'show the dialogue, submit in the foreground'
complete -c mailchute -l help -d 'show a summary'

complete -c mailchute -n '__mailchute_at' -a queue -d 'list, show, metrics, flush, retry, hold, release, remove, dead'
complete -c mailchute -n '__mailchute_at' -a setup -d 'set up an account and try it'
complete -c mailchute -n '__mailchute_at' -a login -d 'log in with OAuth 2, or put a password into the keyring'
complete -c mailchute -n '__mailchute_at' -a import -d 'take over msmtp, ssmtp, nullmailer, dma, postfix, git'
complete -c mailchute -n '__mailchute_at' -a doctor -d 'find out why mail does not go, without sending any'
complete -c mailchute -n '__mailchute_at' -a health -d 'say in one line how the queue stands, for monitoring'
complete -c mailchute -n '__mailchute_at' -a providers -d 'list the providers known, or show one'
complete -c mailchute -n '__mailchute_at' -a serve -d 'take mail of local users and send it; or do one of the two'
complete -c mailchute -n '__mailchute_at' -a help -d 'show the help of a command, or of sendmail'
complete -c mailchute -n '__mailchute_at' -s B -x -d 'body type, 7BIT or 8BITMIME; the body itself decides'
complete -c mailchute -n '__mailchute_at' -s b -x -d 'mode of operation, see below'
complete -c mailchute -n '__mailchute_at' -s e -x -d 'how errors are told: p, m, w, e or q; the same as -oe'
complete -c mailchute -n '__mailchute_at' -s F -x -d 'full name for a From field that has to be made'
complete -c mailchute -n '__mailchute_at' -s f -x -d 'reverse-path: where bounces go; the last one counts'
complete -c mailchute -n '__mailchute_at' -s G -d 'relayed mail: leave bare names in header fields as they are'
complete -c mailchute -n '__mailchute_at' -s I -d 'the same as -bi'
complete -c mailchute -n '__mailchute_at' -s i -d 'a line with a single dot does not end the message'
complete -c mailchute -n '__mailchute_at' -s N -x -d 'delivery status notification: never, or success,failure,delay'
complete -c mailchute -n '__mailchute_at' -s n -d 'do not look up aliases'
complete -c mailchute -n '__mailchute_at' -s O -x -d 'IgnoreDots, DeliveryMode or ErrorMode; others are ignored'
complete -c mailchute -n '__mailchute_at' -s o -x -d 'i, d or e with its value; others are ignored'
complete -c mailchute -n '__mailchute_at' -s q -d 'try the queue now; with I, R or S and a text, by id, recipient, sender'
complete -c mailchute -n '__mailchute_at' -s R -x -d 'how much of the message a bounce carries'
complete -c mailchute -n '__mailchute_at' -s r -x -d 'the same as -f'
complete -c mailchute -n '__mailchute_at' -s t -d 'take recipients from To, Cc and Bcc'
complete -c mailchute -n '__mailchute_at' -s V -x -d 'envelope id for delivery status notifications'
complete -c mailchute -n '__mailchute_at' -l version -d 'show the version'

complete -c mailchute -n '__mailchute_behind serve' -l accept -d 'only take mail'
complete -c mailchute -n '__mailchute_behind serve' -l send -d 'only send it'

complete -c mailchute -n '__mailchute_behind providers' -a '(__mailchute_providers)'

complete -c mailchute -n '__mailchute_behind health' -l warn-age -x -d 'warn when a message waits for so long; 1h'
complete -c mailchute -n '__mailchute_behind health' -l crit-age -x -d 'critical when a message waits for so long; 1d'
complete -c mailchute -n '__mailchute_behind health' -l warn-queued -x -d 'warn when so many messages wait'
complete -c mailchute -n '__mailchute_behind health' -l crit-queued -x -d 'critical when so many messages wait'

complete -c mailchute -n '__mailchute_behind doctor' -l json -d 'for programs'

complete -c mailchute -n '__mailchute_at import' -a 'msmtp ssmtp nullmailer dma postfix git'
complete -c mailchute -n '__mailchute_behind import; and not __mailchute_at import' -F
complete -c mailchute -n '__mailchute_behind import' -l write -d 'put them into the configuration instead of printing them'
complete -c mailchute -n '__mailchute_behind import' -l replace -d 'replace accounts of the same names'

complete -c mailchute -n '__mailchute_behind login' -l device -d 'with a code to type on another device; else with a browser'
complete -c mailchute -n '__mailchute_behind login' -l password-stdin -d 'read the password for the keyring from standard input'
complete -c mailchute -n '__mailchute_behind login' -l no-test -d 'do not try it with the relay'

complete -c mailchute -n '__mailchute_behind setup' -l provider -x -a '(__mailchute_providers)' -d 'take the preset of this provider'
complete -c mailchute -n '__mailchute_behind setup' -l host -x -a '(__fish_print_hostnames)' -d 'submit to this host'
complete -c mailchute -n '__mailchute_behind setup' -l port -x -a '587 465' -d 'on this port; else 587, and 465 where a network blocks that'
complete -c mailchute -n '__mailchute_behind setup' -l user -x -d 'log in with this name'
complete -c mailchute -n '__mailchute_behind setup' -l password-stdin -d 'read the password from standard input'
complete -c mailchute -n '__mailchute_behind setup' -l keyring -d 'keep the password in the desktop\'s keyring, not in the file'
complete -c mailchute -n '__mailchute_behind setup' -l password-command -x -a '(__fish_complete_command)' -d 'keep no password, but the program that prints it'
complete -c mailchute -n '__mailchute_behind setup' -l client-id -x -d 'log in with OAuth 2 as this client, by mailchute login'
complete -c mailchute -n '__mailchute_behind setup' -l token-command -x -a '(__fish_complete_command)' -d 'the program that prints an OAuth 2 access token'
complete -c mailchute -n '__mailchute_behind setup' -l maildir -x -d 'keep mail in this folder of yours, and send none'
complete -c mailchute -n '__mailchute_behind setup' -l root -x -d 'who gets mail for root; else the address'
complete -c mailchute -n '__mailchute_behind setup' -l default -d 'make it the default account'
complete -c mailchute -n '__mailchute_behind setup' -l replace -d 'replace the account of that name'
complete -c mailchute -n '__mailchute_behind setup' -l test-mail -d 'send a test mail to the address'
complete -c mailchute -n '__mailchute_behind setup' -l no-test -d 'write it without logging in'

complete -c mailchute -n '__mailchute_at queue' -a list -d 'list what waits'
complete -c mailchute -n '__mailchute_at queue' -a show -d 'show an entry: envelope, attempts, header'
complete -c mailchute -n '__mailchute_at queue' -a metrics -d 'write the numbers that Prometheus reads'
complete -c mailchute -n '__mailchute_at queue' -a flush -d 'try everything now, as sendmail -q does; or what is due'
complete -c mailchute -n '__mailchute_at queue' -a retry -d 'try these entries now'
complete -c mailchute -n '__mailchute_at queue' -a hold -d 'keep these entries from being tried'
complete -c mailchute -n '__mailchute_at queue' -a release -d 'end a hold'
complete -c mailchute -n '__mailchute_at queue' -a remove -d 'remove entries without sending them; an age is 5d, 12h, 30m'
complete -c mailchute -n '__mailchute_at queue' -a dead -d 'list, retry, remove'
complete -c mailchute -n '__mailchute_at queue' -l json -d 'for programs'

complete -c mailchute -n '__mailchute_at help' -a queue -d 'list, show, metrics, flush, retry, hold, release, remove, dead'
complete -c mailchute -n '__mailchute_at help' -a setup -d 'set up an account and try it'
complete -c mailchute -n '__mailchute_at help' -a login -d 'log in with OAuth 2, or put a password into the keyring'
complete -c mailchute -n '__mailchute_at help' -a import -d 'take over msmtp, ssmtp, nullmailer, dma, postfix, git'
complete -c mailchute -n '__mailchute_at help' -a doctor -d 'find out why mail does not go, without sending any'
complete -c mailchute -n '__mailchute_at help' -a health -d 'say in one line how the queue stands, for monitoring'
complete -c mailchute -n '__mailchute_at help' -a providers -d 'list the providers known, or show one'
complete -c mailchute -n '__mailchute_at help' -a serve -d 'take mail of local users and send it; or do one of the two'
complete -c mailchute -n '__mailchute_at help' -a help -d 'show the help of a command, or of sendmail'

complete -c mailchute -n '__mailchute_at queue dead' -a list -d 'list what was given up'
complete -c mailchute -n '__mailchute_at queue dead' -a retry -d 'put these back into the queue'
complete -c mailchute -n '__mailchute_at queue dead' -a remove -d 'remove these for good'
complete -c mailchute -n '__mailchute_at queue dead' -l json -d 'for programs'

complete -c mailchute -n '__mailchute_behind queue remove' -a '(__mailchute_entries queue list)'
complete -c mailchute -n '__mailchute_behind queue remove' -l all -d 'everything that waits'
complete -c mailchute -n '__mailchute_behind queue remove' -l older-than -x -d 'what is older than this'

complete -c mailchute -n '__mailchute_behind queue release' -a '(__mailchute_entries queue list)'

complete -c mailchute -n '__mailchute_behind queue hold' -a '(__mailchute_entries queue list)'

complete -c mailchute -n '__mailchute_behind queue retry' -a '(__mailchute_entries queue list)'

complete -c mailchute -n '__mailchute_behind queue flush' -l due -d 'only what the schedule would try by now'

complete -c mailchute -n '__mailchute_behind queue show' -a '(__mailchute_entries queue list)'

complete -c mailchute -n '__mailchute_behind queue list' -l json -d 'for programs'

complete -c mailchute -n '__mailchute_behind queue dead remove' -a '(__mailchute_entries queue dead list)'

complete -c mailchute -n '__mailchute_behind queue dead retry' -a '(__mailchute_entries queue dead list)'

complete -c mailchute -n '__mailchute_behind queue dead list' -l json -d 'for programs'
