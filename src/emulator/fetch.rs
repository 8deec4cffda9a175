//! How the sample app and the scripted browser reach other servers: through whatever the caller passes in.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};

/// An answer under way.
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, FetchError>> + Send + 'a>>;

/// An HTTPS client with limits of its own. It follows no redirect and keeps no cookie: whoever asks does.
pub trait Fetch: Send + Sync {
    /// Sends `request`, whose URI is absolute, and gives the whole answer.
    fn fetch(&self, request: Request<Bytes>) -> Fetched<'_>;
}

/// No answer came: not resolved, not allowed, not connected, too slow, too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);
