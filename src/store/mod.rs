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
//!
//! [`engine`] holds connections, transactions and the macros that run a statement; its page explains them. The other
//! folders hold one file an aggregate.

pub mod account;
pub mod audit;
pub mod engine;
pub mod interaction;
pub mod jobs;
pub mod limits;
pub mod link;
pub mod organization;
pub mod provider;
pub mod session;

pub use engine::database::Database;
pub use engine::error::{OpenError, StoreError};
pub use engine::settings::StoreSettings;
pub use engine::tx::Tx;

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
        ("accounts", account::accounts::STATEMENTS),
        ("apps", organization::apps::STATEMENTS),
        ("audit", audit::STATEMENTS),
        ("audit_days", audit::audit_days::STATEMENTS),
        ("changes", jobs::changes::STATEMENTS),
        ("connections", organization::connections::STATEMENTS),
        ("domains", organization::domains::STATEMENTS),
        ("expected", link::expected::STATEMENTS),
        ("floods", audit::floods::STATEMENTS),
        ("flows", interaction::flows::STATEMENTS),
        ("grants", provider::grants::STATEMENTS),
        ("guesses", limits::guesses::STATEMENTS),
        ("housekeeping", jobs::housekeeping::STATEMENTS),
        ("jobs", jobs::STATEMENTS),
        ("keys", provider::keys::STATEMENTS),
        ("ledger", link::ledger::STATEMENTS),
        ("interactions", interaction::interactions::STATEMENTS),
        ("looks", organization::looks::STATEMENTS),
        ("mail_codes", account::mail_codes::STATEMENTS),
        ("mail_counts", limits::mail_counts::STATEMENTS),
        ("merging", link::merging::STATEMENTS),
        ("organizations", organization::organizations::STATEMENTS),
        ("password_links", account::password_links::STATEMENTS),
        ("passwords", account::passwords::STATEMENTS),
        ("profiles", account::profiles::STATEMENTS),
        ("replacing", link::replacing::STATEMENTS),
        ("session_ends", session::session_ends::STATEMENTS),
        ("sessions", session::sessions::STATEMENTS),
        ("standing", provider::standing::STATEMENTS),
        ("turns", jobs::turns::STATEMENTS),
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
        Tx::Postgres(link) => {
            engine::tx::ask!(link, connection => connection.prepare(text.into_sql_str())).map(drop)
        }
    }
}
