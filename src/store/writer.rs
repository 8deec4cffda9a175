//! The one writer of a `SQLite` database: it groups transactions that wait for each other into one commit.
//!
//! Each logical transaction is a savepoint on the held connection. [`Held::commit`] releases it, steps aside for
//! whoever waits, and returns when the surrounding transaction is on disk. Since the lock is fair, the flusher that
//! every commit wakes comes to its turn behind all transactions that waited at that moment, and commits them
//! together. If the surrounding transaction fails, all of them fail: nothing is acknowledged that is not durable.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Executor, SqliteConnection};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};
use tokio::task::JoinHandle;

use super::StoreError;

/// How many logical transactions share a commit at most.
const GROUP_LIMIT: usize = 64;

/// The writer; dropping it ends its task.
pub(super) struct Writer {
    shared: Arc<Shared>,
    patience: Duration,
    flusher: JoinHandle<()>,
}

struct Shared {
    group: Arc<Mutex<Group>>,
    wake: Notify,
}

struct Group {
    connection: SqliteConnection,
    /// A surrounding transaction is open.
    open: bool,
    /// A savepoint is open whose owner has not released it.
    unreleased: bool,
    /// Released transactions that wait for the commit.
    waiting: Vec<oneshot::Sender<bool>>,
}

impl Writer {
    /// Takes the connection over. Nobody waits longer than `patience` for a turn.
    pub(super) fn new(connection: SqliteConnection, patience: Duration) -> Self {
        let group = Group { connection, open: false, unreleased: false, waiting: Vec::new() };
        let shared = Arc::new(Shared { group: Arc::new(Mutex::new(group)), wake: Notify::new() });
        let for_task = Arc::clone(&shared);
        let flusher = tokio::spawn(async move {
            loop {
                for_task.wake.notified().await;
                for_task.group.lock().await.flush().await;
            }
        });
        Self { shared, patience, flusher }
    }

    /// Waits for its turn and begins a logical transaction. Runs as a task of its own, so that a caller that goes
    /// away leaves the connection in a known state.
    pub(super) async fn begin(&self) -> Result<Held, StoreError> {
        let (shared, patience) = (Arc::clone(&self.shared), self.patience);
        tokio::spawn(async move {
            let turn = tokio::time::timeout(patience, Arc::clone(&shared.group).lock_owned()).await;
            let mut group = turn.map_err(|_| StoreError::Unavailable("the writer is busy"))?;
            group.begin().await?;
            Ok(Held { group: Some(group), shared })
        })
        .await
        .map_err(|_| StoreError::Unavailable("the writer stopped"))?
    }

    /// Commits what is open and closes the connection.
    pub(super) async fn close(&self) {
        let mut group = self.shared.group.lock().await;
        group.flush().await;
        self.flusher.abort();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flusher.abort();
    }
}

impl Group {
    async fn begin(&mut self) -> Result<(), StoreError> {
        if self.waiting.len() >= GROUP_LIMIT {
            self.flush().await;
        }
        self.undo_unreleased().await;
        let text = if self.open { "SAVEPOINT logical" } else { "BEGIN IMMEDIATE; SAVEPOINT logical" };
        if let Err(error) = self.connection.execute(text).await {
            self.abandon().await;
            return Err(error.into());
        }
        self.open = true;
        self.unreleased = true;
        Ok(())
    }

    /// Ends a savepoint whose owner went away.
    async fn undo_unreleased(&mut self) {
        if !self.unreleased {
            return;
        }
        self.unreleased = false;
        if self.connection.execute("ROLLBACK TO logical; RELEASE logical").await.is_err() {
            self.abandon().await;
        }
    }

    async fn release(&mut self) -> Result<oneshot::Receiver<bool>, StoreError> {
        if let Err(error) = self.connection.execute("RELEASE logical").await {
            self.abandon().await;
            return Err(error.into());
        }
        self.unreleased = false;
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        Ok(receiver)
    }

    /// Commits the surrounding transaction, if one is open, and tells everybody who waits.
    async fn flush(&mut self) {
        self.undo_unreleased().await;
        if !self.open {
            return;
        }
        if self.waiting.is_empty() {
            self.abandon().await;
            return;
        }
        match self.connection.execute("COMMIT").await {
            Ok(_) => {
                self.open = false;
                for sender in self.waiting.drain(..) {
                    // A receiver that is gone needs no answer.
                    let _ = sender.send(true);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the database did not commit");
                self.abandon().await;
            }
        }
    }

    /// Rolls everything back; whoever waits learns that nothing was written.
    async fn abandon(&mut self) {
        // When the database has rolled back by itself (disk full), there is nothing left to roll back.
        let _ = self.connection.execute("ROLLBACK").await;
        self.open = false;
        self.unreleased = false;
        for sender in self.waiting.drain(..) {
            let _ = sender.send(false);
        }
        if self.connection.ping().await.is_err() {
            tracing::error!("the connection of the database's writer is lost");
        }
    }
}

/// A logical transaction. Dropped without [`commit`](Held::commit), it is undone.
pub struct Held {
    group: Option<OwnedMutexGuard<Group>>,
    shared: Arc<Shared>,
}

impl Held {
    /// Returns once the transaction is on disk. Runs as a task of its own, see [`Writer::begin`].
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let Some(mut group) = self.group.take() else {
            return Err(StoreError::Unavailable("the transaction has ended"));
        };
        let shared = Arc::clone(&self.shared);
        let released = tokio::spawn(async move {
            let receiver = group.release().await;
            drop(group);
            shared.wake.notify_one();
            receiver
        });
        let receiver = released.await.map_err(|_| StoreError::Unavailable("the writer stopped"))??;
        match receiver.await {
            Ok(true) => Ok(()),
            _ => Err(StoreError::Unavailable("the database did not commit")),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.group.take().is_some() {
            self.shared.wake.notify_one();
        }
    }
}

/// Dereferencing is total: the guard leaves only through `commit` and `drop`, which consume the value.
impl Deref for Held {
    type Target = SqliteConnection;

    #[expect(clippy::expect_used, reason = "`group` is taken only where `self` ends")]
    fn deref(&self) -> &SqliteConnection {
        &self.group.as_ref().expect("held until commit or drop").connection
    }
}

impl DerefMut for Held {
    #[expect(clippy::expect_used, reason = "`group` is taken only where `self` ends")]
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.group.as_mut().expect("held until commit or drop").connection
    }
}
