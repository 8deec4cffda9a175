//! Expected identities: the account to which the next matching sign-in through a connection belongs. Each is claimed
//! once.

use crate::model::{AccountId, ConnectionId, OrganizationId, Timestamp};
use crate::store::engine::row::Row;
use crate::store::engine::tx::{execute, fetch_all, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    FIND = "SELECT account_id, connection_id, claim, value, consumed_at FROM expected_identities \
            WHERE organization_id = $1 AND account_id = $2";
    LIST_CLAIMS = "SELECT DISTINCT claim FROM expected_identities \
                   WHERE organization_id = $1 AND connection_id = $2 AND consumed_at IS NULL LIMIT 20";
    CLAIM = "UPDATE expected_identities SET consumed_at = $5 \
             WHERE organization_id = $1 AND connection_id = $2 AND claim = $3 AND value = $4 AND consumed_at IS NULL \
             AND EXISTS (SELECT 1 FROM accounts a WHERE a.id = expected_identities.account_id AND a.enabled \
             AND a.profile_count = 0 AND a.merged_into IS NULL) RETURNING account_id";
    SAVE = "INSERT INTO expected_identities (account_id, organization_id, connection_id, claim, value, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id) DO UPDATE SET connection_id = excluded.connection_id, \
            claim = excluded.claim, value = excluded.value, created_at = excluded.created_at \
            WHERE expected_identities.organization_id = excluded.organization_id AND expected_identities.consumed_at IS NULL";
    DELETE = "DELETE FROM expected_identities WHERE organization_id = $1 AND account_id = $2 AND consumed_at IS NULL";
}

/// An identity that an account expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedIdentity {
    /// The account.
    pub account: AccountId,
    /// The connection through which it will sign in.
    pub connection: ConnectionId,
    /// The claim that identifies it.
    pub claim: String,
    /// The value of that claim.
    pub value: String,
}

row! {
    struct ExpectedRow {
        account_id: String,
        connection_id: String,
        claim: String,
        value: String,
        consumed_at: Option<i64>,
    }
}

row! {
    struct ClaimRow {
        claim: String,
    }
}

row! {
    struct AccountIdRow {
        account_id: String,
    }
}

/// The identity that an account expects or has expected, and whether it has signed in.
pub async fn find_expected(
    tx: &mut Tx,
    organization: OrganizationId,
    account: AccountId,
) -> Result<Option<(ExpectedIdentity, bool)>, StoreError> {
    let id = account.to_string();
    let Some(row) = fetch_optional!(tx, ExpectedRow, FIND, organization.to_string(), &id)? else {
        return Ok(None);
    };
    let at = Row { table: "expected_identities", id: &id };
    let expected = ExpectedIdentity {
        account: at.parse("account_id", &row.account_id)?,
        connection: at.parse("connection_id", &row.connection_id)?,
        claim: row.claim,
        value: row.value,
    };
    Ok(Some((expected, row.consumed_at.is_some())))
}

/// The claims by which identities of an organization's connection are expected.
pub async fn list_expected_claims(
    tx: &mut Tx,
    organization: OrganizationId,
    connection: ConnectionId,
) -> Result<Vec<String>, StoreError> {
    let rows = fetch_all!(tx, ClaimRow, LIST_CLAIMS, organization.to_string(), connection.to_string())?;
    Ok(rows.into_iter().map(|row| row.claim).collect())
}

/// Claims the account that expects an identity of a connection with this value. It can be claimed once, and only while
/// no user can sign in to the account.
pub async fn consume_expected(
    tx: &mut Tx,
    organization: OrganizationId,
    connection: ConnectionId,
    (claim, value): (&str, &str),
    now: Timestamp,
) -> Result<Option<AccountId>, StoreError> {
    let (organization, connection, now) =
        (organization.to_string(), connection.to_string(), now.unix_micros());
    let row = fetch_optional!(tx, AccountIdRow, CLAIM, organization, &connection, claim, value, now)?;
    let at = Row { table: "expected_identities", id: &connection };
    row.map(|row| at.parse("account_id", &row.account_id)).transpose()
}

/// Sets the identity that an account expects. [`StoreError::Conflict`] if another account expects the same identity,
/// or if this account's has signed in already.
pub async fn save_expected(
    tx: &mut Tx,
    organization: OrganizationId,
    new: &ExpectedIdentity,
    now: Timestamp,
) -> Result<(), StoreError> {
    let changed = execute!(
        tx,
        SAVE,
        new.account.to_string(),
        organization.to_string(),
        new.connection.to_string(),
        &new.claim,
        &new.value,
        now.unix_micros(),
    )?;
    if changed == 1 { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Removes the identity that an organization's account expects.
pub async fn delete_expected(
    tx: &mut Tx,
    organization: OrganizationId,
    account: AccountId,
) -> Result<(), StoreError> {
    execute!(tx, DELETE, organization.to_string(), account.to_string()).map(drop)
}
