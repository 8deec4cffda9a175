//! Whole days of the audit log: read by the time in their records' ids, and removed once they are exported; and the files
//! to which they were exported. An id is never earlier than its record, so every record belongs to one day.

use super::audit::{AuditRecord, AuditRow};
use super::row::Row;
use super::tx::{execute, execute_many, fetch_many, fetch_optional, row, statements};
use super::{StoreError, Tx};
use crate::model::{AuditId, Day};

statements! {
    FIND_FIRST = "SELECT id FROM audit WHERE id >= $1 ORDER BY id LIMIT 1";
    LIST = "SELECT id, organization_id, at, actor, action, outcome, reason, receipt, connection_id, app_id, detail, \
            target_kind, target_id FROM audit WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";
    DELETE = "DELETE FROM audit WHERE id >= $1 AND id <= $2";
    FIND_EXPORT = "SELECT part, records, sha256 FROM exported_days WHERE day = $1 ORDER BY part DESC LIMIT 1";
    INSERT_EXPORT = "INSERT INTO exported_days (day, part, records, sha256) VALUES ($1, $2, $3, $4)";
}

row! {
    struct IdRow {
        id: String,
    }
}

row! {
    struct ExportRow {
        part: i64,
        records: i64,
        sha256: String,
    }
}

/// The file to which a day, or what was left of it, was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Which file of the day this is, from 1 on.
    pub part: i64,
    /// The records in the file: its lines.
    pub records: u64,
    /// Its SHA-256, in hexadecimal digits, as `sha256sum` writes it.
    pub sha256: String,
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

/// The last file from which the broker has begun to remove records of a day.
pub async fn find_last_export(tx: &mut Tx, day: Day) -> Result<Option<Export>, StoreError> {
    let day = day.to_string();
    let Some(row) = fetch_optional!(tx, ExportRow, FIND_EXPORT, day.clone())? else { return Ok(None) };
    let records =
        u64::try_from(row.records).map_err(|_| Row { table: "exported_days", id: &day }.error("records"))?;
    Ok(Some(Export { part: row.part, records, sha256: row.sha256 }))
}

/// Records that the broker begins to remove what stands in a file.
pub async fn insert_export(tx: &mut Tx, day: Day, export: &Export) -> Result<(), StoreError> {
    let records = i64::try_from(export.records).unwrap_or(i64::MAX);
    execute!(tx, INSERT_EXPORT, day.to_string(), export.part, records, &export.sha256).map(drop)
}
