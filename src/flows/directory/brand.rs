//! The brand of a page: an organization's name and look, on its own sign-in page, on those of its apps, and on the
//! pages of its users.

use std::sync::Arc;

use crate::flows::directory::Directory;
use crate::model::{ConnectionId, Look, Organization, OrganizationId};
use crate::store::StoreError;

/// An organization as its pages show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrandView {
    /// Its id.
    pub organization: OrganizationId,
    /// Its name.
    pub name: String,
    /// Its colours and its logo.
    pub look: Arc<Look>,
}

impl Directory {
    /// The brand of a user's organization, if the user belongs to one.
    pub(in crate::flows) async fn brand_of(
        &self,
        organization: Option<&Organization>,
    ) -> Result<Option<BrandView>, StoreError> {
        match organization {
            Some(organization) => Ok(Some(self.brand(organization).await?)),
            None => Ok(None),
        }
    }

    /// An organization as its pages show it.
    pub(in crate::flows) async fn brand(&self, organization: &Organization) -> Result<BrandView, StoreError> {
        Ok(BrandView {
            organization: organization.id,
            name: organization.name.clone(),
            look: self.look(organization.id).await?,
        })
    }

    /// The one organization to which all of these connections belong.
    pub(in crate::flows) async fn brand_of_connections(
        &self,
        connections: &[ConnectionId],
    ) -> Result<Option<BrandView>, StoreError> {
        let mut only: Option<Organization> = None;
        for id in connections {
            let Some(entry) = self.connection(*id).await? else { continue };
            match &only {
                Some(other) if other.id != entry.organization.id => return Ok(None),
                _ => only = Some(entry.organization.clone()),
            }
        }
        self.brand_of(only.as_ref()).await
    }
}
