//! How a database is opened, and how long it may take to answer.

use std::time::Duration;

/// How long the database may take to answer one call. A call that takes longer fails, and its connection is closed.
pub(in crate::store) const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// The error of a call that had no answer within [`CALL_DEADLINE`].
pub(super) fn timed_out() -> sqlx::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// How a database is opened.
#[derive(Clone)]
pub struct StoreSettings {
    /// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`.
    pub url: String,
    /// `PostgreSQL`: connections at most. `SQLite`: long reads at once.
    pub max_connections: u32,
    /// Whether an acknowledged write survives a power cut on `SQLite` (`synchronous=FULL`); without, only a crash
    /// of the process.
    pub synchronous_full: bool,
    /// How long a request waits for a connection, or for its turn to write, before it fails.
    pub acquire_timeout: Duration,
}
