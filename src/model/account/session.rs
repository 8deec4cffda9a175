//! Sessions: a browser in which a user has signed in.

use serde::{Deserialize, Serialize};

use crate::model::{AccountId, ConnectionId, OrganizationId, ProfileId, SessionId, Timestamp};

/// A signed-in browser. The cookie holds a random token; the database holds its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Stable id; the `sid` claim.
    pub id: SessionId,
    /// The account that is signed in.
    pub account: AccountId,
    /// The organization of the account at sign-in.
    pub organization: Option<OrganizationId>,
    /// How the user proved who they are.
    pub proof: Proof,
    /// When the user proved again who they are, by a mailed code. This is not a sign-in, and apps are not told.
    pub confirmed_at: Option<Timestamp>,
    /// When the session began.
    pub created_at: Timestamp,
    /// When it was last used, accurate to about a minute.
    pub last_seen_at: Timestamp,
    /// When it ends if it is not used again.
    pub idle_until: Timestamp,
    /// When it ends in any case.
    pub expires_at: Timestamp,
    /// The name that the browser gives itself, cut to 200 characters.
    pub user_agent: String,
}

impl Session {
    /// When the user is known to have proved who they are: by a sign-in in which they were asked, or by a mailed code.
    pub fn proved_at(&self) -> Option<Timestamp> {
        self.proof.witnessed.then_some(self.proof.authenticated_at).max(self.confirmed_at)
    }

    /// Whether the session has ended at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.idle_until || now >= self.expires_at
    }
}

/// How a user proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The profile that was used.
    pub profile: ProfileId,
    /// The connection of an external profile.
    pub connection: Option<ConnectionId>,
    /// When the user actively signed in (`auth_time`).
    pub authenticated_at: Timestamp,
    /// Whether the user is known to have been asked at that time: they entered a password, or the identity provider
    /// was made to ask or says when it did. An identity provider that remembers a user may answer without asking.
    #[serde(default, skip_serializing_if = "is_false")]
    pub witnessed: bool,
    /// Authentication methods (`amr`, RFC 8176).
    pub amr: Vec<String>,
    /// Authentication context (`acr`), as the app knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The identity provider's session (`sid`), for its logout messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_sid: Option<String>,
}

/// The JSON form of a proof omits fields that are false.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(value: &bool) -> bool {
    !*value
}
