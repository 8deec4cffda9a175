//! Reading the audit log out, one JSON object a line.

use serde::Serialize;

use super::accounts::ManageError;
use crate::flows::Broker;
use crate::model::Handle;
use crate::store::audit::{AuditRecord, AuditSelection, list_audit};
use crate::store::organizations;

/// Records that are read at once.
const PAGE: i64 = 1_000;

/// One record, as it is exported.
#[derive(Debug, Clone, Serialize)]
pub struct AuditLine {
    id: String,
    time: String,
    organization: Option<String>,
    actor: Option<String>,
    action: String,
    outcome: &'static str,
    reason: Option<String>,
    receipt: Option<String>,
    connection: Option<String>,
    app: Option<String>,
    detail: Option<String>,
}

impl From<AuditRecord> for AuditLine {
    fn from(record: AuditRecord) -> Self {
        Self {
            id: record.id.to_string(),
            time: record.at.to_string(),
            organization: record.organization.map(|id| id.to_string()),
            actor: record.actor.map(|id| id.to_string()),
            action: record.action,
            outcome: if record.succeeded { "success" } else { "failure" },
            reason: record.reason,
            receipt: record.receipt,
            connection: record.connection.map(|id| id.to_string()),
            app: record.app.map(|id| id.to_string()),
            detail: record.detail,
        }
    }
}

impl Broker {
    /// Gives the audit log to `write`, oldest first: all of it, an organization's, or what happened under a receipt.
    pub async fn export_audit(
        &self,
        organization: Option<&Handle>,
        receipt: Option<&str>,
        mut write: impl FnMut(&AuditLine),
    ) -> Result<(), ManageError> {
        let mut after = String::new();
        let organization = match organization {
            None => None,
            Some(handle) => {
                let mut tx = self.database.read().await?;
                let found = organizations::find_organization_by_handle(&mut tx, handle).await?;
                Some(found.ok_or_else(|| ManageError::NotFound(format!("organization {handle}")))?.id)
            }
        };
        loop {
            let selection = match (receipt, organization) {
                (Some(receipt), _) => AuditSelection::Receipt(receipt),
                (None, Some(id)) => AuditSelection::Organization(id),
                (None, None) => AuditSelection::All,
            };
            let mut tx = self.database.read().await?;
            let records = list_audit(&mut tx, selection, &after, PAGE).await?;
            let Some(last) = records.last() else { return Ok(()) };
            after = last.id.to_string();
            for record in records {
                let wanted = organization.is_none_or(|id| record.organization == Some(id));
                if wanted {
                    write(&record.into());
                }
            }
        }
    }
}
