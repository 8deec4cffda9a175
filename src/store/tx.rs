//! One code path for two databases: [`Tx`], and the macros that run a statement on whichever it is.

use std::ops::{Deref, DerefMut};

use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteArguments;
use sqlx::{PgConnection, Postgres, SqliteConnection, Transaction};

use super::StoreError;
use super::readers::Reader;
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
    Read(Reader),
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

impl SqliteLink {
    /// The connection, after what was to run later.
    pub(super) async fn ready(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        match self {
            Self::Write(held) => held.ready().await,
            Self::Read(connection) => Ok(connection),
        }
    }

    /// Keeps a statement for the next call.
    pub(super) fn later(
        &mut self,
        sql: &'static str,
        bind: impl FnOnce(&mut SqliteArguments) -> Result<(), BoxDynError>,
    ) -> Result<(), sqlx::Error> {
        match self {
            Self::Write(held) => held.later(sql, bind),
            Self::Read(_) => Err(sqlx::Error::Protocol("a reader does not write".to_owned())),
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
            $crate::store::Tx::Sqlite(link) => match link.ready().await {
                Ok(connection) => sqlx::query::<sqlx::Sqlite>($sql)
                    $(.bind($bind))*.execute(connection).await.map(|done| done.rows_affected()),
                Err(error) => Err(error),
            },
            $crate::store::Tx::Postgres(link) => sqlx::query::<sqlx::Postgres>($sql)
                $(.bind($bind))*.execute(&mut **link).await.map(|done| done.rows_affected()),
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Runs a statement whose outcome nobody waits for: at the latest with the commit, which fails if it does.
macro_rules! execute_later {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => link.later($sql, |arguments| {
                use sqlx::Arguments as _;
                $(arguments.add($bind)?;)*
                Ok(())
            }),
            $crate::store::Tx::Postgres(link) => sqlx::query::<sqlx::Postgres>($sql)
                $(.bind($bind))*.execute(&mut **link).await.map(drop),
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Runs a statement that gives one row or none.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => match link.ready().await {
                Ok(connection) => sqlx::query_as::<sqlx::Sqlite, $row>($sql)
                    $(.bind($bind))*.fetch_optional(connection).await,
                Err(error) => Err(error),
            },
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
            $crate::store::Tx::Sqlite(link) => match link.ready().await {
                Ok(connection) => sqlx::query_as::<sqlx::Sqlite, $row>($sql)
                    $(.bind($bind))*.fetch_all(connection).await,
                Err(error) => Err(error),
            },
            $crate::store::Tx::Postgres(link) => sqlx::query_as::<sqlx::Postgres, $row>($sql)
                $(.bind($bind))*.fetch_all(&mut **link).await,
        }
        .map_err($crate::store::StoreError::from)
    };
}

pub(super) use {execute, execute_later, fetch_all, fetch_optional, statements};
