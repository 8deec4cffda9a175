//! Counters of guesses. A guess is counted before it is checked, so that parallel guesses cannot outrun the count.

use crate::model::Timestamp;
use crate::store::engine::row::time;
use crate::store::engine::tx::{execute, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    FIND = "SELECT failures, blocked_until, updated_at FROM guesses WHERE scope = $1 AND subject = $2";
    RESERVE_FIRST = "INSERT INTO guesses (scope, subject, failures, blocked_until, updated_at) VALUES ($1, $2, 1, $3, $4) \
                     ON CONFLICT (scope, subject) DO NOTHING";
    RESERVE_NEXT = "UPDATE guesses SET failures = $4, blocked_until = $5, updated_at = $6 \
                    WHERE scope = $1 AND subject = $2 AND failures = $3 AND updated_at = $7";
    FORGIVE = "DELETE FROM guesses WHERE scope = $1 AND subject = $2";
    RETURN_ONE = "UPDATE guesses SET failures = failures - 1, \
                  blocked_until = CASE WHEN blocked_until = $3 THEN 0 ELSE blocked_until END \
                  WHERE scope = $1 AND subject = $2 AND failures > 0";
}

/// The state of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuessCount {
    /// Guesses since the last success, including those that are still being checked.
    pub failures: i64,
    /// No guess is checked before this time.
    pub blocked_until: Timestamp,
    /// When the last guess was counted.
    pub updated_at: Timestamp,
}

row! {
    pub(in crate::store) struct GuessRow {
        failures: i64,
        blocked_until: i64,
        updated_at: i64,
    }
}

impl From<GuessRow> for GuessCount {
    fn from(row: GuessRow) -> Self {
        Self {
            failures: row.failures,
            blocked_until: time(row.blocked_until),
            updated_at: time(row.updated_at),
        }
    }
}

/// The counter of a scope (`policy::sign_in::guesses::Scope`) and subject; `None` if nothing was counted.
pub async fn find_guesses(tx: &mut Tx, scope: &str, subject: &str) -> Result<Option<GuessCount>, StoreError> {
    let row = fetch_optional!(tx, GuessRow, FIND, scope, subject)?;
    Ok(row.map(Into::into))
}

/// Counts one guess more than `seen`, with the wait that follows it. `false` if another guess was counted in between:
/// the caller must read and decide again.
pub async fn reserve_guess(
    tx: &mut Tx,
    scope: &str,
    subject: &str,
    seen: Option<GuessCount>,
    next: GuessCount,
) -> Result<bool, StoreError> {
    let (blocked, now) = (next.blocked_until.unix_micros(), next.updated_at.unix_micros());
    let changed = match seen {
        None => execute!(tx, RESERVE_FIRST, scope, subject, blocked, now)?,
        Some(seen) => execute!(
            tx,
            RESERVE_NEXT,
            scope,
            subject,
            seen.failures,
            next.failures,
            blocked,
            now,
            seen.updated_at.unix_micros(),
        )?,
    };
    Ok(changed == 1)
}

/// Deletes a counter after a success.
pub async fn forgive_guesses(tx: &mut Tx, scope: &str, subject: &str) -> Result<(), StoreError> {
    execute!(tx, FORGIVE, scope, subject)?;
    Ok(())
}

/// Takes back one counted guess that was not a failure, with the wait that it caused. A wait that another guess has
/// caused since stays.
pub async fn return_guess(
    tx: &mut Tx,
    scope: &str,
    subject: &str,
    blocked_until: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, RETURN_ONE, scope, subject, blocked_until.unix_micros())?;
    Ok(())
}
