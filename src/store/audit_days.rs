//! Whole days of the audit log: read by the time in their records' ids, and removed once they are exported. An id is never
//! earlier than its record, so every record belongs to one day.

use super::audit::{AuditRecord, AuditRow};
use super::row::Row;
use super::tx::{execute_many, fetch_many, fetch_optional, row, statements};
use super::{StoreError, Tx};
use crate::model::{AuditId, Day};

statements! {
    FIND_FIRST = "SELECT id FROM audit WHERE id >= $1 ORDER BY id LIMIT 1";
    LIST = "SELECT id, organization_id, at, actor, action, outcome, reason, receipt, connection_id, app_id, detail \
            FROM audit WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";
    DELETE = "DELETE FROM audit WHERE id >= $1 AND id <= $2";
}

row! {
    struct IdRow {
        id: String,
    }
}

/// The first day from `from` on of which there are records.
pub async fn find_first_day(tx: &mut Tx, from: Option<Day>) -> Result<Option<Day>, StoreError> {
    let from = from.map(|day| AuditId::first_at(day.begins()).to_string()).unwrap_or_default();
    let Some(row) = fetch_optional!(tx, IdRow, FIND_FIRST, from)? else { return Ok(None) };
    let id: AuditId = Row { table: "audit", id: &row.id }.parse("id", &row.id)?;
    Ok(Some(Day::of(id.time())))
}

/// Up to `limit` records of a day, oldest first: the first ones, or those after `after`.
pub async fn list_records_of_day(
    tx: &mut Tx,
    day: Day,
    after: Option<AuditId>,
    limit: i64,
) -> Result<Vec<AuditRecord>, StoreError> {
    let after = after.unwrap_or_else(|| AuditId::first_at(day.begins())).to_string();
    let end = AuditId::first_at(day.ends()).to_string();
    fetch_many!(tx, AuditRow, LIST, after, end, limit)?.into_iter().map(TryInto::try_into).collect()
}

/// Removes the records from `first` to `last`; gives how many there were.
pub async fn delete_records(tx: &mut Tx, first: AuditId, last: AuditId) -> Result<u64, StoreError> {
    execute_many!(tx, DELETE, first.to_string(), last.to_string())
}
