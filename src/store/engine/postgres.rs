//! Connections to `PostgreSQL`: a pool of them, and [`PostgresLink`], which gives each call a deadline.
//!
//! A network may drop packets instead of resetting a connection, and a server may freeze: then neither an answer nor
//! an error arrives. Three things keep a node from waiting for ever:
//!
//! * A call without an answer after [`CALL_DEADLINE`] fails, and its connection is closed at once: it may be in the
//!   middle of a message, so nothing else may use it.
//! * After that, the pool no longer gives out connections that were idle at that time, because all of them use the
//!   same network. Every other idle connection is pinged, and must answer within [`SIGN_OF_LIFE`].
//! * The server ends what a silent node left behind (see [`SESSION_SETTINGS`]), so that its locks block no other node.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::migrations::{Dialect, migrator};
use super::settings::{CALL_DEADLINE, timed_out};
use crate::store::{OpenError, StoreSettings};

/// How long an idle connection may take to answer a ping. This is less than a request waits for a connection, so that
/// another one can still be opened for the same request.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// The settings of the server for each of our connections. It ends a transaction that is not continued, and a
/// statement whose caller has given up. Both times are longer than [`CALL_DEADLINE`], so that no waiting caller is
/// disturbed. The wait for a lock ends before that deadline, with an error, so that it is not mistaken for silence.
const SESSION_SETTINGS: &str = "SET idle_in_transaction_session_timeout = '10s'; SET statement_timeout = '10s'; \
                                SET lock_timeout = '4s'";

/// The server closes a connection whose client no longer acknowledges what it sends. Some servers that speak
/// `PostgreSQL`'s protocol do not have this setting.
const TCP_USER_TIMEOUT: &str = "SET tcp_user_timeout = '10s'";

/// A pool of connections to `PostgreSQL`. Clones share it.
#[derive(Clone)]
pub(in crate::store) struct PostgresPool {
    pool: PgPool,
    silence: Arc<Silence>,
}

/// Remembers when a call last went without an answer.
struct Silence {
    began: Instant,
    /// Milliseconds since `began`; 0 means never.
    noticed: AtomicU64,
}

impl Silence {
    fn new() -> Self {
        Self { began: Instant::now(), noticed: AtomicU64::new(0) }
    }

    fn notice(&self) {
        self.noticed.store(self.age().max(1), Ordering::Relaxed);
    }

    /// Whether a connection that has been idle for `idle_for` was already idle when a call went without an answer.
    fn outdates(&self, idle_for: Duration) -> bool {
        let idle_since = self.age().saturating_sub(millis(idle_for));
        idle_since < self.noticed.load(Ordering::Relaxed)
    }

    fn age(&self) -> u64 {
        millis(self.began.elapsed())
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl PostgresPool {
    /// Opens the database and brings its schema up to date.
    pub async fn open(settings: &StoreSettings) -> Result<Self, OpenError> {
        // This uses a connection of its own, because a migration may take longer than a call of a request.
        let options = options(settings)?;
        let connecting = timeout(CALL_DEADLINE, options.connect());
        let mut connection = connecting.await.map_err(|_| timed_out())??;
        migrator(Dialect::Postgres).run_direct(None, &mut connection, false).await?;
        connection.close().await?;
        Self::connect(settings, options).await
    }

    /// Opens the database only for reading: the server refuses every write.
    pub async fn open_to_look(settings: &StoreSettings) -> Result<Self, OpenError> {
        Self::connect(settings, options(settings)?.options([("default_transaction_read_only", "on")])).await
    }

    async fn connect(settings: &StoreSettings, options: PgConnectOptions) -> Result<Self, OpenError> {
        let silence = Arc::new(Silence::new());
        let for_check = Arc::clone(&silence);
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .after_connect(|connection, _| Box::pin(prepare_session(connection)))
            // `is_alive` pings instead, and does not wait for ever.
            .test_before_acquire(false)
            .before_acquire(move |connection, idle| {
                let silence = Arc::clone(&for_check);
                Box::pin(async move { Ok(is_alive(connection, &silence, idle.idle_for).await) })
            });
        Ok(Self { pool: pool.connect_with(options).await?, silence })
    }

    /// A connection for reads.
    pub async fn read(&self) -> Result<PostgresLink, sqlx::Error> {
        let connection = Some(self.pool.acquire().await?);
        Ok(PostgresLink { connection, in_transaction: false, silence: Arc::clone(&self.silence) })
    }

    /// A transaction.
    pub async fn write(&self) -> Result<PostgresLink, sqlx::Error> {
        let mut link = self.read().await?;
        link.in_transaction = true;
        link.run("BEGIN").await?;
        Ok(link)
    }

    /// Closes all connections once their work is done.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Tells the server how to treat a connection whose client is gone. A server that does not know the settings is used
/// all the same.
async fn prepare_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for settings in [SESSION_SETTINGS, TCP_USER_TIMEOUT] {
        match connection.execute(settings).await {
            Ok(_) => {}
            Err(sqlx::Error::Database(error)) => {
                tracing::warn!(%error, "the database server refused a setting of a connection: {settings}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether an idle connection may be used.
async fn is_alive(connection: &mut PgConnection, silence: &Silence, idle_for: Duration) -> bool {
    if silence.outdates(idle_for) {
        return false;
    }
    match timeout(SIGN_OF_LIFE, connection.ping()).await {
        Ok(answered) => answered.is_ok(),
        Err(_) => {
            silence.notice();
            false
        }
    }
}

/// A connection of the pool, in a transaction or only for reads. A transaction is rolled back if this is dropped
/// without [`PostgresLink::commit`].
pub struct PostgresLink {
    /// `None` once a call went without an answer: the connection must not be used again.
    connection: Option<PoolConnection<Postgres>>,
    in_transaction: bool,
    silence: Arc<Silence>,
}

impl PostgresLink {
    /// The connection, for one call. [`PostgresLink::settle`] takes the result of that call.
    pub(in crate::store) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.connection.as_deref_mut().ok_or_else(timed_out)
    }

    /// Takes the result of a call within [`CALL_DEADLINE`]. If there is none, the connection is closed.
    pub(in crate::store) fn settle<T>(
        &mut self,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, sqlx::Error> {
        answer.unwrap_or_else(|_| {
            tracing::warn!("the database did not answer in time; a connection to it was given up");
            self.silence.notice();
            // Detached from the pool, it is closed without a message to a server that does not listen.
            drop(self.connection.take().map(PoolConnection::detach));
            Err(timed_out())
        })
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let answer = match self.connection() {
            Ok(connection) => timeout(CALL_DEADLINE, connection.execute(statement)).await,
            Err(error) => Ok(Err(error)),
        };
        self.settle(answer).map(drop)
    }

    /// Makes the writes of the transaction durable. After an error it is unknown whether the server did so.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        if self.in_transaction {
            self.run("COMMIT").await?;
            self.in_transaction = false;
        }
        Ok(())
    }
}

impl Drop for PostgresLink {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(give_back(connection, self.in_transaction));
        }
    }
}

/// Rolls back what remains of a transaction and returns the connection to the pool, or closes it if the server is
/// silent.
async fn give_back(mut connection: PoolConnection<Postgres>, in_transaction: bool) {
    if in_transaction && !matches!(timeout(CALL_DEADLINE, connection.execute("ROLLBACK")).await, Ok(Ok(_))) {
        drop(connection.detach());
        return;
    }
    // `PoolConnection` would do the same when it is dropped, but would wait for ever. The future owns the connection:
    // if it is dropped unfinished, the connection is closed and its place in the pool becomes free.
    let _ = timeout(CALL_DEADLINE, connection.return_to_pool()).await;
}

fn options(settings: &StoreSettings) -> Result<PgConnectOptions, OpenError> {
    if !["postgres:", "postgresql:"].iter().any(|scheme| settings.url.starts_with(scheme)) {
        return Err(OpenError::Url);
    }
    Ok(PgConnectOptions::from_str(&settings.url)?
        .application_name("countersign")
        .statement_cache_capacity(256)
        .disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_silence_only_connections_that_were_used_since_are_given_out() {
        let began = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let silence = Silence { began, noticed: AtomicU64::new(0) };
        assert!(!silence.outdates(Duration::from_secs(200)), "nothing was noticed yet");
        silence.notice();
        assert!(silence.outdates(Duration::from_secs(1)));
        silence.noticed.store(50_000, Ordering::Relaxed);
        assert!(silence.outdates(Duration::from_secs(51)));
        assert!(!silence.outdates(Duration::from_secs(49)));
    }
}
