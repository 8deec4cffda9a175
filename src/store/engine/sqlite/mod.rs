//! `SQLite`, on the thread of the request: a point read takes some microseconds, so a statement runs on the thread of
//! the task that calls it. A statement that may take longer is marked, and runs on a blocking thread. Commits have a
//! thread of their own.
//!
//! A running statement checks its deadline while it computes. If the disk does not answer at all, the read of a page
//! that is not in the system's memory blocks its thread. Reads of other pages go on, and writes fail, since their
//! commit waits on its own thread.
//!
//! * [`connection`]: a connection, its statements and their deadline.
//! * [`reading`]: the connections that only read.
//! * [`writing`]: the connection that writes, and how transactions share a commit.
//! * [`opening`]: the file, its settings and its migrations.

pub(in crate::store) mod connection;
mod opening;
mod reading;
mod writing;

use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;
use rusqlite::types::{ToSql, ToSqlOutput, Value};
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

pub(in crate::store) use connection::{Columns, FromColumns, Values};
pub(in crate::store) use opening::{Sqlite, SqliteFile};
use reading::Readers;
use writing::Held;

use super::settings::CALL_DEADLINE;
use crate::store::StoreError;

/// The connection of a [`Tx`](crate::store::Tx) to `SQLite`.
pub enum SqliteLink {
    /// The connection that writes.
    Write(Held),
    /// The connections that read.
    Read(Readers),
}

impl SqliteLink {
    /// Runs a statement. Returns the number of rows that it changed.
    pub(in crate::store) async fn execute(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<u64, StoreError> {
        consume_budget().await;
        self.writing()?.run(|connection| connection.execute(sql, values))
    }

    /// Runs a statement that may change many rows, on a blocking thread.
    pub(in crate::store) async fn execute_many(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        self.writing()?.run_long(move |connection| connection.execute(sql, &borrowed(&values))).await
    }

    /// Runs a statement. Returns its first row.
    pub(in crate::store) async fn one<T: FromColumns>(
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

    /// Runs a statement that returns few rows.
    pub(in crate::store) async fn all<T: FromColumns>(
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

    /// Runs a statement that may return or examine many rows, on a blocking thread.
    pub(in crate::store) async fn many<T: FromColumns>(
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
    pub(in crate::store) fn prepare(&mut self, sql: &'static str) -> Result<(), StoreError> {
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

/// How long calls held the thread of a request, in seconds. Clones share it.
#[derive(Clone)]
pub(in crate::store) struct Holding(Histogram);

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

/// Runs `act` with `held` on a blocking thread, and waits for it no longer than a call may take. If the caller gives
/// up or goes away, `held` is released when `act` is done.
async fn on_a_thread<H: Send + 'static, T: Send + 'static>(
    mut held: H,
    act: impl FnOnce(&mut H) -> T + Send + 'static,
) -> Result<(H, T), StoreError> {
    let acting = tokio::task::spawn_blocking(move || {
        let done = act(&mut held);
        (held, done)
    });
    // This is a little longer than a statement may take, so that the statement's own error comes first.
    let acted = timeout(CALL_DEADLINE + Duration::from_secs(1), acting).await;
    acted.map_err(|_| StoreError::Unavailable("the database did not answer in time"))?.map_err(|_| closed())
}

/// A value that can move to another thread.
pub(in crate::store) fn owned(value: impl ToSql) -> Result<Value, StoreError> {
    let value = value.to_sql()?;
    Ok(match value {
        ToSqlOutput::Owned(value) => value,
        ToSqlOutput::Borrowed(value) => Value::try_from(value).map_err(StoreError::driver)?,
        _ => return Err(StoreError::driver("a value has a form that is not known")),
    })
}
