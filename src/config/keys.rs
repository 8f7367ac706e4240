//! Every key the configuration file may have, by section: what the reader accepts, and what `mailchute.toml(5)` must
//! explain.

/// Outside any section.
pub(super) const TOP: &[&str] = &[
    "default-account",
    "domain",
    "local-recipients",
    "log-file",
    "metrics-file",
    "sandbox",
    "accounts",
    "aliases",
    "queue",
    "spool",
    "serve",
];

/// `[accounts.NAME]`.
pub(super) const ACCOUNT: &[&str] = &[
    "provider",
    "host",
    "port",
    "ports",
    "tls",
    "tls-ca-file",
    "tls-fingerprint",
    "tls-cert-file",
    "tls-key-file",
    "allow-plaintext",
    "user",
    "password",
    "password-file",
    "password-command",
    "credential",
    "netrc",
    "git-credential",
    "token-command",
    "auth",
    "from",
    "identities",
    "rewrite-from",
    "ehlo-name",
    "recipients",
    "connections",
    "size",
    "fallback",
    "maildir",
    "mbox",
];

/// An element of `ports`.
pub(super) const PORT: &[&str] = &["port", "tls"];

/// `[queue]`.
pub(super) const QUEUE: &[&str] = &["delivery", "expire", "retry", "foreground-deadline", "warn-after", "keep-dead"];

/// `retry` in `[queue]`.
pub(super) const RETRY: &[&str] = &["first", "max"];

/// `[spool]`.
pub(super) const SPOOL: &[&str] = &["directory"];

/// `[serve]`.
pub(super) const SERVE: &[&str] = &[
    "socket",
    "listen",
    "allow",
    "deny",
    "senders",
    "trusted",
    "rate",
    "size",
    "recipients",
    "queued",
    "connections",
    "idle-exit",
];

/// All sections with their keys, in the order of the manual. `[aliases]` has none of its own: its keys are names.
pub const KEYS: &[(&str, &[&str])] = &[
    ("", TOP),
    ("accounts.NAME", ACCOUNT),
    ("ports", PORT),
    ("queue", QUEUE),
    ("retry", RETRY),
    ("spool", SPOOL),
    ("serve", SERVE),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_manual_explains_every_key_and_no_other() {
        let manual = include_str!("../../man/mailchute.toml.5");
        let items = manual.lines().filter_map(|line| line.strip_prefix(".It Ic "));
        let explained: BTreeSet<&str> = items.filter_map(|item| item.split(' ').next()).collect();
        let known: BTreeSet<&str> = KEYS.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
        assert_eq!(explained, known);
    }
}
