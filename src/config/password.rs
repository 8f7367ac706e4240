//! Passwords and tokens: where they come from, and how they stay unseen.

use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A password or token in memory: zeroed when dropped, never printed.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    pub fn new(bytes: Vec<u8>) -> Password {
        Password(Zeroizing::new(bytes))
    }
    /// The bytes, for the SASL response and nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Where the secret comes from.
#[derive(Clone, Debug)]
pub enum Secret {
    Literal(Password),
    File(PathBuf),
    /// A program and its arguments; its first output line is the password.
    Command(Vec<String>),
    /// The same, but what it prints is an OAuth 2 access token.
    TokenCommand(Vec<String>),
    /// A systemd credential, a file in `$CREDENTIALS_DIRECTORY`.
    Credential(PathBuf),
}

impl Secret {
    /// Fetches the secret now. Commands get 30 s and no terminal noise; their stderr is in the error.
    pub fn fetch(&self) -> Result<Password, SecretError> {
        todo!()
    }
    /// Whether it is an OAuth 2 token, which is never sent as a password.
    pub fn is_token(&self) -> bool {
        matches!(self, Secret::TokenCommand(_))
    }
}

/// Why there is no secret: the source and the cause, never the secret.
#[derive(Debug)]
pub struct SecretError {
    pub cause: String,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for SecretError {}
