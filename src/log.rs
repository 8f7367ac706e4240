//! One line per event: journald, else syslog, else nothing; and a file when asked.
