//! The rows of interactions that wait for the user. Their proofs are sealed. Each change names the revision before it,
//! so only the first of two concurrent changes succeeds.

use crate::model::{AccountId, FlowId, InteractionEnd, OrganizationId, Timestamp};
use crate::store::engine::row::{Row, text, time};
use crate::store::engine::tx::{execute, execute_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    INSERT = "INSERT INTO interactions (id, organization_id, account_id, chosen_account_id, state_sealed, revision, \
              waits_since, expires_at) VALUES ($1, $2, $3, $4, $5, 0, $6, $7) ON CONFLICT (id) DO NOTHING";
    FIND = "SELECT id, organization_id, state_sealed, revision, waits_since FROM interactions \
            WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
    CLAIM = "UPDATE interactions SET revision = revision + 1 \
             WHERE id = $1 AND revision = $2 AND ended_at IS NULL AND expires_at > $3";
    UPDATE = "UPDATE interactions SET organization_id = $2, account_id = $3, chosen_account_id = $4, state_sealed = $5, \
              waits_since = $6, expires_at = $7 WHERE id = $1 AND revision = $8 AND ended_at IS NULL";
    END = "UPDATE interactions SET ended_at = $2, ended_by = $3 WHERE id = $1 AND ended_at IS NULL";
    EXPIRE = "UPDATE interactions SET ended_at = $2, ended_by = $4 \
            WHERE id = $1 AND ended_at IS NULL AND (expires_at <= $2 OR waits_since > $3)";
    FIND_END = "SELECT id, ended_by FROM interactions WHERE id = $1";
    END_OF_ACCOUNT = "UPDATE interactions SET ended_at = $2, ended_by = $4 \
                      WHERE (account_id = $1 OR chosen_account_id = $1) AND id <> $3 AND ended_at IS NULL";
}

/// An interaction to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInteraction {
    /// Id.
    pub id: FlowId,
    /// The organization of its subject; `None` if it has none.
    pub organization: Option<OrganizationId>,
    /// The accounts that were proved in it.
    pub accounts: ProvedAccounts,
    /// Everything else, sealed.
    pub state_sealed: String,
    /// When it began to wait for its present step.
    pub waits_since: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// The accounts that were proved in an interaction: that of its subject, and that of the chosen side of a link.
pub type ProvedAccounts = [Option<AccountId>; 2];

/// A stored interaction with its revision; its content is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundInteraction {
    /// Id.
    pub id: FlowId,
    /// The organization of its subject; `None` if it has none.
    pub organization: Option<OrganizationId>,
    /// Everything else, sealed.
    pub state_sealed: String,
    /// The number of changes so far.
    pub revision: i64,
    /// When it began to wait for its present step.
    pub waits_since: Timestamp,
}

row! {
    struct InteractionRow {
        id: String,
        organization_id: Option<String>,
        state_sealed: String,
        revision: i64,
        waits_since: i64,
    }
}

row! {
    struct EndRow {
        id: String,
        ended_by: Option<String>,
    }
}

impl TryFrom<InteractionRow> for FoundInteraction {
    type Error = StoreError;

    fn try_from(row: InteractionRow) -> Result<Self, StoreError> {
        let at = Row { table: "interactions", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            organization: at.parse_optional("organization_id", row.organization_id.as_deref())?,
            revision: row.revision,
            waits_since: time(row.waits_since),
            state_sealed: row.state_sealed,
        })
    }
}

/// Stores an interaction, at revision 0. `false` if one with its id was stored before.
pub async fn insert_interaction(tx: &mut Tx, new: &StoredInteraction) -> Result<bool, StoreError> {
    let [account, chosen] = &new.accounts;
    let inserted = execute!(
        tx,
        INSERT,
        new.id.to_string(),
        text(new.organization.as_ref()),
        text(account.as_ref()),
        text(chosen.as_ref()),
        &new.state_sealed,
        new.waits_since.unix_micros(),
        new.expires_at.unix_micros(),
    )?;
    Ok(inserted == 1)
}

/// The interaction with this id; `None` if it has ended or expired.
pub async fn find_interaction(
    tx: &mut Tx,
    id: FlowId,
    now: Timestamp,
) -> Result<Option<FoundInteraction>, StoreError> {
    let row = fetch_optional!(tx, InteractionRow, FIND, id.to_string(), now.unix_micros())?;
    row.map(TryInto::try_into).transpose()
}

/// Claims an interaction for its next change by moving it from `revision` to the next one. `false` if another request
/// was first, or if it has expired.
pub async fn claim_interaction(
    tx: &mut Tx,
    id: FlowId,
    revision: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, CLAIM, id.to_string(), revision, now.unix_micros())? == 1)
}

/// Writes the new state of an interaction that this transaction has claimed, at the revision that the claim gave it.
/// `false` if it has ended in between.
pub async fn update_interaction(
    tx: &mut Tx,
    changed: &StoredInteraction,
    revision: i64,
) -> Result<bool, StoreError> {
    let [account, chosen] = &changed.accounts;
    let updated = execute!(
        tx,
        UPDATE,
        changed.id.to_string(),
        text(changed.organization.as_ref()),
        text(account.as_ref()),
        text(chosen.as_ref()),
        &changed.state_sealed,
        changed.waits_since.unix_micros(),
        changed.expires_at.unix_micros(),
        revision,
    )?;
    Ok(updated == 1)
}

/// Ends an interaction, at any revision. `false` if it had ended before.
pub async fn end_interaction(
    tx: &mut Tx,
    id: FlowId,
    by: InteractionEnd,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(execute!(tx, END, id.to_string(), now.unix_micros(), by.as_str())? == 1)
}

/// Marks an interaction as ended that has expired or that began to wait later than `latest`, so that it stays ended
/// even if the clock is set back.
pub async fn expire_interaction(
    tx: &mut Tx,
    id: FlowId,
    now: Timestamp,
    latest: Timestamp,
) -> Result<(), StoreError> {
    let by = InteractionEnd::Expired.as_str();
    execute!(tx, EXPIRE, id.to_string(), now.unix_micros(), latest.unix_micros(), by).map(drop)
}

/// The state of an interaction that is no longer waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It has expired, or began in the future; its row does not say so yet.
    Over,
    /// It has ended, for this reason.
    Noted(InteractionEnd),
}

/// Why an interaction no longer waits; `None` if it has no row.
pub async fn find_end(tx: &mut Tx, id: FlowId) -> Result<Option<End>, StoreError> {
    let Some(row) = fetch_optional!(tx, EndRow, FIND_END, id.to_string())? else { return Ok(None) };
    let at = Row { table: "interactions", id: &row.id };
    let by = at.parse_optional("ended_by", row.ended_by.as_deref())?;
    Ok(Some(by.map_or(End::Over, End::Noted)))
}

/// Ends the interactions in which an account was proved as either side of a link, except one.
pub async fn end_interactions_of_account(
    tx: &mut Tx,
    account: AccountId,
    but: Option<FlowId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let but = but.map(|but| but.to_string()).unwrap_or_default();
    let by = InteractionEnd::Account.as_str();
    execute_many!(tx, END_OF_ACCOUNT, account.to_string(), now.unix_micros(), but, by).map(drop)
}
