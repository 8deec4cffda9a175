//! The consent page: what an app asks for, in words of a person.

use std::borrow::Cow;

use askama::Template;

use crate::web::pages::{Form, Frame, Page, path};

/// An app asks for leave (`OpenID` Connect Core 1.0, section 3.1.2.4). Its name is the frame's `app`, too.
#[derive(Template)]
#[template(path = "consent.html")]
pub struct Consent<'a> {
    /// What stands around it.
    pub frame: Frame<'a>,
    /// What travels hidden.
    pub form: Form,
    /// The app's name.
    pub app: String,
    /// The name of the organization that registered the app.
    pub app_organization: String,
    /// Who is signed in: the email, else the username.
    pub person: String,
    /// The scopes that are asked for, as the app named them.
    pub scopes: Vec<String>,
}

impl Page for Consent<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.tell("consent-title", "app", &self.app).into()
    }
}

impl Consent<'_> {
    /// What the scopes mean, one sentence each; `openid` itself is said by the first of them.
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
