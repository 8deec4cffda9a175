//! Reading the audit log out, one JSON object a line.

use crate::flows::evidence::AuditLine;
use crate::flows::manage::Accounts;
use crate::flows::manage::accounts::ManageError;
use crate::model::Handle;
use crate::store::audit::{AuditSelection, list_audit};
use crate::store::organizations;

/// Records that are read at once.
const PAGE: i64 = 1_000;

impl Accounts {
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
                let mut tx = self.core.database.read().await?;
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
            let mut tx = self.core.database.read().await?;
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
