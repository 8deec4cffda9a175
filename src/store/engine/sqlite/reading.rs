//! The connections that only read.
//!
//! A read takes the connection that was used last and returns it at once, so there are hardly more connections than
//! threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Error;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::connection::{Connection, patiently};
use super::{Holding, closed, on_a_thread};
use crate::store::StoreError;

/// The most connections that are opened in advance.
const READY: usize = 8;

/// The connections that read. Clones share them.
#[derive(Clone)]
pub struct Readers {
    shared: Arc<Shared>,
}

struct Shared {
    open: Box<dyn Fn() -> Result<Connection, Error> + Send + Sync>,
    idle: Mutex<Vec<Connection>>,
    closed: AtomicBool,
    /// The permits for long reads.
    turns: Arc<Semaphore>,
    patience: Duration,
    holding: Holding,
}

impl Readers {
    /// Reads through connections that `open` creates. At most `limit` long reads run at once; a read that has waited
    /// for its permit longer than `patience` fails.
    pub(super) fn new(
        open: impl Fn() -> Result<Connection, Error> + Send + Sync + 'static,
        limit: u32,
        patience: Duration,
        holding: Holding,
    ) -> Result<Self, Error> {
        // One for each thread that serves requests, so that none must be opened during a request.
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let idle = (0..threads.min(READY)).map(|_| open()).collect::<Result<_, _>>()?;
        let turns = Arc::new(Semaphore::new(usize::try_from(limit.max(1)).unwrap_or(1)));
        let (open, idle, closed) = (Box::new(open), Mutex::new(idle), AtomicBool::new(false));
        Ok(Self { shared: Arc::new(Shared { open, idle, closed, turns, patience, holding }) })
    }

    /// Runs a read that takes microseconds, on this thread.
    pub(super) async fn run<T>(
        &self,
        mut read: impl FnMut(&Connection) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        self.refuse_when_closed()?;
        let answer = patiently(|| self.shared.holding.measure(|| self.shared.read(&mut read))).await;
        // Other ready tasks run first: under load, each step of a request then runs for many requests in a row, in
        // warm caches, and their responses leave together. This makes introspection half again as fast.
        tokio::task::yield_now().await;
        Ok(answer?)
    }

    /// Runs a read that may take long, on a blocking thread. The permit is returned when the read has ended, even if
    /// its caller has gone away.
    pub(super) async fn run_long<T: Send + 'static>(
        &self,
        mut read: impl FnMut(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.refuse_when_closed()?;
        let turn = timeout(self.shared.patience, Arc::clone(&self.shared.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| StoreError::Unavailable("no connection became free"))?;
        let turn = turn.map_err(|_| closed())?;
        let shared = Arc::clone(&self.shared);
        let reading = on_a_thread((), move |()| {
            let _turn = turn;
            Handle::current().block_on(patiently(|| shared.read(&mut read)))
        });
        Ok(reading.await?.1?)
    }

    /// Refuses new reads, and closes idle connections.
    pub(in crate::store) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.turns.close();
        self.shared.idle().clear();
    }

    fn refuse_when_closed(&self) -> Result<(), StoreError> {
        if self.shared.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }
}

impl Shared {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.idle().pop();
        let connection = idle.map_or_else(&self.open, Ok)?;
        let answer = read(&connection);
        self.idle().push(connection);
        answer
    }

    /// Every change under the lock is complete, so a panic elsewhere leaves no inconsistent state.
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    fn readers(limit: u32, patience: Duration) -> Readers {
        let open = || Connection::new(rusqlite::Connection::open_in_memory()?);
        Readers::new(open, limit, patience, Holding::new()).unwrap()
    }

    fn probe(connection: &Connection) -> Result<u64, Error> {
        connection.prepare("SELECT 1").map(|()| 7)
    }

    /// Starts a long read that runs until it is released, and waits until it has begun.
    async fn begin_long(
        readers: &Readers,
    ) -> (tokio::task::JoinHandle<Result<u64, StoreError>>, mpsc::Sender<()>) {
        let (begun, has_begun) = oneshot::channel();
        let (let_go, may_end) = mpsc::channel::<()>();
        let (readers, mut begun) = (readers.clone(), Some(begun));
        let reading = tokio::spawn(async move {
            let read = move |connection: &Connection| {
                begun.take().unwrap().send(()).unwrap();
                may_end.recv().unwrap();
                probe(connection)
            };
            readers.run_long(read).await
        });
        has_begun.await.unwrap();
        (reading, let_go)
    }

    #[tokio::test]
    async fn long_reads_wait_for_each_other_and_short_ones_for_none() {
        let readers = readers(1, Duration::from_millis(50));
        let (first, let_go) = begin_long(&readers).await;
        let turned_away = readers.run_long(probe).await.unwrap_err();
        assert!(matches!(turned_away, StoreError::Unavailable("no connection became free")));
        assert_eq!(readers.run(probe).await.unwrap(), 7);
        let_go.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), 7);
        assert_eq!(readers.run_long(probe).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_keeps_its_turn_until_the_read_has_ended() {
        let readers = readers(1, Duration::from_mins(1));
        let (first, let_go) = begin_long(&readers).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(readers.shared.turns.available_permits(), 0);
        let_go.send(()).unwrap();
        assert_eq!(readers.run_long(probe).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn after_its_end_nothing_is_read() {
        let readers = readers(1, Duration::from_mins(1));
        readers.close();
        for refused in [readers.run(probe).await, readers.run_long(probe).await] {
            assert!(matches!(refused, Err(StoreError::Unavailable("the database was closed"))));
        }
    }
}
