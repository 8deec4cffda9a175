//! The operator's work: declaring organizations, exporting them, and looking after accounts, sessions, keys and
//! evidence.

mod accounts;
mod apply;
mod check;
mod document;
mod evidence;
mod export;
mod links;
mod read;

use std::sync::Arc;

use crate::flows::core::Core;
use crate::flows::keys::Keys;
use crate::flows::mail::Mails;
use crate::flows::passwords::Passwords;
use crate::flows::profile::Profiles;
use crate::flows::session::Sessions;
use crate::flows::undo::Undos;
use crate::upstream::Upstream;

pub use accounts::{AccountView, ManageError, NewAccount};
pub use apply::{ApplyError, ApplyReport, Change, Line};
pub use check::{Check, Verdict};
pub use evidence::AuditFilter;
pub use links::{AccountLinks, LinkEntry};
pub use read::{Rules, read_files};

/// The limits of an organization.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Accounts of an organization.
    pub accounts: i64,
    /// Connections of an organization.
    pub connections: usize,
    /// Domains of an organization.
    pub domains: usize,
    /// Apps of an organization.
    pub apps: usize,
    /// Redirect URIs of an app.
    pub redirect_uris: usize,
}

/// The organizations that the operator declares, with everything that belongs to them.
pub struct Organizations {
    core: Arc<Core>,
    keys: Arc<Keys>,
    sessions: Arc<Sessions>,
    profiles: Arc<Profiles>,
    passwords: Arc<Passwords>,
    limits: Limits,
}

impl Organizations {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        keys: &Arc<Keys>,
        sessions: &Arc<Sessions>,
        profiles: &Arc<Profiles>,
        passwords: &Arc<Passwords>,
        limits: Limits,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            keys: Arc::clone(keys),
            sessions: Arc::clone(sessions),
            profiles: Arc::clone(profiles),
            passwords: Arc::clone(passwords),
            limits,
        }
    }
}

/// The operator's work on accounts and their evidence.
pub struct Accounts {
    core: Arc<Core>,
    sessions: Arc<Sessions>,
    profiles: Arc<Profiles>,
    passwords: Arc<Passwords>,
    undos: Arc<Undos>,
    limit: i64,
}

impl Accounts {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        sessions: &Arc<Sessions>,
        profiles: &Arc<Profiles>,
        passwords: &Arc<Passwords>,
        undos: &Arc<Undos>,
        limit: i64,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            sessions: Arc::clone(sessions),
            profiles: Arc::clone(profiles),
            passwords: Arc::clone(passwords),
            undos: Arc::clone(undos),
            limit,
        }
    }
}

/// Whether everything that sign-ins need is available.
pub struct Health {
    core: Arc<Core>,
    keys: Arc<Keys>,
    mails: Arc<Mails>,
    upstream: Arc<Upstream>,
}

impl Health {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        keys: &Arc<Keys>,
        mails: &Arc<Mails>,
        upstream: &Arc<Upstream>,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            keys: Arc::clone(keys),
            mails: Arc::clone(mails),
            upstream: Arc::clone(upstream),
        }
    }
}
