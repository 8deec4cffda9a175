//! One code path for two databases: [`Tx`], and the macros that run a statement on whichever it is.

use std::sync::Arc;

use sqlx::sqlite::SqliteRow;

use super::StoreError;
use super::call::{Outcome, Statement};
use super::postgres::PostgresLink;
use super::readers::Readers;
use super::writer::Held;

/// A transaction that writes, or a connection that only reads.
pub enum Tx {
    /// On `SQLite`.
    Sqlite(SqliteLink),
    /// On `PostgreSQL`.
    Postgres(PostgresLink),
}

/// How a [`Tx`] holds its `SQLite` connection.
pub enum SqliteLink {
    /// The writer's.
    Write(Held),
    /// The readers.
    Read(Arc<Readers>),
}

impl Tx {
    /// Makes everything durable that this transaction wrote. Until this has returned, nothing may be acknowledged.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(SqliteLink::Write(held)) => held.commit().await,
            Self::Sqlite(SqliteLink::Read(_)) => Ok(()),
            Self::Postgres(link) => Ok(link.commit().await?),
        }
    }
}

impl SqliteLink {
    /// Runs a statement; all its rows.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<Outcome, sqlx::Error> {
        match self {
            Self::Write(held) => Ok(held.run(vec![statement]).await?.pop().unwrap_or_default()),
            Self::Read(readers) => readers.all(statement).await,
        }
    }

    /// Runs a statement; its first row.
    pub(super) async fn run_for_one(
        &mut self,
        statement: Statement,
    ) -> Result<Option<SqliteRow>, sqlx::Error> {
        match self {
            Self::Write(_) => Ok(self.run(statement).await?.rows.into_iter().next()),
            Self::Read(readers) => readers.one(statement).await,
        }
    }

    /// Runs two statements, in one call where that can be.
    pub(super) async fn run_both(
        &mut self,
        first: Statement,
        second: Statement,
    ) -> Result<(Outcome, Outcome), sqlx::Error> {
        match self {
            Self::Write(held) => {
                let mut outcomes = held.run(vec![first, second]).await?.into_iter();
                Ok((outcomes.next().unwrap_or_default(), outcomes.next().unwrap_or_default()))
            }
            Self::Read(readers) => Ok((readers.all(first).await?, readers.all(second).await?)),
        }
    }

    /// Keeps a statement for the next call.
    pub(super) fn later(&mut self, statement: Statement) -> Result<(), sqlx::Error> {
        match self {
            Self::Write(held) => {
                held.later(statement);
                Ok(())
            }
            Self::Read(_) => Err(a_reader_does_not_write()),
        }
    }

    /// Asks the driver to prepare a statement.
    pub(super) async fn prepare(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Write(held) => held.prepare(sql).await,
            Self::Read(_) => Err(a_reader_does_not_write()),
        }
    }
}

fn a_reader_does_not_write() -> sqlx::Error {
    sqlx::Error::Protocol("a reader does not write".to_owned())
}

/// Declares statements as constants, and lists them so that a test prepares every one on both databases.
macro_rules! statements {
    ($($name:ident = $sql:expr;)+) => {
        $(pub(super) const $name: &str = $sql;)+

        /// Every statement of this file, by name.
        pub(super) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

/// A statement for `SQLite`'s driver.
macro_rules! statement {
    ($sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::store::call::Statement::new($sql, vec![$($crate::store::call::Value::from($bind)),*])
    };
}

/// Asks `PostgreSQL` once, and waits for the answer no longer than a call may take.
macro_rules! ask {
    ($link:expr, $connection:ident => $asking:expr) => {{
        let answer = match $link.connection() {
            Ok($connection) => tokio::time::timeout($crate::store::CALL_DEADLINE, $asking).await,
            Err(error) => Ok(Err(error)),
        };
        $link.settle(answer)
    }};
}

/// Runs a statement; gives the number of rows that it changed.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => {
                let statement = $crate::store::tx::statement!($sql $(, $bind)*);
                link.run(statement).await.map(|outcome| outcome.changed)
            }
            $crate::store::Tx::Postgres(link) => $crate::store::tx::ask!(link, connection => {
                sqlx::query::<sqlx::Postgres>($sql)$(.bind($bind))*.execute(connection)
            })
            .map(|done| done.rows_affected()),
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Runs a statement whose outcome nobody waits for: at the latest with the commit, which fails if it does.
macro_rules! execute_later {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => link.later($crate::store::tx::statement!($sql $(, $bind)*)),
            $crate::store::Tx::Postgres(link) => $crate::store::tx::ask!(link, connection => {
                sqlx::query::<sqlx::Postgres>($sql)$(.bind($bind))*.execute(connection)
            })
            .map(drop),
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Runs a statement that gives one row or none.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => {
                let statement = $crate::store::tx::statement!($sql $(, $bind)*);
                let row = link.run_for_one(statement).await;
                row.and_then(|row| row.as_ref().map(<$row as sqlx::FromRow<_>>::from_row).transpose())
            }
            $crate::store::Tx::Postgres(link) => $crate::store::tx::ask!(link, connection => {
                sqlx::query_as::<sqlx::Postgres, $row>($sql)$(.bind($bind))*.fetch_optional(connection)
            }),
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Runs a statement, and one that gives one row or none: the number of rows that the first has changed, and the row.
macro_rules! execute_and_fetch_optional {
    (
        $tx:expr, $change:expr, ($($bind:expr),* $(,)?),
        $row:ty, $read:expr, ($($read_bind:expr),* $(,)?) $(,)?
    ) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => {
                let change = $crate::store::tx::statement!($change $(, $bind)*);
                let read = $crate::store::tx::statement!($read $(, $read_bind)*);
                link.run_both(change, read).await.and_then(|(change, read)| {
                    let row = read.rows.first().map(<$row as sqlx::FromRow<_>>::from_row).transpose()?;
                    Ok((change.changed, row))
                })
            }
            $crate::store::Tx::Postgres(link) => {
                let changed = $crate::store::tx::ask!(link, connection => {
                    sqlx::query::<sqlx::Postgres>($change)$(.bind($bind))*.execute(connection)
                });
                match changed {
                    Ok(done) => $crate::store::tx::ask!(link, connection => {
                        sqlx::query_as::<sqlx::Postgres, $row>($read)$(.bind($read_bind))*
                            .fetch_optional(connection)
                    })
                    .map(|row| (done.rows_affected(), row)),
                    Err(error) => Err(error),
                }
            }
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Runs a statement that gives any number of rows; its text limits them.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => {
                let statement = $crate::store::tx::statement!($sql $(, $bind)*);
                link.run(statement).await.and_then(|outcome| {
                    outcome.rows.iter().map(<$row as sqlx::FromRow<_>>::from_row).collect::<Result<Vec<_>, _>>()
                })
            }
            $crate::store::Tx::Postgres(link) => $crate::store::tx::ask!(link, connection => {
                sqlx::query_as::<sqlx::Postgres, $row>($sql)$(.bind($bind))*.fetch_all(connection)
            }),
        }
        .map_err($crate::store::StoreError::from)
    };
}

pub(super) use {
    ask, execute, execute_and_fetch_optional, execute_later, fetch_all, fetch_optional, statement, statements,
};
