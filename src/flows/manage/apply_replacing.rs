//! Connections that replace others, in an [`apply`](super::apply).

use super::apply::ApplyError;
use super::document::WantedConnection;
use crate::flows::Broker;
use crate::model::{Connection, Organization, REPLACEMENT_WINDOW, Replacement};
use crate::policy::link::replacement::SUBJECT;
use crate::store::{StoreError, Tx, connections, replacing};

impl Broker {
    /// Holds what a connection replaces against the connections that are there by now.
    pub(super) async fn check_replacement(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        wanted: &WantedConnection,
    ) -> Result<(), ApplyError> {
        let Some(replacement) = &wanted.settings.replaces else { return Ok(()) };
        let old =
            connections::find_connection_by_handle(tx, organization.id, &replacement.connection).await?;
        let fault = match old.map(|record| record.connection) {
            None => Some(format!("the organization has no connection {}", replacement.connection)),
            Some(old) if old.handle == wanted.handle => Some("a connection cannot replace itself".to_owned()),
            Some(old) => unkept_claim(&old, replacement),
        };
        let too_late = self.clock.now().after(REPLACEMENT_WINDOW) < replacement.until;
        let fault = fault.or_else(|| {
            too_late.then(|| {
                "until is more than 30 days ahead; write an earlier day, and a later one then".to_owned()
            })
        });
        match fault {
            None => Ok(()),
            Some(fault) => {
                let name = format!("connection {}/{}", organization.handle, wanted.handle);
                Err(ApplyError::Refused(format!("{name}: replaces: {fault}")))
            }
        }
    }
}

/// What is wrong where the replaced connection does not keep the claim by which people are to be recognized.
fn unkept_claim(old: &Connection, replacement: &Replacement) -> Option<String> {
    let claim = &replacement.old_claim;
    let is_kept = claim == SUBJECT || old.settings.kept_claims.contains(claim);
    (!is_kept).then(|| {
        format!(
            "connection {} does not keep the claim {claim:?}, so nobody would be recognized; add kept_claims = \
             [{claim:?}] to it, and let people sign in through it until the move",
            old.handle
        )
    })
}

/// Forgets the values of claims that a connection no longer keeps.
pub(super) async fn forget_claims(
    tx: &mut Tx,
    old: Option<&Connection>,
    new: &Connection,
) -> Result<(), StoreError> {
    let kept = old.map(|old| old.settings.kept_claims.as_slice()).unwrap_or_default();
    for claim in kept.iter().filter(|claim| !new.settings.kept_claims.contains(claim)) {
        replacing::delete_kept_claims(tx, new.id, claim).await?;
    }
    Ok(())
}
