//! Signing out: the question, and the page after it.

use std::borrow::Cow;

use askama::Template;

use super::{AppHome, Form, Frame, Page, path};

/// Asks before anything ends (`OpenID` Connect RP-Initiated Logout 1.0, section 2).
#[derive(Template)]
#[template(path = "logout.html")]
pub struct Logout<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// Who is signed in: the email, else the username.
    pub person: String,
    /// The name of the connection where the person can be signed out as well, if they are to be asked. The button
    /// sends `scope=upstream` or `scope=local`.
    pub upstream: Option<String>,
}

impl Page for Logout<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("logout-title")
    }
}

/// The person is signed out, or was not signed in.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub struct SignedOut<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The app that they signed out from, where it is known and has a home.
    pub app: Option<AppHome>,
}

impl Page for SignedOut<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("signed-out-title")
    }
}
