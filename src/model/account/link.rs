//! Linking: two sides that one user has proved in one browser become one account, and the ledger records it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::value::words::word_enum;
use crate::model::{
    AccountId, Actor, AppId, ConnectionId, Contact, Email, LedgerId, OrganizationId, ProfileId, Proof, Role,
    Secret, Timestamp,
};

/// How long the first proof of a link stays valid. By then the second side must be proved and the link confirmed.
pub const LINK_LIFETIME: Duration = Duration::from_mins(10);

/// How long a mailed link to set a password works.
pub const PASSWORD_LINK_LIFETIME: Duration = Duration::from_hours(1);

/// How long a mailed code works.
pub const MAIL_CODE_LIFETIME: Duration = Duration::from_mins(10);

/// How long a link or a merge can be undone.
pub const UNDO_WINDOW: Duration = Duration::from_hours(30 * 24);

/// An identity for which an identity provider has vouched, and which belongs to no account yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// The connection through which it arrived.
    pub connection: ConnectionId,
    /// A hash of the connection's organization, issuer and client id at that time.
    pub registration: [u8; 16],
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// The email that the identity provider asserts.
    pub email: Option<Email>,
    /// Whether that email counts as proven.
    pub email_verified: bool,
    /// Names and phone.
    pub contact: Contact,
    /// When the user signed in there.
    pub authenticated_at: Timestamp,
    /// Whether the identity provider is known to have asked the user at that time.
    pub witnessed: bool,
    /// Authentication methods.
    pub amr: Vec<String>,
    /// Authentication context, as apps know it.
    pub acr: Option<String>,
    /// The identity provider's session.
    pub upstream_sid: Option<String>,
    /// The identity provider's ID token, if its sign-out takes it as a hint.
    #[serde(with = "crate::model::value::secret::in_what_is_sealed")]
    pub id_token: Option<Secret>,
}

impl Identity {
    /// The proof that this identity gives, once it is the profile `profile`.
    pub fn proof(&self, profile: ProfileId) -> Proof {
        Proof {
            profile,
            connection: Some(self.connection),
            authenticated_at: self.authenticated_at,
            witnessed: self.witnessed,
            amr: self.amr.clone(),
            acr: self.acr.clone(),
            upstream_sid: self.upstream_sid.clone(),
        }
    }
}

word_enum! {
    /// The kind of event that an entry of the ledger records.
    LedgerKind {
        /// An identity became a profile of an account.
        Linked = "linked",
        /// An expected identity signed in, and became a profile of the account that expected it.
        Expected = "expected",
        /// An identity took over a profile whose connection is being replaced.
        Replaced = "replaced",
        /// An account was merged into another.
        Merged = "merged",
        /// A profile was removed from its account.
        Unlinked = "unlinked",
        /// An earlier entry was undone.
        Undone = "undone",
    }
}

impl LedgerKind {
    /// Whether such an entry can be undone.
    pub const fn can_be_undone(self) -> bool {
        matches!(self, Self::Linked | Self::Expected | Self::Replaced | Self::Merged)
    }

    /// Whether the entry's first side is an identity that was added to the account of the second side.
    pub const fn adds_identity(self) -> bool {
        matches!(self, Self::Linked | Self::Replaced)
    }
}

/// One entry of the link ledger. It is written once and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Id.
    pub id: LedgerId,
    /// The organization in which it happened.
    pub organization: OrganizationId,
    /// When it happened.
    pub at: Timestamp,
    /// The kind of event.
    pub kind: LedgerKind,
    /// The account that the profile was added to or removed from; for a merge, the account that stays.
    pub account: AccountId,
    /// For a merge, the account that ended.
    pub other: Option<AccountId>,
    /// The profile that was added or removed.
    pub profile: Option<ProfileId>,
    /// Its connection.
    pub connection: Option<ConnectionId>,
    /// The user or operator who did it.
    pub actor: Actor,
    /// The entry that this one undoes.
    pub undoes: Option<LedgerId>,
    /// The things that a merge moved, so that an undo can give them back.
    pub moved: Moved,
    /// Both identities and how each was proved, sealed with the keys of their accounts.
    pub sides_sealed: String,
}

/// The things that a merge moved from one account to the other, or the profile that was replaced. It holds ids and
/// roles only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Profiles that moved; for a replacement, the profile that was replaced.
    pub profiles: Vec<ProfileId>,
    /// Apps that now know the kept account by the subject of the merged one.
    pub subjects: Vec<AppId>,
    /// Apps to which the consent of the merged account moved.
    pub consents: Vec<AppId>,
    /// The roles that the merged account had.
    pub roles: Vec<Role>,
    /// Those of these roles that the kept account did not have before.
    pub gained: Vec<Role>,
    /// The account whose local profile ended, if both had one.
    pub ended_local: Option<AccountId>,
    /// Whether the two accounts swapped their usernames.
    pub swapped_usernames: bool,
}

/// One identity, as the ledger and the pages name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSide {
    /// The account that it belonged to, if there was one.
    pub account: Option<AccountId>,
    /// The connection; `None` for username and password.
    pub connection: Option<ConnectionId>,
    /// The connection's name at that time.
    pub provider: Option<String>,
    /// The token's `iss`.
    pub issuer: Option<String>,
    /// The token's `sub`.
    pub subject: Option<String>,
    /// The username of a local profile.
    pub username: Option<String>,
    /// The email that was known for it.
    pub email: Option<String>,
    /// When it was proved.
    pub proved_at: Timestamp,
    /// By which methods.
    pub amr: Vec<String>,
}

impl NamedSide {
    /// The rest of a side after its personal data were erased.
    pub const fn erased(account: AccountId, proved_at: Timestamp) -> Self {
        Self {
            account: Some(account),
            connection: None,
            provider: None,
            issuer: None,
            subject: None,
            username: None,
            email: None,
            proved_at,
            amr: Vec::new(),
        }
    }

    /// The names by which the user knows it: connection, username, email.
    pub fn label(&self) -> String {
        let names = [&self.provider, &self.username, &self.email];
        names.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" · ")
    }
}
