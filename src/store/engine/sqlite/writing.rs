//! The one connection that writes. It groups transactions that wait for each other into one commit.
//!
//! Each logical transaction is a savepoint in a surrounding transaction. Its statements run on the thread of the task
//! that has the turn. Only a commit, which waits for the disk, has a thread of its own. [`Held::commit`] gives the
//! turn to the next waiting transaction, and returns when the surrounding transaction is on disk. The turns are fair:
//! every commit wakes the flusher, which takes its turn after all transactions that were waiting at that moment, and
//! commits them together. If the surrounding transaction fails, all of them fail: a write is acknowledged only when it
//! is durable.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Error;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection::{Connection, patiently};
use super::{Holding, closed, on_a_thread};
use crate::store::StoreError;
use crate::store::engine::settings::CALL_DEADLINE;

/// The most logical transactions that share a commit.
const GROUP_LIMIT: usize = 64;

/// After a commit that this many transactions shared, the next commit waits for [`GATHERING`], so that more
/// transactions share it.
const CROWD: usize = 4;

/// How long a commit waits for other transactions under load.
const GATHERING: Duration = Duration::from_millis(1);

/// The writer. Dropping it ends its task and its thread.
pub(in crate::store) struct Writer {
    shared: Arc<Shared>,
    patience: Duration,
    flusher: JoinHandle<()>,
}

struct Shared {
    group: Arc<Mutex<Group>>,
    wake: Notify,
    holding: Holding,
}

struct Group {
    connection: Connection,
    /// Whether a surrounding transaction is open.
    open: bool,
    /// The ended transactions that wait for the commit.
    waiting: Vec<oneshot::Sender<bool>>,
    /// Whether new transactions are refused.
    closed: bool,
}

impl Writer {
    /// Takes ownership of the connection. A transaction waits for its turn no longer than `patience`.
    pub(super) fn new(
        connection: Connection,
        patience: Duration,
        holding: Holding,
    ) -> Result<Self, std::io::Error> {
        let group = Group { connection, open: false, waiting: Vec::new(), closed: false };
        let shared = Arc::new(Shared { group: Arc::new(Mutex::new(group)), wake: Notify::new(), holding });
        let (commits, to_commit) = mpsc::channel::<OwnedMutexGuard<Group>>();
        std::thread::Builder::new().name("commit".to_owned()).spawn(move || {
            for mut group in to_commit {
                group.flush();
            }
        })?;
        let flusher = tokio::spawn(flush_when_woken(Arc::clone(&shared), commits));
        Ok(Self { shared, patience, flusher })
    }

    /// Waits for its turn, and begins a transaction.
    pub(in crate::store) async fn begin(&self) -> Result<Held, StoreError> {
        self.begin_behind(GROUP_LIMIT).await
    }

    /// Waits for its turn, and begins a transaction that shares its commit with no transaction before it. Its
    /// statements may run so long that they are ended, which rolls back the surrounding transaction.
    pub(in crate::store) async fn begin_alone(&self) -> Result<Held, StoreError> {
        self.begin_behind(1).await
    }

    /// Waits for its turn and begins a transaction. If `limit` transactions already wait for the commit, it commits
    /// them first.
    async fn begin_behind(&self, limit: usize) -> Result<Held, StoreError> {
        let turn = timeout(self.patience, Arc::clone(&self.shared.group).lock_owned()).await;
        let mut group = turn.map_err(|_| StoreError::Unavailable("the writer is busy"))?;
        if group.closed {
            return Err(closed());
        }
        if group.waiting.len() >= limit {
            group = on_a_thread(group, |group| group.flush()).await?.0;
        }
        patiently(|| self.shared.holding.measure(|| group.begin())).await?;
        Ok(Held { group: Some(group), shared: Arc::clone(&self.shared) })
    }

    /// Commits what is open, and refuses new transactions.
    pub(in crate::store) async fn close(&self) {
        let mut group = Arc::clone(&self.shared.group).lock_owned().await;
        group.closed = true;
        // If this gets no answer, its callers get none either.
        let _ = on_a_thread(group, |group| group.flush()).await;
        self.flusher.abort();
    }
}

/// Commits the group whenever a transaction has ended.
async fn flush_when_woken(shared: Arc<Shared>, commits: mpsc::Sender<OwnedMutexGuard<Group>>) {
    let mut shared_by = 0;
    loop {
        shared.wake.notified().await;
        if shared_by >= CROWD {
            tokio::time::sleep(GATHERING).await;
        }
        let group = Arc::clone(&shared.group).lock_owned().await;
        shared_by = group.waiting.len();
        if let Err(mpsc::SendError(group)) = commits.send(group) {
            tracing::error!("the thread that commits has ended; others commit in its place");
            let _ = on_a_thread(group, |group| group.flush()).await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flusher.abort();
    }
}

impl Group {
    /// Begins a logical transaction.
    fn begin(&mut self) -> Result<(), Error> {
        if !self.open {
            self.connection.execute("BEGIN IMMEDIATE", &[])?;
            self.open = true;
        }
        let begun = self.connection.execute("SAVEPOINT logical", &[]);
        if begun.is_err() {
            self.abandon();
        }
        begun.map(drop)
    }

    /// Rolls back the logical transaction.
    fn undo(&mut self) {
        let undone = ["ROLLBACK TO logical", "RELEASE logical"]
            .iter()
            .try_for_each(|sql| self.connection.execute(sql, &[]).map(drop));
        if undone.is_err() || self.waiting.is_empty() {
            self.abandon();
        }
    }

    /// Ends the logical transaction. The receiver gets the result of the surrounding one.
    fn keep(&mut self) -> Result<oneshot::Receiver<bool>, Error> {
        self.connection.execute("RELEASE logical", &[])?;
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        Ok(receiver)
    }

    /// Commits the surrounding transaction, if one is open, and tells all callers that wait for it.
    fn flush(&mut self) {
        if !self.open {
            return;
        }
        match self.connection.execute("COMMIT", &[]) {
            Ok(_) => self.end(true),
            Err(error) => {
                tracing::error!(%error, "the database did not commit");
                self.abandon();
            }
        }
    }

    /// Rolls back the surrounding transaction; all callers that wait learn that nothing was written.
    fn abandon(&mut self) {
        // If the database has rolled back by itself (full disk), there is nothing left to roll back.
        let _ = self.connection.execute("ROLLBACK", &[]);
        self.end(false);
    }

    fn end(&mut self, committed: bool) {
        self.open = false;
        for sender in self.waiting.drain(..) {
            // A receiver that is gone needs no result.
            let _ = sender.send(committed);
        }
    }
}

/// A logical transaction that has its turn. It is rolled back if it is dropped without [`commit`](Held::commit).
pub struct Held {
    /// `None` once the transaction can do nothing more.
    group: Option<OwnedMutexGuard<Group>>,
    shared: Arc<Shared>,
}

impl Held {
    /// Runs a statement that takes microseconds, on this thread.
    pub(super) fn run<T>(
        &mut self,
        ask: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        shared.holding.measure(|| self.ask(ask))
    }

    fn ask<T>(&mut self, ask: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, StoreError> {
        let group = self.group.as_mut().ok_or_else(ended)?;
        let answer = ask(&group.connection);
        if answer.is_err() && group.connection.is_outside_a_transaction() {
            group.abandon();
            self.group = None;
        }
        Ok(answer?)
    }

    /// Runs a statement that may take long, on a blocking thread.
    pub(super) async fn run_long<T: Send + 'static>(
        &mut self,
        ask: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let held = Self { group: self.group.take(), shared: Arc::clone(&self.shared) };
        let (held, answer) = on_a_thread(held, |held| held.ask(ask)).await?;
        *self = held;
        answer
    }

    /// Returns once the transaction is on disk. A commit that times out may still get there.
    pub(in crate::store) async fn commit(mut self) -> Result<(), StoreError> {
        let mut group = self.group.take().ok_or_else(ended)?;
        let kept = self.shared.holding.measure(|| group.keep());
        if kept.is_err() {
            group.abandon();
        }
        drop(group);
        self.shared.wake.notify_one();
        match timeout(CALL_DEADLINE, kept?).await {
            Ok(Ok(true)) => Ok(()),
            Ok(_) => Err(StoreError::Unavailable("the database did not commit")),
            Err(_) => Err(StoreError::Unavailable("the database did not commit in time")),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(mut group) = self.group.take() {
            self.shared.holding.measure(|| group.undo());
        }
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable("the transaction has ended")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::tx::row;

    row! {
        struct Count {
            amount: i64,
        }
    }

    fn open(file: &std::path::Path) -> Connection {
        Connection::new(rusqlite::Connection::open(file).unwrap()).unwrap()
    }

    fn writer(file: &std::path::Path) -> Writer {
        rusqlite::Connection::open(file).unwrap().pragma_update(None, "journal_mode", "WAL").unwrap();
        let connection = open(file);
        connection.execute("CREATE TABLE a (b BIGINT)", &[]).unwrap();
        Writer::new(connection, Duration::from_mins(1), Holding::new()).unwrap()
    }

    fn insert(connection: &Connection) -> Result<u64, Error> {
        connection.execute("INSERT INTO a (b) VALUES (1)", &[])
    }

    fn count(file: &std::path::Path) -> i64 {
        number_of(file, "a")
    }

    fn number_of(file: &std::path::Path, what: &str) -> i64 {
        let counted = open(file).one::<Count>(&format!("SELECT COUNT(*) AS amount FROM {what}"), &[]);
        counted.unwrap().unwrap().amount
    }

    #[tokio::test]
    async fn what_is_dropped_is_undone_and_what_was_committed_beside_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let writer = Arc::new(writer(&file));
        let mut dropped = writer.begin().await.unwrap();
        dropped.run(insert).unwrap();
        // More than may share a commit.
        let waiting: Vec<_> = (0..4 * GROUP_LIMIT)
            .map(|number| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move {
                    let mut held = writer.begin().await.unwrap();
                    if number % 8 == 0 { held.run_long(insert).await } else { held.run(insert) }.unwrap();
                    if number % 4 == 0 { Ok(0) } else { held.commit().await.map(|()| 1) }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(dropped);
        let mut committed = 0;
        for transaction in waiting {
            committed += transaction.await.unwrap().unwrap();
        }
        assert_eq!(committed, 3 * GROUP_LIMIT);
        assert_eq!(usize::try_from(count(&file)).unwrap(), committed);
    }

    #[tokio::test]
    async fn a_rule_that_refuses_one_transaction_takes_none_beside_it_along() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let writer = writer(&file);
        open(&file).execute("CREATE UNIQUE INDEX i ON a (b)", &[]).unwrap();
        let mut first = writer.begin().await.unwrap();
        first.run(insert).unwrap();
        let second = writer.begin();
        let first = tokio::spawn(first.commit());
        let mut second = second.await.unwrap();
        assert!(matches!(second.run(insert), Err(StoreError::Conflict)));
        second.run(|connection| connection.execute("INSERT INTO a (b) VALUES (2)", &[])).unwrap();
        second.commit().await.unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(count(&file), 2);
    }

    #[tokio::test]
    async fn a_commit_that_fails_is_told_to_all_who_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let writer = writer(&file);
        let child = "CREATE TABLE c (a BIGINT REFERENCES p (a) DEFERRABLE INITIALLY DEFERRED)";
        for table in ["CREATE TABLE p (a BIGINT PRIMARY KEY)", child] {
            open(&file).execute(table, &[]).unwrap();
        }
        let mut first = writer.begin().await.unwrap();
        first.run(insert).unwrap();
        let second = writer.begin();
        let first = tokio::spawn(first.commit());
        let mut second = second.await.unwrap();
        // A child without its parent: only the commit detects it.
        second.run(|connection| connection.execute("INSERT INTO c (a) VALUES (1)", &[])).unwrap();
        let failed = |outcome| matches!(outcome, Err(StoreError::Unavailable("the database did not commit")));
        assert!(failed(second.commit().await));
        assert!(failed(first.await.unwrap()));
        assert_eq!((count(&file), number_of(&file, "c")), (0, 0));
        let mut third = writer.begin().await.unwrap();
        third.run(insert).unwrap();
        third.commit().await.unwrap();
        assert_eq!(count(&file), 1);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_in_the_middle_of_something_long_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let writer = writer(&file);
        let mut held = writer.begin().await.unwrap();
        let (begun, has_begun) = oneshot::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let task = tokio::spawn(async move {
            let long = move |connection: &Connection| {
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                insert(connection)
            };
            held.run_long(long).await
        });
        has_begun.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        writer.begin().await.unwrap().commit().await.unwrap();
        assert_eq!(count(&file), 0);
    }

    #[tokio::test]
    async fn alone_means_that_nobody_before_shares_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let writer = writer(&file);
        let mut first = writer.begin().await.unwrap();
        first.run(insert).unwrap();
        let second = writer.begin_alone();
        let first = tokio::spawn(first.commit());
        let mut second = second.await.unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(count(&file), 1, "it is on disk while the other one is open");
        second.run(|connection| connection.execute("ROLLBACK", &[])).unwrap();
        assert!(second.commit().await.is_err());
        assert_eq!(count(&file), 1);
    }

    #[tokio::test]
    async fn after_its_end_nothing_begins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let writer = writer(&file);
        let mut held = writer.begin().await.unwrap();
        held.run(insert).unwrap();
        let (committed, ()) = tokio::join!(held.commit(), writer.close());
        committed.unwrap();
        let refused = writer.begin().await.err();
        assert!(matches!(refused, Some(StoreError::Unavailable("the database was closed"))), "{refused:?}");
        assert_eq!(count(&file), 1);
    }

    #[tokio::test]
    async fn where_the_database_rolls_back_by_itself_the_whole_group_learns_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let writer = writer(&file);
        open(&file)
            .execute("CREATE TRIGGER t BEFORE DELETE ON a BEGIN SELECT RAISE(ROLLBACK, 'full'); END", &[])
            .unwrap();
        let mut first = writer.begin().await.unwrap();
        first.run(insert).unwrap();
        let second = writer.begin();
        let first = tokio::spawn(first.commit());
        let mut second = second.await.unwrap();
        assert!(second.run(|connection| connection.execute("DELETE FROM a", &[])).is_err());
        assert!(matches!(second.run(insert), Err(StoreError::Unavailable("the transaction has ended"))));
        assert!(second.commit().await.is_err());
        assert!(first.await.unwrap().is_err(), "it stood in the same surrounding transaction");
        assert_eq!(count(&file), 0);
        let mut third = writer.begin().await.unwrap();
        third.run(insert).unwrap();
        third.commit().await.unwrap();
        assert_eq!(count(&file), 1);
    }

    #[tokio::test]
    async fn another_process_that_writes_is_waited_for_without_holding_the_thread() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let writer = writer(&file);
        let other = open(&file);
        other.execute("BEGIN IMMEDIATE", &[]).unwrap();
        insert(&other).unwrap();
        let (held, ()) = tokio::join!(writer.begin(), async {
            tokio::task::yield_now().await;
            other.execute("COMMIT", &[]).unwrap();
        });
        let mut held = held.unwrap();
        held.run(insert).unwrap();
        held.commit().await.unwrap();
        assert_eq!(count(&file), 2);
    }
}
