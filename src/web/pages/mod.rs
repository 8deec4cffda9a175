//! The pages that several concerns share. Each has one typed context, rendered by a template of the same name under
//! `templates/`.
//!
//! A context holds plain values from a handler, and renders the whole document (`askama::Template::render`). Nothing
//! here reads a request or decides anything.

pub mod error;
pub mod frame;
pub mod logout;
pub mod path;
pub mod repost;

use std::borrow::Cow;

pub use error::{AppHome, ErrorPage};
pub use frame::{Brand, Failure, Form, Frame, Pages};
pub use logout::{Logout, SignedOut};
pub use repost::Repost;

/// The parts that the layout requires from every page.
pub(super) trait Page {
    /// The one title of the page.
    fn title(&self) -> Cow<'_, str>;

    /// Whether the page reports a failure. The title then begins with this, for users of screen readers.
    fn failed(&self) -> bool {
        false
    }
}
