//! The apps, connections and names that sign-ins read, through caches that forget at once when something changes.
//!
//! These reads only route and shape requests. The transaction that completes a sign-in or issues a token reads again
//! whether account, organization, connection and app are enabled.

mod brand;
mod cached;
mod names;
mod routing;

pub use brand::BrandView;
pub use names::{AppLink, ConnectionView};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::flows::directory::cached::{Cached, Weight};
use crate::model::organization::look::MAX_LOGO_BYTES;
use crate::model::{
    App, AppId, Clock, Connection, ConnectionId, DomainName, Email, Handle, Look, Organization,
    OrganizationId, OwnedDomain,
};
use crate::policy::sign_in::route::NamedRoute;
use crate::store::jobs::changes::find_last_change;
use crate::store::organization::connections::{self, SealedCredential};
use crate::store::organization::{apps, domains, looks, organizations};
use crate::store::{Database, StoreError, Tx};

/// The topic of a change to organizations, domains, connections, apps or accounts.
pub const DIRECTORY_TOPIC: &str = "directory";

/// No cached value is older than this, even if a notice of change is lost.
const STALENESS_CEILING: Duration = Duration::from_mins(1);

/// How long the answer to [`Directory::is_readable`] counts.
const READABLE_FOR: Duration = Duration::from_secs(1);

/// The most keys that each cache holds.
const CAPACITY: u64 = 50_000;

/// An app with the organization that registered it.
#[derive(Debug, Clone)]
pub struct AppEntry {
    /// The app.
    pub app: App,
    /// Its organization.
    pub organization: Organization,
}

impl AppEntry {
    /// Whether the app and its organization are enabled.
    pub const fn is_enabled(&self) -> bool {
        self.app.enabled && self.organization.enabled
    }
}

/// A connection with its organization.
#[derive(Debug, Clone)]
pub struct ConnectionEntry {
    /// The connection.
    pub connection: Connection,
    /// Its credential, sealed.
    pub credential: SealedCredential,
    /// Its organization.
    pub organization: Organization,
}

impl ConnectionEntry {
    /// Whether the connection and its organization are enabled.
    pub const fn is_enabled(&self) -> bool {
        self.connection.enabled && self.organization.enabled
    }
}

/// About how many bytes settings take.
fn settings_bytes(settings: &impl serde::Serialize) -> usize {
    serde_json::to_vec(settings).map_or(0, |text| text.len())
}

impl Weight for AppEntry {
    fn bytes(&self) -> usize {
        let texts = [&self.app.client_id, &self.app.name, &self.organization.name];
        let texts = texts.into_iter().chain(&self.app.secret_hashes);
        size_of::<Self>() + texts.map(String::len).sum::<usize>() + settings_bytes(&self.app.settings)
    }
}

impl Weight for ConnectionEntry {
    fn bytes(&self) -> usize {
        let (connection, credential) = (&self.connection, &self.credential);
        let texts = [&connection.name, &connection.issuer, &connection.client_id, &self.organization.name];
        let sealed = [&credential.secret, &credential.next_secret, &credential.key, &credential.certificate];
        let texts = texts.into_iter().chain(sealed.into_iter().flatten());
        size_of::<Self>() + texts.map(String::len).sum::<usize>() + settings_bytes(&connection.settings)
    }
}

impl Weight for NamedRoute {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.connections.len() * size_of::<ConnectionId>()
    }
}

impl Weight for Vec<(OrganizationId, ConnectionId)> {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.len() * size_of::<(OrganizationId, ConnectionId)>()
    }
}

impl Weight for Look {
    fn bytes(&self) -> usize {
        size_of::<Self>() + if self.logo.is_some() { MAX_LOGO_BYTES } else { 0 }
    }
}

impl Weight for () {
    fn bytes(&self) -> usize {
        0
    }
}

/// A name as a visitor or an app gave it: a handle, a domain, or an email address in that domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// An organization's handle.
    Handle(Handle),
    /// A domain.
    Domain(DomainName),
}

impl Name {
    /// Reads a name; `None` for a text that cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.contains('@') {
            return text.parse::<Email>().ok().map(|email| Self::Domain(email.domain().clone()));
        }
        if let Ok(domain) = text.parse() {
            return Some(Self::Domain(domain));
        }
        text.to_ascii_lowercase().parse().ok().map(Self::Handle)
    }
}

/// Reads of the directory from the database, by cache.
pub type DirectoryLoads = Family<DirectoryLoad, Counter>;

/// The cache that did not know a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DirectoryLoad {
    /// The name of the cache: `apps`, `apps_by_id`, `connections`, `names`, `handles` or `looks`.
    pub cache: &'static str,
}

/// The cached directory.
pub struct Directory {
    database: Arc<Database>,
    generation: Arc<AtomicU64>,
    apps: Cached<String, AppEntry>,
    apps_by_id: Cached<AppId, AppEntry>,
    connections: Cached<ConnectionId, ConnectionEntry>,
    names: Cached<Name, NamedRoute>,
    handles: Cached<Handle, Vec<(OrganizationId, ConnectionId)>>,
    looks: Cached<OrganizationId, Look>,
    readable: Cached<(), ()>,
    loads: DirectoryLoads,
}

impl Directory {
    /// The directory with empty caches.
    pub fn new(database: Arc<Database>, clock: &Arc<dyn Clock>) -> Self {
        let generation = Arc::new(AtomicU64::new(0));
        let loads = DirectoryLoads::default();
        macro_rules! cached {
            ($cache:literal) => {{
                let loads = loads.get_or_create(&DirectoryLoad { cache: $cache }).clone();
                Cached::new(CAPACITY, STALENESS_CEILING, Arc::clone(&generation), Arc::clone(clock), loads)
            }};
        }
        Self {
            apps: cached!("apps"),
            apps_by_id: cached!("apps_by_id"),
            connections: cached!("connections"),
            names: cached!("names"),
            handles: cached!("handles"),
            looks: cached!("looks"),
            readable: Cached::new(
                1,
                READABLE_FOR,
                Arc::clone(&generation),
                Arc::clone(clock),
                Counter::default(),
            ),
            database,
            generation,
            loads,
        }
    }

    /// How often the database was asked, for the operator's metrics.
    pub fn loads(&self) -> DirectoryLoads {
        self.loads.clone()
    }

    /// Forgets everything, loads in flight included. Called after every committed change, before it is acknowledged.
    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Checks that the directory can be read, by the same way through cache and database that sign-ins take.
    pub async fn is_readable(&self) -> Result<(), StoreError> {
        let load = || {
            let database = Arc::clone(&self.database);
            async move { find_last_change(&mut database.read().await?).await.map(|_| Some(())) }
        };
        self.readable.get((), load).await.map(drop)
    }

    /// The number of changes so far. A value that was read under another number may be outdated.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The app with this client id. A text that cannot be one is not looked up: the cache also keeps keys that it did
    /// not find, and the caller chooses how long the text is.
    pub async fn app(&self, client_id: &str) -> Result<Option<Arc<AppEntry>>, StoreError> {
        if !App::is_client_id(client_id) {
            return Ok(None);
        }
        let load = || {
            let (database, client_id) = (Arc::clone(&self.database), client_id.to_owned());
            async move {
                let mut tx = database.read().await?;
                let app = apps::find_app_of_any_organization_by_client_id(&mut tx, &client_id).await?;
                with_organization(&mut tx, app).await
            }
        };
        self.apps.get(client_id.to_owned(), load).await
    }

    /// The app with this id.
    pub async fn app_by_id(&self, id: AppId) -> Result<Option<Arc<AppEntry>>, StoreError> {
        let load = || {
            let database = Arc::clone(&self.database);
            async move {
                let mut tx = database.read().await?;
                let app = apps::find_app_of_any_organization(&mut tx, id).await?;
                with_organization(&mut tx, app).await
            }
        };
        self.apps_by_id.get(id, load).await
    }

    /// The connection with this id.
    pub async fn connection(&self, id: ConnectionId) -> Result<Option<Arc<ConnectionEntry>>, StoreError> {
        let load = || {
            let database = Arc::clone(&self.database);
            async move {
                let mut tx = database.read().await?;
                let Some(record) = connections::find_connection_of_any_organization(&mut tx, id).await?
                else {
                    return Ok(None);
                };
                let owner = record.connection.organization;
                let organization = organizations::find_organization(&mut tx, owner).await?;
                Ok(organization.map(|organization| ConnectionEntry {
                    connection: record.connection,
                    credential: record.credential,
                    organization,
                }))
            }
        };
        self.connections.get(id, load).await
    }

    /// How an organization's pages look.
    pub async fn look(&self, organization: OrganizationId) -> Result<Arc<Look>, StoreError> {
        let load = || {
            let database = Arc::clone(&self.database);
            async move {
                let mut tx = database.read().await?;
                looks::find_look(&mut tx, organization).await.map(Some)
            }
        };
        Ok(self.looks.get(organization, load).await?.unwrap_or_default())
    }

    /// The route of a name; a name of a disabled organization has none.
    pub async fn route(&self, name: &Name) -> Result<Option<Arc<NamedRoute>>, StoreError> {
        let load = || {
            let (database, name) = (Arc::clone(&self.database), name.clone());
            async move {
                let mut tx = database.read().await?;
                load_route(&mut tx, &name).await
            }
        };
        self.names.get(name.clone(), load).await
    }

    /// The enabled connections with this handle, in any organization.
    pub async fn connections_by_handle(
        &self,
        handle: &Handle,
    ) -> Result<Arc<Vec<(OrganizationId, ConnectionId)>>, StoreError> {
        let load = || {
            let (database, handle) = (Arc::clone(&self.database), handle.clone());
            async move {
                let mut tx = database.read().await?;
                let records =
                    connections::list_connections_of_any_organization_by_handle(&mut tx, &handle).await?;
                let enabled = records.into_iter().map(|record| record.connection).filter(|c| c.enabled);
                Ok(Some(enabled.map(|c| (c.organization, c.id)).collect()))
            }
        };
        Ok(self.handles.get(handle.clone(), load).await?.unwrap_or_default())
    }
}

async fn with_organization(tx: &mut Tx, app: Option<App>) -> Result<Option<AppEntry>, StoreError> {
    let Some(app) = app else { return Ok(None) };
    let organization = organizations::find_organization(tx, app.organization).await?;
    Ok(organization.map(|organization| AppEntry { app, organization }))
}

async fn load_route(tx: &mut Tx, name: &Name) -> Result<Option<NamedRoute>, StoreError> {
    let (organization, domain) = match name {
        Name::Handle(handle) => (organizations::find_organization_by_handle(tx, handle).await?, None),
        Name::Domain(domain) => match domains::find_owner(tx, &OwnedDomain::candidates(domain)).await? {
            Some(owner) => {
                (organizations::find_organization(tx, owner.organization).await?, Some(owner.domain))
            }
            None => (None, None),
        },
    };
    let Some(organization) = organization.filter(|organization| organization.enabled) else {
        return Ok(None);
    };
    let all = connections::list_connections(tx, organization.id).await?;
    let enabled = |id: &ConnectionId| all.iter().any(|c| c.connection.id == *id && c.connection.enabled);
    let wanted = match &domain {
        Some(domain) => domains::list_domain_connections(tx, organization.id, domain).await?,
        None => all.iter().map(|record| record.connection.id).collect(),
    };
    let has_proven_domain = domain.is_some() || !domains::list_domains(tx, organization.id).await?.is_empty();
    Ok(Some(NamedRoute {
        organization: organization.id,
        routing: organization.policy.routing,
        has_proven_domain,
        connections: wanted.into_iter().filter(enabled).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SystemClock;
    use crate::store::StoreSettings;

    #[tokio::test]
    async fn what_can_be_no_client_id_is_neither_looked_for_nor_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings {
            url: format!("sqlite://{}", folder.path().join("test.db").display()),
            max_connections: 1,
            synchronous_full: false,
            acquire_timeout: std::time::Duration::from_secs(1),
        };
        let database = Arc::new(Database::open(&settings).await.unwrap());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let directory = Directory::new(Arc::clone(&database), &clock);
        assert!(directory.app(&"x".repeat(255)).await.unwrap().is_none());
        database.close().await;
        for text in ["x".repeat(256), String::new(), "a b".to_owned(), "\u{e9}".to_owned()] {
            assert!(directory.app(&text).await.unwrap().is_none(), "{text}");
        }
        assert!(directory.app(&"y".repeat(255)).await.is_err(), "others would be looked for");
    }
}
