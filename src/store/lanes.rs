//! Reads of single rows on `SQLite`: those that wait for the driver at the same moment travel in one call.
//!
//! A lane is a connection that does nothing else, one for each core; more could not compute at once. Nobody waits for
//! company: a lane that is free takes what is there, and while it is busy the next ones gather. Each statement reads on
//! its own, so it sees everything that was committed before it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use super::call::{Caller, Statement};

/// How many statements travel together at most. Each power of two up to this stays prepared.
const MOST: usize = 8;

/// The lanes; dropping them ends their tasks.
pub(super) struct Lanes {
    shared: Arc<Shared>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

type Answer = Result<Option<SqliteRow>, sqlx::Error>;

/// A read, and who waits for it.
struct Waiting {
    statement: Statement,
    asker: oneshot::Sender<Answer>,
}

impl Lanes {
    /// Opens so many lanes.
    pub(super) async fn open(options: &SqliteConnectOptions, count: usize) -> Result<Self, sqlx::Error> {
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            tasks.spawn(serve(Arc::clone(&shared), Caller::open(options).await?));
        }
        Ok(Self { shared, tasks: tokio::sync::Mutex::new(tasks) })
    }

    /// The first row that a statement gives.
    pub(super) async fn read(&self, statement: Statement) -> Answer {
        let (asker, answer) = oneshot::channel();
        {
            let mut queue = self.shared.queue();
            if queue.closed {
                return Err(sqlx::Error::PoolClosed);
            }
            queue.waiting.push_back(Waiting { statement, asker });
        }
        self.shared.changed.notify_one();
        answer.await.unwrap_or(Err(sqlx::Error::PoolClosed))
    }

    /// Turns those away who wait, and closes the connections after what is under way.
    pub(super) async fn close(&self) {
        {
            let mut queue = self.shared.queue();
            queue.closed = true;
            queue.waiting.clear();
        }
        self.shared.changed.notify_waiters();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }
}

impl Shared {
    /// Every change under the lock is whole, so a panic elsewhere leaves nothing to distrust.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The reads that travel next, in the order in which they came: equal statements alone, so that few texts are to
    /// be kept prepared.
    fn take(&mut self) -> Vec<Waiting> {
        self.waiting.retain(|waiting| !waiting.asker.is_closed());
        let Some(first) = self.waiting.front().map(|waiting| waiting.statement.sql) else {
            return Vec::new();
        };
        let equal =
            self.waiting.iter().take(MOST).take_while(|waiting| waiting.statement.sql == first).count();
        let count = equal.checked_ilog2().map_or(0, |power| 1 << power);
        self.waiting.drain(..count).collect()
    }
}

async fn serve(shared: Arc<Shared>, mut caller: Caller) {
    loop {
        // Before the look at the queue, so that what comes after it is not missed.
        let changed = shared.changed.notified();
        let (taken, closed) = {
            let mut queue = shared.queue();
            (queue.take(), queue.closed)
        };
        if closed {
            caller.close().await;
            return;
        }
        if taken.is_empty() {
            changed.await;
            // Whoever is ready to ask at this moment does so first.
            tokio::task::yield_now().await;
        } else {
            answer(&mut caller, taken).await;
        }
    }
}

/// Answers all of `taken`. A read that fails keeps none after it from being answered.
async fn answer(caller: &mut Caller, taken: Vec<Waiting>) {
    let (mut statements, mut askers) = (VecDeque::new(), VecDeque::new());
    for Waiting { statement, asker } in taken {
        statements.push_back(statement);
        askers.push_back(asker);
    }
    while !askers.is_empty() {
        let called = caller.call(statements.make_contiguous()).await;
        let failed = called.error.map(Err);
        let given = called.outcomes.into_iter().map(|outcome| Ok(outcome.rows.into_iter().next()));
        for answer in given.chain(failed) {
            statements.pop_front();
            if let Some(asker) = askers.pop_front() {
                // Who has left needs no answer.
                let _ = asker.send(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::Row as _;

    use super::*;

    const KEY: &str = "SELECT CAST($1 AS TEXT) AS found";
    const OTHER: &str = "SELECT CAST($1 AS TEXT) AS found WHERE $1 <> 'none'";
    const BROKEN: &str = "SELECT abs(-9223372036854775807 - CAST($1 AS BIGINT)) AS found";

    fn waiting(sql: &'static str) -> (Waiting, oneshot::Receiver<Answer>) {
        let (asker, answer) = oneshot::channel();
        (Waiting { statement: Statement::new(sql, vec!["1".into()]), asker }, answer)
    }

    #[test]
    fn equal_statements_travel_together_and_nobody_is_overtaken() {
        let mut queue = Queue::default();
        let mut answers = Vec::new();
        for sql in [KEY, KEY, KEY, OTHER, KEY].into_iter().chain([OTHER; 20]) {
            let (one, answer) = waiting(sql);
            queue.waiting.push_back(one);
            answers.push(answer);
        }
        let mut taken = Vec::new();
        loop {
            let some = queue.take();
            if some.is_empty() {
                break;
            }
            taken.push((some[0].statement.sql, some.len()));
            assert!(some.iter().all(|one| one.statement.sql == some[0].statement.sql));
        }
        let expected = [(KEY, 2), (KEY, 1), (OTHER, 1), (KEY, 1), (OTHER, 8), (OTHER, 8), (OTHER, 4)];
        assert_eq!(taken, expected);
    }

    #[test]
    fn nothing_is_read_for_whoever_has_left() {
        let mut queue = Queue::default();
        let (gone, answer) = waiting(KEY);
        queue.waiting.push_back(gone);
        drop(answer);
        assert!(queue.take().is_empty());
    }

    async fn lanes(count: usize) -> Arc<Lanes> {
        Arc::new(Lanes::open(&"sqlite::memory:".parse().unwrap(), count).await.unwrap())
    }

    #[tokio::test]
    async fn everybody_is_given_their_own_row() {
        let lanes = lanes(2).await;
        let ask = |number: i64| {
            let lanes = Arc::clone(&lanes);
            let sql = if number % 3 == 0 { OTHER } else { KEY };
            tokio::spawn(
                async move { lanes.read(Statement::new(sql, vec![number.to_string().into()])).await },
            )
        };
        for (number, asked) in (0..100).map(|number| (number, ask(number))).collect::<Vec<_>>() {
            let row = asked.await.unwrap().unwrap().unwrap();
            assert_eq!(row.get::<String, _>("found"), number.to_string());
        }
        let none = lanes.read(Statement::new(OTHER, vec!["none".into()])).await;
        assert!(none.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_read_that_fails_takes_no_other_with_it() {
        let mut caller = Caller::open(&"sqlite::memory:".parse().unwrap()).await.unwrap();
        let mut taken = Vec::new();
        let mut answers = Vec::new();
        for value in ["5", "1", "6", "1"] {
            let (asker, answer) = oneshot::channel();
            let statement = Statement::new(BROKEN, vec![value.into()]);
            taken.push(Waiting { statement, asker });
            answers.push(answer);
        }
        // The least of all numbers has no absolute value: two of the four fail.
        answer(&mut caller, taken).await;
        let mut told = Vec::new();
        for answer in answers {
            told.push(answer.await.unwrap().is_ok());
        }
        assert_eq!(told, [true, false, true, false]);
    }

    #[tokio::test]
    async fn whoever_waits_when_the_lanes_close_is_told_so() {
        let lanes = lanes(1).await;
        lanes.read(Statement::new(KEY, vec!["1".into()])).await.unwrap();
        tokio::time::timeout(Duration::from_mins(1), lanes.close()).await.unwrap();
        let refused = lanes.read(Statement::new(KEY, vec!["1".into()])).await;
        assert!(matches!(refused, Err(sqlx::Error::PoolClosed)));
    }
}
