//! A database of its own for each test, of either kind.

use std::collections::BTreeMap;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::store::{Database, StoreSettings};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqliteConnection};
use tempfile::TempDir;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A fresh database; it goes when this is dropped.
pub struct TestDatabase {
    pub settings: StoreSettings,
    _folder: TempDir,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl TestDatabase {
    pub async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}", folder.path().join("test.db").display()),
            Kind::Postgres => new_postgres_database().await,
        };
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
            SqliteConnection::connect(url).await.unwrap().execute(statement).await.unwrap();
        }
    }

    /// How many rows each of these tables holds.
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
            let mut connection = SqliteConnection::connect(url).await.unwrap();
            for table in tables {
                let query = sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")));
                counts.insert(*table, query.fetch_one(&mut connection).await.unwrap());
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

/// Makes a database on the server that `COUNTERSIGN_TEST_POSTGRES` names. Databases of earlier runs are left to the
/// throw-away server.
async fn new_postgres_database() -> String {
    let server = std::env::var("COUNTERSIGN_TEST_POSTGRES")
        .expect("set COUNTERSIGN_TEST_POSTGRES, or run scripts/test, which starts a server");
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let name = format!("test_{}_{number}", process::id());
    let mut connection = PgConnection::connect(&server).await.expect("the test server answers");
    connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE template0"))).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    format!("{base}/{name}")
}

/// Declares a test that runs on both databases: `on_both_databases!(a_sentence, |kind| async move { … });`
#[macro_export]
macro_rules! on_both_databases {
    ($(#[$attribute:meta])* async fn $name:ident($kind:ident: $Kind:ty) $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[$attribute])*
            async fn run($kind: $Kind) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                run($crate::harness::database::Kind::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                run($crate::harness::database::Kind::Postgres).await;
            }
        }
    };
}
