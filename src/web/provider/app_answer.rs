//! The answers to apps: in JSON, with errors as in RFC 6749, section 5.2.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::flows::refusal::{EndpointError, ToldApp};
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::web::browser::respond::{no_store, retry_after};
use crate::web::state::Web;

/// An answer in JSON.
pub(in crate::web) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let Ok(text) = serde_json::to_vec(value) else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An answer without a body.
pub(in crate::web) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An error as RFC 6749, section 5.2, writes it.
pub(super) fn error_json(status: StatusCode, error: &OAuthError) -> Response {
    let body = serde_json::json!({ "error": error.code, "error_description": error.description });
    json(status, &body)
}

/// The answer to a client that sent too many wrong secrets in the name of an app (RFC 6585, section 4).
fn too_many_secrets(wait: Duration) -> Response {
    let description = "your network has sent too many wrong secrets; try again later";
    let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, description);
    let mut response = error_json(StatusCode::TOO_MANY_REQUESTS, &error);
    response.headers_mut().insert(header::RETRY_AFTER, retry_after(wait));
    no_store(response)
}

/// Records why a request of an app was refused, and makes the answer.
pub(super) async fn refuse(web: &Web, network: &str, error: EndpointError, tried_basic: bool) -> Response {
    told(web.broker.core.settle_endpoint(network, error).await, tried_basic)
}

/// The answer to an app whose request was not served.
pub(in crate::web) fn told(told: Result<ToldApp, String>, tried_basic: bool) -> Response {
    let refused = match told {
        Ok(ToldApp::Error(refused)) => refused,
        Ok(ToldApp::TooMany(wait)) => return too_many_secrets(wait),
        Err(detail) => return unavailable(&detail),
    };
    let unauthorized = refused.code == ErrorCode::InvalidClient;
    let status = if unauthorized { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    let mut response = error_json(status, &refused);
    if unauthorized && tried_basic {
        let challenge = HeaderValue::from_static("Basic realm=\"countersign\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response.headers_mut().insert(HeaderName::from_static("pragma"), HeaderValue::from_static("no-cache"));
    no_store(response)
}

/// The answer if a service that the broker needs is down.
pub(super) fn unavailable(detail: &str) -> Response {
    tracing::error!(detail, "a request of an app could not be served");
    let description = "a service that the broker needs does not answer; try again";
    let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, description);
    let mut response = error_json(StatusCode::SERVICE_UNAVAILABLE, &error);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    no_store(response)
}
