//! The authorization endpoint (RFC 6749, section 3.1).

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use crate::web::browser::request::{Browser, UncheckedForm};
use crate::web::browser::respond::{ask_again, outcome};
use crate::web::state::Web;

/// Where apps send browsers.
const AUTHORIZE: &str = "/oauth2/authorize";

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new().route(AUTHORIZE, get(authorize).post(authorize_by_post))
}

async fn authorize(State(web): State<Web>, browser: Browser) -> Response {
    let result = web.broker.authorization.begin_authorization(&browser.visit, &browser.query).await;
    outcome(&web, &browser, result).await
}

/// A post comes from the app's site, so without our cookies. The browser asks again by GET, which sends them.
async fn authorize_by_post(State(web): State<Web>, browser: Browser, form: UncheckedForm) -> Response {
    ask_again(&web, &browser, AUTHORIZE, &form).await
}
