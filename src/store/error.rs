//! What can go wrong in the store. Absence is no error: it is `Option`.

use std::fmt::Display;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A rule of the database refused the change: somebody else was first, or the thing exists.
    #[error("another change was first")]
    Conflict,
    /// A row that no version of this program writes.
    #[error("inconsistent row {id} in {table}.{column}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's id.
        id: String,
    },
    /// The database cannot be asked now, or did not make the change durable; nothing was acknowledged.
    #[error("the database is unavailable: {0}")]
    Unavailable(&'static str),
    /// Any other error of the driver.
    #[error("the database refused a statement")]
    Driver(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether a statement named a table that is not there: 42P01 of `PostgreSQL`; `SQLite` tells it by its words alone.
    pub(super) fn is_missing_table(&self) -> bool {
        let Self::Driver(sqlx::Error::Database(error)) = self else { return false };
        error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
    }

    /// A row whose `column` does not parse.
    pub fn inconsistent(table: &'static str, column: &'static str, id: impl Display) -> Self {
        Self::Inconsistent { table, column, id: id.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => Self::Conflict,
            sqlx::Error::Database(cause) => match cause.code() {
                Some(code) if is_passing(&code) => {
                    Self::Unavailable("the database is busy, full or restarting")
                }
                _ => Self::Driver(error),
            },
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => Self::Unavailable("the connection failed"),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection became free"),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable("the database was closed")
            }
            _ => Self::Driver(error),
        }
    }
}

/// Whether a code says that the statement may succeed later. `PostgreSQL` (SQLSTATE): connection, resources, a lock that
/// was not had in time, operator intervention, serialization. `SQLite` (extended result codes, in decimal): busy, locked, I/O, full.
fn is_passing(code: &str) -> bool {
    if code.len() == 5 && ["08", "53", "55P03", "57", "40"].iter().any(|class| code.starts_with(class)) {
        return true;
    }
    code.parse::<u32>().is_ok_and(|extended| matches!(extended & 0xff, 5 | 6 | 10 | 13))
}
