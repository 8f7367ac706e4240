//! What a session is told about its server, and what it asks its driver to do.

use super::transaction::Transaction;

/// The usual most recipients of one message.
pub(super) const MOST_RECIPIENTS: usize = 1000;

/// What the server is told about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name it greets with.
    pub host: String,
    /// The largest message taken, in octets; `None` for any.
    pub max_size: Option<u64>,
    /// The most recipients of one message.
    pub max_recipients: usize,
    pub tongue: Tongue,
}

/// What is spoken besides standard SMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    Standard,
    /// What our own `sendmail` asks the spooler: its options as parameters of MAIL, XQUEUE, ETRN for a queue run, and
    /// XHEALTH.
    Ours,
}

/// What a client asks that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// XQUEUE: what waits.
    Queue(Form),
    /// ETRN: that what waits is tried.
    Flush,
    /// XHEALTH: whether all is well.
    Health,
}

/// How a listing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Mailq,
    Json,
    /// How the queue of all users stands, in one line of numbers.
    State,
}

/// What the driver has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message begins: open a draft for it.
    Begin(Transaction),
    /// Octets of the message, dots unstuffed, otherwise as they came.
    Data(&'a [u8]),
    /// The message is whole. Say [`Session::accepted`] when it is durable, or else [`Session::failed`] or
    /// [`Session::refused`], before the next call.
    End,
    /// The message will not be whole: drop the draft.
    Abort,
    /// Say [`Session::answer`].
    Asked(Question),
    /// Write the replies, drop the draft if one is open, and end.
    Quit,
}

impl Settings {
    /// Those of a server that speaks standard SMTP.
    pub fn standard(host: String, max_size: Option<u64>) -> Settings {
        Settings { host, max_size, max_recipients: MOST_RECIPIENTS, tongue: Tongue::Standard }
    }
}
