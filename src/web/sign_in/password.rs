//! Setting a password by a mailed link. Opening the page does not use up the link, because mail scanners open it too.
//! Only the form does.

use std::borrow::Cow;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use crate::flows::refusal::PublicCode;
use crate::flows::sign_in::password_link::{
    BrokenRule, PasswordLinkView, PasswordRules, SetPassword as Outcome,
};
use crate::model::Secret;
use crate::web::browser::guard::MailedLinkForm;
use crate::web::browser::request::Browser;
use crate::web::browser::respond::{page, refusal, see_other};
use crate::web::errors::status;
use crate::web::pages::{Failure, Form, Frame, Page, path};
use crate::web::state::Web;

/// The routes of this file.
pub fn routes() -> Router<Web> {
    Router::new()
        .route(path::PASSWORD_SET, get(show_done))
        .route("/reset/{token}", get(show_form).post(post_password))
}

/// Asks for a new password.
#[derive(Template)]
#[template(path = "set_password.html")]
pub struct SetPassword<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The username of the account.
    pub username: String,
    /// The rules that the password must satisfy.
    pub rules: PasswordRules,
    /// The failure, if the last password was refused.
    pub failure: Option<Failure>,
    /// The rules that the last password breaks.
    pub broken: Vec<BrokenRule>,
}

impl SetPassword<'_> {
    /// All rules in one text, shown before the user enters a password.
    fn hint(&self) -> Cow<'_, str> {
        match self.rules {
            PasswordRules::Classic => self.frame.say("password-rules-classic"),
            PasswordRules::Nist => self.frame.say("password-rules-nist"),
        }
    }

    /// One sentence for each broken rule, which says what to change.
    fn remedies(&self) -> Vec<Cow<'_, str>> {
        let remedies = self.broken.iter().map(|rule| match rule {
            BrokenRule::TooShort => self.frame.say("password-too-short"),
            BrokenRule::TooLong => self.frame.say("password-too-long"),
            BrokenRule::NoUpperCase => self.frame.say("password-no-upper-case"),
            BrokenRule::NoLowerCase => self.frame.say("password-no-lower-case"),
            BrokenRule::NoDigit => self.frame.say("password-no-digit"),
            BrokenRule::Characters => self.frame.say("password-characters"),
            BrokenRule::Common => self.frame.say("password-common"),
            BrokenRule::Recent => self.frame.say("password-recent"),
        });
        remedies.collect()
    }
}

impl Page for SetPassword<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("set-password-title")
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}

/// Says that the password is set.
#[derive(Template)]
#[template(path = "password_set.html")]
pub struct PasswordSet<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
}

impl Page for PasswordSet<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("password-set-title")
    }
}

async fn show_done(State(web): State<Web>, browser: Browser) -> Response {
    page(StatusCode::OK, &PasswordSet { frame: web.pages.frame(browser.locale, &browser.here) })
}

async fn show_form(State(web): State<Web>, browser: Browser, Path(token): Path<String>) -> Response {
    match web.broker.sign_in.view_password_link(&token).await {
        Ok(view) => page(StatusCode::OK, &form_page(&web, &browser, view, None)),
        Err(error) => refusal(&web, &browser, error).await,
    }
}

fn form_page<'w>(
    web: &'w Web,
    browser: &Browser,
    view: PasswordLinkView,
    broken: Option<Vec<BrokenRule>>,
) -> SetPassword<'w> {
    SetPassword {
        frame: web.pages.frame(browser.locale, &browser.here),
        form: Form { token: view.form_token, flow: None },
        username: view.username,
        rules: view.rules,
        failure: broken.as_ref().map(|_| Failure::new(PublicCode::PasswordRules)),
        broken: broken.unwrap_or_default(),
    }
}

async fn post_password(
    State(web): State<Web>,
    MailedLinkForm { browser, token, form }: MailedLinkForm,
) -> Response {
    let new = Secret::new(form.get("new_password").unwrap_or_default());
    match web.broker.sign_in.set_password_by_link(&browser.visit, &token, &new).await {
        Ok(Outcome::Done) => see_other(path::PASSWORD_SET),
        Ok(Outcome::Broken(broken)) => match web.broker.sign_in.view_password_link(&token).await {
            Ok(view) => {
                let again = form_page(&web, &browser, view, Some(broken));
                page(status(&PublicCode::PasswordRules), &again)
            }
            Err(error) => refusal(&web, &browser, error).await,
        },
        Err(error) => refusal(&web, &browser, error).await,
    }
}
