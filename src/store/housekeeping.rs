//! Removing what has expired, in bounded steps.

use super::tx::{execute, statements};
use super::{StoreError, Tx};
use crate::model::Timestamp;

statements! {
    DELETE_SPENT_FLOWS = "DELETE FROM spent_flows WHERE id IN \
                          (SELECT id FROM spent_flows WHERE expires_at < $1 LIMIT 1000)";
    DELETE_PARKED_FLOWS = "DELETE FROM parked_flows WHERE id IN \
                           (SELECT id FROM parked_flows WHERE expires_at < $1 LIMIT 1000)";
    DELETE_PROVEN_FLOWS = "DELETE FROM proven_flows WHERE id IN \
                           (SELECT id FROM proven_flows WHERE expires_at < $1 LIMIT 1000)";
    DELETE_CODES = "DELETE FROM codes WHERE hash IN (SELECT c.hash FROM codes c JOIN grants g ON g.id = c.grant_id \
                    WHERE c.expires_at < $1 AND g.expires_at < $1 LIMIT 1000)";
    DELETE_REFRESH_TOKENS = "DELETE FROM refresh_tokens WHERE hash IN \
                             (SELECT r.hash FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id \
                              WHERE r.expires_at < $1 AND g.expires_at < $1 LIMIT 1000)";
    DELETE_GRANTS = "DELETE FROM grants WHERE id IN (SELECT g.id FROM grants g WHERE g.expires_at < $1 \
                     AND NOT EXISTS (SELECT 1 FROM codes c WHERE c.grant_id = g.id) \
                     AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = g.id) LIMIT 1000)";
    DELETE_DEAD_TOKENS = "DELETE FROM dead_tokens WHERE id IN \
                          (SELECT id FROM dead_tokens WHERE expires_at < $1 LIMIT 1000)";
    DELETE_SESSIONS = "DELETE FROM sessions WHERE id IN (SELECT s.id FROM sessions s WHERE s.expires_at < $1 \
                       AND NOT EXISTS (SELECT 1 FROM proven_flows f WHERE f.session_id = s.id) LIMIT 1000)";
    DELETE_GUESSES = "DELETE FROM guesses WHERE updated_at < $1 AND blocked_until < $1";
    DELETE_FLOODS = "DELETE FROM audit_floods WHERE minute < $1";
    DELETE_CHANGES = "DELETE FROM changes WHERE at < $1";
}

/// Everything that expires by itself, children before parents.
const SWEEPS: &[&str] = &[
    DELETE_SPENT_FLOWS,
    DELETE_PARKED_FLOWS,
    DELETE_PROVEN_FLOWS,
    DELETE_CODES,
    DELETE_REFRESH_TOKENS,
    DELETE_GRANTS,
    DELETE_DEAD_TOKENS,
    DELETE_SESSIONS,
];

/// So many rows the statements above delete at most: the writer has others to serve.
const STEP: u64 = 1_000;

/// What one step deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// How many rows.
    pub rows: u64,
    /// Whether there may be more to delete.
    pub more: bool,
}

/// Deletes up to a thousand rows of each kind that expired before `now`. Guess counters are kept for two days after
/// their last change, changes for an hour.
pub async fn sweep(tx: &mut Tx, now: Timestamp) -> Result<Swept, StoreError> {
    let mut swept = Swept { rows: 0, more: false };
    for statement in SWEEPS {
        let rows = execute!(tx, *statement, now.unix_micros())?;
        swept.rows += rows;
        swept.more |= rows >= STEP;
    }
    let days = std::time::Duration::from_hours(48);
    swept.rows += execute!(tx, DELETE_GUESSES, now.before(days).unix_micros())?;
    let hour = now.before(std::time::Duration::from_hours(1));
    swept.rows += execute!(tx, DELETE_FLOODS, hour.unix_seconds().div_euclid(60))?;
    swept.rows += execute!(tx, DELETE_CHANGES, hour.unix_micros())?;
    Ok(swept)
}
