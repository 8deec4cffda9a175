//! What the database holds, read behind the broker's back.

use countersign::model::{AccountId, ConnectionId, LedgerId, ProfileId};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::harness::app::TestApp;
use crate::harness::database::SqliteConnection;

/// A connection to the database behind the broker's back.
pub enum Rows {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Rows {
    pub async fn of(app: &TestApp) -> Self {
        let url = &app.database.settings.url;
        if url.starts_with("postgres") {
            Self::Postgres(PgConnection::connect(url).await.unwrap())
        } else {
            Self::Sqlite(SqliteConnection::connect(url))
        }
    }

    /// The rows of a statement that gives one text each.
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        match self {
            Self::Sqlite(connection) => connection.rows(sql, |row| row.get(0)).await,
            Self::Postgres(connection) => {
                let texts = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await;
                texts.unwrap_or_else(|error| panic!("{sql}: {error}"))
            }
        }
    }

    /// How many rows there are: `TABLE`, or `TABLE WHERE …`.
    pub async fn count(&mut self, table: &str) -> i64 {
        let counted = self.texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table}")).await;
        counted[0].parse().unwrap()
    }

    /// Runs a statement.
    pub async fn run(&mut self, sql: &str) {
        match self {
            Self::Sqlite(connection) => connection.run(sql).await,
            Self::Postgres(connection) => {
                let run = connection.execute(AssertSqlSafe(sql.to_owned())).await;
                run.unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
        }
    }

    /// The profiles of an account, as `connection subject`, sorted; `local` is username and password.
    pub async fn profiles(&mut self, account: AccountId) -> Vec<String> {
        let sql = format!(
            "SELECT CASE WHEN connection_id IS NULL THEN 'local' ELSE connection_id || ' ' || subject END \
             FROM profiles WHERE account_id = '{account}' ORDER BY 1"
        );
        self.texts(&sql).await
    }

    /// The profile of a subject through a connection.
    pub async fn profile(&mut self, connection: ConnectionId, subject: &str) -> ProfileId {
        let sql =
            format!("SELECT id FROM profiles WHERE connection_id = '{connection}' AND subject = '{subject}'");
        self.texts(&sql).await[0].parse().unwrap()
    }

    /// The kinds of all entries of the ledger, oldest first.
    pub async fn ledger(&mut self) -> Vec<String> {
        self.texts("SELECT kind FROM link_ledger ORDER BY at, id").await
    }

    /// The latest entry of a kind.
    pub async fn entry(&mut self, kind: &str) -> LedgerId {
        let sql =
            format!("SELECT id FROM link_ledger WHERE kind = '{kind}' ORDER BY at DESC, id DESC LIMIT 1");
        self.texts(&sql).await[0].parse().unwrap()
    }

    /// Fails unless everything fits together that must at every instant.
    pub async fn assert_sound(&mut self) {
        for (broken, what) in UNSOUND {
            assert_eq!(self.count(broken).await, 0, "{what}");
        }
    }
}

/// What must not be in the database, and what it would mean.
const UNSOUND: [(&str, &str); 9] = [
    (
        "accounts a WHERE profile_count <> (SELECT COUNT(*) FROM profiles p WHERE p.account_id = a.id) OR profile_count > 25",
        "profiles are counted wrongly",
    ),
    (
        "profiles p JOIN profiles q ON q.account_id = p.account_id AND q.issuer = p.issuer AND q.id <> p.id",
        "two profiles of one provider on an account",
    ),
    ("accounts WHERE merged_into IS NOT NULL AND profile_count > 0", "a merged account has a profile"),
    (
        "sessions s JOIN accounts a ON a.id = s.account_id WHERE a.merged_into IS NOT NULL AND s.ended_at IS NULL",
        "somebody is signed in to a merged account",
    ),
    (
        "grants g JOIN accounts a ON a.id = g.account_id WHERE a.merged_into IS NOT NULL AND g.revoked_at IS NULL",
        "an app has a living grant for a merged account",
    ),
    (
        "sessions s WHERE s.ended_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM profiles p WHERE p.id = s.profile_id AND p.account_id = s.account_id)",
        "a session lives by a profile that its account does not have",
    ),
    (
        "passwords w WHERE NOT EXISTS (SELECT 1 FROM profiles p WHERE p.account_id = w.account_id AND p.connection_id IS NULL)",
        "a password without a local profile",
    ),
    (
        "account_roles r JOIN accounts a ON a.id = r.account_id WHERE a.merged_into IS NOT NULL",
        "a merged account has a role",
    ),
    ("link_ledger u JOIN link_ledger v ON v.undoes = u.undoes AND v.id <> u.id", "an entry is undone twice"),
];
