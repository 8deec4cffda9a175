//! The one connection that writes: it groups transactions that wait for each other into one commit.
//!
//! Each logical transaction is a savepoint in a surrounding one. Its statements run on the thread of whoever has the
//! turn; only a commit, which waits for the disk, has a thread of its own. [`Held::commit`] steps aside for whoever
//! waits, and returns when the surrounding transaction is on disk. Since the turns are fair, the flusher that every
//! commit wakes comes to its turn behind all transactions that waited at that moment, and commits them together. If the
//! surrounding transaction fails, all of them fail: nothing is acknowledged that is not durable.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Error;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Holding;
use super::connection::{Connection, patiently};
use crate::store::{CALL_DEADLINE, StoreError};

/// How many logical transactions share a commit at most.
const GROUP_LIMIT: usize = 64;

/// After a commit that so many transactions have shared, the next one waits for [`GATHERING`], so that more share it.
const BUSY: usize = 4;

/// How long a commit waits for company where many transactions come.
const GATHERING: Duration = Duration::from_millis(1);

/// The writer; dropping it ends its task and its thread.
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
    /// A surrounding transaction is open.
    open: bool,
    /// Ended transactions that wait for the commit.
    waiting: Vec<oneshot::Sender<bool>>,
    /// How many shared the last commit.
    shared_last: Arc<AtomicUsize>,
}

impl Writer {
    /// Takes the connection over. Nobody waits longer than `patience` for a turn.
    pub(super) fn new(
        connection: Connection,
        patience: Duration,
        holding: Holding,
    ) -> Result<Self, std::io::Error> {
        let shared_last = Arc::new(AtomicUsize::new(0));
        let group =
            Group { connection, open: false, waiting: Vec::new(), shared_last: Arc::clone(&shared_last) };
        let shared = Arc::new(Shared { group: Arc::new(Mutex::new(group)), wake: Notify::new(), holding });
        let (flush, flushes) = mpsc::channel::<OwnedMutexGuard<Group>>();
        std::thread::Builder::new().name("commit".to_owned()).spawn(move || {
            for mut group in flushes {
                group.flush();
            }
        })?;
        let for_task = Arc::clone(&shared);
        let flusher = tokio::spawn(async move {
            loop {
                for_task.wake.notified().await;
                if shared_last.load(Ordering::Relaxed) >= BUSY {
                    tokio::time::sleep(GATHERING).await;
                }
                let group = Arc::clone(&for_task.group).lock_owned().await;
                if flush.send(group).is_err() {
                    return;
                }
            }
        });
        Ok(Self { shared, patience, flusher })
    }

    /// Waits for its turn, and begins a transaction.
    pub(in crate::store) async fn begin(&self) -> Result<Held, StoreError> {
        let turn = timeout(self.patience, Arc::clone(&self.shared.group).lock_owned()).await;
        let mut group = turn.map_err(|_| StoreError::Unavailable("the writer is busy"))?;
        if group.waiting.len() >= GROUP_LIMIT {
            group = on_a_thread(group, |group| group.flush()).await?.0;
        }
        patiently(|| self.shared.holding.measure(|| group.begin())).await?;
        Ok(Held { group: Some(group), shared: Arc::clone(&self.shared) })
    }

    /// Commits what is open.
    pub(in crate::store) async fn close(&self) {
        let group = Arc::clone(&self.shared.group).lock_owned().await;
        let _ = on_a_thread(group, |group| group.flush()).await;
        self.flusher.abort();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flusher.abort();
    }
}

/// Does something that may take long on a thread for things that block. Whoever goes away meanwhile lets go with it.
async fn on_a_thread<G: Send + 'static, T: Send + 'static>(
    mut held: G,
    act: impl FnOnce(&mut G) -> T + Send + 'static,
) -> Result<(G, T), StoreError> {
    let acting = tokio::task::spawn_blocking(move || {
        let done = act(&mut held);
        (held, done)
    });
    acting.await.map_err(|_| StoreError::Unavailable("the database was closed"))
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

    /// Undoes the logical transaction.
    fn undo(&mut self) {
        let undone = ["ROLLBACK TO logical", "RELEASE logical"]
            .iter()
            .try_for_each(|sql| self.connection.execute(sql, &[]).map(drop));
        if undone.is_err() || self.waiting.is_empty() {
            self.abandon();
        }
    }

    /// Ends the logical transaction; the answer comes with the surrounding one's.
    fn keep(&mut self) -> Result<oneshot::Receiver<bool>, Error> {
        self.connection.execute("RELEASE logical", &[])?;
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        Ok(receiver)
    }

    /// Commits the surrounding transaction, if one is open, and tells everybody who waits.
    fn flush(&mut self) {
        if !self.open {
            return;
        }
        self.shared_last.store(self.waiting.len(), Ordering::Relaxed);
        match self.connection.execute("COMMIT", &[]) {
            Ok(_) => self.end(true),
            Err(error) => {
                tracing::error!(%error, "the database did not commit");
                self.abandon();
            }
        }
    }

    /// Rolls everything back; whoever waits learns that nothing was written.
    fn abandon(&mut self) {
        // When the database has rolled back by itself (disk full), there is nothing left to roll back.
        let _ = self.connection.execute("ROLLBACK", &[]);
        self.end(false);
    }

    fn end(&mut self, committed: bool) {
        self.open = false;
        for sender in self.waiting.drain(..) {
            // A receiver that is gone needs no answer.
            let _ = sender.send(committed);
        }
    }
}

/// A logical transaction, whose turn it is. Dropped without [`commit`](Held::commit), it is undone.
pub struct Held {
    /// Absent once the transaction can do nothing more.
    group: Option<OwnedMutexGuard<Group>>,
    shared: Arc<Shared>,
}

impl Held {
    /// Asks the connection what takes microseconds, on this thread.
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

    /// Asks the connection what may take long, on a thread for things that block.
    pub(super) async fn run_long<T: Send + 'static>(
        &mut self,
        ask: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let held = Self { group: self.group.take(), shared: Arc::clone(&self.shared) };
        let (held, answer) = on_a_thread(held, |held| held.ask(ask)).await?;
        *self = held;
        answer
    }

    /// Returns once the transaction is on disk. What has no answer in time may still come to be there.
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
    use crate::store::tx::row;

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
        let counted = open(file).one::<Count>("SELECT COUNT(*) AS amount FROM a", &[]);
        counted.unwrap().unwrap().amount
    }

    #[tokio::test]
    async fn what_is_dropped_is_undone_and_what_was_committed_beside_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let writer = Arc::new(writer(&file));
        let mut dropped = writer.begin().await.unwrap();
        dropped.run(insert).unwrap();
        let waiting: Vec<_> = (0..100)
            .map(|number| {
                let writer = Arc::clone(&writer);
                tokio::spawn(async move {
                    let mut held = writer.begin().await.unwrap();
                    held.run_long(insert).await.unwrap();
                    if number % 2 == 0 { held.commit().await.map(|()| 1) } else { Ok(0) }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(dropped);
        let mut committed = 0;
        for transaction in waiting {
            committed += transaction.await.unwrap().unwrap();
        }
        assert_eq!(committed, 50);
        assert_eq!(count(&file), 50);
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
