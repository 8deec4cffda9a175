//! Connections and apps by the names that pages show.

use crate::flows::directory::Directory;
use crate::model::{AppId, ConnectionId};
use crate::store::StoreError;

/// An app where the user can begin again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppLink {
    /// The app's name.
    pub name: String,
    /// The address where it begins, if it registered one.
    pub home: Option<String>,
}

/// A connection as a page offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionView {
    /// Its id.
    pub id: ConnectionId,
    /// Its handle.
    pub handle: String,
    /// Its name.
    pub name: String,
    /// The host of its issuer.
    pub provider: String,
}

impl Directory {
    /// The name of a connection, if it is there.
    pub(in crate::flows) async fn connection_name(
        &self,
        connection: Option<ConnectionId>,
    ) -> Result<Option<String>, StoreError> {
        let Some(id) = connection else { return Ok(None) };
        Ok(self.connection(id).await?.map(|entry| entry.connection.name.clone()))
    }

    pub(in crate::flows) async fn connection_views(
        &self,
        ids: &[ConnectionId],
    ) -> Result<Vec<ConnectionView>, StoreError> {
        let mut views = Vec::new();
        for id in ids {
            if let Some(entry) = self.connection(*id).await? {
                let connection = &entry.connection;
                let issuer = url::Url::parse(&connection.issuer).ok();
                views.push(ConnectionView {
                    id: connection.id,
                    handle: connection.handle.to_string(),
                    name: connection.name.clone(),
                    provider: issuer.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default(),
                });
            }
        }
        Ok(views)
    }

    /// The app where the user can begin again, if it can be read.
    pub(in crate::flows) async fn app_link(&self, app: AppId) -> Option<AppLink> {
        let entry = self.app_by_id(app).await.ok().flatten()?;
        Some(AppLink { name: entry.app.name.clone(), home: entry.app.settings.home_uri.clone() })
    }
}
