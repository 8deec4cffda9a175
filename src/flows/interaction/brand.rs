//! The organization whose brand the sign-in page shows.

use crate::flows::directory::BrandView;
use crate::flows::interaction::Interactions;
use crate::flows::refusal::FlowError;
use crate::model::{Aim, Purpose};
use crate::policy::provider::access::serves_its_own_alone;
use crate::store::account::accounts;
use crate::store::interaction::interactions::find_interaction;
use crate::store::organization::organizations;

impl Interactions {
    /// The organization on whose behalf the user is asked to sign in: that of an app which serves only its own
    /// organization, or that of the account or link that the user has to prove.
    pub(in crate::flows) async fn brand_of_aim(&self, aim: &Aim) -> Result<Option<BrandView>, FlowError> {
        let organization = match aim {
            Aim::Begin(Purpose::Account | Purpose::AddProfile) => None,
            Aim::Begin(Purpose::App(_) | Purpose::Home(_)) => match aim.app() {
                Some(app) => {
                    let entry = self.core.directory.app_by_id(app).await?;
                    let own = entry.filter(|entry| serves_its_own_alone(&entry.app));
                    own.map(|entry| entry.organization.clone())
                }
                None => None,
            },
            Aim::Begin(Purpose::Reauthenticate(account, _)) => {
                let mut tx = self.core.database.read().await?;
                match accounts::find_account(&mut tx, *account).await? {
                    Some(account) => organizations::find_organization_of(&mut tx, &account).await?,
                    None => None,
                }
            }
            Aim::Prove(trip) => {
                let mut tx = self.core.database.read().await?;
                let found = find_interaction(&mut tx, trip.interaction, self.core.clock.now()).await?;
                match found.and_then(|found| found.organization) {
                    Some(organization) => organizations::find_organization(&mut tx, organization).await?,
                    None => None,
                }
            }
        };
        Ok(self.core.directory.brand_of(organization.as_ref()).await?)
    }
}
