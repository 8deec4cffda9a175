//! Emulated identity providers, a sample relying app, a page of mails, and a scripted browser: what `emulate`, `demo` and
//! `demo --tour` run, and what tests sign in at.
//!
//! An emulated provider is a real `OpenID` Provider with one vendor's habits; the habits are data
//! ([`vendor::Habits`]), the protocol code knows no vendor by name. Everything is an [`axum::Router`] that the caller
//! serves; nothing here listens, and nothing here connects out except through a [`fetch::Fetch`] that the caller
//! passes in. Users' passwords stand in a file in clear, so no real person's account belongs here.

mod cookie;
pub mod demo_plan;
pub mod directory;
pub mod fault;
pub mod fetch;
mod form;
mod html;
pub mod idp;
pub mod mail_page;
mod memory;
pub mod sample_app;
#[cfg(test)]
mod testing;
pub mod tour;
pub mod vendor;

pub use directory::{Client, Directory, DirectoryError, User};
pub use fault::{Fault, Faults};
pub use fetch::{Fetch, FetchError, Fetched};
pub use vendor::Vendor;
