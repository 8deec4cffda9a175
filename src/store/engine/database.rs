//! An open database, whichever of the two it is: where connections and transactions come from.

use prometheus_client::metrics::histogram::Histogram;

use super::migrations::{Dialect, migrator};
use super::postgres::PostgresPool;
use super::row::CountRow;
use super::sqlite::{Sqlite, SqliteFile, SqliteLink};
use super::tx::fetch_optional;
use crate::store::{OpenError, StoreError, StoreSettings, Tx};

/// The table is the migrator's own, so that this statement is prepared by no test: it is not there at first.
const COUNT_MIGRATIONS: &str = "SELECT COUNT(*) AS amount FROM _sqlx_migrations WHERE success";

/// An open database.
pub struct Database {
    engine: Engine,
}

enum Engine {
    Sqlite(Sqlite),
    Postgres(PostgresPool),
}

impl Database {
    /// Opens the database and brings its schema up to date.
    pub async fn open(settings: &StoreSettings) -> Result<Self, OpenError> {
        let engine = if settings.url.starts_with("sqlite:") {
            Engine::Sqlite(SqliteFile::of(settings)?.open(settings).await?)
        } else {
            Engine::Postgres(PostgresPool::open(settings).await?)
        };
        Ok(Self { engine })
    }

    /// Opens a database to look at it: nothing is made, migrated or written. `None` where the file of `SQLite` is not
    /// there yet.
    pub async fn open_to_look(settings: &StoreSettings) -> Result<Option<Self>, OpenError> {
        if !settings.url.starts_with("sqlite:") {
            let pool = PostgresPool::open_to_look(settings).await?;
            return Ok(Some(Self { engine: Engine::Postgres(pool) }));
        }
        let file = SqliteFile::of(settings)?;
        if !file.exists() {
            return Ok(None);
        }
        Ok(Some(Self { engine: Engine::Sqlite(file.open_to_look(settings)?) }))
    }

    /// How many migrations this program has that the database has not.
    pub async fn count_missing_migrations(&self) -> Result<usize, StoreError> {
        let mut tx = self.read().await?;
        let dialect = match &self.engine {
            Engine::Sqlite(_) => Dialect::Sqlite,
            Engine::Postgres(_) => Dialect::Postgres,
        };
        let applied = match fetch_optional!(&mut tx, CountRow, COUNT_MIGRATIONS) {
            Ok(row) => row.map_or(0, |row| row.amount),
            // Without this table nothing was ever migrated.
            Err(error) if error.is_missing_table() => 0,
            Err(error) => return Err(error),
        };
        let applied = usize::try_from(applied).unwrap_or(0);
        Ok(migrator(dialect).iter().count().saturating_sub(applied))
    }

    /// A connection for short reads; it holds no transaction.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Ok(Tx::Sqlite(SqliteLink::Read(sqlite.readers.clone()))),
            Engine::Postgres(pool) => Ok(Tx::Postgres(pool.read().await?)),
        }
    }

    /// A transaction. Dropped without [`Tx::commit`], nothing of it remains.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Ok(Tx::Sqlite(SqliteLink::Write(sqlite.writer.begin().await?))),
            Engine::Postgres(pool) => Ok(Tx::Postgres(pool.write().await?)),
        }
    }

    /// A transaction for what may take long, such as the clean-up: on `SQLite` it shares its commit with none before it, so
    /// that it fails alone.
    pub async fn write_alone(&self) -> Result<Tx, StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Ok(Tx::Sqlite(SqliteLink::Write(sqlite.writer.begin_alone().await?))),
            Engine::Postgres(_) => self.write().await,
        }
    }

    /// Which engine this is, for people: `SQLite` or `PostgreSQL`.
    pub const fn engine_name(&self) -> &'static str {
        match &self.engine {
            Engine::Sqlite(_) => "SQLite",
            Engine::Postgres(_) => "PostgreSQL",
        }
    }

    /// For how long calls held the thread of a request, in seconds; `None` where none does (`PostgreSQL`).
    pub fn statement_seconds(&self) -> Option<Histogram> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Some(sqlite.holding.histogram()),
            Engine::Postgres(_) => None,
        }
    }

    /// Ends what is under way, and lets nothing begin any more.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => {
                sqlite.writer.close().await;
                sqlite.readers.close();
            }
            Engine::Postgres(pool) => pool.close().await,
        }
    }
}
