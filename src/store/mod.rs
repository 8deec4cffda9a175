//! The store: the only room that says `sqlx`. One SQL text serves `SQLite` and `PostgreSQL`.
//!
//! * [`Database`] opens, migrates, and hands out [`Tx`]: [`Database::read`] for short reads,
//!   [`Database::write`] for everything that must be durable together.
//! * One file an aggregate: `find_*` gives an `Option`, `list_*` many, `insert_*`, `consume_*` and `revoke_*` change.
//! * The database referees: a single-use thing is one guarded `UPDATE` or `INSERT … ON CONFLICT DO NOTHING`,
//!   of which the rows are counted, uniqueness is a constraint, the 25 profiles are a guarded counter with a CHECK.
//! * Statements are constants; a test prepares every one on both databases.

pub mod accounts;
pub mod apps;
pub mod audit;
pub mod audit_days;
mod call;
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
pub mod keys;
mod lanes;
pub mod ledger;
pub mod links;
pub mod looks;
pub mod mail_codes;
pub mod merging;
mod migrations;
pub mod organizations;
pub mod outbox;
pub mod password_links;
pub mod passwords;
mod postgres;
pub mod profiles;
mod readers;
pub mod replacing;
mod row;
pub mod sessions;
pub mod standing;
pub mod turns;
pub mod tx;
mod writer;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

pub use error::StoreError;
pub use tx::Tx;

use crate::crypto::private_file;
use call::Caller;
use migrations::{Dialect, migrator};
use postgres::PostgresPool;
use readers::Readers;
use row::CountRow;
use tx::{SqliteLink, fetch_optional};
use writer::Writer;

/// The table is the migrator's own, so that this statement is prepared by no test: it is not there at first.
const COUNT_MIGRATIONS: &str = "SELECT COUNT(*) AS amount FROM _sqlx_migrations WHERE success";

/// How long the database may take to answer one call. A call that takes longer fails, and its connection is closed.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// How long `SQLite` waits for another process that writes. Shorter than [`CALL_DEADLINE`], so that it can say so.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);

/// The error of a call that had no answer within [`CALL_DEADLINE`].
fn timed_out() -> sqlx::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// How a database is opened.
#[derive(Clone)]
pub struct StoreSettings {
    /// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`.
    pub url: String,
    /// Connections at most (`SQLite`: readers).
    pub max_connections: u32,
    /// Whether an acknowledged write survives a power cut on `SQLite` (`synchronous=FULL`); without, only a crash
    /// of the process.
    pub synchronous_full: bool,
    /// How long a request waits for a connection, or for its turn to write, before it fails.
    pub acquire_timeout: Duration,
}

/// An open database.
pub struct Database {
    engine: Engine,
}

enum Engine {
    Sqlite { writer: Writer, readers: Arc<Readers> },
    Postgres { pool: PostgresPool },
}

impl Database {
    /// Opens the database and brings its schema up to date.
    pub async fn open(settings: &StoreSettings) -> Result<Self, OpenError> {
        let engine = if settings.url.starts_with("sqlite:") {
            open_sqlite(settings).await?
        } else {
            Engine::Postgres { pool: PostgresPool::open(settings).await? }
        };
        Ok(Self { engine })
    }

    /// Opens a database to look at it: nothing is made, migrated or written. `None` where the file of `SQLite` is not
    /// there yet.
    pub async fn open_to_look(settings: &StoreSettings) -> Result<Option<Self>, OpenError> {
        if !settings.url.starts_with("sqlite:") {
            let pool = PostgresPool::open_to_look(settings).await?;
            return Ok(Some(Self { engine: Engine::Postgres { pool } }));
        }
        let options = sqlite_options(settings)?.create_if_missing(false).pragma("query_only", "ON");
        if !options.get_filename().exists() {
            return Ok(None);
        }
        let writer = Writer::new(Caller::open(&options).await?, settings.acquire_timeout);
        let readers = sqlite_readers(settings, options).await?;
        Ok(Some(Self { engine: Engine::Sqlite { writer, readers } }))
    }

    /// How many migrations this program has that the database has not.
    pub async fn count_missing_migrations(&self) -> Result<usize, StoreError> {
        let mut tx = self.read().await?;
        let dialect = match &self.engine {
            Engine::Sqlite { .. } => Dialect::Sqlite,
            Engine::Postgres { .. } => Dialect::Postgres,
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
            Engine::Sqlite { readers, .. } => Ok(Tx::Sqlite(SqliteLink::Read(Arc::clone(readers)))),
            Engine::Postgres { pool } => Ok(Tx::Postgres(pool.read().await?)),
        }
    }

    /// A transaction. Dropped without [`Tx::commit`], nothing of it remains.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        match &self.engine {
            Engine::Sqlite { writer, .. } => Ok(Tx::Sqlite(SqliteLink::Write(writer.begin().await?))),
            Engine::Postgres { pool } => Ok(Tx::Postgres(pool.write().await?)),
        }
    }

    /// Which engine this is, for people: `SQLite` or `PostgreSQL`.
    pub const fn engine_name(&self) -> &'static str {
        match &self.engine {
            Engine::Sqlite { .. } => "SQLite",
            Engine::Postgres { .. } => "PostgreSQL",
        }
    }

    /// Closes all connections after what is under way.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { writer, readers } => {
                writer.close().await;
                readers.close().await;
            }
            Engine::Postgres { pool } => pool.close().await,
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither of the two kinds.
    #[error("database.url must begin with sqlite:// or postgres://")]
    Url,
    /// Not reachable, or not readable.
    #[error("the database cannot be opened: {0}")]
    Connect(#[from] sqlx::Error),
    /// The folder of the database's file cannot be made.
    #[error("{folder}: {error}", folder = .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file of the database cannot be made.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file that a starting process holds cannot be made, or another process has held it for too long.
    #[error("{path}: {error}", path = .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The schema cannot be brought up to date.
    #[error("the database cannot be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

fn sqlite_options(settings: &StoreSettings) -> Result<SqliteConnectOptions, OpenError> {
    let synchronous =
        if settings.synchronous_full { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
    Ok(SqliteConnectOptions::from_str(&settings.url)?
        .create_if_missing(true)
        .synchronous(synchronous)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // What undoes a savepoint: in files, a group of transactions would make and unlink one for each commit.
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(512)
        .disable_statement_logging())
}

async fn sqlite_readers(
    settings: &StoreSettings,
    options: SqliteConnectOptions,
) -> Result<Arc<Readers>, OpenError> {
    let options = options.create_if_missing(false).read_only(true);
    Ok(Arc::new(Readers::open(options, settings.max_connections, settings.acquire_timeout).await?))
}

async fn open_sqlite(settings: &StoreSettings) -> Result<Engine, OpenError> {
    let options = sqlite_options(settings)?.journal_mode(SqliteJournalMode::Wal);
    keep_private(options.get_filename())?;
    // Who makes or changes the file has it alone; whoever else opens it waits a while.
    let alone = alone_with(options.get_filename(), settings.acquire_timeout).await?;
    let mut connection = options.clone().connect().await?;
    migrator(Dialect::Sqlite).run_direct(None, &mut connection, false).await?;
    drop(alone);
    let writer = Writer::new(Caller::new(connection, options.clone()), settings.acquire_timeout);
    Ok(Engine::Sqlite { writer, readers: sqlite_readers(settings, options).await? })
}

/// Waits, for `patience` at most, until no other process makes or changes the database, and has it alone until the result
/// is dropped. A file of its own beside the database: closing that one would take `SQLite`'s own locks with it.
async fn alone_with(file: &Path, patience: Duration) -> Result<Option<std::fs::File>, OpenError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let Some(name) = file.file_name() else { return Ok(None) };
    let mut name = name.to_owned();
    name.push("-lock");
    let path = file.with_file_name(name);
    let error = |error| OpenError::Lock { path: path.clone(), error };
    let mut options = std::fs::File::options();
    let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(error)?;
    let locked = async {
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(std::fs::TryLockError::Error(failed)) => return Err(failed),
                Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let waited = tokio::time::timeout(patience, locked).await;
    waited
        .unwrap_or_else(|_| {
            Err(std::io::Error::other(
                "another process holds it; it brings the database up to date, try again later",
            ))
        })
        .map_err(error)?;
    Ok(Some(lock))
}

/// Makes the database file and its folder, for their owner alone, and closes to others what was there before. `SQLite`
/// gives the files that it makes beside the database the database's own mode.
fn keep_private(file: &Path) -> Result<(), OpenError> {
    let error = |error| OpenError::File { path: file.to_owned(), error };
    if let Some(folder) = file.parent() {
        private_file::make_folder(folder)
            .map_err(|error| OpenError::Folder { folder: folder.to_owned(), error })?;
    }
    private_file::open(file).map_err(error)?;
    for ending in ["-wal", "-shm", "-journal"] {
        let mut beside = file.as_os_str().to_owned();
        beside.push(ending);
        private_file::close(Path::new(&beside)).map_err(error)?;
    }
    Ok(())
}

/// Every statement of the store, as (file, name, text).
pub fn all_statements() -> Vec<(&'static str, &'static str, &'static str)> {
    let files: [(&'static str, &[(&'static str, &'static str)]); 27] = [
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
        ("keys", keys::STATEMENTS),
        ("ledger", ledger::STATEMENTS),
        ("links", links::STATEMENTS),
        ("looks", looks::STATEMENTS),
        ("mail_codes", mail_codes::STATEMENTS),
        ("merging", merging::STATEMENTS),
        ("organizations", organizations::STATEMENTS),
        ("outbox", outbox::STATEMENTS),
        ("password_links", password_links::STATEMENTS),
        ("passwords", passwords::STATEMENTS),
        ("profiles", profiles::STATEMENTS),
        ("replacing", replacing::STATEMENTS),
        ("sessions", sessions::STATEMENTS),
        ("standing", standing::STATEMENTS),
        ("turns", turns::STATEMENTS),
    ];
    let flat =
        files.into_iter().flat_map(|(file, list)| list.iter().map(move |(name, text)| (file, *name, *text)));
    flat.chain(housekeeping::STATEMENTS.iter().map(|(name, text)| ("housekeeping", *name, *text))).collect()
}

/// Asks the database to prepare a statement, without running it.
pub async fn prepare(tx: &mut Tx, text: &'static str) -> Result<(), StoreError> {
    use sqlx::{Executor, SqlSafeStr};
    match tx {
        Tx::Sqlite(link) => link.prepare(text).await,
        Tx::Postgres(link) => tx::ask!(link, connection => connection.prepare(text.into_sql_str())).map(drop),
    }
    .map_err(StoreError::from)
}
