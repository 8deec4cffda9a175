//! The pages and endpoints for browsers and apps.
//!
//! This module holds the pages with their texts and looks, and the headers that every answer has. Nothing here decides
//! who may sign in, and nothing here reads or writes the database.
//!
//! [`sign_in`], [`sso`], [`account`] and [`provider`] each hold the handlers and pages of one concern, and [`pages`]
//! holds the parts that pages share. [`browser`] is the basis of all handlers, and [`text`] has the texts and
//! languages.

pub mod account;
pub mod asset;
pub mod browser;
pub mod errors;
pub mod headers;
pub mod pages;
pub mod provider;
pub mod sign_in;
pub mod sso;
pub mod state;
pub mod text;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};

use crate::flows::refusal::{FlowError, PublicCode};
use asset::organization_of;
use browser::request::Browser;
use browser::respond::{plain, refusal, see_other};
use state::Web;

/// All routes for browsers and apps, with the headers that every answer has.
pub fn router(web: Web) -> Router {
    Router::new()
        .merge(provider::authorize::routes())
        .merge(sign_in::routes())
        .merge(sign_in::consent::routes())
        .merge(sso::routes())
        .merge(provider::oauth::routes())
        .merge(account::routes())
        .merge(account::link::routes())
        .merge(account::own_links::routes())
        .merge(sign_in::password::routes())
        .merge(provider::logout::routes())
        .merge(sso::upstream_logout::routes())
        .route("/assets/{file}", get(get_asset))
        .fallback(get_nothing)
        .method_not_allowed_fallback(use_other_method)
        .layer(axum::middleware::from_fn(browser::cookies::keep_choice))
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
