//! The checks of a request between the connection and its handler: it must name one host that fits the certificate, it
//! gets the real client address, and its body is limited.

pub(super) mod address;
pub(super) mod body;
mod lasting;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use tower::{Service, ServiceExt as _};

use super::activity::{Activity, Running};
use super::limits::held::{Budget, Charge, Full, SharedCharge};
use super::{Certificates, Settings};
use crate::protocol::Peer;
use address::client_address;
use body::{BoxError, Holding, Keeper, RequestBody, ResponseBody, Turns, Verdict};
use lasting::Lasting;

/// Responds to requests. An axum `Router` does.
pub trait Handler:
    Service<
        Request<RequestBody>,
        Response = Response<Self::Body>,
        Error = Infallible,
        Future: Future<Output = Result<Response<Self::Body>, Infallible>> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// The body of its responses.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static;
}

impl<S, B> Handler for S
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static,
{
    type Body = B;
}

/// The facts about the connection over which a request came.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) peer: IpAddr,
    pub(super) sni: Option<Arc<str>>,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) settings: Arc<Settings>,
    pub(super) activity: Arc<Activity>,
    pub(super) account: Arc<Budget>,
    pub(super) turns: Turns,
}

/// Responds to a request within the limits of its connection, and ends the connection after the response if it is
/// uncertain what follows on it.
pub(super) async fn answer<H: Handler>(
    origin: Arc<Origin>,
    handler: H,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody<H::Body>>, Infallible> {
    let running = origin.activity.request();
    let (version, is_last) = (request.version(), running.is_last());
    let mut charge = origin.account.charge();
    let (outcome, mut charge) = match charge.reserve(ORDINARY_ANSWER) {
        Ok(()) => {
            let origin = Arc::clone(&origin);
            // A client that goes away must not undo the count or the record of what it did.
            Lasting::new(async move { (serve(&origin, handler, request).await, charge) }).await
        }
        Err(_) => (Err(NO_ROOM), charge),
    };
    let outcome =
        outcome.and_then(|response| hold(&origin, &response, &mut charge).map(|()| (response, charge)));
    let (response, charge) = match outcome {
        Ok(held) => held,
        Err(status) => return Ok(refusal(status, version, running)),
    };
    let is_h1 = version < Version::HTTP_2;
    let keeper = if is_h1 { Keeper::Connection(Arc::clone(&origin.activity)) } else { Keeper::Bytes };
    let mut response = response.map(|body| ResponseBody::handler(body, Holding { charge, keeper }, running));
    if is_h1 && is_last {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Checks a request and passes it to `handler`. The body's own status replaces the handler's response.
async fn serve<H: Handler>(
    origin: &Origin,
    handler: H,
    request: Request<Incoming>,
) -> Result<Response<H::Body>, StatusCode> {
    check(origin, &request)?;
    let (mut parts, body) = request.into_parts();
    let held = SharedCharge::new(origin.account.charge());
    held.grow(size_of(&parts.headers) + line_of(&parts.method, &parts.uri)).map_err(|_| NO_ROOM)?;
    parts.extensions.insert(Peer {
        address: client_address(origin.peer, &parts.headers, &origin.settings.trusted_proxies),
        tls: origin.certificates.is_some(),
        sni: origin.sni.clone(),
    });
    let verdict = Verdict::default();
    let settings = &origin.settings;
    let limits = (settings.body_bytes, settings.timeouts.body);
    let body = RequestBody::new(body, &origin.turns, limits, verdict.clone(), held.clone());
    let Ok(response) = handler.oneshot(Request::from_parts(parts, body)).await;
    // The request's memory is held until there is a response.
    drop(held);
    verdict.status().map_or(Ok(response), Err)
}

/// The status if the connection or the network holds too much.
const NO_ROOM: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// How many bytes are reserved for a response before the request is served: enough for a redirect, tokens or an error.
/// Longer responses are pages and files, which can be requested again.
pub(super) const ORDINARY_ANSWER: usize = 6_144;

/// About how many bytes a header of a response takes. The broker writes all of them, so no client can make them large.
const HEADER_OF_ANSWER: usize = 128;

/// Charges the memory of a response. A connection whose client does not read responses is ended.
fn hold<B: Body>(origin: &Origin, response: &Response<B>, charge: &mut Charge) -> Result<(), StatusCode> {
    let body = usize::try_from(response.body().size_hint().lower()).unwrap_or(usize::MAX);
    match charge.settle(body.saturating_add(response.headers().len() * HEADER_OF_ANSWER)) {
        Ok(()) => Ok(()),
        Err(full) => {
            tracing::debug!(peer = %origin.peer, ?full, "an answer was dropped: too much is waiting to be sent");
            if full == Full::Connection {
                origin.activity.cut();
            }
            Err(NO_ROOM)
        }
    }
}

fn check(origin: &Origin, request: &Request<Incoming>) -> Result<(), StatusCode> {
    check_head(request, origin.settings.header_bytes)?;
    let host = host_of(request)?;
    if let (Some(sni), Some(certificates)) = (&origin.sni, &origin.certificates) {
        let host = host.as_deref().map(|host| host.trim_end_matches('.')).unwrap_or_default();
        if !certificates.covers(sni, host) {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
    }
    let declared = request.body().size_hint().lower();
    if usize::try_from(declared).map_or(true, |declared| declared > origin.settings.body_bytes) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    Ok(())
}

/// Checks that the line and the headers together have at most `limit` bytes. If the line alone has more, the status is
/// 414, otherwise 431 (RFC 9110, section 15.5.15; RFC 6585, section 5).
fn check_head<B>(request: &Request<B>, limit: usize) -> Result<(), StatusCode> {
    let line = line_of(request.method(), request.uri());
    if line > limit {
        return Err(StatusCode::URI_TOO_LONG);
    }
    let size = line + size_of(request.headers());
    if size > limit { Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) } else { Ok(()) }
}

/// The bytes of a request line.
fn line_of(method: &Method, uri: &Uri) -> usize {
    let target = uri.path_and_query().map_or(1, |target| target.as_str().len());
    method.as_str().len() + target + " HTTP/1.1 \r\n".len()
}

/// The bytes of the headers.
fn size_of(headers: &HeaderMap) -> usize {
    let header =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
    headers.iter().map(header).sum()
}

/// The one host that a request names, in lower case and without its port (RFC 9112, section 3.2; RFC 9113, section
/// 8.3.1). HTTP/1.1 must name it exactly once, and if the target names one, too, both must be the same.
fn host_of<B>(request: &Request<B>) -> Result<Option<String>, StatusCode> {
    let mut headers = request.headers().get_all(HOST).iter();
    let header = headers.next().map(parse_host).transpose()?;
    let repeated = headers.next().is_some();
    let missing = header.is_none() && request.version() == Version::HTTP_11;
    if repeated || missing {
        return Err(StatusCode::BAD_REQUEST);
    }
    match (request.uri().authority(), header) {
        (Some(target), Some(header)) if !target.as_str().eq_ignore_ascii_case(header.as_str()) => {
            Err(StatusCode::BAD_REQUEST)
        }
        (Some(target), _) => Ok(Some(target.host().to_ascii_lowercase())),
        (None, header) => Ok(header.map(|header| header.host().to_ascii_lowercase())),
    }
}

fn parse_host(value: &HeaderValue) -> Result<Authority, StatusCode> {
    let authority = Authority::try_from(value.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
    if authority.as_str().contains('@') { Err(StatusCode::BAD_REQUEST) } else { Ok(authority) }
}

/// The listener's own response. An HTTP/1 connection ends after it, because it is uncertain what follows.
fn refusal<B>(status: StatusCode, version: Version, running: Running) -> Response<ResponseBody<B>> {
    let text = match status {
        StatusCode::MISDIRECTED_REQUEST => "This connection does not serve that host.\n",
        StatusCode::PAYLOAD_TOO_LARGE => "The request is too large.\n",
        StatusCode::URI_TOO_LONG => "The address is too long.\n",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "The request's headers are too large.\n",
        StatusCode::REQUEST_TIMEOUT => "The request took too long.\n",
        NO_ROOM => "Too much waits to be sent to this network. Try again in a moment.\n",
        _ => "The request is malformed.\n",
    };
    let mut response = Response::new(ResponseBody::own(text, running));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    if status == NO_ROOM {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
    }
    if version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(version: Version, target: &str, hosts: &[&str]) -> Result<Option<String>, StatusCode> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        host_of(&request.body(()).unwrap())
    }

    #[test]
    fn a_request_names_one_host() {
        let ok = |host: &str| Ok(Some(host.to_owned()));
        assert_eq!(host(Version::HTTP_11, "/", &["Acme.test:8443"]), ok("acme.test"));
        assert_eq!(host(Version::HTTP_11, "/", &["[::1]:8443"]), ok("[::1]"));
        assert_eq!(host(Version::HTTP_2, "https://acme.test/x", &[]), ok("acme.test"));
        assert_eq!(host(Version::HTTP_2, "https://acme.test/x", &["acme.test"]), ok("acme.test"));
        assert_eq!(host(Version::HTTP_10, "/", &[]), Ok(None));
    }

    #[test]
    fn no_host_two_hosts_and_contradicting_hosts_are_refused() {
        let refused: [(Version, &str, &[&str]); 7] = [
            (Version::HTTP_11, "/", &[]),
            (Version::HTTP_11, "/", &["a.test", "a.test"]),
            (Version::HTTP_11, "/", &["u@a.test"]),
            (Version::HTTP_11, "/", &["a.test/x"]),
            (Version::HTTP_11, "/", &[""]),
            (Version::HTTP_11, "https://a.test/", &["b.test"]),
            (Version::HTTP_2, "https://a.test/", &["a.test:1"]),
        ];
        for (version, target, hosts) in refused {
            assert_eq!(
                host(version, target, hosts),
                Err(StatusCode::BAD_REQUEST),
                "{version:?} {target} {hosts:?}"
            );
        }
    }
}
