//! The pages: one typed context each, rendered by a template of the same name under `templates/`.
//!
//! A context holds plain values that a handler has at hand, and renders to the whole document
//! (`askama::Template::render`). Nothing here reads a request or decides anything.

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

/// What the layout asks of every page.
pub(super) trait Page {
    /// The one title of the page.
    fn title(&self) -> Cow<'_, str>;

    /// Whether the page says that something went wrong; then its title says so first, for those who hear it.
    fn failed(&self) -> bool {
        false
    }
}
