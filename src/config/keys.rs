//! Every key the configuration file may have, by section: what the reader accepts, and what `mailchute.toml(5)` must
//! explain.

/// Outside any section.
pub(super) const TOP: &[&str] =
    &["default-account", "domain", "local-recipients", "log-file", "accounts", "aliases", "queue", "spool"];

/// `[accounts.NAME]`.
pub(super) const ACCOUNT: &[&str] = &[
    "provider",
    "host",
    "port",
    "ports",
    "tls",
    "tls-ca-file",
    "tls-fingerprint",
    "allow-plaintext",
    "user",
    "password",
    "password-file",
    "password-command",
    "credential",
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
];

/// An element of `ports`.
pub(super) const PORT: &[&str] = &["port", "tls"];

/// `[queue]`.
pub(super) const QUEUE: &[&str] = &["delivery", "expire", "retry", "foreground-deadline", "warn-after", "keep-dead"];

/// `retry` in `[queue]`.
pub(super) const RETRY: &[&str] = &["first", "max"];

/// `[spool]`.
pub(super) const SPOOL: &[&str] = &["directory"];

/// All sections with their keys, in the order of the manual. `[aliases]` has none of its own: its keys are names.
pub const KEYS: &[(&str, &[&str])] =
    &[("", TOP), ("accounts.NAME", ACCOUNT), ("ports", PORT), ("queue", QUEUE), ("retry", RETRY), ("spool", SPOOL)];
