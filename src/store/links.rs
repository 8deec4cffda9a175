//! Attempts to link. What was proved is sealed; each change stands on the revision before it, so that of two that come
//! at once one is late.

use super::row::{Row, text, time};
use super::tx::{execute, fetch_optional, row, statements};
use super::{StoreError, Tx};
use crate::model::{AccountId, FlowId, OrganizationId, Timestamp};

statements! {
    INSERT = "INSERT INTO link_attempts (id, organization_id, state_sealed, revision, expires_at, \
              near_account_id, far_account_id) VALUES ($1, $2, $3, 0, $4, $5, $6)";
    FIND = "SELECT id, organization_id, state_sealed, revision, expires_at FROM link_attempts WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
    ADVANCE = "UPDATE link_attempts SET state_sealed = $3, revision = revision + 1, \
               near_account_id = $5, far_account_id = $6 \
               WHERE id = $1 AND revision = $2 AND ended_at IS NULL AND expires_at > $4";
    END = "UPDATE link_attempts SET ended_at = $3 WHERE id = $1 AND revision = $2 AND ended_at IS NULL AND expires_at > $3";
    BURY = "UPDATE link_attempts SET ended_at = $2 \
            WHERE id = $1 AND ended_at IS NULL AND (expires_at <= $2 OR expires_at > $3)";
    FIND_ENDED_WITH_ACCOUNT = "SELECT id FROM link_attempts WHERE id = $1 AND ended_with_account";
    END_OF_ACCOUNT = "UPDATE link_attempts SET ended_at = $2, ended_with_account = TRUE \
                      WHERE (near_account_id = $1 OR far_account_id = $1) AND ended_at IS NULL";
    ABANDON = "UPDATE link_attempts SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";
}

/// An attempt as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttempt {
    /// Id.
    pub id: FlowId,
    /// The organization in which it links.
    pub organization: OrganizationId,
    /// What was proved, sealed.
    pub state_sealed: String,
    /// Counts its changes.
    pub revision: i64,
    /// When it is over.
    pub expires_at: Timestamp,
}

row! {
    struct AttemptRow {
        id: String,
        organization_id: String,
        state_sealed: String,
        revision: i64,
        expires_at: i64,
    }
}

row! {
    struct IdRow {
        id: String,
    }
}

impl TryFrom<AttemptRow> for StoredAttempt {
    type Error = StoreError;

    fn try_from(row: AttemptRow) -> Result<Self, StoreError> {
        let at = Row { table: "link_attempts", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            organization: at.parse("organization_id", &row.organization_id)?,
            revision: row.revision,
            expires_at: time(row.expires_at),
            state_sealed: row.state_sealed,
        })
    }
}

/// The accounts that the two sides of an attempt have proved, as far as they have.
pub type ProvedAccounts = [Option<AccountId>; 2];

/// Begins an attempt, at revision 0.
pub async fn insert_attempt(
    tx: &mut Tx,
    new: &StoredAttempt,
    [near, far]: ProvedAccounts,
) -> Result<(), StoreError> {
    execute!(
        tx,
        INSERT,
        new.id.to_string(),
        new.organization.to_string(),
        &new.state_sealed,
        new.expires_at.unix_micros(),
        text(near.as_ref()),
        text(far.as_ref()),
    )
    .map(drop)
}

/// An attempt that is neither ended nor over.
pub async fn find_attempt(
    tx: &mut Tx,
    id: FlowId,
    now: Timestamp,
) -> Result<Option<StoredAttempt>, StoreError> {
    let row = fetch_optional!(tx, AttemptRow, FIND, id.to_string(), now.unix_micros())?;
    row.map(TryInto::try_into).transpose()
}

/// Puts the next state in the place of the one at `revision`; `false` when that was not the last one any more, or the
/// attempt is over.
pub async fn advance_attempt(
    tx: &mut Tx,
    (id, revision): (FlowId, i64),
    state_sealed: &str,
    [near, far]: ProvedAccounts,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let changed = execute!(
        tx,
        ADVANCE,
        id.to_string(),
        revision,
        state_sealed,
        now.unix_micros(),
        text(near.as_ref()),
        text(far.as_ref()),
    )?;
    Ok(changed == 1)
}

/// Uses an attempt up; `false` when `revision` is not its last one any more, or it is over.
pub async fn consume_attempt(
    tx: &mut Tx,
    id: FlowId,
    revision: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, END, id.to_string(), revision, now.unix_micros())? == 1)
}

/// Lets an attempt stay over that has expired, or whose end is later than that of one which begins now (`last_end`),
/// whatever becomes of the clock.
pub async fn bury_attempt(
    tx: &mut Tx,
    id: FlowId,
    now: Timestamp,
    last_end: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, BURY, id.to_string(), now.unix_micros(), last_end.unix_micros()).map(drop)
}

/// Whether an attempt ended because everything of one of its accounts did.
pub async fn has_ended_with_account(tx: &mut Tx, id: FlowId) -> Result<bool, StoreError> {
    Ok(fetch_optional!(tx, IdRow, FIND_ENDED_WITH_ACCOUNT, id.to_string())?
        .is_some_and(|row| row.id == id.to_string()))
}

/// Ends the attempts in which an account was proved, as either side.
pub async fn end_attempts_of_account(
    tx: &mut Tx,
    account: AccountId,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute!(tx, END_OF_ACCOUNT, account.to_string(), now.unix_micros()).map(drop)
}

/// Ends an attempt whatever has become of it: a failure burns what was proved.
pub async fn abandon_attempt(tx: &mut Tx, id: FlowId, now: Timestamp) -> Result<(), StoreError> {
    execute!(tx, ABANDON, id.to_string(), now.unix_micros()).map(drop)
}
