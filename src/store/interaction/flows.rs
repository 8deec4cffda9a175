//! The state of flows: spent ids, and flows too large for a cookie.

use crate::model::{FlowId, Timestamp};
use crate::store::engine::tx::{execute, fetch_optional, row, statements};
use crate::store::limits::guesses::{self, GuessCount, GuessRow};
use crate::store::{StoreError, Tx};

statements! {
    SPEND = "INSERT INTO spent_flows (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    SPEND_UNLESS = "INSERT INTO spent_flows (id, expires_at) SELECT $1, $2 \
                    WHERE NOT EXISTS (SELECT 1 FROM spent_flows o WHERE o.id = $3) ON CONFLICT (id) DO NOTHING";
    IS_SPENT = "SELECT id FROM spent_flows WHERE id = $1";
    FIND_SPENT = "SELECT id FROM spent_flows WHERE id IN ($1, $2) ORDER BY id LIMIT 1";
    PARK = "INSERT INTO parked_flows (id, network, sealed, expires_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed";
    COUNT_PARKED = "SELECT COUNT(*) AS parked FROM parked_flows WHERE network = $1 AND expires_at > $2";
    FIND_PARKED = "SELECT sealed FROM parked_flows WHERE id = $1 AND expires_at > $2";
}

row! {
    struct SpentRow {
        id: String,
    }
}

row! {
    struct CountRow {
        parked: i64,
    }
}

row! {
    struct ParkedRow {
        sealed: String,
    }
}

/// Spends one use of a flow, named by `mark`. `false` if it was spent before. It stays spent, even if the rest of the
/// request fails.
pub async fn spend(tx: &mut Tx, mark: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
    Ok(execute!(tx, SPEND, mark, expires_at.unix_micros())? == 1)
}

/// The result of [`spend_unless`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Whether the mark was spent now; false if it was spent before.
    pub is_first: bool,
    /// The counter of guesses; `None` if nothing was counted.
    pub guesses: Option<GuessCount>,
}

/// [`spend`], unless `over` is spent: then the user has been told that the flow has ended. The same call also returns
/// the counter of guesses with this scope and subject.
pub async fn spend_unless(
    tx: &mut Tx,
    (mark, over): (&str, &str),
    expires_at: Timestamp,
    (scope, subject): (&str, &str),
) -> Result<Spent, StoreError> {
    let spent = execute!(tx, SPEND_UNLESS, mark, expires_at.unix_micros(), over)?;
    let row = fetch_optional!(tx, GuessRow, guesses::FIND, scope, subject)?;
    Ok(Spent { is_first: spent == 1, guesses: row.map(Into::into) })
}

/// Whether one of two marks is spent.
pub async fn is_either_spent(tx: &mut Tx, one: &str, other: &str) -> Result<bool, StoreError> {
    Ok(fetch_optional!(tx, SpentRow, FIND_SPENT, one, other)?
        .is_some_and(|row| [one, other].contains(&&*row.id)))
}

/// Whether a use of a flow is spent.
pub async fn is_spent(tx: &mut Tx, mark: &str) -> Result<bool, StoreError> {
    Ok(fetch_optional!(tx, SpentRow, IS_SPENT, mark)?.is_some_and(|row| row.id == mark))
}

/// Stores a sealed flow that is too large for a cookie.
pub async fn park_flow(
    tx: &mut Tx,
    id: FlowId,
    network: &str,
    sealed: &str,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, PARK, id.to_string(), network, sealed, expires_at.unix_micros())?;
    Ok(())
}

/// How many parked flows came from a network.
pub async fn count_parked_flows(tx: &mut Tx, network: &str, now: Timestamp) -> Result<i64, StoreError> {
    let row = fetch_optional!(tx, CountRow, COUNT_PARKED, network, now.unix_micros())?;
    Ok(row.map_or(0, |row| row.parked))
}

/// A parked flow, still sealed.
pub async fn find_parked_flow(tx: &mut Tx, id: FlowId, now: Timestamp) -> Result<Option<String>, StoreError> {
    let row = fetch_optional!(tx, ParkedRow, FIND_PARKED, id.to_string(), now.unix_micros())?;
    Ok(row.map(|row| row.sealed))
}
