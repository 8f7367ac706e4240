//! OAuth 2 (RFC 6749) for accounts with a client of the user's own: a person's permission turned into tokens, and
//! tokens renewed. Talks to the provider's token server; knows nothing of relays, browsers and terminals.
//!
//! ```text
//! grant     one request to the token server: for a code, a refresh token, a device
//!    | answer  its JSON, or why it refuses, and whether a person must act
//! proof     what shows that an answer is for us: state, PKCE (RFC 7636)
//! tokens    what is kept of an account between processes, and until when it is good
//! keeper    the token for a session: kept, or renewed under a lock
//! error     what goes wrong, in words, and whether time mends it
//! ```

mod answer;
mod error;
mod grant;
mod keeper;
mod proof;
mod tokens;

pub use answer::{Device, Grant, SLOWEST};
pub use error::OauthError;
pub use grant::{Asker, Polled};
pub use keeper::Keeper;
pub use proof::Proof;
pub use tokens::Tokens;
