//! The audit log: one record for each security decision, written in the transaction of that decision.

pub mod audit_days;
pub mod floods;

use super::engine::row::{Row, text, time};
use super::engine::tx::{execute, fetch_many, row, statements};
use super::{StoreError, Tx};
use crate::model::{Actor, AppId, AuditId, ConnectionId, OrganizationId, Target, Timestamp};

row! {
    columns audit_columns;
    pub(super) struct AuditRow {
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
        target_kind: Option<String>,
        target_id: Option<String>,
    }
}

statements! {
    INSERT = "INSERT INTO audit (id, organization_id, at, actor, action, outcome, reason, receipt, connection_id, app_id, \
              detail, target_kind, target_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    LIST = concat!("SELECT ", audit_columns!(), " FROM audit WHERE id > $1 ORDER BY id LIMIT $2");
    LIST_OF_ORGANIZATION = concat!("SELECT ", audit_columns!(), " FROM audit \
                            WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3");
    LIST_OF_RECEIPT = concat!("SELECT ", audit_columns!(), " FROM audit \
                       WHERE receipt = $1 AND id > $2 ORDER BY id LIMIT $3");
    LIST_OF_TARGET = concat!("SELECT ", audit_columns!(), " FROM audit \
                      WHERE COALESCE(organization_id, '') = $1 AND target_kind = $2 AND target_id = $3 AND id > $4 \
                      ORDER BY id LIMIT $5");
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Id, in order of time.
    pub id: AuditId,
    /// The organization whose log it belongs to; `None` for the operator's log.
    pub organization: Option<OrganizationId>,
    /// When the decision was made.
    pub at: Timestamp,
    /// The user or operator who acted, if that is known.
    pub actor: Option<Actor>,
    /// The action that was attempted: `sign_in`, `authorize`, `token.code`, ….
    pub action: String,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Why it failed, as a stable code.
    pub reason: Option<String>,
    /// The code that the user saw.
    pub receipt: Option<String>,
    /// The connection that was involved.
    pub connection: Option<ConnectionId>,
    /// The app that was involved.
    pub app: Option<AppId>,
    /// Further facts, without personal data.
    pub detail: Option<String>,
    /// What it is about, where that is neither the actor nor the connection or app.
    pub target: Option<Target>,
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
        let target = match (&row.target_kind, &row.target_id) {
            (Some(kind), Some(id)) => Some(Target::parse(kind, id).map_err(|_| at.error("target_id"))?),
            _ => None,
        };
        Ok(Self {
            target,
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
    execute!(
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
        record.target.as_ref().map(Target::kind),
        record.target.as_ref().map(Target::id),
    )?;
    Ok(())
}

/// Which records to list.
#[derive(Debug, Clone, Copy)]
pub enum AuditSelection<'a> {
    /// All records.
    All,
    /// The records of one organization.
    Organization(OrganizationId),
    /// The records with one receipt.
    Receipt(&'a str),
    /// Those about one target, in the log of this organization; `None` is the operator's.
    Target(Option<OrganizationId>, &'a Target),
}

/// Up to `limit` records after `after`, oldest first. Begin with the empty text.
pub async fn list_audit(
    tx: &mut Tx,
    selection: AuditSelection<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<AuditRecord>, StoreError> {
    let rows = match selection {
        AuditSelection::All => fetch_many!(tx, AuditRow, LIST, after, limit)?,
        AuditSelection::Organization(id) => {
            fetch_many!(tx, AuditRow, LIST_OF_ORGANIZATION, id.to_string(), after, limit)?
        }
        AuditSelection::Target(organization, target) => {
            let organization = text(organization.as_ref()).unwrap_or_default();
            let (kind, id) = (target.kind(), target.id());
            fetch_many!(tx, AuditRow, LIST_OF_TARGET, organization, kind, id, after, limit)?
        }
        AuditSelection::Receipt(code) => fetch_many!(tx, AuditRow, LIST_OF_RECEIPT, code, after, limit)?,
    };
    rows.into_iter().map(TryInto::try_into).collect()
}
