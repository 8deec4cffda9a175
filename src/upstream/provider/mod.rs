//! The state of one identity provider, as one connection sees it: metadata, keys, and whether it works.
//!
//! Connections share nothing, even if they have the same issuer. A `Provider` belongs to the issuer and discovery URL
//! for which it was made. If either changes, or the connection is forgotten, a new one replaces it, and a fetch that
//! is still under way fills only the old one.
//!
//! * Metadata is fetched when it is first needed, and stays fresh for an hour. If a fetch fails, the last good
//!   metadata stays.
//! * A key set in use is fetched at least every ten minutes. An unknown key id causes one extra fetch, at most once a
//!   minute. A key is invalid after the first successful fetch without it. While fetches fail, the last good set is
//!   used until it is too old.
//! * Both survive a restart through [`Memory`].

mod breaker;
pub(super) mod kept;
mod memory;
mod slot;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, Response};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

pub use memory::{BoxFuture, Document, Memory, Remembered};

use breaker::Breaker;
use slot::{Good, Slot};

use super::asker::Errand;
use super::egress::{Egress, EgressError};
use super::error::{Outage, Refusal, UpstreamError};
use super::messages::discovery::{Metadata, discovery_url};
use crate::model::{Clock, Connection, ConnectionId};
use crate::protocol::jose::JwkSet;
use kept::{Keep, Kept};

/// How long metadata stays fresh.
const METADATA_FRESH: Duration = Duration::from_hours(1);
/// How long a key set stays fresh. A key that the identity provider removed is accepted no longer than this.
const KEYS_FRESH: Duration = Duration::from_mins(10);
/// The shortest time between two extra fetches for unknown key ids.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_mins(1);

/// The parts that all identity providers share.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub egress: Egress,
    pub clock: Arc<dyn Clock>,
    pub memory: Arc<dyn Memory>,
    /// How long the last good key set is used while fetches fail.
    pub jwks_max_stale: Duration,
}

/// One identity provider, as one connection sees it.
pub(super) struct Provider {
    connection: ConnectionId,
    issuer: String,
    discovery_url: Option<String>,
    /// The cache that holds it, and that must be told the weight of its documents.
    kept: Weak<Kept<Self>>,
    recalled: OnceCell<()>,
    saving: tokio::sync::Mutex<()>,
    forgotten: AtomicBool,
    metadata: Arc<Slot<Metadata>>,
    keys: Arc<Slot<JwkSet>>,
    breaker: Breaker,
    around: Surroundings,
}

impl Keep for Provider {
    fn is_for(&self, connection: &Connection) -> bool {
        self.issuer == connection.issuer && self.discovery_url == connection.settings.discovery_url
    }
}

/// A document that takes memory.
trait Weight {
    /// About how many bytes it takes.
    fn weight(&self) -> usize;
}

impl Weight for Metadata {
    fn weight(&self) -> usize {
        self.bytes()
    }
}

impl Weight for JwkSet {
    fn weight(&self) -> usize {
        self.bytes()
    }
}

/// Which of the two documents.
#[derive(Clone, Copy)]
enum Kind {
    Metadata,
    Keys,
}

impl Provider {
    pub fn new(connection: &Connection, around: Surroundings) -> Self {
        Self {
            connection: connection.id,
            issuer: connection.issuer.clone(),
            discovery_url: connection.settings.discovery_url.clone(),
            kept: Weak::new(),
            recalled: OnceCell::new(),
            saving: tokio::sync::Mutex::new(()),
            forgotten: AtomicBool::new(false),
            metadata: Arc::new(Slot::new()),
            keys: Arc::new(Slot::new()),
            breaker: Breaker::new(),
            around: Surroundings { egress: around.egress.of(connection), ..around },
        }
    }

    /// An identity provider that neither saves nor loads documents: everything it fetches is new, and only it uses it.
    pub fn apart(connection: &Connection, around: &Surroundings) -> Self {
        let around = Surroundings { memory: Arc::new(Forgetful), ..around.clone() };
        Self::new(connection, around)
    }

    /// An identity provider that tells the cache the weight of its documents.
    pub fn kept_in(kept: &Arc<Kept<Self>>, connection: &Connection, around: Surroundings) -> Self {
        Self { kept: Arc::downgrade(kept), ..Self::new(connection, around) }
    }

    /// Tells the cache the weight of the documents. `new` is the weight of a document that has arrived but is not
    /// stored yet, in bytes.
    fn weigh(&self, kind: Kind, new: usize) {
        let Some(kept) = self.kept.upgrade() else { return };
        let metadata = || self.metadata.good().map_or(0, |metadata| metadata.weight());
        let keys = || self.keys.good().map_or(0, |keys| keys.weight());
        let documents = match kind {
            Kind::Metadata => new + keys(),
            Kind::Keys => metadata() + new,
        };
        kept.weigh(self.connection, self, documents);
    }

    /// From now on, fetches under way are no longer saved.
    pub fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    /// The metadata.
    pub async fn metadata(self: &Arc<Self>, connection: &Connection) -> Result<Arc<Metadata>, UpstreamError> {
        self.recall(connection).await;
        let url = discovery_url(connection).map_err(Refusal::from)?;
        let issuer = connection.issuer.clone();
        let load = || {
            self.loading(Kind::Metadata, url, move |text| {
                Ok(Metadata::parse(text, &issuer).map_err(Refusal::from)?)
            })
        };
        self.metadata.get(self.around.clock.now(), METADATA_FRESH, Duration::MAX, load).await
    }

    /// The key set. A set that is too old to be trusted and cannot be fetched is an outage of its own.
    pub async fn keys(self: &Arc<Self>, connection: &Connection) -> Result<Arc<JwkSet>, UpstreamError> {
        let metadata = self.metadata(connection).await?;
        let load = || self.loading_keys(&metadata);
        let oldest = self.around.jwks_max_stale;
        let got = self.keys.get(self.around.clock.now(), KEYS_FRESH, oldest, load).await;
        got.map_err(|error| match error {
            UpstreamError::Unavailable(_) if self.keys.is_filled() => Outage::KeysTooOld.into(),
            error => error,
        })
    }

    /// A key set newer than `seen`, to look for a key that `seen` does not have; `None` if none is available now.
    pub async fn newer_keys(
        self: &Arc<Self>,
        connection: &Connection,
        seen: &Arc<JwkSet>,
    ) -> Option<Arc<JwkSet>> {
        let metadata = self.metadata(connection).await.ok()?;
        let load = || self.loading_keys(&metadata);
        self.keys.newer(seen, self.around.clock.now(), UNKNOWN_KEY_PAUSE, load).await
    }

    /// One call that counts for the breaker: to the token or UserInfo endpoint.
    pub async fn call(&self, request: Request<Bytes>, errand: Errand<'_>) -> Result<Response<Bytes>, Outage> {
        let Errand { asker, gate, deadline } = errand;
        let clock = &self.around.clock;
        let whole = deadline.saturating_duration_since(Instant::now());
        let entering = tokio::time::timeout_at(deadline, self.breaker.enter(clock.now(), asker));
        let ticket = entering.await.map_err(|_| Outage::Busy)??;
        if let Some(gate) = gate {
            gate.pass().map_err(Outage::Withheld)?;
        }
        let begun = Instant::now();
        let sending = tokio::time::timeout_at(deadline, self.around.egress.send(request));
        match sending.await.unwrap_or(Err(EgressError::Timeout)) {
            Ok(answer) if answer.status().is_server_error() => {
                ticket.failed(clock.now());
                Err(Outage::Status(answer.status().as_u16()))
            }
            Ok(answer) => {
                ticket.succeeded();
                Ok(answer)
            }
            Err(error) => {
                // A call that our own queues delayed says nothing about the identity provider.
                let had_time = !matches!(error, EgressError::Timeout) || begun.elapsed() >= whole / 2;
                if error.is_outage() && had_time {
                    ticket.failed(clock.now());
                }
                Err(error.into())
            }
        }
    }

    fn loading_keys(
        self: &Arc<Self>,
        metadata: &Metadata,
    ) -> BoxFuture<'static, Result<Good<JwkSet>, UpstreamError>> {
        let parse = |text: &[u8]| Ok(JwkSet::parse(text).map_err(Refusal::from)?);
        self.loading(Kind::Keys, metadata.jwks_uri.clone(), parse)
    }

    /// Fetches, reads and saves one document.
    fn loading<T: Weight + Send + Sync + 'static>(
        self: &Arc<Self>,
        kind: Kind,
        url: Url,
        parse: impl FnOnce(&[u8]) -> Result<T, UpstreamError> + Send + 'static,
    ) -> BoxFuture<'static, Result<Good<T>, UpstreamError>> {
        let provider = Arc::clone(self);
        Box::pin(async move {
            let fetched = provider.fetch(&url, parse).await;
            let (value, document) = fetched.inspect_err(|error| {
                // While the last good document is used, nothing else would report the failure.
                let (connection, code) = (provider.connection, error.code());
                tracing::warn!(%connection, %url, code, "a provider's document could not be fetched: {error}");
            })?;
            let fetched_at = document.fetched_at;
            provider.weigh(kind, value.weight());
            provider.remember(kind, document);
            Ok(Good { value, fetched_at })
        })
    }

    async fn fetch<T>(
        &self,
        url: &Url,
        parse: impl FnOnce(&[u8]) -> Result<T, UpstreamError>,
    ) -> Result<(Arc<T>, Document), UpstreamError> {
        let answer = self.around.egress.send(get(url)?).await.map_err(Outage::from)?;
        if answer.status() != 200 {
            return Err(Outage::Status(answer.status().as_u16()).into());
        }
        let value = Arc::new(parse(answer.body())?);
        // It was parsed, so it is UTF-8.
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        Ok((value, Document { text, fetched_at: self.around.clock.now() }))
    }

    /// Saves a document together with the other one, in the background: no caller waits for it. Saves follow each
    /// other, each with everything that was saved before, so that none is lost. The texts themselves are not kept in
    /// memory.
    fn remember(self: &Arc<Self>, kind: Kind, document: Document) {
        let provider = Arc::clone(self);
        tokio::spawn(async move {
            let turn = provider.saving.lock().await;
            let mut remembered = provider.saved().await;
            match kind {
                Kind::Metadata => remembered.metadata = Some(document),
                Kind::Keys => remembered.jwks = Some(document),
            }
            if !provider.forgotten.load(Ordering::Acquire) {
                provider.around.memory.save(provider.connection, remembered).await;
            }
            drop(turn);
        });
    }

    /// Loads the saved documents, once.
    async fn recall(&self, connection: &Connection) {
        self.recalled
            .get_or_init(|| async {
                let saved = self.saved().await;
                self.take_up(&saved, connection);
            })
            .await;
    }

    /// The saved documents, if they were fetched for the same issuer and discovery URL.
    async fn saved(&self) -> Remembered {
        let (issuer, discovery_url) = (&self.issuer, &self.discovery_url);
        let saved = self.around.memory.load(self.connection).await;
        saved.filter(|saved| saved.issuer == *issuer && saved.discovery_url == *discovery_url).unwrap_or_else(
            || Remembered {
                issuer: issuer.clone(),
                discovery_url: discovery_url.clone(),
                metadata: None,
                jwks: None,
            },
        )
    }

    fn take_up(&self, saved: &Remembered, connection: &Connection) {
        if let Some(document) = &saved.metadata
            && let Ok(metadata) = Metadata::parse(document.text.as_bytes(), &connection.issuer)
        {
            self.weigh(Kind::Metadata, metadata.weight());
            self.metadata.recall(Good { value: Arc::new(metadata), fetched_at: document.fetched_at });
        }
        if let Some(document) = &saved.jwks
            && let Ok(keys) = JwkSet::parse(document.text.as_bytes())
        {
            self.weigh(Kind::Keys, keys.weight());
            self.keys.recall(Good { value: Arc::new(keys), fetched_at: document.fetched_at });
        }
    }
}

/// Remembers nothing.
struct Forgetful;

impl Memory for Forgetful {
    fn load(&self, _: ConnectionId) -> BoxFuture<'_, Option<Remembered>> {
        Box::pin(std::future::ready(None))
    }

    fn save(&self, _: ConnectionId, _: Remembered) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn get(url: &Url) -> Result<Request<Bytes>, Outage> {
    Request::get(url.as_str())
        .header(ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|_| Outage::Call(EgressError::InvalidUrl))
}

#[cfg(test)]
mod tests;
