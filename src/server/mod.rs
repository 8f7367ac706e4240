//! The SMTP server session, without I/O: lines in, replies and events out.
