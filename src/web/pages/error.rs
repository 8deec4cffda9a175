//! The page for everything that ends an attempt: what happened, why, and what to do now.

use std::borrow::Cow;

use askama::Template;
use http::StatusCode;

use super::{Failure, Frame, Page, path};

/// An app and the address at which people start using it.
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
    /// What went wrong.
    pub failure: Failure,
    /// Where to start again, where the app is known and has a home.
    pub app: Option<AppHome>,
    /// The name of the connection through which to sign in instead.
    pub instead: Option<String>,
    /// The ways to sign in that stand in each other's way, by their names.
    pub clashing: Vec<String>,
    /// Whether it stopped something on one's own page, which is then the way back.
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
    /// The status with which the page is answered.
    pub fn status(&self) -> StatusCode {
        self.failure.status()
    }
}
