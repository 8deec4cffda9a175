//! The consent page.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use crate::flows::refusal::Reason;
use crate::web::browser::guard::FlowForm;
use crate::web::browser::request::Browser;
use crate::web::browser::respond::{outcome, page, refusal};
use crate::web::pages::{Consent, Form, path};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new().route(path::CONSENT, get(show_consent).post(post_consent))
}

async fn show_consent(State(web): State<Web>, browser: Browser) -> Response {
    let handle = browser.query.get("flow").unwrap_or_default();
    let view = match web.broker.authorization.view_consent(&browser.visit, handle).await {
        Ok(view) => view,
        Err(error) => return refusal(&web, &browser, error).await,
    };
    let locale = browser.language(view.locale.as_deref());
    let mut frame = web.pages.branded(locale, &browser.here, view.brand);
    frame.app = Some(view.app.clone());
    let consent = Consent {
        frame,
        form: Form { token: view.form_token, flow: Some(view.handle) },
        app: view.app,
        app_organization: view.app_organization,
        person: view.person,
        scopes: view.scopes,
    };
    page(StatusCode::OK, &consent)
}

async fn post_consent(State(web): State<Web>, FlowForm { browser, handle, form }: FlowForm) -> Response {
    let handle = handle.as_str();
    let allowed = match form.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => {
            let refused = web.broker.core.refuse_form(Reason::ConsentUnanswered);
            return refusal(&web, &browser, refused).await;
        }
    };
    outcome(&web, &browser, web.broker.authorization.answer_consent(&browser.visit, handle, allowed).await)
        .await
}
