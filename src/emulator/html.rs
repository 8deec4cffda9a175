//! Responses as HTML, and the headers of every page here.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
};

/// Pages load nothing and cannot be framed. `form-action` is absent, because it would also apply to the redirects that
/// answer a form.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// A page, with cookies.
pub(super) fn page(status: StatusCode, page: &impl Template, cookies: &[String]) -> Response {
    let Ok(text) = page.render() else { return plain(StatusCode::INTERNAL_SERVER_ERROR, "") };
    let mut builder = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CACHE_CONTROL, "no-store")
        .header(CONTENT_SECURITY_POLICY, POLICY)
        .header(REFERRER_POLICY, "same-origin");
    for cookie in cookies {
        builder = builder.header(SET_COOKIE, cookie);
    }
    finish(builder, Body::from(text))
}

/// A redirect that turns every method into GET (RFC 9700, section 4.12), with cookies.
pub(super) fn see_other(location: &str, cookies: &[String]) -> Response {
    let mut builder = Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(LOCATION, location)
        .header(CACHE_CONTROL, "no-store")
        .header(REFERRER_POLICY, "same-origin");
    for cookie in cookies {
        builder = builder.header(SET_COOKIE, cookie);
    }
    finish(builder, Body::empty())
}

/// A short text for programs.
pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    let builder = Response::builder().status(status).header(CONTENT_TYPE, "text/plain; charset=utf-8");
    finish(builder, Body::from(text.to_owned()))
}

/// JSON that must not be cached.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let builder = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .header(CACHE_CONTROL, "no-store");
    finish(builder, Body::from(value.to_string()))
}

/// The response. A header value that cannot be sent makes it a server error.
pub(super) fn finish(builder: http::response::Builder, body: Body) -> Response {
    builder.body(body).unwrap_or_else(|_| {
        let mut failed = Response::new(Body::empty());
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        failed
    })
}
