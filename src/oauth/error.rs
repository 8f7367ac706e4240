//! What keeps us from a token: in words, with what to do, and whether time mends it or a person must.

use crate::config::SecretError;
use crate::diagnostic::{Explain, chain};
use crate::exit::Exit;
use crate::http::HttpError;
use crate::spool::SpoolError;
use std::fmt;

/// Why there is no token.
#[derive(Debug)]
pub enum OauthError {
    /// Nobody has logged in yet; the account.
    NoLogin(String),
    /// The login was made for another client, user or server.
    Other {
        account: String,
        what: &'static str,
    },
    /// The access token has ended and there is no refresh token.
    NoRefresh(String),
    /// The token server has ended the login; its words.
    Ended {
        account: String,
        server: String,
        words: String,
    },
    /// The token server refuses the client, or what it asks for; its words.
    Refused {
        server: String,
        words: String,
    },
    /// The person said no; the server's words.
    Declined {
        server: String,
        words: String,
    },
    /// Nobody answered in time.
    Unanswered,
    /// The token server is at fault, or what answers is none.
    Unavailable {
        server: String,
        words: String,
    },
    Unreachable(HttpError),
    /// Another process is at it for longer than it should be.
    Busy,
    Spool(SpoolError),
    /// The client's own secret cannot be had.
    Client(SecretError),
    /// This system has no random numbers.
    NoRandomness,
}

impl OauthError {
    /// Whether waiting may be enough; else a person must act.
    pub fn passes(&self) -> bool {
        match self {
            OauthError::Unreachable(error) => error.passes(),
            OauthError::Unavailable { .. } | OauthError::Busy | OauthError::Spool(_) | OauthError::NoRandomness => true,
            OauthError::NoLogin(_)
            | OauthError::Other { .. }
            | OauthError::NoRefresh(_)
            | OauthError::Ended { .. }
            | OauthError::Refused { .. }
            | OauthError::Declined { .. }
            | OauthError::Unanswered
            | OauthError::Client(_) => false,
        }
    }
}

impl fmt::Display for OauthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OauthError::NoLogin(_) => f.write_str("nobody has logged in yet"),
            OauthError::Other { what, .. } => write!(f, "the login was made for another {what}"),
            OauthError::NoRefresh(_) => f.write_str("the access token has ended, and the login gave none to renew it"),
            OauthError::Ended { server, words, .. } => write!(f, "the login has ended: {server} said {words}"),
            OauthError::Refused { server, words } => write!(f, "{server} refused: {words}"),
            OauthError::Declined { server, words } => write!(f, "not allowed: {server} said {words}"),
            OauthError::Unanswered => f.write_str("nobody answered in time; nothing was changed"),
            OauthError::Unavailable { server, words } => write!(f, "{server}: {words}"),
            OauthError::Unreachable(error) => error.fmt(f),
            OauthError::Busy => f.write_str("another process has been renewing the token for too long"),
            OauthError::Spool(error) => f.write_str(&chain(error)),
            OauthError::Client(error) => error.fmt(f),
            OauthError::NoRandomness => f.write_str("this system has no random numbers"),
        }
    }
}

impl std::error::Error for OauthError {}

impl Explain for OauthError {
    fn exit(&self) -> Exit {
        match self {
            OauthError::Unanswered => Exit::NoInput,
            OauthError::Declined { .. } => Exit::NoPerm,
            error if error.passes() => Exit::TempFail,
            _ => Exit::Config,
        }
    }

    fn hints(&self) -> Vec<String> {
        let again = |account: &String| format!("log in again: mailchute login --account {account}");
        match self {
            OauthError::NoLogin(account) => vec![format!("log in: mailchute login --account {account}")],
            OauthError::Other { account, .. } | OauthError::NoRefresh(account) => vec![again(account)],
            OauthError::Ended { account, server, .. } => {
                let why = if server.ends_with("googleapis.com") {
                    "; Google ends logins after 7 days while the project's publishing status is Testing, and whenever \
                     the password changes"
                } else if server.ends_with("microsoftonline.com") {
                    "; Microsoft ends logins that are not used for 90 days, and when the password changes"
                } else {
                    ""
                };
                vec![format!("{}{why}", again(account))]
            }
            OauthError::Refused { .. } => {
                vec!["look at client-id, client-secret and scope in oauth2, and at the client's registration".into()]
            }
            OauthError::Unreachable(error) => error.hints(),
            OauthError::Spool(error) => error.hints(),
            OauthError::Client(error) => error.hints(),
            OauthError::Declined { .. }
            | OauthError::Unanswered
            | OauthError::Unavailable { .. }
            | OauthError::Busy
            | OauthError::NoRandomness => Vec::new(),
        }
    }
}

impl From<SpoolError> for OauthError {
    fn from(error: SpoolError) -> OauthError {
        OauthError::Spool(error)
    }
}
