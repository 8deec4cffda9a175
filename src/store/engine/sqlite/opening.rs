//! The file of a `SQLite` database: how it is opened, and brought up to date.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use rusqlite::{OpenFlags, TransactionBehavior};
use sqlx::migrate::{MigrateError, Migration};

use super::Holding;
use super::connection::{BUSY_TIMEOUT, Connection};
use super::reading::Readers;
use super::writing::Writer;
use crate::crypto::private_file;
use crate::store::engine::migrations::{Dialect, migrator};
use crate::store::{OpenError, StoreSettings};

/// How many pages (16 MiB) the write-ahead log collects before they go into the file. The more it collects, the more
/// often a page that has changed several times is written only once.
const LOG_PAGES: i64 = 4_000;

/// The same table that `sqlx` creates on `PostgreSQL`.
const MAKE_TABLE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, \
     description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
     checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)";
const LIST_APPLIED: &str = "SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version";
const INSERT_APPLIED: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                              VALUES (?1, ?2, TRUE, ?3, ?4)";

/// An open `SQLite` database.
pub(in crate::store) struct Sqlite {
    /// The connection that writes.
    pub writer: Writer,
    /// The connections that only read.
    pub readers: Readers,
    /// How long statements held the thread of a request.
    pub holding: Holding,
}

/// A database file, and how it is opened.
#[derive(Clone)]
pub(in crate::store) struct SqliteFile {
    path: PathBuf,
    synchronous_full: bool,
}

impl SqliteFile {
    /// The file that `database.url` names: `sqlite://PATH`, percent-encoded where that is needed.
    pub fn of(settings: &StoreSettings) -> Result<Self, OpenError> {
        let rest = settings.url.strip_prefix("sqlite:").ok_or(OpenError::Url)?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        if rest.is_empty() || rest.contains('?') {
            return Err(OpenError::SqliteUrl);
        }
        let path = percent_decode_str(rest).decode_utf8().map_err(|_| OpenError::SqliteUrl)?;
        Ok(Self { path: PathBuf::from(path.as_ref()), synchronous_full: settings.synchronous_full })
    }

    /// Whether the file exists.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Opens the database, creates it if it does not exist, and brings its schema up to date.
    pub async fn open(self, settings: &StoreSettings) -> Result<Sqlite, OpenError> {
        keep_private(&self.path)?;
        // One process at a time creates or migrates the file; others wait for a while.
        let alone = alone_with(&self.path, settings.acquire_timeout).await?;
        let file = self.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let mut connection = file.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            migrate(&mut connection)?;
            Ok::<_, OpenError>(connection)
        });
        let connection = opening.await.map_err(std::io::Error::other).map_err(OpenError::Thread)??;
        drop(alone);
        self.serve(Connection::new(connection)?, settings)
    }

    /// Opens an existing database only for reading.
    pub fn open_to_look(self, settings: &StoreSettings) -> Result<Sqlite, OpenError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "query_only", true)?;
        self.serve(Connection::new(connection)?, settings)
    }

    fn serve(self, connection: Connection, settings: &StoreSettings) -> Result<Sqlite, OpenError> {
        let (limit, patience, holding) = (settings.max_connections, settings.acquire_timeout, Holding::new());
        let writer = Writer::new(connection, patience, holding.clone()).map_err(OpenError::Thread)?;
        let open = move || Connection::new(self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?);
        let readers = Readers::new(open, limit, patience, holding.clone())?;
        Ok(Sqlite { writer, readers, holding })
    }

    fn connect(&self, access: OpenFlags) -> Result<rusqlite::Connection, rusqlite::Error> {
        // Each connection is used by one thread at a time.
        let connection =
            rusqlite::Connection::open_with_flags(&self.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(
            None,
            "synchronous",
            if self.synchronous_full { "FULL" } else { "NORMAL" },
        )?;
        // The data for undoing savepoints stays in memory: as files, a group of transactions would create and delete
        // one for each commit.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        Ok(connection)
    }
}

/// Applies the migrations that the database has not applied, each in one transaction with its row.
fn migrate(connection: &mut rusqlite::Connection) -> Result<(), OpenError> {
    connection.execute_batch(MAKE_TABLE)?;
    let migrator = migrator(Dialect::Sqlite);
    let applied = list_applied(connection)?;
    for Applied { version, success, .. } in &applied {
        if !success {
            return Err(MigrateError::Dirty(*version).into());
        }
        if !migrator.version_exists(*version) {
            return Err(MigrateError::VersionMissing(*version).into());
        }
    }
    for migration in migrator.iter() {
        match applied.iter().find(|applied| applied.version == migration.version) {
            Some(applied) if *applied.checksum == *migration.checksum => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version).into()),
            None => apply(connection, migration)
                .map_err(|error| OpenError::Migration { version: migration.version, error })?,
        }
    }
    Ok(())
}

struct Applied {
    version: i64,
    checksum: Vec<u8>,
    success: bool,
}

fn list_applied(connection: &rusqlite::Connection) -> Result<Vec<Applied>, rusqlite::Error> {
    let mut statement = connection.prepare(LIST_APPLIED)?;
    let rows = statement.query_map([], |row| {
        Ok(Applied { version: row.get(0)?, checksum: row.get(1)?, success: row.get(2)? })
    })?;
    rows.collect()
}

fn apply(connection: &mut rusqlite::Connection, migration: &Migration) -> Result<(), rusqlite::Error> {
    let began = Instant::now();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration.sql.as_str())?;
    let nanos = i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX);
    transaction.execute(
        INSERT_APPLIED,
        (migration.version, migration.description.as_ref(), migration.checksum.as_ref(), nanos),
    )?;
    transaction.commit()
}

/// Waits, for at most `patience`, until no other process creates or migrates the database. The result excludes other
/// processes until it is dropped. It locks a file of its own beside the database, because closing the database file
/// would release `SQLite`'s own locks.
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

/// Creates the database file and its folder with access for their owner only, and removes the access of others from an
/// existing file. `SQLite` gives the files beside the database the same mode.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    fn settings(url: &str) -> StoreSettings {
        let (max_connections, acquire_timeout) = (4, Duration::from_mins(1));
        StoreSettings { url: url.to_owned(), max_connections, synchronous_full: false, acquire_timeout }
    }

    #[test]
    fn a_url_names_a_file_and_nothing_else() {
        let path = |url: &str| SqliteFile::of(&settings(url)).map(|file| file.path);
        assert_eq!(path("sqlite://data/a.db").unwrap(), Path::new("data/a.db"));
        assert_eq!(path("sqlite:///var/a%20b.db").unwrap(), Path::new("/var/a b.db"));
        for wrong in ["sqlite://", "sqlite://a.db?mode=ro", "sqlite://%ff.db"] {
            assert!(matches!(path(wrong), Err(OpenError::SqliteUrl)), "{wrong}");
        }
        assert!(matches!(path("mysql://a"), Err(OpenError::Url)));
    }

    #[test]
    fn migrations_are_applied_once_and_those_of_another_program_are_refused() {
        let mut connection = rusqlite::Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let count = |connection: &rusqlite::Connection| list_applied(connection).unwrap().len();
        assert_eq!(count(&connection), migrator(Dialect::Sqlite).iter().count());
        migrate(&mut connection).unwrap();
        let mut refused = |change: &str| {
            connection.execute_batch(&format!("SAVEPOINT s; {change}")).unwrap();
            let refused = migrate(&mut connection);
            connection.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
            let Err(OpenError::Migrate(error)) = refused else { panic!("{change}: {refused:?}") };
            error
        };
        let error = refused("UPDATE _sqlx_migrations SET success = FALSE WHERE version = 2");
        assert!(matches!(error, MigrateError::Dirty(2)), "{error}");
        let error = refused("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 3");
        assert!(matches!(error, MigrateError::VersionMismatch(3)), "{error}");
        let error = refused(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9000, 'of a later release', TRUE, x'00', 0)",
        );
        assert!(matches!(error, MigrateError::VersionMissing(9000)), "{error}");
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing_behind() {
        let mut connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE accounts (id TEXT)").unwrap();
        let failed = migrate(&mut connection).unwrap_err();
        let words = "the database cannot be migrated: migration 2: table accounts already exists";
        assert!(failed.to_string().starts_with(words), "{failed}");
        let applied: Vec<i64> =
            list_applied(&connection).unwrap().iter().map(|applied| applied.version).collect();
        assert_eq!(applied, [1]);
        connection.execute_batch("DROP TABLE accounts").unwrap();
        migrate(&mut connection).unwrap();
    }

    #[tokio::test]
    async fn opening_to_look_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&format!("sqlite://{}", folder.path().join("test.db").display()));
        let sqlite = SqliteFile::of(&settings).unwrap().open(&settings).await.unwrap();
        sqlite.writer.close().await;
        let looking = SqliteFile::of(&settings).unwrap().open_to_look(&settings).unwrap();
        let refused = looking.writer.begin().await.err();
        assert!(matches!(refused, Some(StoreError::Driver(_))), "{refused:?}");
    }
}
