//! Exporting the audit log, with one JSON object in each line.

use crate::flows::evidence::AuditLine;
use crate::flows::manage::Accounts;
use crate::flows::manage::accounts::ManageError;
use crate::model::{Handle, Target};
use crate::store::audit::{AuditSelection, list_audit};
use crate::store::organization::organizations;

/// Records that are read at once.
const PAGE: i64 = 1_000;

/// The records of the audit log to export; by default all. A record must match all fields that are set.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Records in the log of this organization.
    pub organization: Option<Handle>,
    /// Records under the code that a page showed to the user.
    pub receipt: Option<String>,
    /// Records about this account, by its username or id: changes to it, and guesses at its name.
    pub account: Option<String>,
}

impl Accounts {
    /// Gives the wanted records of the audit log to `write`, oldest first.
    pub async fn export_audit(
        &self,
        filter: &AuditFilter,
        mut write: impl FnMut(&AuditLine),
    ) -> Result<(), ManageError> {
        let mut after = String::new();
        let organization = match &filter.organization {
            None => None,
            Some(handle) => {
                let mut tx = self.core.database.read().await?;
                let found = organizations::find_organization_by_handle(&mut tx, handle).await?;
                Some(found.ok_or_else(|| ManageError::NotFound(format!("organization {handle}")))?.id)
            }
        };
        let about = match &filter.account {
            None => None,
            Some(name) => {
                let account = self.find_account(name).await?.account;
                Some((account.organization, Target::Account(account.id)))
            }
        };
        let selection = match (&filter.receipt, &about, organization) {
            (Some(receipt), _, _) => AuditSelection::Receipt(receipt),
            (None, Some((organization, target)), _) => AuditSelection::Target(*organization, target),
            (None, None, Some(id)) => AuditSelection::Organization(id),
            (None, None, None) => AuditSelection::All,
        };
        loop {
            let mut tx = self.core.database.read().await?;
            let records = list_audit(&mut tx, selection, &after, PAGE).await?;
            let Some(last) = records.last() else { return Ok(()) };
            after = last.id.to_string();
            for record in records {
                let is_wanted = organization.is_none_or(|id| record.organization == Some(id))
                    && about.as_ref().is_none_or(|(_, target)| record.target.as_ref() == Some(target));
                if is_wanted {
                    write(&record.into());
                }
            }
        }
    }
}
