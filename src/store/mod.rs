//! The store: the only room that says `sqlx` and `rusqlite`. One SQL text serves `SQLite` and `PostgreSQL`.
//!
//! * [`Database`] opens, migrates, and hands out [`Tx`]: [`Database::read`] for short reads,
//!   [`Database::write`] for everything that must be durable together.
//! * One file an aggregate: `find_*` gives an `Option`, `list_*` many, `insert_*`, `consume_*` and `revoke_*` change.
//! * The database referees: a single-use thing is one guarded `UPDATE` or `INSERT … ON CONFLICT DO NOTHING`,
//!   of which the rows are counted, uniqueness is a constraint, the 25 profiles are a guarded counter with a CHECK.
//! * Statements are constants; a test prepares every one on both databases. What may take long is marked at its call
//!   (`fetch_many!`, `execute_many!`): everything else runs on the thread of a request (`sqlite`).

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

/// Every statement of the store, as (file, name, text).
pub fn all_statements() -> Vec<(&'static str, &'static str, &'static str)> {
    let files: [(&'static str, &[(&'static str, &'static str)]); 29] = [
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
    let flat =
        files.into_iter().flat_map(|(file, list)| list.iter().map(move |(name, text)| (file, *name, *text)));
    flat.chain(housekeeping::STATEMENTS.iter().map(|(name, text)| ("housekeeping", *name, *text))).collect()
}

/// Asks the database to prepare a statement, without running it.
pub async fn prepare(tx: &mut Tx, text: &'static str) -> Result<(), StoreError> {
    use sqlx::{Executor, SqlSafeStr};
    match tx {
        Tx::Sqlite(link) => link.prepare(text),
        Tx::Postgres(link) => tx::ask!(link, connection => connection.prepare(text.into_sql_str())).map(drop),
    }
}
