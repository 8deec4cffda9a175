//! Statements for `SQLite`'s driver, and several of them in one call.
//!
//! The driver runs each call on a thread of its own, so a call costs more than the statement in it. One text may hold
//! several statements; each has its own numbers for what is bound, which are moved on behind those before it.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Executor as _,
    SqlSafeStr as _, SqlStr, SqliteConnection,
};
use tokio::time::timeout;

use super::{CALL_DEADLINE, timed_out};

/// A value that is bound.
pub(super) enum Value {
    Null,
    Text(String),
    Integer(i64),
    Boolean(bool),
}

macro_rules! value_from {
    ($($from:ty => $value:expr;)+) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                $value(value.into())
            }
        })+
    };
}

value_from! {
    String => Self::Text;
    &String => Self::Text;
    &str => Self::Text;
    i64 => Self::Integer;
    bool => Self::Boolean;
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<&Option<String>> for Value {
    fn from(value: &Option<String>) -> Self {
        value.as_deref().into()
    }
}

/// One of the store's constants, with what is bound to it.
pub(super) struct Statement {
    pub sql: &'static str,
    values: Vec<Value>,
}

impl Statement {
    pub const fn new(sql: &'static str, values: Vec<Value>) -> Self {
        Self { sql, values }
    }
}

/// What came of a statement.
#[derive(Default)]
pub(super) struct Outcome {
    /// How many rows it changed.
    pub changed: u64,
    /// The rows that it gave.
    pub rows: Vec<SqliteRow>,
}

/// What came of a call: of each statement that ran to its end, in order, and what kept the next one from it.
pub(super) struct Called {
    pub outcomes: Vec<Outcome>,
    pub error: Option<sqlx::Error>,
}

impl Called {
    /// The outcomes, if all statements ran.
    pub fn complete(self) -> Result<Vec<Outcome>, sqlx::Error> {
        self.error.map_or(Ok(self.outcomes), Err)
    }
}

/// The texts of the calls that were made, by where their statements' constants lie: there are as many as the program has
/// ways through a transaction, and putting one together costs as much as what it does.
#[derive(Default)]
pub(super) struct Texts(HashMap<Vec<(usize, usize)>, Arc<str>>);

impl Texts {
    fn text(&mut self, statements: &[Statement]) -> SqlStr {
        if let [only] = statements {
            return only.sql.into_sql_str();
        }
        let place = |statement: &Statement| (statement.sql.as_ptr().addr(), statement.sql.len());
        let text = self.0.entry(statements.iter().map(place).collect()).or_insert_with(|| joined(statements));
        // It is made of the store's own constants alone.
        AssertSqlSafe(Arc::clone(text)).into_sql_str()
    }
}

fn joined(statements: &[Statement]) -> Arc<str> {
    let (mut text, mut before) = (String::new(), 0);
    for Statement { sql, values } in statements {
        if !text.is_empty() {
            text.push_str("; ");
        }
        append_renumbered(&mut text, sql, before);
        before += values.len();
    }
    text.into()
}

/// A connection, and what it was asked before.
pub(super) struct Caller {
    /// Absent once it was given up; the next call opens another.
    connection: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    texts: Texts,
}

impl Caller {
    /// Asks through a connection that was opened with these options.
    pub fn new(connection: SqliteConnection, options: SqliteConnectOptions) -> Self {
        Self { connection: Some(connection), options, texts: Texts::default() }
    }

    /// Opens a connection.
    pub async fn open(options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        Ok(Self::new(options.connect().await?, options.clone()))
    }

    /// Whether the last call ended with the connection: what was open on it is rolled back.
    pub const fn is_lost(&self) -> bool {
        self.connection.is_none()
    }

    /// Runs statements one after the other, in one call. It ends at the first that fails.
    pub async fn call(&mut self, statements: &[Statement]) -> Called {
        let mut outcomes = Vec::with_capacity(statements.len());
        let text = self.texts.text(statements);
        let asking = async {
            let connection = self.connection().await?;
            gather(connection, text, statements, &mut outcomes).await
        };
        // A disk that hangs gives no answer and no error.
        let answer = timeout(CALL_DEADLINE, asking).await.unwrap_or_else(|_| Err(timed_out()));
        let error = answer.err();
        if let Some(error) = error.as_ref().filter(|error| must_be_given_up(error)) {
            tracing::warn!(%error, "a connection to the database was given up");
            self.connection = None;
        }
        Called { outcomes, error }
    }

    /// Asks the driver to prepare a statement.
    pub async fn prepare(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        self.connection().await?.prepare(sql.into_sql_str()).await.map(drop)
    }

    /// Closes the connection. What cannot be closed ends with its thread.
    pub async fn close(self) {
        if let Some(connection) = self.connection {
            let _ = connection.close().await;
        }
    }

    async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(self.connection.insert(connection))
    }
}

/// Whether this connection must be given up: the driver's thread has died, may die of this error, or has not answered.
///
/// The thread panics where a statement cannot be prepared anew after a change of the schema (`SQLITE_ERROR`, 1) and
/// others went before it in the call; whoever asks it anything while it does so waits for ever. A statement of the store
/// gives that code for nothing that happens every day.
fn must_be_given_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "1"),
        _ => false,
    }
}

async fn gather(
    connection: &mut SqliteConnection,
    text: SqlStr,
    statements: &[Statement],
    outcomes: &mut Vec<Outcome>,
) -> Result<(), sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for Statement { values, .. } in statements {
        for value in values {
            match value {
                Value::Null => arguments.add(None::<i64>),
                Value::Text(text) => arguments.add(text),
                Value::Integer(number) => arguments.add(*number),
                Value::Boolean(flag) => arguments.add(*flag),
            }
            .map_err(sqlx::Error::Encode)?;
        }
    }
    let query = sqlx::query_with::<sqlx::Sqlite, _>(text, arguments);
    let mut stream = connection.fetch_many(query);
    let mut rows = Vec::new();
    while let Some(step) = stream.try_next().await? {
        match step {
            Either::Right(row) => rows.push(row),
            Either::Left(done) => {
                outcomes.push(Outcome { changed: done.rows_affected(), rows: std::mem::take(&mut rows) });
            }
        }
    }
    Ok(())
}

/// Appends `sql` with each `$N` as `$(N + before)`.
fn append_renumbered(text: &mut String, sql: &str, before: usize) {
    if before == 0 {
        text.push_str(sql);
        return;
    }
    let mut pieces = sql.split('$');
    text.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let end = piece.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(piece.len());
        let (digits, rest) = piece.split_at(end);
        text.push('$');
        match digits.parse::<usize>() {
            Ok(number) => text.push_str(&(number + before).to_string()),
            Err(_) => text.push_str(digits),
        }
        text.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    #[test]
    fn numbers_move_on_behind_what_is_bound_before() {
        let mut text = "X".to_owned();
        append_renumbered(&mut text, "UPDATE a SET b = $2, c = $12 WHERE d = $1 AND e < $2", 3);
        assert_eq!(text, "XUPDATE a SET b = $5, c = $15 WHERE d = $4 AND e < $5");
        append_renumbered(&mut text, "; DELETE FROM a", 7);
        assert!(text.ends_with("< $5; DELETE FROM a"), "{text}");
    }

    const INSERT: &str = "INSERT INTO a (b, c) VALUES ($1, $2)";

    fn insert(key: &str, value: Option<i64>) -> Statement {
        Statement::new(INSERT, vec![key.into(), value.into()])
    }

    async fn table() -> Caller {
        let mut caller = Caller::open(&"sqlite::memory:".parse().unwrap()).await.unwrap();
        let create = Statement::new("CREATE TABLE a (b TEXT PRIMARY KEY, c BIGINT)", Vec::new());
        caller.call(&[create]).await.complete().unwrap();
        caller
    }

    #[tokio::test]
    async fn each_statement_of_a_call_has_its_own_values_and_outcome() {
        let mut caller = table().await;
        let change = Statement::new("UPDATE a SET c = $1 WHERE c < $1", vec![9.into()]);
        let read = Statement::new("SELECT c FROM a WHERE b = $1", vec!["y".into()]);
        let none = Statement::new("SELECT c FROM a WHERE b = $1", vec!["z".into()]);
        let statements =
            [insert("x", Some(1)), insert("y", Some(2)), insert("z\u{e9}", None), change, read, none];
        let outcomes = caller.call(&statements).await.complete().unwrap();
        assert_eq!(outcomes.iter().map(|outcome| outcome.rows.len()).collect::<Vec<_>>(), [0, 0, 0, 0, 1, 0]);
        assert_eq!(outcomes[3].changed, 2);
        assert_eq!(outcomes[4].rows[0].get::<i64, _>("c"), 9);
    }

    #[tokio::test]
    async fn a_call_ends_at_the_first_statement_that_fails_and_says_how_far_it_came() {
        let mut caller = table().await;
        let statements = [insert("x", Some(1)), insert("x", Some(2)), insert("y", Some(3))];
        let called = caller.call(&statements).await;
        assert_eq!(called.outcomes.len(), 1);
        let error = called.error.unwrap();
        assert!(
            error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation),
            "{error}"
        );
        let count = Statement::new("SELECT COUNT(*) AS c FROM a", Vec::new());
        let outcomes = caller.call(&[count]).await.complete().unwrap();
        assert_eq!(outcomes[0].rows[0].get::<i64, _>("c"), 1);
    }

    #[tokio::test]
    async fn a_call_that_may_have_ended_the_drivers_thread_is_followed_by_another_connection() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut caller = Caller::open(&options).await.unwrap();
        let plain = |sql| Statement::new(sql, Vec::new());
        caller.call(&[plain("CREATE TABLE a (b BIGINT)")]).await.complete().unwrap();
        let read = || [plain("BEGIN IMMEDIATE"), plain("SELECT b FROM a"), plain("COMMIT")];
        caller.call(&read()).await.complete().unwrap();
        let mut other = options.connect().await.unwrap();
        other.execute("ALTER TABLE a RENAME TO c").await.unwrap();
        let called = caller.call(&read()).await;
        assert_eq!(called.outcomes.len(), 1);
        assert!(called.error.unwrap().to_string().contains("no such table"));
        assert!(caller.is_lost());
        // What was open is rolled back, so that others may write.
        other.execute("ALTER TABLE c RENAME TO a").await.unwrap();
        caller.call(&read()).await.complete().unwrap();
        assert!(!caller.is_lost());
    }
}
