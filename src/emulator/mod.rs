//! Emulated identity providers, a sample relying app, a page of mails, and a scripted browser: `emulate`, `demo` and
//! `demo --tour` run them, and tests sign in at them.
//!
//! An emulated identity provider is a real `OpenID` Provider with one vendor's behaviour. The behaviour is data
//! ([`vendor::Habits`]), and the protocol code knows no vendor by name. Everything is an [`axum::Router`] that the
//! caller serves. Nothing here listens, and nothing here connects out except through a [`fetch::Fetch`] that the
//! caller provides. Users' passwords are in a file in plain text, so no real account belongs here.

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
