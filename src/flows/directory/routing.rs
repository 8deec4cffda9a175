//! The connections that names and hints lead to, as far as the asker may learn of them.

use crate::flows::directory::{Directory, Name};
use crate::model::{App, Audience, AuthorizationRequest, ConnectionId, Email, Handle};
use crate::policy::provider::access::may_use;
use crate::policy::sign_in::route::{self, Hints, NamedBy};
use crate::store::StoreError;

impl Directory {
    /// The connections that the hints of a request lead to.
    pub(in crate::flows) async fn hints(
        &self,
        app: &App,
        request: &AuthorizationRequest,
    ) -> Result<Hints, StoreError> {
        let mut hints = Hints::default();
        if let Some(handle) = request.idp_hint.as_deref().and_then(|text| text.parse::<Handle>().ok()) {
            hints.idp = Some(self.connections_for_app(app, &handle).await?);
        }
        if let Some(name) = request.domain_hint.as_deref().and_then(Name::parse) {
            hints.domain = Some(self.connections_for_name(&name, NamedBy::App(app.organization)).await?);
        }
        if let Some(email) = request.login_hint.as_deref().and_then(|text| text.parse::<Email>().ok()) {
            let name = Name::Domain(email.domain().clone());
            hints.login = Some(self.connections_for_name(&name, NamedBy::PersonByDomain).await?);
        }
        if !app.settings.connections.is_empty() {
            let mut allowed = Vec::new();
            for handle in &app.settings.connections {
                allowed.extend(self.connections_for_app(app, handle).await?);
            }
            hints.app = Some(allowed);
        }
        Ok(hints)
    }

    /// The connections with a handle in the organizations that an app serves.
    async fn connections_for_app(&self, app: &App, handle: &Handle) -> Result<Vec<ConnectionId>, StoreError> {
        let mut found = Vec::new();
        for (organization, connection) in self.connections_by_handle(handle).await?.iter() {
            let serves = match &app.settings.audience {
                Audience::Any => true,
                Audience::Own => *organization == app.organization,
                Audience::Organizations(_) => {
                    let entry = self.connection(*connection).await?;
                    entry.is_some_and(|entry| may_use(app, Some(entry.organization.membership())))
                }
            };
            if serves {
                found.push(*connection);
            }
        }
        Ok(found)
    }

    /// The connections that a name leads to, as far as the asker may learn of them.
    pub(in crate::flows) async fn connections_for_name(
        &self,
        name: &Name,
        by: NamedBy,
    ) -> Result<Vec<ConnectionId>, StoreError> {
        let route = self.route(name).await?;
        Ok(route::connections_of(route.as_deref(), by))
    }
}
