//! The page for everything that ends an attempt. It says what happened, why, and what to do now.

use std::borrow::Cow;

use askama::Template;
use http::StatusCode;

use super::{Failure, Frame, Page, path};

/// An app, and the address at which users start it.
#[derive(Debug, Clone)]
pub struct AppHome {
    /// Its name.
    pub name: String,
    /// Its `home_uri`.
    pub home: String,
}

/// The page itself.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// The frame around it, which also has the receipt.
    pub frame: Frame<'a>,
    /// The failure that the page reports.
    pub failure: Failure,
    /// The app at which to start again, if it is known and has a home.
    pub app: Option<AppHome>,
    /// The name of the connection through which to sign in instead.
    pub instead: Option<String>,
    /// The names of the ways to sign in that conflict with each other.
    pub clashing: Vec<String>,
    /// Whether the failure stopped an action on the user's own page. The page then links back there.
    pub own: bool,
}

impl Page for ErrorPage<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.what(&self.failure)
    }

    fn failed(&self) -> bool {
        true
    }
}

impl ErrorPage<'_> {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.failure.status()
    }
}
