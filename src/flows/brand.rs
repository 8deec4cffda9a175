//! Whose page somebody sees: an organization's name and look, on its own sign-in page, on those of its apps, and on its
//! people's own.

use std::sync::Arc;

use super::Broker;
use super::error::FlowError;
use crate::model::{Aim, ConnectionId, Look, Organization, OrganizationId, Purpose};
use crate::policy::access::serves_its_own_alone;
use crate::store::interactions::find_interaction;
use crate::store::{accounts, organizations};

/// An organization as its pages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrandView {
    /// Which.
    pub organization: OrganizationId,
    /// Its name.
    pub name: String,
    /// Its colours and its logo.
    pub look: Arc<Look>,
}

impl Broker {
    /// How an organization's pages look, for the stylesheet; plain where there is no such organization.
    pub async fn look(&self, organization: OrganizationId) -> Result<Arc<Look>, FlowError> {
        Ok(self.directory.look(organization).await?)
    }

    /// The organization of somebody who belongs to one.
    pub(super) async fn brand_of(
        &self,
        organization: Option<&Organization>,
    ) -> Result<Option<BrandView>, FlowError> {
        match organization {
            Some(organization) => Ok(Some(self.brand(organization).await?)),
            None => Ok(None),
        }
    }

    /// An organization as its pages show it.
    pub(super) async fn brand(&self, organization: &Organization) -> Result<BrandView, FlowError> {
        Ok(BrandView {
            organization: organization.id,
            name: organization.name.clone(),
            look: self.directory.look(organization.id).await?,
        })
    }

    /// The organization on whose behalf somebody is asked to sign in: that of an app which serves its own people alone,
    /// or of the account or the link that is to be proved.
    pub(super) async fn brand_of_aim(&self, aim: &Aim) -> Result<Option<BrandView>, FlowError> {
        let organization = match aim {
            Aim::Begin(Purpose::Account | Purpose::AddProfile) => None,
            Aim::Begin(Purpose::App(_) | Purpose::Home(_)) => match aim.app() {
                Some(app) => {
                    let entry = self.directory.app_by_id(app).await?;
                    let own = entry.filter(|entry| serves_its_own_alone(&entry.app));
                    own.map(|entry| entry.organization.clone())
                }
                None => None,
            },
            Aim::Begin(Purpose::Reauthenticate(account, _)) => {
                let mut tx = self.database.read().await?;
                match accounts::find_account(&mut tx, *account).await? {
                    Some(account) => organizations::find_organization_of(&mut tx, &account).await?,
                    None => None,
                }
            }
            Aim::Prove(trip) => {
                let mut tx = self.database.read().await?;
                let found = find_interaction(&mut tx, trip.interaction, self.clock.now()).await?;
                match found.and_then(|found| found.organization) {
                    Some(organization) => organizations::find_organization(&mut tx, organization).await?,
                    None => None,
                }
            }
        };
        self.brand_of(organization.as_ref()).await
    }

    /// The one organization to which all of these connections belong.
    pub(super) async fn brand_of_connections(
        &self,
        connections: &[ConnectionId],
    ) -> Result<Option<BrandView>, FlowError> {
        let mut only: Option<Organization> = None;
        for id in connections {
            let Some(entry) = self.directory.connection(*id).await? else { continue };
            match &only {
                Some(other) if other.id != entry.organization.id => return Ok(None),
                _ => only = Some(entry.organization.clone()),
            }
        }
        self.brand_of(only.as_ref()).await
    }
}
