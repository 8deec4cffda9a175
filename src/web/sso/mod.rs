//! The way to identity providers and back.

pub mod upstream_logout;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use super::browser::request::{Browser, OfConnection, UncheckedForm};
use super::browser::respond::{outcome, page, refusal};
use super::pages::Repost;
use super::state::Web;
use crate::flows::refusal::Reason;
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
    outcome(&web, &browser, web.broker.sign_in.begin_by_link(&browser.visit, &name).await).await
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
    outcome(web, browser, web.broker.sso.finish_upstream(&browser.visit, connection, &callback).await).await
}

/// The field that says that the broker's own page has posted a callback again.
const REPOSTED: &str = "reposted";

/// The parameters that an authorization response may have (RFC 6749, section 4.1.2; RFC 9207; `OpenID` Connect Session
/// Management 1.0, section 3). Nothing else is posted again.
const RESPONSE: [&str; 6] = ["state", "code", "error", "error_description", "iss", "session_state"];

/// The longest value that is posted again, in bytes.
const MAX_VALUE: usize = 4 * 1_024;

/// A callback by `form_post` comes from the identity provider's site, so without our cookies. The broker's own page
/// posts it again, with each parameter that a response may have at most once. Anyone can send such a post, so nothing
/// else in it is posted again.
async fn repost_sso(
    State(web): State<Web>,
    OfConnection(connection): OfConnection,
    browser: Browser,
    UncheckedForm(form): UncheckedForm,
) -> Response {
    if form.get(REPOSTED).is_some() {
        return finish(&web, &browser, connection, &form).await;
    }
    if let Err(error) = web.broker.sso.require_callback(connection).await {
        return refusal(&web, &browser, error).await;
    }
    let Some(mut fields) = response_fields(&form) else {
        let error = web.broker.core.refuse_form(Reason::ResponseMalformed);
        return refusal(&web, &browser, error).await;
    };
    fields.push((REPOSTED.to_owned(), "1".to_owned()));
    let frame = web.pages.frame(browser.locale, &browser.here);
    page(StatusCode::OK, &Repost { frame, action: format!("/sso/callback/{connection}"), fields })
}

/// The fields of a posted response; `None` if a parameter occurs twice or is too long.
fn response_fields(form: &Parameters) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    for (name, value) in form.iter().filter(|(name, _)| RESPONSE.contains(name)) {
        if !form.is_single(name) || value.len() > MAX_VALUE {
            return None;
        }
        fields.push((name.to_owned(), value.to_owned()));
    }
    Some(fields)
}
