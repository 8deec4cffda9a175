//! The endpoints for apps: tokens, userinfo, introspection, revocation, metadata, keys.
//!
//! Errors are JSON as in RFC 6749, section 5.2, and RFC 6750, section 3. Browser apps call these endpoints across
//! origins, without credentials. Nothing here reads a cookie.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{MethodRouter, get, options, post};
use headers::authorization::Bearer;
use headers::{Authorization, HeaderMapExt as _};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use tower_http::cors::{Any, CorsLayer};

use super::app_answer::{empty, error_json, json, refuse, told, unavailable};
use super::app_request::{AppRequest, Caller, too_many};
use crate::flows::keys::SigningError;
use crate::flows::provider::clients::refuse_request;
use crate::flows::provider::token::TokenRequest;
use crate::flows::refusal::{Reason, ToldApp, private_detail};
use crate::model::Secret;
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters};
use crate::web::browser::request::{FormError, TriedForm};
use crate::web::browser::respond::no_store;
use crate::web::state::Web;

/// How long a browser may keep the answer to a preflight.
const PREFLIGHT_LIFETIME: Duration = Duration::from_hours(1);

/// The routes of this file.
pub fn routes() -> Router<Web> {
    let cors = any_origin();
    // The layer answers preflights itself. They need a route, because the layer does not see requests without one.
    let preflight = options(unreached).layer(cors.clone()).layer(axum::middleware::map_response(no_content));
    let with_cors = |methods: MethodRouter<Web>| methods.layer(cors.clone()).merge(preflight.clone());
    Router::new()
        .route("/.well-known/openid-configuration", with_cors(get(get_metadata)))
        .route("/.well-known/oauth-authorization-server", with_cors(get(get_metadata)))
        .route("/oauth2/jwks", with_cors(get(get_keys)))
        .route("/oauth2/token", with_cors(post(post_token)))
        .route("/oauth2/userinfo", with_cors(get(get_userinfo).post(post_userinfo)))
        .route("/oauth2/revoke", with_cors(post(post_revoke)))
        .route("/oauth2/introspect", post(post_introspect))
}

/// Cross-origin requests may come from anywhere, because they prove themselves by a token or by a secret of the app.
/// Every origin gets the same answer, so the answer does not vary by it.
fn any_origin() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::WWW_AUTHENTICATE])
        .max_age(PREFLIGHT_LIFETIME)
        .vary([])
}

async fn unreached() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The answer to a preflight has no content, and its status must say so (RFC 9110, section 15.3.5). The layer sets 200.
async fn no_content(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

async fn get_metadata(State(web): State<Web>) -> Response {
    cacheable(web.broker.metadata.metadata())
}

async fn get_keys(State(web): State<Web>) -> Response {
    cacheable(web.broker.metadata.public_keys())
}

/// Apps may keep metadata and keys for five minutes. A new key is published much longer than that before it signs.
fn cacheable(result: Result<impl Serialize, SigningError>) -> Response {
    match result {
        Ok(value) => {
            let mut response = json(StatusCode::OK, &value);
            let control = HeaderValue::from_static("public, max-age=300");
            response.headers_mut().insert(header::CACHE_CONTROL, control);
            response
        }
        Err(error) => unavailable(&private_detail(&error)),
    }
}

async fn post_token(State(web): State<Web>, request: AppRequest) -> Response {
    let AppRequest { client, form, network, tried_basic } = &request;
    let request = TokenRequest { client, form };
    match web.broker.tokens.issue_tokens(&request).await {
        Ok(answer) => no_store(json(StatusCode::OK, &answer)),
        Err(error) => refuse(&web, network, error, *tried_basic).await,
    }
}

async fn post_introspect(State(web): State<Web>, request: AppRequest) -> Response {
    let token = request.form.get("token");
    match web.broker.tokens.introspect(&request.client, token).await {
        Ok(answer) => no_store(json(StatusCode::OK, &answer)),
        Err(error) => refuse(&web, &request.network, error, request.tried_basic).await,
    }
}

async fn post_revoke(State(web): State<Web>, request: AppRequest) -> Response {
    let token = request.form.get("token");
    match web.broker.tokens.revoke(&request.client, &request.network, token).await {
        Ok(()) => no_store(empty(StatusCode::OK)),
        Err(error) => refuse(&web, &request.network, error, request.tried_basic).await,
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
    // A body is optional here. A body that is not a form has no token.
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
    let refused = refuse_request(reason, error);
    match web.broker.core.settle_endpoint(network, refused).await {
        Ok(ToldApp::Error(error)) => bearer_error(StatusCode::BAD_REQUEST, Some(&error)),
        other => told(other, false),
    }
}

async fn userinfo(web: &Web, network: &str, token: Option<Secret>) -> Response {
    // The request has no token, so nothing was decided. The answer only says how to ask (RFC 6750, section 3.1).
    let Some(token) = token else { return bearer_error(StatusCode::UNAUTHORIZED, None) };
    let error = match web.broker.tokens.userinfo(token.expose()).await {
        Ok(claims) => return no_store(json(StatusCode::OK, &claims)),
        Err(error) => error,
    };
    match web.broker.core.settle_endpoint(network, error).await {
        Ok(ToldApp::Error(error)) => {
            let status = match error.code {
                ErrorCode::InsufficientScope => StatusCode::FORBIDDEN,
                _ => StatusCode::UNAUTHORIZED,
            };
            bearer_error(status, Some(&error))
        }
        other => told(other, false),
    }
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    headers.typed_get::<Authorization<Bearer>>().map(|bearer| Secret::new(bearer.token()))
}

/// An error of an endpoint that takes bearer tokens (RFC 6750, section 3).
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
