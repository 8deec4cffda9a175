//! The pages: one typed context each, rendered by a template of the same name under `templates/`.
//!
//! A context holds plain values that a handler has at hand, and renders to the whole document
//! (`askama::Template::render`). Nothing here reads a request or decides anything.

pub mod account;
pub mod error;
pub mod frame;
pub mod logout;
pub mod path;
pub mod repost;
pub mod sign_in;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use account::link::{Alternative, Candidate, LinkConfirm, LinkOffer, LinkSide, Merge};
pub use account::own_links::{AddProfile, MailCode, Undo, Unlink};
pub use account::{Account, SessionRow, SignedInVia};
pub use error::{AppHome, ErrorPage};
pub use frame::{Brand, Failure, Form, Frame, Pages};
pub use logout::{Logout, SignedOut};
pub use repost::Repost;
pub use sign_in::consent::Consent;
pub use sign_in::password::{PasswordSet, SetPassword};
pub use sign_in::{Choice, ConnectionChoice, DomainEntry, SignIn};

/// What the layout asks of every page.
pub(super) trait Page {
    /// The one title of the page.
    fn title(&self) -> Cow<'_, str>;

    /// Whether the page says that something went wrong; then its title says so first, for those who hear it.
    fn failed(&self) -> bool {
        false
    }
}
