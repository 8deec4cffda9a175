//! The way to identity providers and back.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use super::pages::Repost;
use super::request::{Browser, OfConnection, PostedForm};
use super::respond::{outcome, page};
use super::state::Web;
use crate::flows::sso::CallbackParameters;
use crate::model::ConnectionId;
use crate::protocol::oauth::Parameters;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/sso/{name}", get(start_sso))
        .route("/sso/callback/{connection}", get(finish_sso).post(repost_sso))
}

async fn start_sso(State(web): State<Web>, Path(name): Path<String>, browser: Browser) -> Response {
    outcome(&web, &browser, web.broker.begin_by_link(&browser.visit, &name).await)
}

async fn finish_sso(
    State(web): State<Web>,
    OfConnection(connection): OfConnection,
    browser: Browser,
) -> Response {
    finish(&web, &browser, connection, &browser.query).await
}

async fn finish(web: &Web, browser: &Browser, connection: ConnectionId, parameters: &Parameters) -> Response {
    let single = |name| parameters.get(name).filter(|_| parameters.is_single(name)).map(str::to_owned);
    let callback = CallbackParameters {
        state: single("state"),
        code: single("code"),
        error: single("error"),
        error_description: single("error_description"),
        iss: single("iss"),
    };
    outcome(web, browser, web.broker.finish_leg(&browser.visit, connection, &callback).await)
}

/// The field by which a page of ours says that it has posted a callback once more.
const REPOSTED: &str = "reposted";

/// A callback by `form_post` comes from the provider's site, so without our cookies. A page of ours posts it again.
async fn repost_sso(
    State(web): State<Web>,
    OfConnection(connection): OfConnection,
    browser: Browser,
    PostedForm(form): PostedForm,
) -> Response {
    if form.get(REPOSTED).is_some() {
        return finish(&web, &browser, connection, &form).await;
    }
    let mut fields: Vec<(String, String)> =
        form.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    fields.push((REPOSTED.to_owned(), "1".to_owned()));
    let frame = web.pages.frame(browser.locale, &browser.here);
    page(StatusCode::OK, &Repost { frame, action: format!("/sso/callback/{connection}"), fields })
}
