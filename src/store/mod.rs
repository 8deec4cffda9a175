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
mod database;
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
mod settings;
mod sqlite;
pub mod standing;
pub mod turns;
pub mod tx;

pub use database::Database;
pub use error::{OpenError, StoreError};
pub use settings::StoreSettings;
pub use tx::Tx;

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
