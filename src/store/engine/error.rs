//! The errors of the store. An absent row is not an error: it is `None`.

use std::error::Error;
use std::fmt::Display;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A rule of the database refused the change: another change came first, or the row exists already.
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
    /// The database cannot be reached now, or did not make the change durable. Nothing was acknowledged.
    #[error("the database is unavailable: {0}")]
    Unavailable(&'static str),
    /// Any other error of the driver.
    #[error("the database refused a statement")]
    Driver(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Whether a statement named a table that does not exist: 42P01 on `PostgreSQL`. `SQLite` says so only in its
    /// message.
    pub(super) fn is_missing_table(&self) -> bool {
        let Self::Driver(error) = self else { return false };
        if let Some(sqlx::Error::Database(error)) = error.downcast_ref() {
            return error.code().as_deref() == Some("42P01");
        }
        matches!(error.downcast_ref(), Some(rusqlite::Error::SqliteFailure(_, Some(words))) if words.starts_with("no such table"))
    }

    pub(super) fn driver(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Driver(error.into())
    }

    /// The error for a row whose `column` does not parse.
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
                _ => Self::driver(error),
            },
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => Self::Unavailable("the connection failed"),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection became free"),
            sqlx::Error::PoolClosed => Self::Unavailable("the database was closed"),
            _ => Self::driver(error),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let extended = error.sqlite_error().map(|failure| failure.extended_code);
        if matches!(extended, Some(SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY)) {
            return Self::Conflict;
        }
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DiskFull,
            ) => Self::Unavailable("the database is busy, full or restarting"),
            Some(ErrorCode::OperationInterrupted) => Self::Unavailable("the database did not answer in time"),
            _ => Self::driver(error),
        }
    }
}

/// Whether a `PostgreSQL` error code (SQLSTATE) means that the statement may succeed later: a problem of the
/// connection, of resources, of a lock that was not free in time, of serialization, or an intervention of the
/// operator.
fn is_passing(code: &str) -> bool {
    ["08", "53", "55P03", "57", "40"].iter().any(|class| code.starts_with(class))
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither of the two kinds.
    #[error("database.url must begin with sqlite:// or postgres://")]
    Url,
    /// A URL of `SQLite` that names no file, or more than a file.
    #[error(
        "database.url must be sqlite:// and the path of a file, such as sqlite://data/countersign.db, and nothing else"
    )]
    SqliteUrl,
    /// `PostgreSQL` is not reachable, or not readable.
    #[error("the database cannot be opened: {0}")]
    Connect(#[from] sqlx::Error),
    /// The file of `SQLite` is not readable.
    #[error("the database cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder of the database's file cannot be made.
    #[error("{folder}: {error}", folder = .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file of the database cannot be made.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file that a starting process holds cannot be made, or another process has held it for too long.
    #[error("{path}: {error}", path = .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A thread that the database needs cannot be started, or has died.
    #[error("a thread for the database could not be started: {0}")]
    Thread(std::io::Error),
    /// A migration of `SQLite` failed; the database is as it was before it.
    #[error("the database cannot be migrated: migration {version}: {error}")]
    Migration {
        /// Its number.
        version: i64,
        /// What `SQLite` said.
        error: rusqlite::Error,
    },
    /// The schema cannot be brought up to date.
    #[error("the database cannot be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}
