//! The integration tests, in one binary.
//!
//! `harness` starts the real thing on either database; the other folders hold the tests. Every test that touches the
//! database runs on both, through [`on_both_databases!`]; without `COUNTERSIGN_TEST_POSTGRES` it fails rather than
//! skips. `scripts/test` sets it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::unnecessary_to_owned,
    clippy::too_many_lines,
    missing_docs
)]

mod attacks;
mod commands;
mod conformance;
mod faults;
mod harness;
mod house;
mod jobs;
mod linking;
mod mail;
mod manage;
mod operation;
mod provider;
mod sentences;
mod sessions;
mod sign_in;
mod store;
