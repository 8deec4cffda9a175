//! `SQLite`, where the request runs: a point read takes some microseconds, so a statement runs on the thread of the task
//! that asks. What may take longer is marked at its statement and runs on a thread for things that block; commits have a
//! thread of their own.
//!
//! A statement ends at its deadline, which it looks for while it computes. Where the disk does not answer at all, a read of a
//! page that the system does not hold in memory keeps its thread; reads of other pages go on, and writes are refused,
//! since their commit waits on its own thread.
//!
//! * [`connection`]: a connection, its statements and their deadline.
//! * [`reading`]: the connections that only read.
//! * [`writing`]: the one that writes, and how transactions share a commit.
//! * [`opening`]: the file, its settings and its migrations.

pub(super) mod connection;
mod opening;
mod reading;
mod writing;

use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;
use rusqlite::types::{ToSql, ToSqlOutput, Value};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

pub(super) use connection::{Columns, FromColumns, Values};
pub(super) use opening::{Sqlite, SqliteFile};
use reading::Readers;
use writing::Held;

use super::StoreError;
use super::settings::CALL_DEADLINE;

/// How a [`Tx`](super::Tx) holds its connection to `SQLite`.
pub enum SqliteLink {
    /// The writer's.
    Write(Held),
    /// The readers.
    Read(Readers),
}

impl SqliteLink {
    /// Runs a statement; the number of rows that it changed.
    pub(super) async fn execute(&mut self, sql: &'static str, values: Values<'_>) -> Result<u64, StoreError> {
        consume_budget().await;
        self.writing()?.run(|connection| connection.execute(sql, values))
    }

    /// Runs a statement that may change many rows, on a thread for things that block.
    pub(super) async fn execute_many(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        self.writing()?.run_long(move |connection| connection.execute(sql, &borrowed(&values))).await
    }

    /// Runs a statement; its first row.
    pub(super) async fn one<T: FromColumns>(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Option<T>, StoreError> {
        consume_budget().await;
        match self {
            Self::Write(held) => held.run(|connection| connection.one(sql, values)),
            Self::Read(readers) => readers.run(|connection| connection.one(sql, values)).await,
        }
    }

    /// Runs a statement that gives some rows.
    pub(super) async fn all<T: FromColumns>(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<T>, StoreError> {
        consume_budget().await;
        match self {
            Self::Write(held) => held.run(|connection| connection.all(sql, values)),
            Self::Read(readers) => readers.run(|connection| connection.all(sql, values)).await,
        }
    }

    /// Runs a statement that may give many rows, or look at many, on a thread for things that block.
    pub(super) async fn many<T: FromColumns>(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<T>, StoreError> {
        let ask = move |connection: &connection::Connection| connection.all(sql, &borrowed(&values));
        match self {
            Self::Write(held) => held.run_long(ask).await,
            Self::Read(readers) => readers.run_long(ask).await,
        }
    }

    /// Prepares a statement without running it.
    pub(super) fn prepare(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.writing()?.run(|connection| connection.prepare(sql))
    }

    fn writing(&mut self) -> Result<&mut Held, StoreError> {
        match self {
            Self::Write(held) => Ok(held),
            Self::Read(_) => Err(StoreError::driver("a connection that only reads was asked to write")),
        }
    }
}

fn borrowed(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

/// For how long calls held the thread of a request, in seconds. Clones are one.
#[derive(Clone)]
pub(super) struct Holding(Histogram);

impl Holding {
    fn new() -> Self {
        Self(Histogram::new([0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.1, 1.0]))
    }

    /// The histogram itself.
    pub fn histogram(&self) -> Histogram {
        self.0.clone()
    }

    fn measure<T>(&self, hold: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let held = hold();
        self.0.observe(began.elapsed().as_secs_f64());
        held
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database was closed")
}

/// Does something with `held` on a thread for things that block, and waits for it no longer than a call may take. A caller
/// that gives up, or goes away, lets go of `held` when it is done.
async fn on_a_thread<H: Send + 'static, T: Send + 'static>(
    mut held: H,
    act: impl FnOnce(&mut H) -> T + Send + 'static,
) -> Result<(H, T), StoreError> {
    let acting = tokio::task::spawn_blocking(move || {
        let done = act(&mut held);
        (held, done)
    });
    // A little longer than a statement has, so that its own word comes first.
    let acted = timeout(CALL_DEADLINE + Duration::from_secs(1), acting).await;
    acted.map_err(|_| StoreError::Unavailable("the database did not answer in time"))?.map_err(|_| closed())
}

/// A value that travels to another thread.
pub(super) fn owned(value: impl ToSql) -> Result<Value, StoreError> {
    let value = value.to_sql()?;
    Ok(match value {
        ToSqlOutput::Owned(value) => value,
        ToSqlOutput::Borrowed(value) => Value::try_from(value).map_err(StoreError::driver)?,
        _ => return Err(StoreError::driver("a value has a form that is not known")),
    })
}
