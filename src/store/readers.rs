//! The readers of a `SQLite` database: lanes for single rows, and connections for lists, opened as they are needed, the
//! last used first.
//!
//! Not `sqlx`'s pool: that one asks each connection that comes back whether it is well, which costs as much as the read
//! itself. There is no server that could have gone away, and a read leaves no transaction behind.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use tokio::sync::Semaphore;

use super::call::{Caller, Outcome, Statement};
use super::lanes::Lanes;

/// The most lanes, however many cores there are.
const MOST_LANES: usize = 8;

/// The readers.
pub struct Readers {
    options: SqliteConnectOptions,
    lanes: Lanes,
    permits: Semaphore,
    idle: Mutex<Vec<Caller>>,
    patience: Duration,
}

impl Readers {
    /// Opens the lanes, and at most `limit` connections later; whoever waits for one longer than `patience` is turned
    /// away.
    pub(super) async fn open(
        options: SqliteConnectOptions,
        limit: u32,
        patience: Duration,
    ) -> Result<Self, sqlx::Error> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes = Lanes::open(&options, cores.min(MOST_LANES)).await?;
        let limit = usize::try_from(limit.max(1)).unwrap_or(1);
        Ok(Self { options, lanes, permits: Semaphore::new(limit), idle: Mutex::default(), patience })
    }

    /// The first row that a statement gives.
    pub(super) async fn one(&self, statement: Statement) -> Result<Option<SqliteRow>, sqlx::Error> {
        let row = tokio::time::timeout(self.patience, self.lanes.read(statement)).await;
        row.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    /// All rows that a statement gives.
    pub(super) async fn all(&self, statement: Statement) -> Result<Outcome, sqlx::Error> {
        let permit = tokio::time::timeout(self.patience, self.permits.acquire()).await;
        let _permit = permit.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let known = self.idle().pop();
        let mut caller = match known {
            Some(caller) => caller,
            None => Caller::open(&self.options).await?,
        };
        let mut outcomes = caller.call(&[statement]).await.complete()?;
        self.idle().push(caller);
        Ok(outcomes.pop().unwrap_or_default())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Caller>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads nothing any more, and closes the connections; who still reads comes to an end.
    pub(super) async fn close(&self) {
        self.permits.close();
        self.lanes.close().await;
        let idle = std::mem::take(&mut *self.idle());
        for caller in idle {
            caller.close().await;
        }
    }
}
