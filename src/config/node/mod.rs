//! Sections on the process: where it listens, where it keeps things, whom it calls, and how much of each there may be.

pub(super) mod database;
pub(super) mod limits;
pub(super) mod log;
pub(super) mod mail;
pub(super) mod outbound;
pub(super) mod secrets;
pub(super) mod server;
pub(super) mod tls;
