//! Mailed codes: the newest of each session, kept as a keyed tag, with the number of attempts to enter it.

use crate::model::{AccountId, MAIL_CODE_LIFETIME, SessionId, Timestamp};
use crate::store::engine::tx::{execute, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    PUT = "INSERT INTO mail_codes (session_id, code_tag, tries, expires_at) VALUES ($1, $2, 0, $3) \
           ON CONFLICT (session_id) DO UPDATE SET code_tag = excluded.code_tag, tries = 0, expires_at = excluded.expires_at";
    FIND = "SELECT code_tag FROM mail_codes WHERE session_id = $1 AND expires_at > $2 AND expires_at <= $3";
    TRY = "UPDATE mail_codes SET tries = tries + 1 \
           WHERE session_id = $1 AND expires_at > $2 AND tries < $3 AND expires_at <= $4 RETURNING code_tag";
    DELETE_OF_ACCOUNT = "DELETE FROM mail_codes WHERE session_id IN (SELECT id FROM sessions WHERE account_id = $1)";
    EXPIRE = "UPDATE mail_codes SET expires_at = 0 WHERE session_id = $1 AND (expires_at <= $2 OR expires_at > $3)";
    CONSUME = "DELETE FROM mail_codes WHERE session_id = $1 AND code_tag = $2";
    DELETE = "DELETE FROM mail_codes WHERE session_id = $1";
}

row! {
    struct TagRow {
        code_tag: String,
    }
}

fn last_end(now: Timestamp) -> i64 {
    now.last_end(MAIL_CODE_LIFETIME).unix_micros()
}

/// Replaces the session's last code by a new one.
pub async fn put_code(
    tx: &mut Tx,
    session: SessionId,
    code_tag: &str,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, PUT, session.to_string(), code_tag, expires_at.unix_micros()).map(drop)
}

/// Whether a code of the session was sent and can still be entered.
pub async fn has_code(tx: &mut Tx, session: SessionId, now: Timestamp) -> Result<bool, StoreError> {
    let row = fetch_optional!(tx, TagRow, FIND, session.to_string(), now.unix_micros(), last_end(now))?;
    Ok(row.is_some())
}

/// Counts an attempt before the code is compared. Returns the code's tag; `None` if the code has expired or `most`
/// attempts were made.
pub async fn try_code(
    tx: &mut Tx,
    session: SessionId,
    most: i64,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let row = fetch_optional!(tx, TagRow, TRY, session.to_string(), now.unix_micros(), most, last_end(now))?;
    Ok(row.map(|row| row.code_tag))
}

/// Marks a code as ended that has expired, so that it stays expired even if the clock is set back.
pub async fn expire_code(tx: &mut Tx, session: SessionId, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, EXPIRE, session.to_string(), now.unix_micros(), last_end(now)).map(drop)
}

/// Invalidates every code that was mailed to an account.
pub async fn delete_codes_of_account(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    execute!(tx, DELETE_OF_ACCOUNT, account.to_string()).map(drop)
}

/// Uses up the code of a session, if it is still the one with this tag. `false` if another attempt has used it, or a
/// newer code has replaced it.
pub async fn consume_code(tx: &mut Tx, session: SessionId, code_tag: &str) -> Result<bool, StoreError> {
    Ok(execute!(tx, CONSUME, session.to_string(), code_tag)? == 1)
}

/// Invalidates the code of a session.
pub async fn delete_code(tx: &mut Tx, session: SessionId) -> Result<(), StoreError> {
    execute!(tx, DELETE, session.to_string()).map(drop)
}
