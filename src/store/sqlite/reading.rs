//! The connections that only read.
//!
//! Whoever reads takes the one that was used last and gives it back at once, so there are hardly more than threads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Holding;
use super::connection::{Connection, patiently};
use crate::store::StoreError;

/// The readers. Clones are one.
#[derive(Clone)]
pub struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    open: Box<dyn Fn() -> Result<Connection, Error> + Send + Sync>,
    idle: Mutex<Vec<Connection>>,
    /// Of what may take long, so much runs at once.
    turns: Semaphore,
    patience: Duration,
    holding: Holding,
}

impl Readers {
    /// Reads through connections that `open` makes. Of what may take long, so much runs at once as `limit` says; whoever
    /// waits for that longer than `patience` is turned away.
    pub(super) fn new(
        open: impl Fn() -> Result<Connection, Error> + Send + Sync + 'static,
        limit: u32,
        patience: Duration,
        holding: Holding,
    ) -> Result<Self, Error> {
        let idle = Mutex::new(vec![open()?]);
        let turns = Semaphore::new(usize::try_from(limit.max(1)).unwrap_or(1));
        Ok(Self { shared: Arc::new(Shared { open: Box::new(open), idle, turns, patience, holding }) })
    }

    /// Reads what takes microseconds, on this thread.
    pub(super) async fn run<T>(
        &self,
        mut read: impl FnMut(&Connection) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        Ok(patiently(|| self.shared.holding.measure(|| self.shared.read(&mut read))).await?)
    }

    /// Reads what may take long, on a thread for things that block.
    pub(super) async fn run_long<T: Send + 'static>(
        &self,
        mut read: impl FnMut(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = timeout(self.shared.patience, self.shared.turns.acquire()).await;
        let _turn =
            turn.map_err(|_| StoreError::Unavailable("no connection became free"))?.map_err(|_| closed())?;
        let shared = Arc::clone(&self.shared);
        let handle = tokio::runtime::Handle::current();
        let reading =
            tokio::task::spawn_blocking(move || handle.block_on(patiently(|| shared.read(&mut read))));
        Ok(reading.await.map_err(|_| closed())??)
    }

    /// Begins nothing long any more, and closes what is idle.
    pub(in crate::store) fn close(&self) {
        self.shared.turns.close();
        self.shared.idle().clear();
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database was closed")
}

impl Shared {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.idle().pop();
        let connection = idle.map_or_else(&self.open, Ok)?;
        let answer = read(&connection);
        self.idle().push(connection);
        answer
    }

    /// Every change under the lock is whole, so a panic elsewhere leaves nothing to distrust.
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
