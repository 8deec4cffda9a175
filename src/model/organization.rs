//! Organizations: who owns domains, connections, apps and accounts.

use std::time::Duration;

use super::words::words;
use super::{Handle, OrganizationId, Timestamp};

words! {
    /// What an organization has subscribed to.
    Plan {
        /// New organizations.
        Trial = "trial",
        /// Set by the operator.
        Enterprise = "enterprise",
    }
}

words! {
    /// Whether the shared sign-in page tells an organization's names from unknown ones.
    Routing {
        /// A known name is redirected to its identity provider.
        Open = "open",
        /// The shared page treats the organization's names as unknown.
        Closed = "closed",
    }
}

words! {
    /// Who may sign in with a password.
    LocalSignIn {
        /// Everybody who has one.
        All = "all",
        /// Only the accounts that are named for emergencies.
        BreakGlass = "break_glass",
        /// Nobody.
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
    /// Name for people.
    pub name: String,
    /// What it has subscribed to.
    pub plan: Plan,
    /// A disabled organization signs nobody in and issues no tokens.
    pub enabled: bool,
    /// What may differ between organizations.
    pub policy: OrganizationPolicy,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An organization's own choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationPolicy {
    /// Whether people may link profiles.
    pub linking: bool,
    /// Whether the shared page knows the organization's names.
    pub routing: Routing,
    /// Who may sign in with a password.
    pub local_sign_in: LocalSignIn,
    /// How long a session lives without a request; `None` is the deployment's.
    pub session_idle: Option<Duration>,
    /// How long a session lives at most; `None` is the deployment's.
    pub session_max: Option<Duration>,
    /// How long a refresh token lives without a new sign-in at the identity provider; `None` is unlimited.
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
