//! One code path for two databases: [`Tx`], and the macros that run a statement on whichever it is.

use super::postgres::PostgresLink;
use super::sqlite::SqliteLink;
use crate::store::StoreError;

/// A transaction that writes, or a connection that only reads.
pub enum Tx {
    /// On `SQLite`.
    Sqlite(SqliteLink),
    /// On `PostgreSQL`.
    Postgres(PostgresLink),
}

impl Tx {
    /// Makes all writes of this transaction durable. Nothing may be acknowledged before this returns.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(SqliteLink::Write(held)) => held.commit().await,
            Self::Sqlite(SqliteLink::Read(_)) => Ok(()),
            Self::Postgres(link) => Ok(link.commit().await?),
        }
    }
}

/// Declares statements as constants, and lists them so that a test can prepare each one on both databases.
macro_rules! statements {
    ($($name:ident = $sql:expr;)+) => {
        $(pub(in crate::store) const $name: &str = $sql;)+

        /// Every statement of this file, by name.
        pub(in crate::store) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

/// Runs one call on `PostgreSQL`, and waits for the answer no longer than a call may take.
macro_rules! ask {
    ($link:expr, $connection:ident => $asking:expr) => {{
        let answer = match $link.connection() {
            Ok($connection) => {
                tokio::time::timeout($crate::store::engine::settings::CALL_DEADLINE, $asking).await
            }
            Err(error) => Ok(Err(error)),
        };
        $link.settle(answer).map_err($crate::store::StoreError::from)
    }};
}

/// Runs a statement on `PostgreSQL`. Returns the number of rows that it changed.
macro_rules! execute_on_postgres {
    ($link:expr, $sql:expr $(, $bind:expr)*) => {
        $crate::store::engine::tx::ask!($link, connection => {
            sqlx::query::<sqlx::Postgres>($sql)$(.bind($bind))*.execute(connection)
        })
        .map(|done| done.rows_affected())
    };
}

/// Runs a statement on `PostgreSQL` that returns rows, by `fetch_optional` or `fetch_all`.
macro_rules! fetch_on_postgres {
    ($fetch:ident, $link:expr, $row:ty, $sql:expr $(, $bind:expr)*) => {
        $crate::store::engine::tx::ask!($link, connection => {
            sqlx::query_as::<sqlx::Postgres, $row>($sql)$(.bind($bind))*.$fetch(connection)
        })
    };
}

/// The values for a statement of `SQLite` that runs on this thread.
macro_rules! borrowed {
    ($($bind:expr),*) => { &[$(&$bind as &(dyn rusqlite::ToSql + Sync)),*] };
}

/// The values for a statement of `SQLite` that runs on another thread.
macro_rules! owned {
    ($($bind:expr),*) => { vec![$($crate::store::engine::sqlite::owned($bind)?),*] };
}

/// Runs a statement. Returns the number of rows that it changed. It may change only a few: see [`execute_many`].
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => link.execute($sql, $crate::store::engine::tx::borrowed!($($bind),*)).await,
            $crate::store::Tx::Postgres(link) => {
                $crate::store::engine::tx::execute_on_postgres!(link, $sql $(, $bind)*)
            }
        }
    };
}

/// Runs a statement that may change hundreds of rows, or examine thousands.
macro_rules! execute_many {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => link.execute_many($sql, $crate::store::engine::tx::owned!($($bind),*)).await,
            $crate::store::Tx::Postgres(link) => {
                $crate::store::engine::tx::execute_on_postgres!(link, $sql $(, $bind)*)
            }
        }
    };
}

/// Runs a statement that returns at most one row, and finds it by an index.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => {
                link.one::<$row>($sql, $crate::store::engine::tx::borrowed!($($bind),*)).await
            }
            $crate::store::Tx::Postgres(link) => {
                $crate::store::engine::tx::fetch_on_postgres!(fetch_optional, link, $row, $sql $(, $bind)*)
            }
        }
    };
}

/// Runs a statement that returns at most a hundred rows. See [`fetch_many`].
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => {
                link.all::<$row>($sql, $crate::store::engine::tx::borrowed!($($bind),*)).await
            }
            $crate::store::Tx::Postgres(link) => {
                $crate::store::engine::tx::fetch_on_postgres!(fetch_all, link, $row, $sql $(, $bind)*)
            }
        }
    };
}

/// Runs a statement that may return hundreds of rows, or examine thousands. Its text limits them.
macro_rules! fetch_many {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Sqlite(link) => {
                link.many::<$row>($sql, $crate::store::engine::tx::owned!($($bind),*)).await
            }
            $crate::store::Tx::Postgres(link) => {
                $crate::store::engine::tx::fetch_on_postgres!(fetch_all, link, $row, $sql $(, $bind)*)
            }
        }
    };
}

/// Declares a struct that is read from a row by the names of its columns, on either database. A field under
/// `#[sqlx(flatten)]` is itself such a struct.
///
/// With `columns NAME;` before it, it also declares a macro for the statements below: `NAME!()` is the list of these
/// columns, and `NAME!("a")` is the same list for the table that the statement calls `a`.
macro_rules! row {
    (columns $columns:ident; $($row:tt)+) => {
        $crate::store::engine::tx::columns! { ($) $columns $($row)+ }
        $crate::store::engine::tx::row! { $($row)+ }
    };
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[sqlx($flatten:ident)])?
                $field_visibility:vis $field:ident: $type:ty
            ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(sqlx::FromRow)]
        $visibility struct $name {
            $($(#[doc = $doc])* $(#[sqlx($flatten)])? $field_visibility $field: $type),+
        }

        impl $crate::store::engine::sqlite::FromColumns for $name {
            fn read(columns: &mut $crate::store::engine::sqlite::Columns<'_>) -> Result<Self, rusqlite::Error> {
                Ok(Self { $($field: $crate::store::engine::tx::field!(columns, $field $(, $flatten)?)),+ })
            }
        }
    };
}

/// One field of a [`row`].
macro_rules! field {
    ($columns:ident, $field:ident, flatten) => {
        $crate::store::engine::sqlite::FromColumns::read($columns)?
    };
    ($columns:ident, $field:ident) => {
        $columns.take(stringify!($field))?
    };
}

/// Declares the macro that lists the columns of a [`row`]. The first token is a dollar, because a macro that declares
/// a macro cannot write one.
macro_rules! columns {
    (
        ($dollar:tt) $columns:ident
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[doc = $doc:literal])* $field_visibility:vis $field:ident: $type:ty),+ $(,)?
        }
    ) => {
        macro_rules! $columns {
            ($dollar($dollar table:literal)?) => {
                $crate::store::engine::tx::listed!($dollar($dollar table)?; $($field)+)
            };
        }
    };
}

/// The names of columns, as a statement lists them.
macro_rules! listed {
    (; $first:ident $($next:ident)*) => {
        concat!(stringify!($first) $(, ", ", stringify!($next))*)
    };
    ($table:literal; $first:ident $($next:ident)*) => {
        concat!($table, ".", stringify!($first) $(, ", ", $table, ".", stringify!($next))*)
    };
}

pub(in crate::store) use {
    ask, borrowed, columns, execute, execute_many, execute_on_postgres, fetch_all, fetch_many,
    fetch_on_postgres, fetch_optional, field, listed, owned, row, statements,
};
