//! The one writer of a `SQLite` database: it groups transactions that wait for each other into one commit.
//!
//! Each logical transaction is a savepoint on the held connection. Since each call to the driver costs more than what it
//! does, the savepoint is made in the same call as the transaction's first statement, and released by the next one's
//! beginning or by the commit itself. [`Held::commit`] steps aside for whoever waits, and returns when the surrounding
//! transaction is on disk. Since the lock is fair, the flusher that every commit wakes comes to its turn behind all
//! transactions that waited at that moment, and commits them together. If the surrounding transaction fails, all of them fail: nothing is acknowledged that is not durable.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};
use tokio::task::JoinHandle;

use super::StoreError;
use super::call::{Called, Caller, Outcome, Statement};

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
    caller: Caller,
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
    pub(super) fn new(caller: Caller, patience: Duration) -> Self {
        let group = Group { caller, open: false, savepoint: Savepoint::None, waiting: Vec::new() };
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

    /// Waits for its turn. The transaction begins with its first statement.
    pub(super) async fn begin(&self) -> Result<Held, StoreError> {
        let turn = tokio::time::timeout(self.patience, Arc::clone(&self.shared.group).lock_owned()).await;
        let group = turn.map_err(|_| StoreError::Unavailable("the writer is busy"))?;
        let turn = Turn { group: Some(group), shared: Arc::clone(&self.shared) };
        Ok(Held { turn: Some(turn), begun: false, later: Vec::new() })
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
    /// Begins a logical transaction with its first statements, in one call.
    async fn begin(&mut self, statements: Vec<Statement>) -> Called {
        if self.waiting.len() >= GROUP_LIMIT {
            self.flush().await;
        }
        self.undo_abandoned().await;
        let beginning: &[&str] = match (self.open, self.savepoint) {
            (false, _) => &["BEGIN IMMEDIATE", "SAVEPOINT logical"],
            (true, Savepoint::Kept) => &["RELEASE logical", "SAVEPOINT logical"],
            (true, _) => &["SAVEPOINT logical"],
        };
        let all = beginning.iter().map(|text| Statement::new(text, Vec::new())).chain(statements);
        let all: Vec<Statement> = all.collect();
        let mut called = self.caller.call(&all).await;
        if called.outcomes.len() < beginning.len() || self.caller.is_lost() {
            self.abandon().await;
        } else {
            self.open = true;
            self.savepoint = Savepoint::Owned;
        }
        called.outcomes.drain(..beginning.len().min(called.outcomes.len()));
        called
    }

    /// Runs statements of the writer's own.
    async fn run(&mut self, texts: &[&'static str]) -> Result<(), sqlx::Error> {
        let statements: Vec<Statement> = texts.iter().map(|text| Statement::new(text, Vec::new())).collect();
        self.caller.call(&statements).await.complete().map(drop)
    }

    /// Undoes what somebody began who went away.
    async fn undo_abandoned(&mut self) {
        if self.savepoint != Savepoint::Owned {
            return;
        }
        self.savepoint = Savepoint::None;
        if self.run(&["ROLLBACK TO logical", "RELEASE logical"]).await.is_err() {
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
        match self.run(&["COMMIT"]).await {
            Ok(()) => {
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
        let _ = self.run(&["ROLLBACK"]).await;
        self.open = false;
        self.savepoint = Savepoint::None;
        for sender in self.waiting.drain(..) {
            let _ = sender.send(false);
        }
    }
}

/// Whose turn it is. Letting go wakes the flusher.
struct Turn {
    /// Taken in `drop` alone.
    group: Option<OwnedMutexGuard<Group>>,
    shared: Arc<Shared>,
}

impl Turn {
    #[expect(clippy::expect_used, reason = "`group` is taken only where `self` ends")]
    fn group(&mut self) -> &mut Group {
        self.group.as_mut().expect("held until drop")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.group.take());
        self.shared.wake.notify_one();
    }
}

/// A logical transaction. Dropped without [`commit`](Held::commit), it is undone.
pub struct Held {
    /// Absent once the transaction can do nothing more.
    turn: Option<Turn>,
    /// The savepoint is this transaction's.
    begun: bool,
    /// What runs with the next call, or with the commit: nobody waits for its outcome.
    later: Vec<Statement>,
}

impl Held {
    /// Keeps a statement for the next call, or for the commit.
    pub(super) fn later(&mut self, statement: Statement) {
        self.later.push(statement);
    }

    /// Runs what was kept for later and then these, in one call; gives the outcomes of these.
    pub(super) async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Outcome>, sqlx::Error> {
        let kept = self.later.len();
        let mut all = std::mem::take(&mut self.later);
        all.extend(statements);
        let mut outcomes = self.call(all).await?.complete()?;
        Ok(outcomes.split_off(kept.min(outcomes.len())))
    }

    /// Asks the driver to prepare a statement.
    pub(super) async fn prepare(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        let turn = self.turn.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
        turn.group().caller.prepare(sql).await
    }

    async fn call(&mut self, statements: Vec<Statement>) -> Result<Called, sqlx::Error> {
        let mut turn = self.turn.take().ok_or(sqlx::Error::WorkerCrashed)?;
        let (mut turn, called) = if self.begun {
            let called = turn.group().caller.call(&statements).await;
            if turn.group().caller.is_lost() {
                turn.group().abandon().await;
            }
            (turn, called)
        } else {
            // As a task of its own: a caller that goes away must not leave a half of the beginning behind.
            let beginning = tokio::spawn(async move {
                let called = turn.group().begin(statements).await;
                (turn, called)
            });
            beginning.await.map_err(|_| sqlx::Error::WorkerCrashed)?
        };
        // Where the beginning failed or the connection is lost, nothing more may happen in this transaction.
        self.begun = turn.group().savepoint == Savepoint::Owned;
        self.turn = self.begun.then_some(turn);
        Ok(called)
    }

    /// Returns once the transaction is on disk.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if self.turn.is_some() && !self.begun && self.later.is_empty() {
            return Ok(());
        }
        if !self.later.is_empty() {
            self.run(Vec::new()).await?;
        }
        let Some(mut turn) = self.turn.take() else {
            return Err(StoreError::Unavailable("the transaction has ended"));
        };
        let receiver = turn.group().keep();
        drop(turn);
        match receiver.await {
            Ok(true) => Ok(()),
            _ => Err(StoreError::Unavailable("the database did not commit")),
        }
    }
}
