//! Links by which a password is set: kept as the hash of their token, used once.

use sqlx::FromRow;

use super::row::Row;
use super::tx::{execute, fetch_optional, statements};
use super::{StoreError, Tx};
use crate::model::{AccountId, Timestamp};

statements! {
    INSERT = "INSERT INTO password_links (hash, account_id, expires_at) VALUES ($1, $2, $3)";
    FIND = "SELECT account_id FROM password_links WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
    CONSUME = "UPDATE password_links SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING account_id";
    CONSUME_ALL = "UPDATE password_links SET used_at = $2 WHERE account_id = $1 AND used_at IS NULL";
}

#[derive(FromRow)]
struct AccountIdRow {
    account_id: String,
}

fn account(row: Option<&AccountIdRow>, hash: &str) -> Result<Option<AccountId>, StoreError> {
    let at = Row { table: "password_links", id: hash };
    row.map(|row| at.parse("account_id", &row.account_id)).transpose()
}

/// Adds a link.
pub async fn insert_link(
    tx: &mut Tx,
    hash: &str,
    account: AccountId,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, INSERT, hash, account.to_string(), expires_at.unix_micros()).map(drop)
}

/// Whose password a link sets, unless it was used or is over.
pub async fn find_link(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<Option<AccountId>, StoreError> {
    let row = fetch_optional!(tx, AccountIdRow, FIND, hash, now.unix_micros())?;
    account(row.as_ref(), hash)
}

/// Uses a link up; `None` when it was used before or is over.
pub async fn consume_link(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<Option<AccountId>, StoreError> {
    let row = fetch_optional!(tx, AccountIdRow, CONSUME, hash, now.unix_micros())?;
    account(row.as_ref(), hash)
}

/// Lets no link of an account work any more.
pub async fn consume_all_links(tx: &mut Tx, account: AccountId, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, CONSUME_ALL, account.to_string(), now.unix_micros()).map(drop)
}
