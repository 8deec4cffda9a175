//! The one writer of a `SQLite` database: it groups transactions that wait for each other into one commit.
//!
//! Each logical transaction is a savepoint on the held connection. [`Held::commit`] steps aside for whoever waits, and
//! returns when the surrounding transaction is on disk; the savepoint is released by the next one's beginning or by
//! the commit itself, since each call to the driver costs more than what it does. Since the lock is fair, the flusher that
//! every commit wakes comes to its turn behind all transactions that waited at that moment, and commits them
//! together. If the surrounding transaction fails, all of them fail: nothing is acknowledged that is not durable.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteQueryResult};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};
use tokio::task::JoinHandle;

use super::StoreError;
use super::later::Later;

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
    /// The savepoint that is open.
    savepoint: Savepoint,
    /// Ended transactions that wait for the commit.
    waiting: Vec<oneshot::Sender<bool>>,
}

/// What stands between the surrounding transaction and its logical ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    /// There is none.
    None,
    /// It is somebody's who has not committed; should they go away, it is undone.
    Owned,
    /// Its owner has committed; what it holds stays.
    Kept,
}

impl Writer {
    /// Takes the connection over. Nobody waits longer than `patience` for a turn.
    pub(super) fn new(connection: SqliteConnection, patience: Duration) -> Self {
        let group = Group { connection, open: false, savepoint: Savepoint::None, waiting: Vec::new() };
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
            Ok(Held { group: Some(group), later: Later::default(), shared })
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
        self.undo_abandoned().await;
        let text = match (self.open, self.savepoint) {
            (false, _) => "BEGIN IMMEDIATE; SAVEPOINT logical",
            (true, Savepoint::Kept) => "RELEASE logical; SAVEPOINT logical",
            (true, _) => "SAVEPOINT logical",
        };
        if let Err(error) = self.run(text).await {
            self.abandon().await;
            return Err(error.into());
        }
        self.open = true;
        self.savepoint = Savepoint::Owned;
        Ok(())
    }

    /// Runs a statement that stays prepared; the driver prepares a bare text anew each time.
    async fn run(&mut self, text: &'static str) -> Result<SqliteQueryResult, sqlx::Error> {
        sqlx::query(text).execute(&mut self.connection).await
    }

    /// Undoes what somebody began who went away.
    async fn undo_abandoned(&mut self) {
        if self.savepoint != Savepoint::Owned {
            return;
        }
        self.savepoint = Savepoint::None;
        if self.run("ROLLBACK TO logical; RELEASE logical").await.is_err() {
            self.abandon().await;
        }
    }

    /// Ends the logical transaction; the answer comes with the surrounding one's.
    fn keep(&mut self) -> oneshot::Receiver<bool> {
        self.savepoint = Savepoint::Kept;
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        receiver
    }

    /// Commits the surrounding transaction, if one is open, and tells everybody who waits.
    async fn flush(&mut self) {
        self.undo_abandoned().await;
        if !self.open {
            return;
        }
        if self.waiting.is_empty() {
            self.abandon().await;
            return;
        }
        match self.run("COMMIT").await {
            Ok(_) => {
                self.open = false;
                self.savepoint = Savepoint::None;
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
        let _ = self.run("ROLLBACK").await;
        self.open = false;
        self.savepoint = Savepoint::None;
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
    later: Later,
    shared: Arc<Shared>,
}

impl Held {
    /// The connection, after what was to run later.
    #[expect(clippy::expect_used, reason = "`group` is taken only where `self` ends")]
    pub(super) async fn ready(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = &mut self.group.as_mut().expect("held until commit or drop").connection;
        self.later.run(connection).await?;
        Ok(connection)
    }

    /// Keeps a statement for the next call, or for the commit.
    pub(super) fn later(
        &mut self,
        sql: &'static str,
        bind: impl FnOnce(&mut SqliteArguments) -> Result<(), BoxDynError>,
    ) -> Result<(), sqlx::Error> {
        self.later.add(sql, bind)
    }

    /// Returns once the transaction is on disk.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        self.ready().await?;
        let Some(mut group) = self.group.take() else {
            return Err(StoreError::Unavailable("the transaction has ended"));
        };
        let receiver = group.keep();
        drop(group);
        self.shared.wake.notify_one();
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
