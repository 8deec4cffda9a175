//! Organizations, which own domains, connections, apps and accounts.

pub mod app;
pub mod connection;
pub mod look;

use std::time::Duration;

use super::value::words::word_enum;
use super::{Handle, OrganizationId, Timestamp};

word_enum! {
    /// The plan of an organization.
    Plan {
        /// The plan of a new organization.
        Trial = "trial",
        /// The plan that the operator sets.
        Enterprise = "enterprise",
    }
}

word_enum! {
    /// Whether the shared sign-in page distinguishes an organization's names from unknown ones.
    Routing {
        /// A known name is redirected to its identity provider.
        Open = "open",
        /// The shared page treats the organization's names as unknown.
        Closed = "closed",
    }
}

word_enum! {
    /// Which users may sign in with a password.
    LocalSignIn {
        /// All users who have one.
        All = "all",
        /// Only break-glass accounts.
        BreakGlass = "break_glass",
        /// None.
        None = "none",
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Stable id.
    pub id: OrganizationId,
    /// Short name, unique in the deployment.
    pub handle: Handle,
    /// The name that users see.
    pub name: String,
    /// Its plan.
    pub plan: Plan,
    /// In a disabled organization no user signs in, and no tokens are issued.
    pub enabled: bool,
    /// Its own choices.
    pub policy: OrganizationPolicy,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Organization {
    /// The membership by which apps admit its accounts.
    pub const fn membership(&self) -> Membership<'_> {
        Membership { organization: self.id, handle: &self.handle }
    }
}

/// The organization of an account, by which apps admit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership<'a> {
    /// The organization.
    pub organization: OrganizationId,
    /// Its handle.
    pub handle: &'a Handle,
}

/// An organization's own choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationPolicy {
    /// Whether users may link profiles.
    pub linking: bool,
    /// Whether the shared page knows the organization's names.
    pub routing: Routing,
    /// Which users may sign in with a password.
    pub local_sign_in: LocalSignIn,
    /// How long an unused session lives; `None` is the deployment's setting.
    pub session_idle: Option<Duration>,
    /// How long a session lives at most; `None` is the deployment's setting.
    pub session_max: Option<Duration>,
    /// How long a refresh token works without a new sign-in at the identity provider; `None` is unlimited.
    pub upstream_recheck: Option<Duration>,
}

impl Default for OrganizationPolicy {
    fn default() -> Self {
        Self {
            linking: false,
            routing: Routing::Open,
            local_sign_in: LocalSignIn::All,
            session_idle: None,
            session_max: None,
            upstream_recheck: None,
        }
    }
}
