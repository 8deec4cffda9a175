//! Passwords: for each account the present one, and the earlier ones that the user may not choose again.

use crate::model::{AccountId, REMEMBERED_PASSWORDS, Timestamp};
use crate::store::engine::row::time;
use crate::store::engine::tx::{execute, fetch_all, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    FIND = "SELECT hash, changed_at FROM passwords WHERE account_id = $1";
    SAVE = "INSERT INTO passwords (account_id, hash, changed_at) VALUES ($1, $2, $3) \
            ON CONFLICT (account_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at";
    LOCK = "UPDATE passwords SET changed_at = changed_at WHERE account_id = $1 AND hash = $2";
    REPLACE_HASH = "UPDATE passwords SET hash = $3 WHERE account_id = $1 AND hash = $2";
    REPLACE_PAST = "UPDATE past_passwords SET hash = $2 WHERE hash = $1";
    MOVE = "UPDATE passwords SET account_id = $2 WHERE account_id = $1";
    DELETE = "DELETE FROM passwords WHERE account_id = $1";
    REMEMBER = "INSERT INTO past_passwords (account_id, hash, set_at) VALUES ($1, $2, $3) \
                ON CONFLICT (account_id, hash) DO UPDATE SET set_at = excluded.set_at";
    COPY_PAST = "INSERT INTO past_passwords (account_id, hash, set_at) \
                 SELECT $2, p.hash, p.set_at FROM past_passwords p WHERE p.account_id = $1 \
                 ON CONFLICT (account_id, hash) DO NOTHING";
    FORGET = "DELETE FROM past_passwords WHERE account_id = $1 AND hash NOT IN \
              (SELECT hash FROM past_passwords WHERE account_id = $1 ORDER BY set_at DESC, hash LIMIT $2)";
    LIST_PAST = "SELECT hash FROM past_passwords WHERE account_id = $1 ORDER BY set_at DESC, hash LIMIT $2";
}

row! {
    struct PasswordRow {
        hash: String,
        changed_at: i64,
    }
}

row! {
    struct HashRow {
        hash: String,
    }
}

/// A stored password of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredPassword {
    /// The PHC string.
    pub hash: String,
    /// When this password was set. A stronger hash of the same password does not change this time.
    pub changed_at: Timestamp,
}

/// An account's password.
pub async fn find_password(tx: &mut Tx, id: AccountId) -> Result<Option<StoredPassword>, StoreError> {
    let row = fetch_optional!(tx, PasswordRow, FIND, id.to_string())?;
    Ok(row.map(|row| StoredPassword { hash: row.hash, changed_at: time(row.changed_at) }))
}

/// The hashes of the passwords that were set last, newest first. They include a password that was deleted since, and
/// always the present one.
pub async fn list_past_passwords(tx: &mut Tx, id: AccountId) -> Result<Vec<String>, StoreError> {
    let rows = fetch_all!(tx, HashRow, LIST_PAST, id.to_string(), REMEMBERED_PASSWORDS)?;
    let mut hashes: Vec<String> = rows.into_iter().map(|row| row.hash).collect();
    let current = find_password(tx, id).await?.map(|current| current.hash);
    hashes.extend(current.filter(|current| !hashes.contains(current)));
    Ok(hashes)
}

/// Sets an account's password and adds it to the remembered ones.
pub async fn save_password(tx: &mut Tx, id: AccountId, hash: &str, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, SAVE, id.to_string(), hash, now.unix_micros())?;
    execute!(tx, REMEMBER, id.to_string(), hash, now.unix_micros())?;
    execute!(tx, FORGET, id.to_string(), REMEMBERED_PASSWORDS).map(drop)
}

/// Locks an account's password for the rest of the transaction, so that it cannot change. `false` if it is no longer
/// the one with this hash.
pub async fn lock_password(tx: &mut Tx, id: AccountId, hash: &str) -> Result<bool, StoreError> {
    Ok(execute!(tx, LOCK, id.to_string(), hash)? == 1)
}

/// Replaces the hash `old` by a stronger hash of the same password, unless the password has changed since.
pub async fn replace_password_hash(
    tx: &mut Tx,
    id: AccountId,
    old: &str,
    new: &str,
) -> Result<(), StoreError> {
    execute!(tx, REPLACE_HASH, id.to_string(), old, new)?;
    // The weaker hash must not stay anywhere, wherever a merge has copied it. A hash has a salt, so it belongs to one
    // password.
    execute!(tx, REPLACE_PAST, old, new).map(drop)
}

/// Moves the password of one account, with the remembered ones, to another that has none.
pub async fn move_password(tx: &mut Tx, from: AccountId, to: AccountId) -> Result<(), StoreError> {
    execute!(tx, MOVE, from.to_string(), to.to_string())?;
    execute!(tx, COPY_PAST, from.to_string(), to.to_string())?;
    execute!(tx, FORGET, to.to_string(), REMEMBERED_PASSWORDS).map(drop)
}

/// Deletes an account's password. It stays among the remembered ones.
pub async fn delete_password(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    execute!(tx, DELETE, account.to_string()).map(drop)
}
