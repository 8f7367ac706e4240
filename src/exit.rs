//! The exit statuses a caller of sendmail sees: the sysexits.h numbers we use, each with its one meaning here.

/// How the process ends. Every caller takes any non-zero status for "not accepted, still mine".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Accepted by the relay, or durable in the queue.
    Ok = 0,
    /// `mailchute health`: somebody should look.
    Warning = 1,
    /// `mailchute health`: mail does not go.
    Critical = 2,
    /// The command line cannot be understood; nothing was read or kept.
    Usage = 64,
    /// A recipient, a sender or the message itself cannot be parsed; nothing was sent to anyone.
    DataErr = 65,
    /// There is no standard input to read from.
    NoInput = 66,
    /// The relay refused every recipient.
    NoUser = 67,
    /// The relay refused the sender or the message.
    Unavailable = 69,
    /// A fault in mailchute itself.
    Software = 70,
    /// The operating system refused something that always works.
    OsErr = 71,
    /// Standard input could not be read to its end.
    IoErr = 74,
    /// Neither sent nor kept: the caller must try again. Never used for a message that is in the spool.
    TempFail = 75,
    /// The caller may not do that.
    NoPerm = 77,
    /// No account, or a configuration that cannot be used.
    Config = 78,
}

impl Exit {
    /// The number given to the operating system.
    pub fn code(self) -> i32 {
        self as i32
    }
}
