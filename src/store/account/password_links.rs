//! Links to set a password: kept as the hash of their token, and used once.

use crate::model::{AccountId, PASSWORD_LINK_LIFETIME, Timestamp};
use crate::store::engine::row::Row;
use crate::store::engine::tx::{execute, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    INSERT = "INSERT INTO password_links (hash, account_id, expires_at) VALUES ($1, $2, $3)";
    FIND = "SELECT account_id FROM password_links \
            WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 AND expires_at <= $3";
    FIND_OVER = "SELECT account_id FROM password_links \
                 WHERE hash = $1 AND used_at IS NULL AND expires_at > 0 AND (expires_at <= $2 OR expires_at > $3)";
    CONSUME = "UPDATE password_links SET used_at = $2 \
               WHERE hash = $1 AND used_at IS NULL AND expires_at > $2 AND expires_at <= $3 RETURNING account_id";
    EXPIRE = "UPDATE password_links SET expires_at = 0 WHERE hash = $1 AND (expires_at <= $2 OR expires_at > $3)";
    CONSUME_ALL = "UPDATE password_links SET used_at = $2 WHERE account_id = $1 AND used_at IS NULL";
}

row! {
    struct AccountIdRow {
        account_id: String,
    }
}

fn account(row: Option<&AccountIdRow>, hash: &str) -> Result<Option<AccountId>, StoreError> {
    let at = Row { table: "password_links", id: hash };
    row.map(|row| at.parse("account_id", &row.account_id)).transpose()
}

fn last_end(now: Timestamp) -> i64 {
    now.last_end(PASSWORD_LINK_LIFETIME).unix_micros()
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

/// The account whose password a link sets; `None` if the link was used or has expired.
pub async fn find_link(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<Option<AccountId>, StoreError> {
    let row = fetch_optional!(tx, AccountIdRow, FIND, hash, now.unix_micros(), last_end(now))?;
    account(row.as_ref(), hash)
}

/// Whether a link exists that was never used and has expired.
pub async fn is_over(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<bool, StoreError> {
    let row = fetch_optional!(tx, AccountIdRow, FIND_OVER, hash, now.unix_micros(), last_end(now))?;
    Ok(row.is_some())
}

/// Marks a link as ended that has expired, so that it stays expired even if the clock is set back.
pub async fn expire_link(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, EXPIRE, hash, now.unix_micros(), last_end(now)).map(drop)
}

/// Uses a link. `None` if it was used before or has expired.
pub async fn consume_link(tx: &mut Tx, hash: &str, now: Timestamp) -> Result<Option<AccountId>, StoreError> {
    let row = fetch_optional!(tx, AccountIdRow, CONSUME, hash, now.unix_micros(), last_end(now))?;
    account(row.as_ref(), hash)
}

/// Invalidates every link of an account.
pub async fn consume_all_links(tx: &mut Tx, account: AccountId, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, CONSUME_ALL, account.to_string(), now.unix_micros()).map(drop)
}
