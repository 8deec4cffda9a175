//! The readers of a `SQLite` database: connections for short reads, opened as they are needed, the last used first.
//!
//! Not `sqlx`'s pool: that one asks each connection that comes back whether it is well, which costs as much as the read
//! itself. There is no server that could have gone away, and a read leaves no transaction behind.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;

/// The readers.
pub(super) struct Readers {
    options: SqliteConnectOptions,
    permits: Arc<Semaphore>,
    idle: Arc<Idle>,
    patience: Duration,
}

struct Idle(Mutex<Vec<SqliteConnection>>);

impl Idle {
    fn list(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readers {
    /// Opens the first of at most `limit`; whoever waits for one longer than `patience` is turned away.
    pub(super) async fn open(
        options: SqliteConnectOptions,
        limit: u32,
        patience: Duration,
    ) -> Result<Self, sqlx::Error> {
        let first = options.connect().await?;
        let idle = Arc::new(Idle(Mutex::new(vec![first])));
        let limit = usize::try_from(limit.max(1)).unwrap_or(1);
        Ok(Self { options, permits: Arc::new(Semaphore::new(limit)), idle, patience })
    }

    /// One of them.
    pub(super) async fn acquire(&self) -> Result<Reader, StoreError> {
        let waiting = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout(self.patience, waiting)
            .await
            .map_err(|_| StoreError::Unavailable("no connection became free"))?
            .map_err(|_| StoreError::Unavailable("the database was closed"))?;
        let known = self.idle.list().pop();
        let connection = match known {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(Reader { connection: Some(connection), idle: Arc::clone(&self.idle), _permit: permit })
    }

    /// Hands none out any more, and closes those that are idle; who still reads comes to an end.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.list());
        for connection in idle {
            // What cannot be closed ends with its thread.
            let _ = connection.close().await;
        }
    }
}

/// A reader in use.
pub struct Reader {
    connection: Option<SqliteConnection>,
    idle: Arc<Idle>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.idle.list().extend(self.connection.take());
    }
}

/// Dereferencing is total: the connection leaves only through `drop`.
impl Deref for Reader {
    type Target = SqliteConnection;

    #[expect(clippy::expect_used, reason = "taken only where `self` ends")]
    fn deref(&self) -> &SqliteConnection {
        self.connection.as_ref().expect("held until drop")
    }
}

impl DerefMut for Reader {
    #[expect(clippy::expect_used, reason = "taken only where `self` ends")]
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("held until drop")
    }
}
