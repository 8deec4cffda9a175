//! One connection, and the results of its statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::types::{FromSql, ToSql};
use rusqlite::{CachedStatement, Error, ErrorCode, Row};

use crate::store::engine::settings::CALL_DEADLINE;

/// The values bound to a statement: the first is `$1`.
pub(in crate::store) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How many statements stay prepared: more than the store has.
const PREPARED: usize = 512;

/// After how many of its own instructions `SQLite` checks the deadline: some tenths of a millisecond.
const INSTRUCTIONS: i32 = 20_000;

/// How long to wait before the statement is tried again while another process locks the database.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// How long a statement waits for another process. This is shorter than [`CALL_DEADLINE`], so that the error can name
/// the cause.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(4);

/// A connection. Each statement ends at [`CALL_DEADLINE`], and none waits for another process: [`patiently`] does
/// that.
pub(in crate::store) struct Connection {
    raw: rusqlite::Connection,
    deadline: Deadline,
}

impl Connection {
    /// Wraps a connection.
    pub fn new(raw: rusqlite::Connection) -> Result<Self, Error> {
        raw.set_prepared_statement_cache_capacity(PREPARED);
        raw.busy_timeout(Duration::ZERO)?;
        let deadline = Deadline::new();
        let watched = deadline.clone();
        raw.progress_handler(INSTRUCTIONS, Some(move || watched.has_passed()))?;
        Ok(Self { raw, deadline })
    }

    /// Runs a statement. Returns the number of rows that it changed.
    pub fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64, Error> {
        let changed = self.bound(sql, values)?.raw_execute()?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    /// Runs a statement. Returns its first row.
    pub fn one<T: FromColumns>(&self, sql: &str, values: Values<'_>) -> Result<Option<T>, Error> {
        let mut statement = self.bound(sql, values)?;
        let mut rows = statement.raw_query();
        rows.next()?.map(|row| T::read(&mut Columns::of(row))).transpose()
    }

    /// Runs a statement. Returns all its rows.
    pub fn all<T: FromColumns>(&self, sql: &str, values: Values<'_>) -> Result<Vec<T>, Error> {
        let mut statement = self.bound(sql, values)?;
        let mut rows = statement.raw_query();
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(T::read(&mut Columns::of(row))?);
        }
        Ok(all)
    }

    /// Prepares a statement without running it.
    pub fn prepare(&self, sql: &str) -> Result<(), Error> {
        self.raw.prepare_cached(sql).map(drop)
    }

    /// Whether no transaction is open. `SQLite` itself ends a transaction that cannot go on, such as on a full disk.
    pub fn is_outside_a_transaction(&self) -> bool {
        self.raw.is_autocommit()
    }

    fn bound(&self, sql: &str, values: Values<'_>) -> Result<CachedStatement<'_>, Error> {
        self.deadline.begin();
        let mut statement = self.raw.prepare_cached(sql)?;
        let count = statement.parameter_count();
        if count != values.len() {
            return Err(Error::InvalidParameterCount(values.len(), count));
        }
        // SQLite takes `$2` as a name, and numbers it by where it first occurs.
        for place in 1..=count {
            let name = statement.parameter_name(place).unwrap_or_default();
            let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
            let value = number.and_then(|number| values.get(number.checked_sub(1)?));
            let value = value.ok_or_else(|| Error::InvalidParameterName(name.to_owned()))?;
            statement.raw_bind_parameter(place, value)?;
        }
        Ok(statement)
    }
}

/// Calls `ask` until no other process locks the database, for at most [`BUSY_TIMEOUT`].
pub(super) async fn patiently<T>(mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut answer = ask();
    let began = Instant::now();
    while answer.as_ref().is_err_and(is_busy) && began.elapsed() < BUSY_TIMEOUT {
        tokio::time::sleep(BUSY_PAUSE).await;
        answer = ask();
    }
    answer
}

fn is_busy(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// When the running statement must end. Clones share it.
#[derive(Clone)]
struct Deadline {
    term: Duration,
    epoch: Instant,
    /// Nanoseconds since `epoch`.
    at: Arc<AtomicU64>,
}

impl Deadline {
    fn new() -> Self {
        Self { term: CALL_DEADLINE, epoch: Instant::now(), at: Arc::default() }
    }

    fn begin(&self) {
        self.at.store(self.now().saturating_add(nanos(self.term)), Ordering::Relaxed);
    }

    fn has_passed(&self) -> bool {
        self.now() > self.at.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        nanos(self.epoch.elapsed())
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A struct that is read from a row by the names of its columns; `tx::row!` implements it.
pub(in crate::store) trait FromColumns: Sized + Send + 'static {
    /// Reads its columns, in the order of its fields.
    fn read(columns: &mut Columns<'_>) -> Result<Self, Error>;
}

/// The columns of a row. They are found by name; this is fastest in the order in which the statement returns them.
pub(in crate::store) struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    const fn of(row: &'a Row<'a>) -> Self {
        Self { row, next: 0 }
    }

    /// The value of a column.
    pub fn take<T: FromSql>(&mut self, name: &str) -> Result<T, Error> {
        let statement = self.row.as_ref();
        let is_named = |place: &usize| statement.column_name(*place).is_ok_and(|column| column == name);
        let place = (self.next..statement.column_count()).chain(0..self.next).find(is_named);
        let place = place.ok_or_else(|| Error::InvalidColumnName(name.to_owned()))?;
        self.next = place + 1;
        self.row.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;
    use crate::store::engine::tx::row;

    row! {
        #[derive(Debug, PartialEq)]
        struct Pair {
            #[sqlx(flatten)]
            first: First,
            second: Option<i64>,
        }
    }

    row! {
        #[derive(Debug, PartialEq)]
        struct First {
            first: String,
        }
    }

    fn memory() -> Connection {
        Connection::new(rusqlite::Connection::open_in_memory().unwrap()).unwrap()
    }

    fn table() -> Connection {
        let connection = memory();
        connection.execute("CREATE TABLE a (first TEXT PRIMARY KEY, second BIGINT)", &[]).unwrap();
        connection.execute("INSERT INTO a (second, first) VALUES ($2, $1)", &[&"x", &Some(1)]).unwrap();
        connection
    }

    fn pair(first: &str, second: Option<i64>) -> Pair {
        Pair { first: First { first: first.to_owned() }, second }
    }

    #[test]
    fn a_number_names_its_value_wherever_it_stands() {
        let connection = table();
        let found = connection.one("SELECT $2 || $1 || $2 AS first, NULL AS second", &[&"b", &"a"]);
        assert_eq!(found.unwrap(), Some(pair("aba", None)));
        let wrong: [(&str, Values<'_>); 3] =
            [("SELECT $1, $2", &[&1_i64]), ("SELECT $1", &[&1_i64, &2_i64]), ("SELECT $2", &[&1_i64])];
        for (sql, values) in wrong {
            assert!(connection.one::<Pair>(sql, values).is_err(), "{sql}");
        }
    }

    #[test]
    fn columns_are_found_by_name_also_after_the_schema_has_changed() {
        let connection = table();
        let all = "SELECT * FROM a";
        assert_eq!(connection.all::<Pair>(all, &[]).unwrap(), [pair("x", Some(1))]);
        for change in [
            "ALTER TABLE a DROP COLUMN second",
            "ALTER TABLE a ADD COLUMN third BIGINT",
            "ALTER TABLE a ADD COLUMN second BIGINT",
        ] {
            connection.execute(change, &[]).unwrap();
        }
        assert_eq!(connection.all::<Pair>(all, &[]).unwrap(), [pair("x", None)]);
        connection.execute("ALTER TABLE a RENAME COLUMN second TO fourth", &[]).unwrap();
        assert!(
            matches!(connection.all::<Pair>(all, &[]), Err(Error::InvalidColumnName(name)) if name == "second")
        );
    }

    #[test]
    fn a_statement_that_takes_too_long_is_ended() {
        let mut connection = memory();
        connection.deadline.term = Duration::from_millis(20);
        let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000000) SELECT COUNT(*) AS i FROM n";
        let error = StoreError::from(connection.execute(endless, &[]).unwrap_err());
        assert!(matches!(error, StoreError::Unavailable("the database did not answer in time")), "{error:?}");
        assert_eq!(
            connection.one("SELECT 'y' AS first, 2 AS second", &[]).unwrap(),
            Some(pair("y", Some(2)))
        );
    }

    #[test]
    fn what_is_there_already_is_a_conflict_and_other_rules_are_not() {
        let connection = table();
        let insert = |first: Option<&str>| {
            let inserted = connection.execute("INSERT INTO a (first) VALUES ($1)", &[&first]);
            StoreError::from(inserted.unwrap_err())
        };
        assert!(matches!(insert(Some("x")), StoreError::Conflict));
        connection.execute("CREATE TABLE b (first TEXT NOT NULL CHECK (first <> ''))", &[]).unwrap();
        let refused = connection.execute("INSERT INTO b (first) VALUES ($1)", &[&""]);
        assert!(matches!(StoreError::from(refused.unwrap_err()), StoreError::Driver(_)));
        let missing = StoreError::from(connection.execute("DELETE FROM c", &[]).unwrap_err());
        assert!(missing.is_missing_table(), "{missing:?}");
    }
}
