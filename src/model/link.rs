//! Linking: two sides that one person has proved in one browser become one account, and the ledger that remembers it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::words::words;
use super::{
    AccountId, Actor, AppId, ConnectionId, Contact, Email, LedgerId, OrganizationId, ProfileId, Proof, Role,
    Secret, Timestamp,
};

/// How long the first proof of a link is good: until then the second one is there, and confirmed.
pub const LINK_LIFETIME: Duration = Duration::from_mins(10);

/// How long a mailed link to set a password works.
pub const PASSWORD_LINK_LIFETIME: Duration = Duration::from_hours(1);

/// How long a mailed code works.
pub const MAIL_CODE_LIFETIME: Duration = Duration::from_mins(10);

/// How long a link or a merge can be undone.
pub const UNDO_WINDOW: Duration = Duration::from_hours(30 * 24);

/// Somebody as a provider has vouched for them, who is nobody's profile yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Through which connection.
    pub connection: ConnectionId,
    /// A hash over organization, issuer and client id of the connection when it vouched.
    pub registration: [u8; 16],
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `sub`.
    pub subject: String,
    /// The email that the provider asserts.
    pub email: Option<Email>,
    /// Whether that email counts as proven.
    pub email_verified: bool,
    /// Names and phone.
    pub contact: Contact,
    /// When the person signed in there.
    pub authenticated_at: Timestamp,
    /// Whether they are known to have been asked then.
    pub witnessed: bool,
    /// Authentication methods.
    pub amr: Vec<String>,
    /// Authentication context, as apps know it.
    pub acr: Option<String>,
    /// The provider's session.
    pub upstream_sid: Option<String>,
    /// The provider's ID token, where its logout takes it as a hint.
    #[serde(with = "super::secret::in_what_is_sealed")]
    pub id_token: Option<Secret>,
}

impl Identity {
    /// The proof that this identity is, once it is a profile.
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

words! {
    /// What an entry of the ledger tells.
    LedgerKind {
        /// An identity became a profile of an account.
        Linked = "linked",
        /// An identity was expected, came, and became a profile of the account that expected it.
        Expected = "expected",
        /// An identity took the place of a profile whose connection is being replaced.
        Replaced = "replaced",
        /// An account was merged into another.
        Merged = "merged",
        /// A profile was taken from its account.
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

    /// Whether the entry's first side is an identity that came to the account that the second one tells of.
    pub const fn adds_identity(self) -> bool {
        matches!(self, Self::Linked | Self::Replaced)
    }
}

/// One entry of the link ledger: it is written once and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Id.
    pub id: LedgerId,
    /// The organization in which it happened.
    pub organization: OrganizationId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: LedgerKind,
    /// The account that the profile came to or went from; of a merge, the one that stays.
    pub account: AccountId,
    /// Of a merge, the account that went into it.
    pub other: Option<AccountId>,
    /// The profile.
    pub profile: Option<ProfileId>,
    /// Its connection.
    pub connection: Option<ConnectionId>,
    /// Whose doing it was.
    pub actor: Actor,
    /// The entry that this one undoes.
    pub undoes: Option<LedgerId>,
    /// What a merge moved, to be given back.
    pub moved: Moved,
    /// Both identities and how each was proved, each sealed under its account's key.
    pub sides_sealed: String,
}

/// What a merge took from one account to another, or whose place was taken. It holds ids and roles only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Profiles that moved; of a replacement, the one whose place was taken.
    pub profiles: Vec<ProfileId>,
    /// Apps whose name for the merged account became their name for the kept one.
    pub subjects: Vec<AppId>,
    /// Apps to which the merged account's consent moved.
    pub consents: Vec<AppId>,
    /// The roles that the merged account had.
    pub roles: Vec<Role>,
    /// Those of them that the kept account did not have before.
    pub gained: Vec<Role>,
    /// Whose local profile ended, where both had one.
    pub ended_local: Option<AccountId>,
    /// Whether the two usernames changed places.
    pub swapped_usernames: bool,
}

/// One identity as the ledger and the pages name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSide {
    /// The account that it belonged to, if any.
    pub account: Option<AccountId>,
    /// The connection; `None` is username and password.
    pub connection: Option<ConnectionId>,
    /// The connection's name then.
    pub provider: Option<String>,
    /// The token's `iss`.
    pub issuer: Option<String>,
    /// The token's `sub`.
    pub subject: Option<String>,
    /// The username of a local profile.
    pub username: Option<String>,
    /// The email that was known of it.
    pub email: Option<String>,
    /// When it was proved.
    pub proved_at: Timestamp,
    /// By which methods.
    pub amr: Vec<String>,
}

impl NamedSide {
    /// What is left of a side whose personal data were erased.
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

    /// The names of it that people know: connection, username, email.
    pub fn label(&self) -> String {
        let names = [&self.provider, &self.username, &self.email];
        names.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" · ")
    }
}
