//! Flow state: spent ids, flows in which somebody was proved, flows too large for a cookie.

use super::guesses::{self, GuessCount, GuessRow};
use super::row::{Row, time, to_json};
use super::tx::{execute, fetch_optional, row, statements};
use super::{StoreError, Tx};
use crate::model::{FlowId, ProvenFlow, Timestamp};

statements! {
    SPEND = "INSERT INTO spent_flows (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    SPEND_UNLESS = "INSERT INTO spent_flows (id, expires_at) SELECT $1, $2 \
                    WHERE NOT EXISTS (SELECT 1 FROM spent_flows o WHERE o.id = $3) ON CONFLICT (id) DO NOTHING";
    IS_SPENT = "SELECT id FROM spent_flows WHERE id = $1";
    FIND_SPENT = "SELECT id FROM spent_flows WHERE id IN ($1, $2) ORDER BY id LIMIT 1";
    BURY_PROVEN = "UPDATE proven_flows SET expires_at = 0 WHERE id = $1 AND expires_at <= $2 AND expires_at > 0";
    INSERT_PROVEN = "INSERT INTO proven_flows (id, account_id, session_id, target, proof, started_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7)";
    FIND_PROVEN = "SELECT id, account_id, session_id, target, proof, started_at FROM proven_flows WHERE id = $1 AND completed_at IS NULL AND expires_at > $2";
    COMPLETE = "UPDATE proven_flows SET completed_at = $2 WHERE id = $1 AND completed_at IS NULL AND expires_at > $2";
    PARK = "INSERT INTO parked_flows (id, network, sealed, expires_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed";
    COUNT_PARKED = "SELECT COUNT(*) AS parked FROM parked_flows WHERE network = $1 AND expires_at > $2";
    FIND_PARKED = "SELECT sealed FROM parked_flows WHERE id = $1 AND expires_at > $2";
}

row! {
    struct ProvenRow {
        id: String,
        account_id: String,
        session_id: String,
        target: String,
        proof: String,
        started_at: i64,
    }
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

impl TryFrom<ProvenRow> for ProvenFlow {
    type Error = StoreError;

    fn try_from(row: ProvenRow) -> Result<Self, StoreError> {
        let at = Row { table: "proven_flows", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            account: at.parse("account_id", &row.account_id)?,
            session: at.parse("session_id", &row.session_id)?,
            target: at.json("target", &row.target)?,
            proof: at.json("proof", &row.proof)?,
            started_at: time(row.started_at),
        })
    }
}

/// Spends a use of a flow, named by `mark`; `false` when it was spent before. Whatever follows, it stays spent.
pub async fn spend(tx: &mut Tx, mark: &str, expires_at: Timestamp) -> Result<bool, StoreError> {
    Ok(execute!(tx, SPEND, mark, expires_at.unix_micros())? == 1)
}

/// [`spend`], unless `over` was spent: then the flow was told to be over. Gives the counter of guesses with this scope
/// and subject as well, in the same call.
pub async fn spend_unless(
    tx: &mut Tx,
    (mark, over): (&str, &str),
    expires_at: Timestamp,
    (scope, subject): (&str, &str),
) -> Result<(bool, Option<GuessCount>), StoreError> {
    let spent = execute!(tx, SPEND_UNLESS, mark, expires_at.unix_micros(), over)?;
    let row = fetch_optional!(tx, GuessRow, guesses::FIND, scope, subject)?;
    Ok((spent == 1, row.map(Into::into)))
}

/// Whether either of two marks was spent.
pub async fn is_either_spent(tx: &mut Tx, one: &str, other: &str) -> Result<bool, StoreError> {
    Ok(fetch_optional!(tx, SpentRow, FIND_SPENT, one, other)?
        .is_some_and(|row| [one, other].contains(&&*row.id)))
}

/// Lets a flow that has expired stay so, whatever becomes of the clock.
pub async fn bury_proven_flow(tx: &mut Tx, id: FlowId, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, BURY_PROVEN, id.to_string(), now.unix_micros()).map(drop)
}

/// Whether a use of a flow was spent.
pub async fn is_spent(tx: &mut Tx, mark: &str) -> Result<bool, StoreError> {
    Ok(fetch_optional!(tx, SpentRow, IS_SPENT, mark)?.is_some_and(|row| row.id == mark))
}

/// Keeps a flow in which somebody was proved and something is still due.
pub async fn insert_proven_flow(
    tx: &mut Tx,
    flow: &ProvenFlow,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    execute!(
        tx,
        INSERT_PROVEN,
        flow.id.to_string(),
        flow.account.to_string(),
        flow.session.to_string(),
        to_json(&flow.target)?,
        to_json(&flow.proof)?,
        flow.started_at.unix_micros(),
        expires_at.unix_micros(),
    )?;
    Ok(())
}

/// A flow in which somebody was proved, unless it is complete or over.
pub async fn find_proven_flow(
    tx: &mut Tx,
    id: FlowId,
    now: Timestamp,
) -> Result<Option<ProvenFlow>, StoreError> {
    let row = fetch_optional!(tx, ProvenRow, FIND_PROVEN, id.to_string(), now.unix_micros())?;
    row.map(TryInto::try_into).transpose()
}

/// Completes a flow; `false` when it was complete or over.
pub async fn consume_proven_flow(tx: &mut Tx, id: FlowId, now: Timestamp) -> Result<bool, StoreError> {
    Ok(execute!(tx, COMPLETE, id.to_string(), now.unix_micros())? == 1)
}

/// Keeps a sealed flow that is too large for a cookie.
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

/// How many flows a network has parked.
pub async fn count_parked_flows(tx: &mut Tx, network: &str, now: Timestamp) -> Result<i64, StoreError> {
    let row = fetch_optional!(tx, CountRow, COUNT_PARKED, network, now.unix_micros())?;
    Ok(row.map_or(0, |row| row.parked))
}

/// A parked flow, sealed.
pub async fn find_parked_flow(tx: &mut Tx, id: FlowId, now: Timestamp) -> Result<Option<String>, StoreError> {
    let row = fetch_optional!(tx, ParkedRow, FIND_PARKED, id.to_string(), now.unix_micros())?;
    Ok(row.map(|row| row.sealed))
}
