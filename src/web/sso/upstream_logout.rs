//! The endpoints for identity providers other than the callback: sign-out, and sign-ins that a third party starts.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::flows::refusal::{FlowError, PublicCode, Reason, ToldApp, private_detail};
use crate::web::browser::request::{Browser, OfConnection, TriedForm, UncheckedForm};
use crate::web::browser::respond::{ask_again, no_store, outcome, plain, refusal};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/sso/backchannel-logout/{connection}", post(logout_by_token))
        .route("/sso/frontchannel-logout/{connection}", get(logout_by_frame))
        .route("/sso/signed-out/{connection}", get(return_from_upstream))
        .route("/sso/jwks/{connection}", get(get_connection_keys))
        .route("/sso/initiate/{connection}", get(initiate).post(initiate_by_post))
}

/// `OpenID` Connect Back-Channel Logout 1.0, section 2.8: the status is 200, or 400 for every failure.
async fn logout_by_token(
    State(web): State<Web>,
    connection: Result<OfConnection, Response>,
    browser: Browser,
    TriedForm(form): TriedForm,
) -> Response {
    let (Ok(OfConnection(connection)), Ok(form)) = (connection, form) else {
        let description = "send a form to a connection's own address";
        let refused = web.broker.core.refuse_form(Reason::LogoutFormUnreadable);
        return match web.broker.core.settle(&browser.visit, refused).await {
            Ok(_) => logout_error("invalid_request", description),
            Err(error) => {
                tracing::error!(
                    error = private_detail(&error),
                    "a refused logout token could not be recorded"
                );
                logout_error("temporarily_unavailable", "try again")
            }
        };
    };
    let token = form.get("logout_token").filter(|_| form.is_single("logout_token"));
    match web.broker.sso.logout_by_token(&browser.visit, connection, token).await {
        Ok(()) => no_store(Response::new(Body::empty())),
        Err(error) => match web.broker.core.settle_endpoint(&browser.visit.network(), error).await {
            Ok(ToldApp::Error(error)) => logout_error(error.code.as_str(), &error.description),
            Ok(ToldApp::TooMany(_)) => logout_error("temporarily_unavailable", "try again"),
            Err(detail) => {
                tracing::error!(detail, "a logout token could not be processed");
                logout_error("temporarily_unavailable", "try again")
            }
        },
    }
}

fn logout_error(code: &str, description: &str) -> Response {
    let body = json!({ "error": code, "error_description": description });
    let mut response = json_response(&body);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    no_store(response)
}

fn json_response(body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// `OpenID` Connect Front-Channel Logout 1.0, section 2. The identity provider's page shows this in a hidden frame.
async fn logout_by_frame(
    State(web): State<Web>,
    OfConnection(connection): OfConnection,
    browser: Browser,
) -> Response {
    match web.broker.sso.logout_by_frame(&browser.visit, connection, &browser.query).await {
        Ok(origin) => framed_by(&origin),
        Err(error) => refusal(&web, &browser, error).await,
    }
}

/// An empty page that only `origin` may frame.
fn framed_by(origin: &str) -> Response {
    let policy = format!("default-src 'none'; base-uri 'none'; frame-ancestors {origin}");
    let Ok(policy) = HeaderValue::try_from(policy) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made.");
    };
    let mut response =
        Response::new(Body::from("<!doctype html><html lang=\"en\"><title>Signed out</title></html>"));
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    no_store(response)
}

async fn return_from_upstream(
    State(web): State<Web>,
    OfConnection(connection): OfConnection,
    browser: Browser,
) -> Response {
    let state = browser.query.get("state").filter(|_| browser.query.is_single("state"));
    outcome(&web, &browser, web.broker.logouts.return_from_upstream(connection, state).await).await
}

async fn get_connection_keys(
    State(web): State<Web>,
    OfConnection(connection): OfConnection,
    browser: Browser,
) -> Response {
    match web.broker.sso.connection_keys(connection).await {
        Ok(Some(keys)) => json_response(&json!({ "keys": keys })),
        Ok(None) => refusal(&web, &browser, FlowError::refused(PublicCode::NotFound)).await,
        Err(error) => refusal(&web, &browser, error).await,
    }
}

/// `OpenID` Connect Core, section 4: a third party starts the sign-in.
async fn initiate(
    State(web): State<Web>,
    OfConnection(connection): OfConnection,
    browser: Browser,
) -> Response {
    outcome(
        &web,
        &browser,
        web.broker.sign_in.begin_by_provider(&browser.visit, connection, &browser.query).await,
    )
    .await
}

/// A post comes from another site, so without our cookies. The browser asks again by GET, which sends them.
async fn initiate_by_post(
    State(web): State<Web>,
    OfConnection(connection): OfConnection,
    browser: Browser,
    form: UncheckedForm,
) -> Response {
    ask_again(&web, &browser, &format!("/sso/initiate/{connection}"), &form).await
}
