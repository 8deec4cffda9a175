//! How apps are answered: in JSON, errors as RFC 6749, section 5.2, says.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::respond::{no_store, retry_after};
use crate::flows::error::EndpointError;
use crate::protocol::oauth::{ErrorCode, OAuthError};

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let Ok(text) = serde_json::to_vec(value) else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An error as RFC 6749, section 5.2, writes it.
pub(super) fn error_json(status: StatusCode, error: &OAuthError) -> Response {
    let body = serde_json::json!({ "error": error.code, "error_description": error.description });
    json(status, &body)
}

/// The answer to somebody who presented too many wrong secrets in the name of an app (RFC 6585, section 4).
fn too_many_secrets(wait: Duration) -> Response {
    let description = "too many wrong secrets came from your network; try again later";
    let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, description);
    let mut response = error_json(StatusCode::TOO_MANY_REQUESTS, &error);
    response.headers_mut().insert(header::RETRY_AFTER, retry_after(wait));
    no_store(response)
}

/// The answer to an app whose request was not served.
pub(super) fn refuse(error: EndpointError, tried_basic: bool) -> Response {
    let refused = match error {
        EndpointError::Refused(refused) => refused,
        EndpointError::TooMany(wait) => return too_many_secrets(wait),
        EndpointError::Unavailable(detail) => {
            tracing::error!(detail, "a request of an app could not be served");
            let description = "something that is needed is down; try again";
            let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, description);
            let mut response = error_json(StatusCode::SERVICE_UNAVAILABLE, &error);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            return no_store(response);
        }
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
