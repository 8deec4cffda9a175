//! How the sample app and the scripted browser reach other servers: through a client that the caller provides.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};

/// A response under way.
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, FetchError>> + Send + 'a>>;

/// An HTTPS client with limits of its own. It follows no redirect and keeps no cookie; its caller does.
pub trait Fetch: Send + Sync {
    /// Sends `request`, whose URI is absolute, and returns the whole response.
    fn fetch(&self, request: Request<Bytes>) -> Fetched<'_>;
}

/// There was no response: the name did not resolve, the address is not allowed, there was no connection, or the
/// response was too slow or too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);
