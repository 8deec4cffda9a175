//! The audit log: one record for every security decision, written in the transaction of what was decided.

use sqlx::FromRow;

use super::row::{Row, text, time};
use super::tx::{execute, execute_later, fetch_all, fetch_optional, statements};
use super::{StoreError, Tx};
use crate::model::{Actor, AppId, AuditId, ConnectionId, OrganizationId, Timestamp};

statements! {
    INSERT = "INSERT INTO audit (id, organization_id, at, actor, action, outcome, reason, receipt, connection_id, app_id, \
              detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    LIST = "SELECT * FROM audit WHERE id > $1 ORDER BY id LIMIT $2";
    LIST_OF_ORGANIZATION = "SELECT * FROM audit WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    LIST_OF_RECEIPT = "SELECT * FROM audit WHERE receipt = $1 AND id > $2 ORDER BY id LIMIT $3";
    COUNT_FLOOD = "INSERT INTO audit_floods (reason, network, minute, refusals) VALUES ($1, $2, $3, 1) \
                   ON CONFLICT (reason, network, minute) DO UPDATE SET refusals = audit_floods.refusals + 1 \
                   RETURNING refusals, audit_id";
    FIND_FLOOD = "SELECT refusals, audit_id FROM audit_floods WHERE reason = $1 AND network = $2 AND minute = $3";
    NAME_FLOOD = "UPDATE audit_floods SET audit_id = $4 WHERE reason = $1 AND network = $2 AND minute = $3";
    UPDATE_FLOOD = "UPDATE audit SET detail = $2 WHERE id = $1";
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Id, in the order of time.
    pub id: AuditId,
    /// Whose log it stands in; `None` is the operator's.
    pub organization: Option<OrganizationId>,
    /// When it was decided.
    pub at: Timestamp,
    /// Whose doing it was, if that is known.
    pub actor: Option<Actor>,
    /// What was to be done: `sign_in`, `authorize`, `token.code`, ….
    pub action: String,
    /// Whether it was.
    pub succeeded: bool,
    /// Why not, as a stable code.
    pub reason: Option<String>,
    /// The code that the person saw.
    pub receipt: Option<String>,
    /// The connection that was involved.
    pub connection: Option<ConnectionId>,
    /// The app that was involved.
    pub app: Option<AppId>,
    /// What else is known, without personal data.
    pub detail: Option<String>,
}

#[derive(FromRow)]
struct AuditRow {
    id: String,
    organization_id: Option<String>,
    at: i64,
    actor: Option<String>,
    action: String,
    outcome: String,
    reason: Option<String>,
    receipt: Option<String>,
    connection_id: Option<String>,
    app_id: Option<String>,
    detail: Option<String>,
}

#[derive(FromRow)]
struct FloodRow {
    refusals: i64,
    audit_id: Option<String>,
}

const SUCCESS: &str = "success";
const FAILURE: &str = "failure";

impl TryFrom<AuditRow> for AuditRecord {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<Self, StoreError> {
        let at = Row { table: "audit", id: &row.id };
        let succeeded = match row.outcome.as_str() {
            SUCCESS => true,
            FAILURE => false,
            _ => return Err(at.error("outcome")),
        };
        Ok(Self {
            id: at.parse("id", &row.id)?,
            organization: at.parse_optional("organization_id", row.organization_id.as_deref())?,
            at: time(row.at),
            actor: at.parse_optional("actor", row.actor.as_deref())?,
            succeeded,
            connection: at.parse_optional("connection_id", row.connection_id.as_deref())?,
            app: at.parse_optional("app_id", row.app_id.as_deref())?,
            action: row.action,
            reason: row.reason,
            receipt: row.receipt,
            detail: row.detail,
        })
    }
}

/// Writes a record.
pub async fn insert_audit(tx: &mut Tx, record: &AuditRecord) -> Result<(), StoreError> {
    execute_later!(
        tx,
        INSERT,
        record.id.to_string(),
        text(record.organization.as_ref()),
        record.at.unix_micros(),
        text(record.actor.as_ref()),
        &record.action,
        if record.succeeded { SUCCESS } else { FAILURE },
        &record.reason,
        &record.receipt,
        text(record.connection.as_ref()),
        text(record.app.as_ref()),
        &record.detail,
    )?;
    Ok(())
}

/// How many refusals from before anything was proven are recorded one by one in a minute.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Of one reason and network.
    pub each: i64,
    /// About so many of all reasons and networks in one organization's log, or in the operator's: whoever has many
    /// networks fills no disk on which decisions have to be recorded, and hides nothing in another organization's.
    pub all: i64,
}

/// Stands for all reasons; with an organization's id behind it, for all networks.
const ALL: &str = "*";

/// Writes a refusal from before anything was proven: one by one while there is room, then one record counts the rest of
/// its reason, network and minute; where the organization's log has no room any more, one for all networks.
pub async fn insert_anonymous_refusal(
    tx: &mut Tx,
    record: &AuditRecord,
    network: &str,
    room: Room,
) -> Result<(), StoreError> {
    let reason = record.reason.as_deref().unwrap_or_default();
    let minute = record.at.unix_seconds().div_euclid(60);
    let everybody = format!("{ALL}{}", record.organization.map(|id| id.to_string()).unwrap_or_default());
    let written = fetch_optional!(tx, FloodRow, FIND_FLOOD, ALL, &everybody, minute)?;
    if written.is_some_and(|written| written.refusals >= room.all) {
        let flood = count_flood(tx, reason, &everybody, minute).await?;
        let detail = format!("{} further refusals from all networks in this minute", flood.refusals);
        return summarize(tx, record, (&everybody, minute), flood, detail).await;
    }
    let flood = count_flood(tx, reason, network, minute).await?;
    if flood.refusals <= room.each {
        count_flood(tx, ALL, &everybody, minute).await?;
        return insert_audit(tx, record).await;
    }
    let detail = format!("{} further refusals from this network in this minute", flood.refusals - room.each);
    summarize(tx, record, (network, minute), flood, detail).await
}

async fn count_flood(tx: &mut Tx, reason: &str, network: &str, minute: i64) -> Result<FloodRow, StoreError> {
    let counted = fetch_optional!(tx, FloodRow, COUNT_FLOOD, reason, network, minute)?;
    counted.ok_or_else(|| StoreError::inconsistent("audit_floods", "refusals", network))
}

/// Keeps the record that counts a flood.
async fn summarize(
    tx: &mut Tx,
    record: &AuditRecord,
    (network, minute): (&str, i64),
    flood: FloodRow,
    detail: String,
) -> Result<(), StoreError> {
    if let Some(id) = flood.audit_id {
        return execute!(tx, UPDATE_FLOOD, id, detail).map(drop);
    }
    let summary = AuditRecord { receipt: None, detail: Some(detail), ..record.clone() };
    insert_audit(tx, &summary).await?;
    let reason = record.reason.as_deref().unwrap_or_default();
    execute!(tx, NAME_FLOOD, reason, network, minute, summary.id.to_string()).map(drop)
}

/// Which records to list.
#[derive(Debug, Clone, Copy)]
pub enum AuditSelection<'a> {
    /// All.
    All,
    /// Those of one organization.
    Organization(OrganizationId),
    /// Those under one receipt.
    Receipt(&'a str),
}

/// Up to `limit` records after `after`, oldest first; begin with the empty text.
pub async fn list_audit(
    tx: &mut Tx,
    selection: AuditSelection<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<AuditRecord>, StoreError> {
    let rows = match selection {
        AuditSelection::All => fetch_all!(tx, AuditRow, LIST, after, limit)?,
        AuditSelection::Organization(id) => {
            fetch_all!(tx, AuditRow, LIST_OF_ORGANIZATION, id.to_string(), after, limit)?
        }
        AuditSelection::Receipt(code) => fetch_all!(tx, AuditRow, LIST_OF_RECEIPT, code, after, limit)?,
    };
    rows.into_iter().map(TryInto::try_into).collect()
}
