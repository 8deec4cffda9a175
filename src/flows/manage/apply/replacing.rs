//! Connections that replace others, in an [`apply`](super::apply).

use crate::flows::manage::Organizations;
use crate::flows::manage::apply::ApplyError;
use crate::flows::manage::document::WantedConnection;
use crate::model::{Connection, Handle, Organization, Replacement};
use crate::policy::account::link::replacement::{Fault, check, current};
use crate::store::Tx;
use crate::store::link::replacing;
use crate::store::organization::connections;

impl Organizations {
    /// The replacement that a connection asks for, by the current handle of the old one. One that continues keeps its
    /// start.
    pub(super) async fn wanted_replacement(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        wanted: &WantedConnection,
        before: Option<&Connection>,
    ) -> Result<Option<Replacement>, ApplyError> {
        let Some(replaces) = &wanted.replaces else { return Ok(None) };
        let named = connections::find_connection_by_handle(tx, organization.id, &replaces.connection).await?;
        let Some(named) = named else {
            let fault = format!("the organization has no connection {}", replaces.connection);
            return Err(refused(organization, &wanted.handle, &fault));
        };
        let before = before.and_then(|before| before.settings.replaces.as_ref());
        let goes_on = before.filter(|before| before.connection == named.connection.id);
        Ok(Some(Replacement {
            connection: named.connection.id,
            claim: replaces.claim.clone(),
            old_claim: replaces.old_claim.clone(),
            since: goes_on.map_or_else(|| self.core.clock.now(), |before| before.since),
            until: replaces.until,
        }))
    }

    /// Checks all of an organization's connections against each other after all files, since one file may change a
    /// connection that another file replaces. Then deletes the values of claims that no connection keeps any more.
    pub(super) async fn settle_replacements(
        &self,
        tx: &mut Tx,
        organization: &Organization,
    ) -> Result<(), ApplyError> {
        let records = connections::list_connections(tx, organization.id).await?;
        let all: Vec<&Connection> = records.iter().map(|record| &record.connection).collect();
        for new in &all {
            let Some(replacement) = current(new.settings.replaces.as_ref(), self.core.clock.now()) else {
                continue;
            };
            let old = all.iter().find(|old| old.id == replacement.connection);
            if let Some(Err(fault)) = old.map(|old| check(new.id, replacement, old)) {
                let old = old.map(|old| old.handle.to_string()).unwrap_or_default();
                return Err(refused(organization, &new.handle, &sentence(fault, &old, replacement)));
            }
        }
        for (connection, claim) in replacing::list_kept_claims(tx, organization.id).await? {
            let is_kept =
                all.iter().any(|it| it.id == connection && it.settings.kept_claims.contains(&claim));
            if !is_kept {
                replacing::delete_kept_claims(tx, organization.id, connection, &claim).await?;
            }
        }
        Ok(())
    }
}

fn refused(organization: &Organization, connection: &Handle, fault: &str) -> ApplyError {
    ApplyError::Refused(format!("connection {}/{connection}: replaces: {fault}", organization.handle))
}

fn sentence(fault: Fault, old: &str, replacement: &Replacement) -> String {
    let claim = &replacement.old_claim;
    match fault {
        Fault::Itself => "a connection cannot replace itself".to_owned(),
        Fault::EachOther => format!("connection {old} replaces this one; remove replaces from one of them"),
        Fault::NotKept => format!(
            "connection {old} does not keep the claim {claim:?}, so nobody would be recognized; add kept_claims = \
             [{claim:?}] to it, and let people sign in through it before they move"
        ),
        Fault::TooLong => format!(
            "until is more than 30 days after {}, when it began; write an earlier day",
            replacement.since
        ),
    }
}
