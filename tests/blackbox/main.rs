//! A person's view of the program: what it does with a message, what it says, how it ends. Each test has a world and a
//! relay of its own, on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test ends where something cannot go on, and makes its own files"
)]

mod client_certificate;
mod delivery;
mod doctor;
mod envelope;
mod errors;
mod fragments;
mod gmail;
mod handling;
mod hygiene;
mod imports;
mod injection;
mod main_job;
mod monitor;
mod options;
mod outcomes;
mod queueing;
mod reading;
mod sasl;
mod secrets;
mod security;
mod serve;
mod servers;
mod setup;
mod support;
mod support_tests;
mod tls;
mod trust;
mod walls;
