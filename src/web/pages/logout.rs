//! Sign-out: the question, and the page after it.

use std::borrow::Cow;

use askama::Template;

use super::{AppHome, Form, Frame, Page, path};

/// Asks before a session ends (`OpenID` Connect RP-Initiated Logout 1.0, section 2).
#[derive(Template)]
#[template(path = "logout.html")]
pub struct Logout<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The hidden fields of its form.
    pub form: Form,
    /// The user who is signed in: the email, else the username.
    pub person: String,
    /// The name of the connection at which the user can sign out as well; `None` if the page does not ask. The button
    /// sends `scope=upstream` or `scope=local`.
    pub upstream: Option<String>,
}

impl Page for Logout<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("logout-title")
    }
}

/// Says that the user is signed out, or was not signed in.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub struct SignedOut<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The app from which the user signed out, if it is known and has a home.
    pub app: Option<AppHome>,
}

impl Page for SignedOut<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("signed-out-title")
    }
}
