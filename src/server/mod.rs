//! The SMTP server session, without I/O: octets in, replies and events out (RFC 5321, 2920, 3030, 3461, 6531). It
//! speaks to local programs (`sendmail -bs`, the local socket), so it asks no DNS and no password. What becomes of a
//! message is for the driver to say:
//!
//! ```text
//! write(session.take_replies())
//! while read(octets) {
//!     while let Some(event) = session.next(&mut octets) {
//!         Begin(transaction) -> open a draft; session.failed(why) when there is none to be had
//!         Data(octets)       -> write them to the draft
//!         End                -> commit the draft; session.accepted(id), failed(why) or refused(why)
//!         Abort              -> drop the draft
//!         Asked(question)    -> session.answer(text)
//!         Quit               -> write the replies and end
//!     }
//!     write(session.take_replies())
//! }
//! session.end_of_input() -> drop the draft, if one is open
//! ```

mod body;
mod command;
mod event;
mod line;
mod session;
mod speech;
mod transaction;
mod xtext;

pub use event::{Event, Form, Question, Settings, Tongue};
pub use session::Session;
pub use transaction::{Forward, Transaction, Wishes};
