//! A page that posts the fields it carries.
//!
//! A callback by `form_post` arrives as a post from another site and so without our `Lax` cookies; posted once more
//! from our own origin, it brings them (OAuth 2.0 Form Post Response Mode). The same page takes our own answer to an
//! app that asked for `form_post`. A script submits it; without one there is a button.

use std::borrow::Cow;

use askama::Template;

use super::{Frame, Page};

/// The page itself.
#[derive(Template)]
#[template(path = "repost.html")]
pub struct Repost<'a> {
    /// The frame around it.
    pub frame: Frame<'a>,
    /// Where it posts.
    pub action: String,
    /// The fields, in order.
    pub fields: Vec<(String, String)>,
}

impl Page for Repost<'_> {
    fn title(&self) -> Cow<'_, str> {
        self.frame.say("repost-title")
    }
}
