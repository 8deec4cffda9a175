//! A database of its own for each test, of either kind.

use std::collections::BTreeMap;
use std::mem;
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::store::{Database, StoreSettings};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tempfile::TempDir;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A fresh database. SQLite's file goes when this is dropped; PostgreSQL's database goes when the next one is made.
pub struct TestDatabase {
    pub settings: StoreSettings,
    _folder: TempDir,
}

/// A connection to `SQLite` behind the broker's back. It waits for the broker's writer on a thread of its own, since the
/// broker may need the test's.
pub struct SqliteConnection(Option<rusqlite::Connection>);

impl SqliteConnection {
    pub fn connect(url: &str) -> Self {
        let connection = rusqlite::Connection::open(url.strip_prefix("sqlite://").unwrap()).unwrap();
        connection.busy_timeout(Duration::from_mins(1)).unwrap();
        Self(Some(connection))
    }

    /// Runs statements.
    pub async fn run(&mut self, sql: impl Into<String>) {
        let sql = sql.into();
        self.ask(move |connection| connection.execute_batch(&sql)).await;
    }

    /// The rows of a statement, as `row` reads them.
    pub async fn rows<T: Send + 'static>(
        &mut self,
        sql: impl Into<String>,
        row: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Vec<T> {
        let sql = sql.into();
        self.ask(move |connection| {
            let mut statement = connection.prepare(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            statement.raw_query().mapped(row).collect()
        })
        .await
    }

    async fn ask<T: Send + 'static>(
        &mut self,
        ask: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> T {
        let connection = self.0.take().unwrap();
        let asked = tokio::task::spawn_blocking(move || {
            let answer = ask(&connection);
            (connection, answer)
        });
        let (connection, answer) = asked.await.unwrap();
        self.0 = Some(connection);
        answer.unwrap()
    }
}

/// A transaction behind the broker's back that is still open: what it changed, the broker waits for.
pub enum Held {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Held {
    /// Returns when the broker waits for this transaction. `PostgreSQL` tells; `SQLite` cannot be asked, so there the
    /// broker is given a moment, and a test's verdict must hold whichever of the two comes first.
    pub async fn wait_for_the_broker(&mut self) {
        match self {
            Self::Sqlite(_) => tokio::time::sleep(Duration::from_millis(300)).await,
            Self::Postgres(connection) => {
                let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                               AND wait_event_type = 'Lock'";
                for _ in 0..1_000 {
                    let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut *connection).await.unwrap();
                    if count > 0 {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                panic!("the broker never waits for this transaction");
            }
        }
    }

    /// Commits.
    pub async fn release(mut self) {
        match &mut self {
            Self::Sqlite(connection) => connection.run("COMMIT").await,
            Self::Postgres(connection) => {
                connection.execute("COMMIT").await.unwrap();
            }
        }
    }
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// URLs of `PostgreSQL`'s databases whose tests have ended. Each takes some 12 MiB: a whole run would fill a small disk.
static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.settings.url.starts_with("postgres") {
            ENDED.lock().unwrap().push(mem::take(&mut self.settings.url));
        }
    }
}

impl TestDatabase {
    pub async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}", folder.path().join("test.db").display()),
            Kind::Postgres => {
                let server = std::env::var("COUNTERSIGN_TEST_POSTGRES")
                    .expect("set COUNTERSIGN_TEST_POSTGRES, or run scripts/test, which starts a server");
                new_postgres_database(&server).await
            }
        };
        Self::at(url, folder)
    }

    /// A fresh database on a `PostgreSQL` server of the test's own.
    pub async fn on_server(server: &str) -> Self {
        Self::at(new_postgres_database(server).await, tempfile::tempdir().unwrap())
    }

    fn at(url: String, folder: TempDir) -> Self {
        let settings = StoreSettings {
            url,
            max_connections: 8,
            synchronous_full: false,
            acquire_timeout: Duration::from_secs(30),
        };
        Self { settings, _folder: folder }
    }

    /// Runs one statement behind the broker's back.
    pub async fn run(&self, statement: &'static str) {
        let url = &self.settings.url;
        if url.starts_with("postgres") {
            PgConnection::connect(url).await.unwrap().execute(statement).await.unwrap();
        } else {
            SqliteConnection::connect(url).run(statement).await;
        }
    }

    /// Runs statements behind the broker's back in one transaction, and leaves it open.
    pub async fn hold(&self, statements: &[&'static str]) -> Held {
        let url = &self.settings.url;
        if url.starts_with("postgres") {
            let mut connection = PgConnection::connect(url).await.unwrap();
            connection.execute("BEGIN").await.unwrap();
            for statement in statements {
                connection.execute(*statement).await.unwrap();
            }
            Held::Postgres(connection)
        } else {
            let mut connection = SqliteConnection::connect(url);
            connection.run("BEGIN IMMEDIATE").await;
            for statement in statements {
                connection.run(*statement).await;
            }
            Held::Sqlite(connection)
        }
    }

    /// Adds a column to every table behind the broker's back, as the migrations of a later release do while nodes of this
    /// one run.
    pub async fn widen_every_table(&self) {
        let url = &self.settings.url;
        if url.starts_with("postgres") {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
            for table in sqlx::query_scalar::<_, String>(tables).fetch_all(&mut connection).await.unwrap() {
                // Each by itself: a transaction that locks several tables can block a sign-in, and be blocked by it.
                let widen = format!("ALTER TABLE {table} ADD COLUMN later BIGINT");
                connection.execute(AssertSqlSafe(widen)).await.unwrap();
            }
            return;
        }
        let mut connection = SqliteConnection::connect(url);
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
        for table in connection.rows(tables, |row| row.get::<_, String>(0)).await {
            connection.run(format!("ALTER TABLE {table} ADD COLUMN later BIGINT")).await;
        }
    }

    /// How many rows there are: `TABLE`, or `TABLE WHERE …`.
    pub async fn count_rows(&self, tables: &[&'static str]) -> BTreeMap<&'static str, i64> {
        let url = &self.settings.url;
        let mut counts = BTreeMap::new();
        if url.starts_with("postgres") {
            let mut connection = PgConnection::connect(url).await.unwrap();
            for table in tables {
                let query = sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")));
                counts.insert(*table, query.fetch_one(&mut connection).await.unwrap());
            }
        } else {
            let mut connection = SqliteConnection::connect(url);
            for table in tables {
                let counted =
                    connection.rows(format!("SELECT COUNT(*) FROM {table}"), |row| row.get(0)).await;
                counts.insert(*table, counted[0]);
            }
        }
        counts
    }

    /// Every byte that the database has kept: SQLite's files, PostgreSQL's rows.
    pub async fn everything_stored(&self) -> Vec<u8> {
        let url = &self.settings.url;
        if let Some(path) = url.strip_prefix("sqlite://") {
            let mut bytes = std::fs::read(path).unwrap();
            bytes.extend(std::fs::read(format!("{path}-wal")).unwrap_or_default());
            return bytes;
        }
        let mut connection = PgConnection::connect(url).await.unwrap();
        let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
        let tables = sqlx::query(tables).fetch_all(&mut connection).await.unwrap();
        let mut text = String::new();
        for table in tables {
            let name: String = table.get(0);
            let rows = format!("SELECT row.*::text FROM {name} row");
            for row in sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut connection).await.unwrap() {
                text.push_str(&row.get::<String, _>(0));
            }
        }
        text.into_bytes()
    }

    pub async fn open(&self) -> Database {
        Database::open(&self.settings).await.unwrap()
    }
}

/// Makes a database on a server, and removes those there whose tests have ended.
async fn new_postgres_database(server: &str) -> String {
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let name = format!("test_{}_{number}", process::id());
    let (base, _) = server.rsplit_once('/').unwrap();
    let mut connection = PgConnection::connect(server).await.expect("the test server answers");
    let (ended, others) = mem::take(&mut *ENDED.lock().unwrap())
        .into_iter()
        .partition::<Vec<_>, _>(|url| url.starts_with(base));
    ENDED.lock().unwrap().extend(others);
    for url in ended {
        let (_, name) = url.rsplit_once('/').unwrap();
        connection.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    }
    connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"))).await.unwrap();
    format!("{base}/{name}")
}

/// Declares a test that runs on both databases: `on_both_databases! { async fn a_sentence(kind: Kind) { … } }`
#[macro_export]
macro_rules! on_both_databases {
    ($(#[$attribute:meta])* async fn $name:ident($kind:ident: $Kind:ty) $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[$attribute])*
            async fn run($kind: $Kind) $body

            #[test]
            fn sqlite() {
                $crate::harness::watch::run(run($crate::harness::database::Kind::Sqlite));
            }

            #[test]
            fn postgres() {
                $crate::harness::watch::run(run($crate::harness::database::Kind::Postgres));
            }
        }
    };
}
