//! What happens to a request between the connection and its handler: one host that fits the certificate, the real
//! client address, a bounded body.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use tower::{Service, ServiceExt as _};

use super::activity::{Activity, Running};
use super::address::client_address;
use super::body::{BoxError, RequestBody, ResponseBody, Turns, Verdict};
use super::{Certificates, Settings};
use crate::protocol::Peer;

/// What answers requests; an axum `Router` is one.
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
    /// The body of its answers.
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

/// What is known about the connection that a request came over.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) peer: IpAddr,
    pub(super) sni: Option<Arc<str>>,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) settings: Arc<Settings>,
    pub(super) activity: Arc<Activity>,
    pub(super) turns: Turns,
}

/// Checks a request, hands it to `handler`, and lets the body's verdict overrule the answer.
pub(super) async fn answer<H: Handler>(
    origin: Arc<Origin>,
    handler: H,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody<H::Body>>, Infallible> {
    let running = origin.activity.request();
    let version = request.version();
    if let Err(status) = check(&origin, &request) {
        return Ok(refusal(status, version, running));
    }
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Peer {
        address: client_address(origin.peer, &parts.headers, &origin.settings.trusted_proxies),
        tls: origin.certificates.is_some(),
        sni: origin.sni.clone(),
    });
    let verdict = Verdict::default();
    let settings = &origin.settings;
    let (limit, patience) = (settings.body_bytes, settings.timeouts.body);
    let body = RequestBody::new(body, &origin.turns, limit, patience, verdict.clone());
    let response = handler.oneshot(Request::from_parts(parts, body)).await?;
    if let Some(status) = verdict.status() {
        return Ok(refusal(status, version, running));
    }
    Ok(response.map(|body| ResponseBody::handler(body, running)))
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

/// The line and the headers together have `limit` bytes at most; a line that alone has more is 414, else it is 431
/// (RFC 9110, section 15.5.15; RFC 6585, section 5).
fn check_head<B>(request: &Request<B>, limit: usize) -> Result<(), StatusCode> {
    let target = request.uri().path_and_query().map_or(1, |target| target.as_str().len());
    let line = request.method().as_str().len() + target + " HTTP/1.1 \r\n".len();
    if line > limit {
        return Err(StatusCode::URI_TOO_LONG);
    }
    let header =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
    let headers: usize = request.headers().iter().map(header).sum();
    if line + headers > limit { Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) } else { Ok(()) }
}

/// The one host that a request names, in lower case and without its port (RFC 9112, section 3.2; RFC 9113, section
/// 8.3.1): HTTP/1.1 must name it once, and where the target names one too, both must be the same.
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

/// The listener's own answer; after it, an HTTP/1 connection ends, since what follows on it is in doubt.
fn refusal<B>(status: StatusCode, version: Version, running: Running) -> Response<ResponseBody<B>> {
    let text = match status {
        StatusCode::MISDIRECTED_REQUEST => "This connection does not serve that host.\n",
        StatusCode::PAYLOAD_TOO_LARGE => "The request is too large.\n",
        StatusCode::URI_TOO_LONG => "The address is too long.\n",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "The request's headers are too large.\n",
        StatusCode::REQUEST_TIMEOUT => "The request took too long.\n",
        _ => "The request is malformed.\n",
    };
    let mut response = Response::new(ResponseBody::own(text, running));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
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
