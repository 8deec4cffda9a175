//! What outlives a restart: the last good metadata and key set of each connection.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::model::{ConnectionId, Timestamp};

/// A boxed future, as the methods of [`Memory`] return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the last good documents are kept. Both directions are best effort: without them a provider is asked again.
pub trait Memory: Send + Sync {
    /// What was saved last for a connection.
    fn load(&self, connection: ConnectionId) -> BoxFuture<'_, Option<Remembered>>;

    /// Replaces what was saved for a connection.
    fn save(&self, connection: ConnectionId, remembered: Remembered) -> BoxFuture<'_, ()>;
}

/// The last good documents of a connection, with what they were fetched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The connection's issuer at that time.
    pub issuer: String,
    /// The connection's discovery URL at that time.
    pub discovery_url: Option<String>,
    /// The metadata.
    pub metadata: Option<Document>,
    /// The key set.
    pub jwks: Option<Document>,
}

/// A document as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The JSON text.
    pub text: String,
    /// When it was fetched.
    pub fetched_at: Timestamp,
}
