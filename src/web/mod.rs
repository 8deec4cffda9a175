//! What browsers and apps talk to.
//!
//! Here live the pages with their texts and looks, and the headers that every answer carries. Nothing here decides
//! who may sign in, and nothing here reads or writes the database.

pub mod account;
mod app_answer;
pub mod app_request;
pub mod asset;
pub mod authorize;
pub mod consent;
pub mod cookies;
pub mod errors;
mod extract;
pub mod guard;
pub mod headers;
pub mod link;
pub mod locale;
pub mod logout;
pub mod oauth;
pub mod own_links;
pub mod pages;
pub mod password;
pub mod request;
pub mod respond;
pub mod sign_in;
pub mod sso;
pub mod state;
pub mod text;
pub mod upstream_logout;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};

use crate::flows::refusal::FlowError;
use crate::flows::refusal::PublicCode;
use asset::organization_of;
use request::Browser;
use respond::{plain, refusal, see_other};
use state::Web;

/// Everything that browsers and apps reach, with the headers that every answer carries.
pub fn router(web: Web) -> Router {
    Router::new()
        .merge(authorize::routes())
        .merge(sign_in::routes())
        .merge(consent::routes())
        .merge(sso::routes())
        .merge(oauth::routes())
        .merge(account::routes())
        .merge(link::routes())
        .merge(own_links::routes())
        .merge(password::routes())
        .merge(logout::routes())
        .merge(upstream_logout::routes())
        .route("/assets/{file}", get(get_asset))
        .fallback(get_nothing)
        .method_not_allowed_fallback(use_other_method)
        .layer(axum::middleware::from_fn(cookies::keep_choice))
        .layer(axum::middleware::from_fn_with_state(web.clone(), headers::security_headers))
        .with_state(web)
}

async fn get_asset(State(web): State<Web>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    if let Some(found) = web.pages.assets().respond(&file, &headers) {
        return found;
    }
    let Some(organization) = organization_of(&file) else {
        return plain(StatusCode::NOT_FOUND, "There is no such file.");
    };
    match web.broker.core.look(organization).await {
        Ok(look) => web
            .pages
            .assets()
            .respond_styled((organization, &look), &file, &headers)
            .await
            .unwrap_or_else(|| see_other(web.pages.assets().style())),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "The stylesheet cannot be read now."),
    }
}

async fn get_nothing(State(web): State<Web>, browser: Browser) -> Response {
    refusal(&web, &browser, FlowError::refused(PublicCode::NotFound)).await
}

async fn use_other_method(State(web): State<Web>, browser: Browser) -> Response {
    refusal(&web, &browser, FlowError::refused(PublicCode::MethodNotAllowed)).await
}
