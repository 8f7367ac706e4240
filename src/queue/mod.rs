//! The queue: what we do about what the relay said. When an entry is tried again, when an account waits, who hears of
//! a failure, and how a person sees it all. Is handed a [`run::Courier`] and never imports `submission`.
//!
//! Decisions are pure functions of values (`retry`, `hold`, `settle`, `run::judge`, `listing`); `conclude`, `notice`,
//! `account` and `run` carry them out.

pub mod account;
#[cfg(test)]
mod bench;
pub mod conclude;
pub mod hold;
pub mod listing;
mod notice;
pub mod retry;
pub mod run;
pub mod settle;
