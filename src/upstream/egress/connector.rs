//! Opens TCP connections, only to addresses that have been checked.
//!
//! The system's resolver looks the name up once. Every address is checked against the table, and the connection goes
//! to an address that passed. A name that resolves to something else a moment later gains nothing. `names` does the
//! look-ups and gives each owner a share.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tower::Service;

use super::Owner;
use super::address::refusal;
use super::names::{LookupError, Names};

/// How many addresses of one name are tried, one after another.
const MAX_ADDRESSES: usize = 4;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why no connection was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the URL has no host")]
    NoHost,
    #[error("the name does not resolve: {0}")]
    Lookup(String),
    #[error("{address} is refused: {why}")]
    Refused { address: IpAddr, why: &'static str },
    #[error("the connection failed: {0}")]
    Failed(String),
    #[error("the connection took too long")]
    TimedOut,
    #[error("too many names are being looked up for this connection or its organization")]
    Busy,
}

impl From<LookupError> for ConnectError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Failed(detail) => Self::Lookup(detail),
            LookupError::TimedOut => Self::TimedOut,
            LookupError::Busy => Self::Busy,
        }
    }
}

/// Opens TCP connections to checked addresses only.
#[derive(Clone)]
pub(super) struct VettingConnector {
    allowed: Arc<[IpNet]>,
    limit: Duration,
    names: Arc<Names>,
    owner: Owner,
}

impl VettingConnector {
    pub(super) fn new(allowed: &Arc<[IpNet]>, limit: Duration, names: &Arc<Names>, owner: Owner) -> Self {
        Self { allowed: Arc::clone(allowed), limit, names: Arc::clone(names), owner }
    }

    async fn connect(self, target: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = target.host().ok_or(ConnectError::NoHost)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = target.port_u16().unwrap_or(443);
        let addresses = self.vetted(host, port).await?;
        let share = self.limit / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut last = ConnectError::TimedOut;
        for address in addresses {
            match tokio::time::timeout(share, open(address)).await {
                Ok(Ok(stream)) => return Ok(TokioIo::new(stream)),
                Ok(Err(error)) => last = ConnectError::Failed(error.kind().to_string()),
                Err(_) => last = ConnectError::TimedOut,
            }
        }
        Err(last)
    }

    /// The addresses of `host` that may be reached; an error if there is none.
    async fn vetted(&self, host: String, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let mut refused = None;
        let mut vetted = Vec::new();
        for address in self.resolve(host, port).await? {
            match refusal(address.ip(), &self.allowed) {
                None => vetted.push(address),
                Some(why) => refused = Some(ConnectError::Refused { address: address.ip(), why }),
            }
        }
        vetted.truncate(MAX_ADDRESSES);
        match refused {
            Some(error) if vetted.is_empty() => Err(error),
            _ if vetted.is_empty() => Err(ConnectError::Lookup("no address".to_owned())),
            _ => Ok(vetted),
        }
    }

    /// Every address of `host`.
    async fn resolve(&self, host: String, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = self.names.look_up(&self.owner, host.to_ascii_lowercase()).await?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that connects out, to an address that was vetted"
)]
async fn open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

type Opening<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl Service<Uri> for VettingConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Opening<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        Box::pin(self.clone().connect(target))
    }
}

/// Limits the time before the first byte of a request: look-up, TCP and TLS together.
#[derive(Clone)]
pub(super) struct Timed<C> {
    inner: C,
    limit: Duration,
}

impl<C> Timed<C> {
    pub(super) const fn new(inner: C, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
    C::Response: 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Opening<C::Response, BoxError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let opening = tokio::time::timeout(self.limit, self.inner.call(target));
        Box::pin(async move { opening.await.unwrap_or_else(|_| Err(ConnectError::TimedOut.into())) })
    }
}
