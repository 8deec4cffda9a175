//! A page that posts the fields it carries.
//!
//! A callback by `form_post` is a post from another site, so it arrives without our `Lax` cookies. This page posts it
//! again from our own origin, which brings them (OAuth 2.0 Form Post Response Mode). The same page sends the broker's
//! own answer to an app that asked for `form_post`. A script submits the form; without a script there is a button.

use std::borrow::Cow;

use askama::Template;

use super::{Frame, Page};

/// The page itself.
#[derive(Template)]
#[template(path = "repost.html")]
pub struct Repost<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// The address that it posts to.
    pub action: String,
    /// The fields, in order.
    pub fields: Vec<(String, String)>,
}

impl Page for Repost<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("repost-title")
    }
}
