//! The only client that connects out: guarded, limited, and without a cache of its own.
//!
//! It calls `https` URLs only, and checked addresses only (`address`, `connector`). It verifies TLS by the name in the
//! URL, against the certificate authorities of the system and of the operator. It follows no redirects, and uses no
//! compression and no proxy. The time to connect, the total time, and the sizes of header and body are limited, the
//! body while it streams. It speaks HTTP/1.1 only: under HTTP/2, connections of several organizations to one host
//! would share a stream limit and one congestion window.
//!
//! This module does not know what is fetched, but it knows for whom. Every call has an `Owner`, and each owner has a
//! share of the look-ups and calls under way, so that no organization makes another one wait.

mod address;
mod connector;
mod names;

use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use connector::{ConnectError, Timed, VettingConnector};
pub(in crate::upstream) use names::Resolver;
use names::{Names, SystemResolver};

use super::turns::{Share, Turns};
use crate::model::Connection;

/// How many calls of all organizations may be under way at once: each holds a socket. One organization may have as
/// many as it leaves free.
const CALLS: usize = 192;
/// How long a call waits for a turn of its organization. If it gets none, that is not the fault of the identity
/// provider.
const TURN_WAIT: Duration = Duration::from_secs(2);
/// How many calls may wait for a turn of their organization, each within its own time limit.
const WAITING: usize = 1_024;
const POOL_IDLE: Duration = Duration::from_secs(30);
const POOL_PER_HOST: usize = 16;
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 32 * 1024;
const AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));

/// The limits of outgoing calls (`[outbound]`).
#[derive(Debug, Clone)]
pub struct EgressSettings {
    /// Networks that may be reached although they are not public.
    pub allow: Vec<IpNet>,
    /// Additional certificate authorities, as PEM.
    pub extra_ca: Option<Vec<u8>>,
    /// The limit for look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// The limit for the whole call, with the body.
    pub total_timeout: Duration,
    /// The largest body, in bytes.
    pub max_body: usize,
}

impl Default for EgressSettings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            extra_ca: None,
            connect_timeout: Duration::from_secs(2),
            total_timeout: Duration::from_secs(5),
            max_body: 1024 * 1024,
        }
    }
}

/// Why the client could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressBuildError {
    /// The file with additional certificate authorities is not PEM, contains none, or contains a malformed one.
    #[error("the extra certificate authorities cannot be read: {0}")]
    ExtraCa(String),
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The request is not for an `https` URL with a host.
    #[error("only https URLs with a host are called")]
    InvalidUrl,
    /// The name does not resolve.
    #[error("the name does not resolve: {0}")]
    Lookup(String),
    /// None of the addresses of the name may be reached.
    #[error("the address {address} may not be reached ({why}); the operator can allow its network")]
    AddressRefused {
        /// The address.
        address: IpAddr,
        /// Why it is refused.
        why: &'static str,
    },
    /// No connection was opened.
    #[error("no connection: {0}")]
    Connect(String),
    /// No connection was opened in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The TLS handshake failed; usually the certificate is not trusted.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The call took too long.
    #[error("there was no response in time")]
    Timeout,
    /// A redirect, which is never followed.
    #[error("the response is a redirect ({0})")]
    Redirect(StatusCode),
    /// The body is larger than allowed.
    #[error("the response is too large")]
    TooLarge,
    /// The response is compressed although the request did not offer that.
    #[error("the response has a content encoding that was not asked for")]
    Encoded,
    /// The connection or its organization already has as many calls or look-ups under way as it may have.
    #[error("too many calls are under way for this connection or its organization")]
    Busy,
    /// The response is not HTTP, its head is too large, or its body ended early.
    #[error("the response is malformed: {0}")]
    Broken(String),
}

impl EgressError {
    /// The stable name of the reason, as in audit records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidUrl => "outbound_invalid_url",
            Self::Lookup(_) => "outbound_lookup_failed",
            Self::AddressRefused { .. } => "outbound_address_refused",
            Self::Connect(_) => "outbound_connect_failed",
            Self::ConnectTimeout => "outbound_connect_timeout",
            Self::Tls(_) => "outbound_tls_failed",
            Self::Timeout => "outbound_timeout",
            Self::Redirect(_) => "outbound_redirect",
            Self::TooLarge => "outbound_too_large",
            Self::Encoded => "outbound_encoded",
            Self::Busy => "outbound_busy",
            Self::Broken(_) => "outbound_broken_answer",
        }
    }

    /// Whether the other side is at fault now, and may work again later.
    pub const fn is_outage(&self) -> bool {
        !matches!(self, Self::InvalidUrl | Self::AddressRefused { .. } | Self::Busy)
    }
}

/// For whom a call is made, and whose share it takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::upstream) struct Owner {
    organization: String,
    connection: String,
}

/// The parts that all clients share.
struct Shared {
    allowed: Arc<[IpNet]>,
    tls: ClientConfig,
    connect_timeout: Duration,
    names: Arc<Names>,
    turns: Turns,
}

/// The client. Cheap to clone; clones share the pool of kept-alive connections.
#[derive(Clone)]
pub struct Egress {
    client: Client<Timed<HttpsConnector<VettingConnector>>, Full<Bytes>>,
    owner: Owner,
    shared: Arc<Shared>,
    total_timeout: Duration,
    max_body: usize,
}

impl Egress {
    /// Builds the operator's own client: reads the system's certificate authorities and the extra ones.
    pub fn new(settings: &EgressSettings) -> Result<Self, EgressBuildError> {
        Self::with_resolver(settings, Arc::new(SystemResolver))
    }

    /// The same, with a given resolver.
    pub(in crate::upstream) fn with_resolver(
        settings: &EgressSettings,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, EgressBuildError> {
        let shared = Arc::new(Shared {
            allowed: settings.allow.as_slice().into(),
            tls: tls_config(settings.extra_ca.as_deref())?,
            connect_timeout: settings.connect_timeout,
            names: Names::new(resolver, settings.connect_timeout),
            turns: Turns::new(CALLS, WAITING),
        });
        let owner = Owner::default();
        Ok(Self {
            client: client(&shared, &owner),
            owner,
            shared,
            total_timeout: settings.total_timeout,
            max_body: settings.max_body,
        })
    }

    /// The client of a connection, with a pool of its own and the connection's share of the common limits.
    pub(in crate::upstream) fn of(&self, connection: &Connection) -> Self {
        let owner = Owner {
            organization: connection.organization.to_string(),
            connection: connection.id.to_string(),
        };
        Self { client: client(&self.shared, &owner), owner, shared: Arc::clone(&self.shared), ..*self }
    }

    /// Sends one request and reads its whole response. Any status is accepted, except a redirect.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, EgressError> {
        let answer = self.send_as_browser(request).await?;
        if answer.status().is_redirection() {
            return Err(EgressError::Redirect(answer.status()));
        }
        Ok(answer)
    }

    /// The same, but returns a redirect like any other response. This is for the demo, whose scripted browser follows
    /// redirects itself. Each of its requests is checked like any other call.
    pub async fn send_as_browser(&self, request: Request<Bytes>) -> Result<Response<Bytes>, EgressError> {
        tokio::time::timeout(self.total_timeout, self.exchange(request))
            .await
            .map_err(|_| EgressError::Timeout)?
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, EgressError> {
        let mut request = request.map(Full::new);
        *request.uri_mut() = canonical(request.uri())?;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let turn = self.shared.turns.enter(Share::of(&*self.owner.organization));
        let turn = tokio::time::timeout(TURN_WAIT, turn).await;
        let _turn = turn.ok().flatten().ok_or(EgressError::Busy)?;
        let answer = self.client.request(request).await.map_err(|error| classify(&error))?;
        self.read(answer).await
    }

    async fn read(&self, answer: Response<Incoming>) -> Result<Response<Bytes>, EgressError> {
        if answer.headers().get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Err(EgressError::Encoded);
        }
        let announced = answer.body().size_hint().lower();
        if usize::try_from(announced).is_ok_and(|length| length > self.max_body) {
            return Err(EgressError::TooLarge);
        }
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, self.max_body).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                EgressError::TooLarge
            } else {
                EgressError::Broken(error.to_string())
            }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

#[expect(clippy::disallowed_methods, reason = "the one client that connects out")]
fn client(shared: &Shared, owner: &Owner) -> Client<Timed<HttpsConnector<VettingConnector>>, Full<Bytes>> {
    let tcp = VettingConnector::new(&shared.allowed, shared.connect_timeout, &shared.names, owner.clone());
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(shared.tls.clone())
        .https_only()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_PER_HOST)
        .http1_max_headers(MAX_HEADERS)
        .http1_max_buf_size(MAX_HEADER_BYTES)
        .build(Timed::new(https, shared.connect_timeout))
}

/// The canonical spelling of an `https` URL: an IPv4 address in octal, hexadecimal or fewer parts is written in full.
fn canonical(uri: &Uri) -> Result<Uri, EgressError> {
    let url = Url::parse(&uri.to_string()).map_err(|_| EgressError::InvalidUrl)?;
    if url.scheme() != "https" || !url.has_host() {
        return Err(EgressError::InvalidUrl);
    }
    url.as_str().parse().map_err(|_| EgressError::InvalidUrl)
}

/// Finds the cause in the chain of an error of the HTTP client.
fn classify(error: &hyper_util::client::legacy::Error) -> EgressError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut deepest = error.to_string();
    while let Some(current) = cause {
        if let Some(connect) = current.downcast_ref::<ConnectError>() {
            return connect.clone().into();
        }
        let wrapped = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(tls) = wrapped.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return EgressError::Tls(tls.to_string());
        }
        deepest = current.to_string();
        cause = current.source();
    }
    if error.is_connect() { EgressError::Tls(deepest) } else { EgressError::Broken(deepest) }
}

impl From<ConnectError> for EgressError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NoHost => Self::InvalidUrl,
            ConnectError::Lookup(detail) => Self::Lookup(detail),
            ConnectError::Refused { address, why } => Self::AddressRefused { address, why },
            ConnectError::Failed(detail) => Self::Connect(detail),
            ConnectError::TimedOut => Self::ConnectTimeout,
            ConnectError::Busy => Self::Busy,
        }
    }
}

fn tls_config(extra_ca: Option<&[u8]>) -> Result<ClientConfig, EgressBuildError> {
    let mut roots = RootCertStore::empty();
    let (_, ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if ignored > 0 {
        tracing::warn!(ignored, "some of the system's certificate authorities cannot be read");
    }
    for certificate in extra_certificates(extra_ca)? {
        roots.add(certificate).map_err(|error| EgressBuildError::ExtraCa(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| EgressBuildError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn extra_certificates(pem: Option<&[u8]>) -> Result<Vec<CertificateDer<'static>>, EgressBuildError> {
    let Some(pem) = pem else { return Ok(Vec::new()) };
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| EgressBuildError::ExtraCa(error.to_string()))?;
    if certificates.is_empty() {
        return Err(EgressBuildError::ExtraCa("there is no certificate in it".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests;
