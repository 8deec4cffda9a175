//! The link ledger: entries are written once, never changed and never removed. A trigger of the database enforces
//! this.

use crate::model::{AccountId, LedgerEntry, LedgerId, LedgerKind, ProfileId};
use crate::store::engine::row::{Row, text, time, to_json};
use crate::store::engine::tx::{execute, fetch_many, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

row! {
    columns ledger_columns;
    struct LedgerRow {
        id: String,
        organization_id: String,
        at: i64,
        kind: String,
        account_id: String,
        other_account_id: Option<String>,
        profile_id: Option<String>,
        connection_id: Option<String>,
        actor: String,
        undoes: Option<String>,
        moved: String,
        sides_sealed: String,
    }
}

statements! {
    INSERT = "INSERT INTO link_ledger (id, organization_id, at, kind, account_id, other_account_id, profile_id, connection_id, \
              actor, undoes, moved, sides_sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
              ON CONFLICT (undoes) DO NOTHING";
    FIND = concat!("SELECT ", ledger_columns!(), " FROM link_ledger WHERE id = $1");
    FIND_UNLINKING = concat!("SELECT ", ledger_columns!(), " FROM link_ledger \
                      WHERE account_id = $1 AND profile_id = $2 AND kind = $3 ORDER BY at DESC, id DESC LIMIT 1");
    LIST_MERGES_AFTER = concat!("SELECT ", ledger_columns!("l"), " FROM link_ledger l \
                         WHERE l.account_id = $1 AND l.kind = $2 AND l.at >= $3 AND l.id <> $4 \
                         AND NOT EXISTS (SELECT 1 FROM link_ledger u WHERE u.undoes = l.id) ORDER BY l.at, l.id LIMIT 10000");
    LIST = concat!("SELECT ", ledger_columns!(), " FROM link_ledger \
            WHERE account_id = $1 OR other_account_id = $1 ORDER BY at DESC, id DESC LIMIT 500");
}

impl TryFrom<LedgerRow> for LedgerEntry {
    type Error = StoreError;

    fn try_from(row: LedgerRow) -> Result<Self, StoreError> {
        let at = Row { table: "link_ledger", id: &row.id };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            organization: at.parse("organization_id", &row.organization_id)?,
            at: time(row.at),
            kind: at.parse("kind", &row.kind)?,
            account: at.parse("account_id", &row.account_id)?,
            other: at.parse_optional("other_account_id", row.other_account_id.as_deref())?,
            profile: at.parse_optional("profile_id", row.profile_id.as_deref())?,
            connection: at.parse_optional("connection_id", row.connection_id.as_deref())?,
            actor: at.parse("actor", &row.actor)?,
            undoes: at.parse_optional("undoes", row.undoes.as_deref())?,
            moved: at.json("moved", &row.moved)?,
            sides_sealed: row.sides_sealed,
        })
    }
}

/// Adds an entry. `false` if it undoes an entry that was undone before.
pub async fn insert_entry(tx: &mut Tx, new: &LedgerEntry) -> Result<bool, StoreError> {
    let changed = execute!(
        tx,
        INSERT,
        new.id.to_string(),
        new.organization.to_string(),
        new.at.unix_micros(),
        new.kind.as_str(),
        new.account.to_string(),
        text(new.other.as_ref()),
        text(new.profile.as_ref()),
        text(new.connection.as_ref()),
        new.actor.to_string(),
        text(new.undoes.as_ref()),
        to_json(&new.moved)?,
        &new.sides_sealed,
    )?;
    Ok(changed == 1)
}

/// The entry with this id.
pub async fn find_entry(tx: &mut Tx, id: LedgerId) -> Result<Option<LedgerEntry>, StoreError> {
    fetch_optional!(tx, LedgerRow, FIND, id.to_string())?.map(TryInto::try_into).transpose()
}

/// The latest entry that records the removal of a profile from an account.
pub async fn find_unlinking(
    tx: &mut Tx,
    account: AccountId,
    profile: ProfileId,
) -> Result<Option<LedgerEntry>, StoreError> {
    let (account, profile) = (account.to_string(), profile.to_string());
    let row =
        fetch_optional!(tx, LedgerRow, FIND_UNLINKING, account, profile, LedgerKind::Unlinked.as_str())?;
    row.map(TryInto::try_into).transpose()
}

/// The merges into an account after another entry that were not undone.
pub async fn list_merges_since(tx: &mut Tx, entry: &LedgerEntry) -> Result<Vec<LedgerEntry>, StoreError> {
    let (account, kind) = (entry.account.to_string(), LedgerKind::Merged.as_str());
    let (at, id) = (entry.at.unix_micros(), entry.id.to_string());
    let rows = fetch_many!(tx, LedgerRow, LIST_MERGES_AFTER, account, kind, at, id)?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The ledger entries of an account, newest first, at most 500. They include merges in which it ended.
pub async fn list_entries(tx: &mut Tx, account: AccountId) -> Result<Vec<LedgerEntry>, StoreError> {
    let rows = fetch_many!(tx, LedgerRow, LIST, account.to_string())?;
    rows.into_iter().map(TryInto::try_into).collect()
}
