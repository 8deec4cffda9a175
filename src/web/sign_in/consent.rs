//! The consent page.

use std::borrow::Cow;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use crate::flows::refusal::Reason;
use crate::web::browser::guard::FlowForm;
use crate::web::browser::request::Browser;
use crate::web::browser::respond::{outcome, page, refusal};
use crate::web::pages::{Form, Frame, Page, path};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new().route(path::CONSENT, get(show_consent).post(post_consent))
}

/// Asks the user to allow the app's access (`OpenID` Connect Core 1.0, section 3.1.2.4). The frame's `app` also has the
/// app's name.
#[derive(Template)]
#[template(path = "consent.html")]
pub struct Consent<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The app's name.
    pub app: String,
    /// The name of the organization that registered the app.
    pub app_organization: String,
    /// The user who is signed in: the email, else the username.
    pub person: String,
    /// The scopes that the app asks for, as it named them.
    pub scopes: Vec<String>,
}

impl Page for Consent<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.tell("consent-title", "app", &self.app).into()
    }
}

impl Consent<'_> {
    /// The meaning of the scopes, one sentence each.
    fn permissions(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.scopes.iter().map(|scope| match scope.as_str() {
            "openid" => self.frame.say("scope-openid"),
            "profile" => self.frame.say("scope-profile"),
            "email" => self.frame.say("scope-email"),
            "phone" => self.frame.say("scope-phone"),
            "address" => self.frame.say("scope-address"),
            "offline_access" => self.frame.say("scope-offline"),
            other => self.frame.tell("scope-other", "scope", other).into(),
        })
    }
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
