//! The endpoints for apps: tokens, userinfo, introspection, revocation, metadata, keys.
//!
//! Errors are JSON as RFC 6749, section 5.2, and RFC 6750, section 3, say. Browser apps reach the endpoints that they
//! need across origins, without credentials; nothing here ever answers to a cookie.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::app_answer::{empty, error_json, json, refuse};
use super::app_request::{AppRequest, Caller, too_many};
use super::request::{FormError, TriedForm};
use super::respond::no_store;
use super::state::Web;
use crate::flows::error::EndpointError;
use crate::flows::refusal::Reason;
use crate::flows::token::TokenRequest;
use crate::model::Secret;
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters};

/// The routes of this file.
pub fn routes() -> Router<Web> {
    let with_cors = |methods: MethodRouter<Web>| {
        methods.options(preflight).layer(axum::middleware::map_response(allow_any_origin))
    };
    Router::new()
        .route("/.well-known/openid-configuration", with_cors(get(get_metadata)))
        .route("/.well-known/oauth-authorization-server", with_cors(get(get_metadata)))
        .route("/oauth2/jwks", with_cors(get(get_keys)))
        .route("/oauth2/token", with_cors(post(post_token)))
        .route("/oauth2/userinfo", with_cors(get(get_userinfo).post(post_userinfo)))
        .route("/oauth2/revoke", with_cors(post(post_revoke)))
        .route("/oauth2/introspect", post(post_introspect))
}

async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Cross-origin requests may come from anywhere: what they carry is a token or a secret of the app's own.
async fn allow_any_origin(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let set = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "www-authenticate"),
        (header::ACCESS_CONTROL_MAX_AGE, "3600"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn get_metadata(State(web): State<Web>) -> Response {
    cacheable(web.broker.metadata())
}

async fn get_keys(State(web): State<Web>) -> Response {
    cacheable(web.broker.public_keys())
}

/// Apps may keep metadata and keys for five minutes; a new key is published much longer before it signs.
fn cacheable(result: Result<impl Serialize, EndpointError>) -> Response {
    match result {
        Ok(value) => {
            let mut response = json(StatusCode::OK, &value);
            let control = HeaderValue::from_static("public, max-age=300");
            response.headers_mut().insert(header::CACHE_CONTROL, control);
            response
        }
        Err(error) => refuse(error, false),
    }
}

async fn post_token(State(web): State<Web>, request: AppRequest) -> Response {
    let AppRequest { client, form, network, tried_basic } = &request;
    let request = TokenRequest { client, network, form };
    match web.broker.issue_tokens(&request).await {
        Ok(answer) => no_store(json(StatusCode::OK, &answer)),
        Err(error) => refuse(error, *tried_basic),
    }
}

async fn post_introspect(State(web): State<Web>, request: AppRequest) -> Response {
    let token = request.form.get("token");
    match web.broker.introspect(&request.client, &request.network, token).await {
        Ok(answer) => no_store(json(StatusCode::OK, &answer)),
        Err(error) => refuse(error, request.tried_basic),
    }
}

async fn post_revoke(State(web): State<Web>, request: AppRequest) -> Response {
    let token = request.form.get("token");
    match web.broker.revoke(&request.client, &request.network, token).await {
        Ok(()) => no_store(empty(StatusCode::OK)),
        Err(error) => refuse(error, request.tried_basic),
    }
}

async fn get_userinfo(State(web): State<Web>, Caller(network): Caller, headers: HeaderMap) -> Response {
    userinfo(&web, &network, bearer(&headers)).await
}

async fn post_userinfo(
    State(web): State<Web>,
    Caller(network): Caller,
    headers: HeaderMap,
    TriedForm(form): TriedForm,
) -> Response {
    // A body is optional here; one that is no form carries no token.
    let form = match form {
        Ok(form) => form,
        Err(FormError::TooMany) => {
            return refuse_bearer(&web, &network, Reason::TooManyParameters, too_many()).await;
        }
        Err(_) => Parameters::default(),
    };
    let token = match (bearer(&headers), form.get("access_token")) {
        (header, Some(_)) if header.is_some() || !form.is_single("access_token") => {
            let error = OAuthError::new(ErrorCode::InvalidRequest, "send the access token in one place only");
            return refuse_bearer(&web, &network, Reason::TokenInTwoPlaces, error).await;
        }
        (header, form) => header.or_else(|| form.map(Secret::new)),
    };
    userinfo(&web, &network, token).await
}

/// Refuses a request at userinfo that is malformed (RFC 6750, section 3.1).
async fn refuse_bearer(web: &Web, network: &str, reason: Reason, error: OAuthError) -> Response {
    match web.broker.refuse_request(network, reason, error).await {
        EndpointError::Refused(error) => bearer_error(StatusCode::BAD_REQUEST, Some(&error)),
        other => refuse(other, false),
    }
}

async fn userinfo(web: &Web, network: &str, token: Option<Secret>) -> Response {
    // Nothing was presented, so nothing was decided: the answer only says how to ask (RFC 6750, section 3.1).
    let Some(token) = token else { return bearer_error(StatusCode::UNAUTHORIZED, None) };
    match web.broker.userinfo(network, token.expose()).await {
        Ok(claims) => no_store(json(StatusCode::OK, &claims)),
        Err(EndpointError::Refused(error)) => {
            let status = match error.code {
                ErrorCode::InsufficientScope => StatusCode::FORBIDDEN,
                _ => StatusCode::UNAUTHORIZED,
            };
            bearer_error(status, Some(&error))
        }
        Err(unavailable) => refuse(unavailable, false),
    }
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
}

/// RFC 6750, section 3.
fn bearer_error(status: StatusCode, error: Option<&OAuthError>) -> Response {
    let mut response = match error {
        Some(error) => error_json(status, error),
        None => empty(status),
    };
    let challenge = error.map_or_else(
        || "Bearer".to_owned(),
        |error| format!("Bearer error=\"{}\", error_description=\"{}\"", error.code, error.description),
    );
    if let Ok(value) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    no_store(response)
}
