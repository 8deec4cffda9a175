//! What the operator does: declares organizations, reads them back, looks after accounts, sessions, keys and evidence.

mod accounts;
mod apply;
mod apply_connection;
mod apply_expected;
mod apply_members;
mod apply_replacing;
mod check;
mod document;
mod evidence;
mod export;
mod links;
mod read;
mod read_app;
mod read_look;

pub use accounts::{AccountView, ManageError, NewAccount};
pub use apply::{ApplyError, ApplyReport, Change, Line};
pub use check::{Check, Verdict};
pub use evidence::AuditLine;
pub use links::{AccountLinks, LinkEntry};
pub use read::{Rules, read_files};

/// How much an organization may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections of an organization.
    pub connections: usize,
    /// Domains of an organization.
    pub domains: usize,
    /// Apps of an organization.
    pub apps: usize,
    /// Redirect URIs of an app.
    pub redirect_uris: usize,
}
