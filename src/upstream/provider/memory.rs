//! The state that survives a restart: the last good metadata and key set of each connection.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::model::{ConnectionId, Timestamp};

/// A boxed future, as the methods of [`Memory`] return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the last good documents are stored. Storing and loading may fail: then the identity provider is called again.
pub trait Memory: Send + Sync {
    /// The documents that were last saved for a connection.
    fn load(&self, connection: ConnectionId) -> BoxFuture<'_, Option<Remembered>>;

    /// Replaces the documents that were saved for a connection.
    fn save(&self, connection: ConnectionId, remembered: Remembered) -> BoxFuture<'_, ()>;
}

/// The last good documents of a connection, with the settings for which they were fetched.
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
