//! The pages of a sign-in, before the user has proved who they are.

pub mod consent;
pub mod password;

use std::borrow::Cow;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, header};

use crate::flows::directory::ConnectionView;
use crate::flows::refusal::{FlowError, PublicCode, Reason, RefusalView, Told};
use crate::flows::sign_in::{SignInPurpose, SignInView};
use crate::model::Secret;
use crate::web::browser::guard::FlowForm;
use crate::web::browser::request::Browser;
use crate::web::browser::respond::{answer, outcome, page, refusal, retry_after, see_other, tell};
use crate::web::pages::{Failure, Form, Frame, Page, path};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/", get(|| async { see_other(path::ACCOUNT) }))
        .route(path::SIGN_IN, get(show_sign_in).post(post_sign_in))
        .route(path::DOMAIN, get(show_domain).post(post_domain))
        .route(path::CONNECTION, axum::routing::post(post_connection))
}

/// A connection to choose.
#[derive(Debug, Clone)]
pub struct ConnectionChoice {
    /// The button's id: `connection-<handle>`, with a number if several connections have that handle.
    pub button: String,
    /// Its handle.
    pub handle: String,
    /// The value that the button sends as `connection`.
    pub value: String,
    /// Its name.
    pub name: String,
    /// The identity provider behind it, such as the issuer's host.
    pub provider: String,
}

impl ConnectionChoice {
    /// The letter in the connection's tile.
    pub(super) fn initial(&self) -> String {
        initial(&self.name)
    }
}

/// The letter in a tile.
pub(super) fn initial(name: &str) -> String {
    let first = name.chars().find(|c| c.is_alphanumeric()).or_else(|| name.chars().next());
    first.into_iter().flat_map(char::to_uppercase).collect()
}

/// Asks for username and password, or offers the connections to identity providers.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignIn<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The username that the user entered before, or the app's `login_hint`.
    pub username: Option<String>,
    /// The connections of the organization that the page belongs to; empty on the shared page.
    pub connections: Vec<ConnectionChoice>,
    /// The reason why the last attempt was refused.
    pub failure: Option<Failure>,
    /// The purpose of the sign-in.
    pub purpose: SignInPurpose,
}

impl SignIn<'_> {
    /// The text above the form.
    fn intro(&self) -> Option<Cow<'_, str>> {
        match self.purpose {
            SignInPurpose::SignIn => None,
            SignInPurpose::Reauthenticate => Some(self.frame.say("reauthenticate-intro")),
            SignInPurpose::Link if self.connections.is_empty() => Some(self.frame.say("prove-link-password")),
            SignInPurpose::Link => Some(self.frame.say("prove-link-intro")),
        }
    }

    /// The label of the field above the password.
    fn name_label(&self) -> Cow<'_, str> {
        match self.purpose {
            SignInPurpose::SignIn => self.frame.say("username"),
            SignInPurpose::Reauthenticate | SignInPurpose::Link => self.frame.say("profile-username"),
        }
    }
}

impl Page for SignIn<'_> {
    fn title(&self) -> Cow<'_, str> {
        match self.purpose {
            SignInPurpose::SignIn => self.frame.say("sign-in-title"),
            SignInPurpose::Reauthenticate => self.frame.say("reauthenticate-title"),
            SignInPurpose::Link => self.frame.say("prove-link-title"),
        }
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

/// Asks for an organization's handle or domain.
#[derive(Template)]
#[template(path = "domain.html")]
pub struct DomainEntry<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The text that the user entered before.
    pub domain: Option<String>,
    /// The reason why the broker found no connection for it.
    pub failure: Option<Failure>,
}

impl Page for DomainEntry<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("domain-title")
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

/// Asks the user to choose, because several connections match the text that they entered.
#[derive(Template)]
#[template(path = "choice.html")]
pub struct Choice<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The text that the user entered, such as a domain.
    pub entered: String,
    /// The connections, at least one.
    pub connections: Vec<ConnectionChoice>,
}

impl Page for Choice<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("choice-title")
    }
}

/// Whether the page shows the form again after a refusal.
const fn shows_form_again(code: &PublicCode) -> bool {
    matches!(
        code,
        PublicCode::BadCredentials
            | PublicCode::PasswordTooLong
            | PublicCode::TooManyAttempts(_)
            | PublicCode::Busy(_)
    )
}

async fn show_sign_in(State(web): State<Web>, browser: Browser) -> Response {
    let Some(flow) = browser.query.get("flow") else {
        return outcome(&web, &browser, web.broker.sign_in.begin_own_sign_in(&browser.visit).await).await;
    };
    match web.broker.sign_in.view_sign_in(&browser.visit, flow).await {
        Ok(view) => {
            let username = view.username.clone();
            page(StatusCode::OK, &sign_in_page(&web, &browser, view, username, None))
        }
        Err(error) => refusal(&web, &browser, error).await,
    }
}

async fn post_sign_in(State(web): State<Web>, FlowForm { browser, handle, form }: FlowForm) -> Response {
    let handle = handle.as_str();
    let entered = form.get("username").unwrap_or_default();
    let password = Secret::new(form.get("password").unwrap_or_default());
    let result = web.broker.sign_in.sign_in_with_password(&browser.visit, handle, entered, password).await;
    match result {
        Err(FlowError::Refused(refused)) if shows_form_again(&refused.code) => {
            match web.broker.core.settle(&browser.visit, FlowError::Refused(refused)).await {
                Ok(Told::Person(again)) => sign_in_again(&web, &browser, handle, entered, *again).await,
                Ok(told) => tell(&web, &browser, told),
                Err(error) => refusal(&web, &browser, error).await,
            }
        }
        result => outcome(&web, &browser, result).await,
    }
}

async fn sign_in_again(
    web: &Web,
    browser: &Browser,
    handle: &str,
    entered: &str,
    again: RefusalView,
) -> Response {
    let view = match web.broker.sign_in.view_sign_in(&browser.visit, handle).await {
        Ok(view) => view,
        Err(error) => return refusal(web, browser, error).await,
    };
    let (wait, failure) = (again.code.wait(), Failure::new(again.code));
    let here = path::with_query(path::SIGN_IN, "flow", handle);
    let shown = Browser { here, ..browser.clone() };
    let username = Some(entered.to_owned());
    let status = failure.status();
    let mut response = page(status, &sign_in_page(web, &shown, view, username, Some(failure)));
    if let Some(span) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after(span));
    }
    response
}

fn sign_in_page<'w>(
    web: &'w Web,
    browser: &Browser,
    view: SignInView,
    username: Option<String>,
    failure: Option<Failure>,
) -> SignIn<'w> {
    SignIn {
        frame: frame(web, browser, &view, failure.is_some()),
        purpose: view.purpose,
        form: Form { token: view.form_token, flow: Some(view.handle) },
        username,
        connections: choices(view.connections),
        failure,
    }
}

/// A page with a failure shows the receipt. A page that only asks does not need one.
fn frame<'w>(web: &'w Web, browser: &Browser, view: &SignInView, failed: bool) -> Frame<'w> {
    let locale = browser.language(view.locale.as_deref());
    let mut frame = web.pages.branded(locale, &browser.here, view.brand.clone());
    frame.app.clone_from(&view.app);
    frame.receipt = failed.then(|| view.receipt.clone());
    frame
}

pub(super) fn choices(connections: Vec<ConnectionView>) -> Vec<ConnectionChoice> {
    let mut choices: Vec<ConnectionChoice> = Vec::with_capacity(connections.len());
    for view in connections {
        // Two organizations may use the same handle. The ids of the buttons still differ, because no handle has a dot.
        let alike = choices.iter().filter(|other| other.handle == view.handle).count();
        let suffix = if alike == 0 { String::new() } else { format!(".{}", alike + 1) };
        choices.push(ConnectionChoice {
            button: format!("connection-{}{suffix}", view.handle),
            handle: view.handle,
            value: view.id.to_string(),
            name: view.name,
            provider: view.provider,
        });
    }
    choices
}

async fn show_domain(State(web): State<Web>, browser: Browser) -> Response {
    let handle = browser.query.get("flow").unwrap_or_default();
    let entered = browser.query.get("domain");
    let view = match entered {
        Some(entered) => web.broker.sign_in.view_choice(&browser.visit, handle, entered).await,
        None => web.broker.sign_in.view_sign_in(&browser.visit, handle).await,
    };
    match (view, entered) {
        (Err(error), _) => refusal(&web, &browser, error).await,
        (Ok(view), Some(entered)) if !view.connections.is_empty() => {
            let choice = Choice {
                frame: frame(&web, &browser, &view, false),
                form: Form { token: view.form_token, flow: Some(view.handle) },
                entered: entered.to_owned(),
                connections: choices(view.connections),
            };
            page(StatusCode::OK, &choice)
        }
        (Ok(view), entered) => page(StatusCode::OK, &domain_page(&web, &browser, view, entered, None)),
    }
}

fn domain_page<'w>(
    web: &'w Web,
    browser: &Browser,
    view: SignInView,
    entered: Option<&str>,
    failure: Option<Failure>,
) -> DomainEntry<'w> {
    DomainEntry {
        frame: frame(web, browser, &view, failure.is_some()),
        form: Form { token: view.form_token, flow: Some(view.handle) },
        domain: entered.map(str::to_owned),
        failure,
    }
}

async fn post_domain(State(web): State<Web>, FlowForm { browser, handle, form }: FlowForm) -> Response {
    let handle = handle.as_str();
    let entered = form.get("domain").unwrap_or_default();
    match web.broker.sign_in.sign_in_by_name(&browser.visit, handle, entered).await {
        Ok(next) => answer(&next),
        Err(FlowError::Refused(refused)) if refused.code == PublicCode::UnknownDomain => {
            let unknown = match web.broker.core.settle(&browser.visit, FlowError::Refused(refused)).await {
                Ok(Told::Person(unknown)) => unknown,
                Ok(told) => return tell(&web, &browser, told),
                Err(error) => return refusal(&web, &browser, error).await,
            };
            let view = match web.broker.sign_in.view_sign_in(&browser.visit, handle).await {
                Ok(view) => view,
                Err(error) => return refusal(&web, &browser, error).await,
            };
            let here = path::with_query(path::DOMAIN, "flow", handle);
            let shown = Browser { here, ..browser.clone() };
            let failure = Failure::new(unknown.code);
            let status = failure.status();
            page(status, &domain_page(&web, &shown, view, Some(entered), Some(failure)))
        }
        Err(error) => refusal(&web, &browser, error).await,
    }
}

async fn post_connection(State(web): State<Web>, FlowForm { browser, handle, form }: FlowForm) -> Response {
    let handle = handle.as_str();
    let Some(connection) = form.get("connection").and_then(|text| text.parse().ok()) else {
        let refused = web.broker.core.refuse_form(Reason::ConnectionMalformed);
        return refusal(&web, &browser, refused).await;
    };
    outcome(&web, &browser, web.broker.sign_in.sign_in_through(&browser.visit, handle, connection).await)
        .await
}
