//! The store: the only room that uses `sqlx` and `rusqlite`. One SQL text serves `SQLite` and `PostgreSQL`.
//!
//! * [`Database`] opens the database, migrates it, and hands out [`Tx`]: [`Database::read`] for short reads,
//!   [`Database::write`] for every change that must be durable as a whole.
//! * Each aggregate has one file: `find_*` returns an `Option`, `list_*` returns many, `insert_*`, `consume_*` and
//!   `revoke_*` change.
//! * The database decides races: a single-use thing is one guarded `UPDATE` or `INSERT … ON CONFLICT DO NOTHING` whose
//!   rows are counted, uniqueness is a constraint, and the limit of 25 profiles is a guarded counter with a CHECK.
//! * Statements are constants; a test prepares each one on both databases. A statement that may take long is marked
//!   where it is called (`fetch_many!`, `execute_many!`); all others run on the thread of the request (`sqlite`).

pub mod accounts;
pub mod apps;
pub mod audit;
pub mod audit_days;
pub mod changes;
pub mod connections;
pub mod domains;
pub mod error;
pub mod expected;
pub mod floods;
pub mod flows;
pub mod grants;
pub mod guesses;
pub mod housekeeping;
pub mod interactions;
pub mod jobs;
pub mod keys;
pub mod ledger;
pub mod looks;
pub mod mail_codes;
pub mod mail_counts;
pub mod merging;
mod migrations;
pub mod organizations;
pub mod password_links;
pub mod passwords;
mod postgres;
pub mod profiles;
pub mod replacing;
mod row;
pub mod session_ends;
pub mod sessions;
mod sqlite;
pub mod standing;
pub mod turns;
pub mod tx;

use std::path::PathBuf;
use std::time::Duration;

pub use error::StoreError;
pub use tx::Tx;

use prometheus_client::metrics::histogram::Histogram;

use migrations::{Dialect, migrator};
use postgres::PostgresPool;
use row::CountRow;
use sqlite::{Sqlite, SqliteFile, SqliteLink};
use tx::fetch_optional;

/// The migrator owns the table, and a new database does not have it, so no test prepares this statement.
const COUNT_MIGRATIONS: &str = "SELECT COUNT(*) AS amount FROM _sqlx_migrations WHERE success";

/// How long the database may take to answer one call. A longer call fails, and its connection is closed.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// The error of a call without an answer within [`CALL_DEADLINE`].
fn timed_out() -> sqlx::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// How a database is opened.
#[derive(Clone)]
pub struct StoreSettings {
    /// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`.
    pub url: String,
    /// `PostgreSQL`: the most connections. `SQLite`: the most long reads at once.
    pub max_connections: u32,
    /// Whether an acknowledged write on `SQLite` survives a power cut (`synchronous=FULL`). If not, it survives only a
    /// crash of the process.
    pub synchronous_full: bool,
    /// How long a request waits for a connection, or for its turn to write, before it fails.
    pub acquire_timeout: Duration,
}

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

    /// Opens a database only for reading: nothing is created, migrated or written. `None` if the file of `SQLite` does
    /// not exist.
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

    /// How many of this program's migrations the database has not applied.
    pub async fn count_missing_migrations(&self) -> Result<usize, StoreError> {
        let mut tx = self.read().await?;
        let dialect = match &self.engine {
            Engine::Sqlite(_) => Dialect::Sqlite,
            Engine::Postgres(_) => Dialect::Postgres,
        };
        let applied = match fetch_optional!(&mut tx, CountRow, COUNT_MIGRATIONS) {
            Ok(row) => row.map_or(0, |row| row.amount),
            // Without this table no migration was ever applied.
            Err(error) if error.is_missing_table() => 0,
            Err(error) => return Err(error),
        };
        let applied = usize::try_from(applied).unwrap_or(0);
        Ok(migrator(dialect).iter().count().saturating_sub(applied))
    }

    /// A connection for short reads. It does not hold a transaction.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Ok(Tx::Sqlite(SqliteLink::Read(sqlite.readers.clone()))),
            Engine::Postgres(pool) => Ok(Tx::Postgres(pool.read().await?)),
        }
    }

    /// A transaction. It is rolled back if it is dropped without [`Tx::commit`].
    pub async fn write(&self) -> Result<Tx, StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Ok(Tx::Sqlite(SqliteLink::Write(sqlite.writer.begin().await?))),
            Engine::Postgres(pool) => Ok(Tx::Postgres(pool.write().await?)),
        }
    }

    /// A transaction for statements that may take long, such as the clean-up. On `SQLite` it shares its commit with no
    /// transaction before it, so that its failure harms none.
    pub async fn write_alone(&self) -> Result<Tx, StoreError> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Ok(Tx::Sqlite(SqliteLink::Write(sqlite.writer.begin_alone().await?))),
            Engine::Postgres(_) => self.write().await,
        }
    }

    /// The name of the engine, for display: `SQLite` or `PostgreSQL`.
    pub const fn engine_name(&self) -> &'static str {
        match &self.engine {
            Engine::Sqlite(_) => "SQLite",
            Engine::Postgres(_) => "PostgreSQL",
        }
    }

    /// How long calls held the thread of a request, in seconds; `None` for `PostgreSQL`, where no call does.
    pub fn statement_seconds(&self) -> Option<Histogram> {
        match &self.engine {
            Engine::Sqlite(sqlite) => Some(sqlite.holding.histogram()),
            Engine::Postgres(_) => None,
        }
    }

    /// Finishes what is under way and refuses everything new.
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

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL has neither of the two schemes.
    #[error("database.url must begin with sqlite:// or postgres://")]
    Url,
    /// A `SQLite` URL that names no file, or more than a file.
    #[error(
        "database.url must be sqlite:// and the path of a file, such as sqlite://data/countersign.db, and nothing else"
    )]
    SqliteUrl,
    /// `PostgreSQL` is not reachable, or not readable.
    #[error("the database cannot be opened: {0}")]
    Connect(#[from] sqlx::Error),
    /// The file of `SQLite` is not readable.
    #[error("the database cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The folder of the database file cannot be created.
    #[error("{folder}: {error}", folder = .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The database file cannot be created.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The lock file of a starting process cannot be created, or another process has held it for too long.
    #[error("{path}: {error}", path = .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// A thread that the database needs cannot be started, or has ended.
    #[error("a thread for the database could not be started: {0}")]
    Thread(std::io::Error),
    /// A migration of `SQLite` failed. The database is as it was before that migration.
    #[error("the database cannot be migrated: migration {version}: {error}")]
    Migration {
        /// Its number.
        version: i64,
        /// The error of `SQLite`.
        error: rusqlite::Error,
    },
    /// The schema cannot be brought up to date.
    #[error("the database cannot be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// A statement of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// The file that declares it, without its extension.
    pub file: &'static str,
    /// The name of its constant.
    pub name: &'static str,
    /// The SQL text.
    pub text: &'static str,
}

/// Every statement of the store.
pub fn all_statements() -> Vec<Statement> {
    let files: [(&'static str, &[(&'static str, &'static str)]); 30] = [
        ("accounts", accounts::STATEMENTS),
        ("apps", apps::STATEMENTS),
        ("audit", audit::STATEMENTS),
        ("audit_days", audit_days::STATEMENTS),
        ("changes", changes::STATEMENTS),
        ("connections", connections::STATEMENTS),
        ("domains", domains::STATEMENTS),
        ("expected", expected::STATEMENTS),
        ("floods", floods::STATEMENTS),
        ("flows", flows::STATEMENTS),
        ("grants", grants::STATEMENTS),
        ("guesses", guesses::STATEMENTS),
        ("housekeeping", housekeeping::STATEMENTS),
        ("jobs", jobs::STATEMENTS),
        ("keys", keys::STATEMENTS),
        ("ledger", ledger::STATEMENTS),
        ("interactions", interactions::STATEMENTS),
        ("looks", looks::STATEMENTS),
        ("mail_codes", mail_codes::STATEMENTS),
        ("mail_counts", mail_counts::STATEMENTS),
        ("merging", merging::STATEMENTS),
        ("organizations", organizations::STATEMENTS),
        ("password_links", password_links::STATEMENTS),
        ("passwords", passwords::STATEMENTS),
        ("profiles", profiles::STATEMENTS),
        ("replacing", replacing::STATEMENTS),
        ("session_ends", session_ends::STATEMENTS),
        ("sessions", sessions::STATEMENTS),
        ("standing", standing::STATEMENTS),
        ("turns", turns::STATEMENTS),
    ];
    files
        .into_iter()
        .flat_map(|(file, list)| list.iter().map(move |(name, text)| Statement { file, name, text }))
        .collect()
}

/// Asks the database to prepare a statement, without running it.
pub async fn prepare(tx: &mut Tx, text: &'static str) -> Result<(), StoreError> {
    use sqlx::{Executor, SqlSafeStr};
    match tx {
        Tx::Sqlite(link) => link.prepare(text),
        Tx::Postgres(link) => tx::ask!(link, connection => connection.prepare(text.into_sql_str())).map(drop),
    }
}
