//! The command line: sendmail options in one table, personalities, our own commands, help.
