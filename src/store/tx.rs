//! One code path for two databases: [`Tx`], and the macros that run a statement on whichever it is.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};

use super::StoreError;
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
    /// One of the readers.
    Read(PoolConnection<Sqlite>),
}

/// How a [`Tx`] holds its `PostgreSQL` connection.
pub enum PostgresLink {
    /// A transaction.
    Write(Transaction<'static, Postgres>),
    /// A connection of the pool.
    Read(PoolConnection<Postgres>),
}

impl Tx {
    /// Makes everything durable that this transaction wrote. Until this has returned, nothing may be acknowledged.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(SqliteLink::Write(held)) => held.commit().await,
            Self::Postgres(PostgresLink::Write(transaction)) => Ok(transaction.commit().await?),
            Self::Sqlite(SqliteLink::Read(_)) | Self::Postgres(PostgresLink::Read(_)) => Ok(()),
        }
    }
}

impl Deref for SqliteLink {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self {
            Self::Write(held) => held,
            Self::Read(connection) => connection,
        }
    }
}

impl DerefMut for SqliteLink {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Write(held) => held,
            Self::Read(connection) => connection,
        }
    }
}

impl Deref for PostgresLink {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Write(transaction) => transaction,
            Self::Read(connection) => connection,
        }
    }
}

impl DerefMut for PostgresLink {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Write(transaction) => transaction,
            Self::Read(connection) => connection,
        }
    }
}

/// Declares statements as constants, and lists them so that a test prepares every one on both databases.
macro_rules! statements {
    ($($name:ident = $sql:expr;)+) => {
        $(const $name: &str = $sql;)+

        /// Every statement of this file, by name.
        pub(super) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

/// Runs a statement; gives the number of rows that it changed.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => sqlx::query::<sqlx::Sqlite>($sql)
                $(.bind($bind))*.execute(&mut **link).await.map(|done| done.rows_affected()),
            $crate::store::Tx::Postgres(link) => sqlx::query::<sqlx::Postgres>($sql)
                $(.bind($bind))*.execute(&mut **link).await.map(|done| done.rows_affected()),
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Runs a statement that gives one row or none.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => sqlx::query_as::<sqlx::Sqlite, $row>($sql)
                $(.bind($bind))*.fetch_optional(&mut **link).await,
            $crate::store::Tx::Postgres(link) => sqlx::query_as::<sqlx::Postgres, $row>($sql)
                $(.bind($bind))*.fetch_optional(&mut **link).await,
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Runs a statement that gives any number of rows; its text limits them.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => sqlx::query_as::<sqlx::Sqlite, $row>($sql)
                $(.bind($bind))*.fetch_all(&mut **link).await,
            $crate::store::Tx::Postgres(link) => sqlx::query_as::<sqlx::Postgres, $row>($sql)
                $(.bind($bind))*.fetch_all(&mut **link).await,
        }
        .map_err($crate::store::StoreError::from)
    };
}

pub(super) use {execute, fetch_all, fetch_optional, statements};
