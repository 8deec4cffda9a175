//! Accounts (one person's record) and profiles (one way to sign in to an account).

use serde::{Deserialize, Serialize};

use super::words::words;
use super::{AccountId, ConnectionId, Email, OrganizationId, ProfileId, Timestamp, Username};

words! {
    /// What an account may do: in its organization, or, as operator, in the deployment.
    Role {
        /// The one owner.
        Owner = "owner",
        /// Manages the organization.
        Administrator = "administrator",
        /// Belongs to it.
        Member = "member",
        /// Reads its audit log.
        Auditor = "auditor",
        /// Administers the deployment; such an account belongs to no organization.
        Operator = "operator",
    }
}

/// The most profiles that one account ever has.
pub const MAX_PROFILES: i64 = 25;

/// How many of an account's last passwords are remembered, the present one among them.
pub const REMEMBERED_PASSWORDS: i64 = 3;

/// One person's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Stable id.
    pub id: AccountId,
    /// The organization it belongs to; `None` is an unattached account.
    pub organization: Option<OrganizationId>,
    /// Username; an account that only ever signed in through an identity provider has none.
    pub username: Option<Username>,
    /// Email address, if known.
    pub email: Option<Email>,
    /// Whether the address was proven when it was last said. Of one that a provider asserts, whether it still counts is
    /// decided anew (`policy::email`).
    pub email_verified: bool,
    /// The connection whose provider asserts the address; `None` where the operator declared it.
    pub email_from: Option<ConnectionId>,
    /// Name, phone.
    pub contact: Contact,
    /// Roles in the organization; of an unattached account [`Role::Operator`] or none.
    pub roles: Vec<Role>,
    /// A disabled account signs in nowhere.
    pub enabled: bool,
    /// Whether it keeps its password while the organization's local sign-in is `break_glass`.
    pub break_glass: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its data last changed.
    pub updated_at: Timestamp,
}

/// How a person is called and reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Full name (`name`).
    pub name: Option<String>,
    /// Given name (`given_name`).
    pub given_name: Option<String>,
    /// Family name (`family_name`).
    pub family_name: Option<String>,
    /// Phone number (`phone_number`).
    pub phone: Option<String>,
}

/// One way to sign in to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Stable id.
    pub id: ProfileId,
    /// The account that it signs in to.
    pub account: AccountId,
    /// What proves it.
    pub kind: ProfileKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last signed somebody in.
    pub last_used_at: Option<Timestamp>,
}

/// What proves a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileKind {
    /// Username and password.
    Local,
    /// A subject at an identity provider, as one connection reaches it.
    External {
        /// The connection.
        connection: ConnectionId,
        /// The token's `iss`.
        issuer: String,
        /// The token's `sub`.
        subject: String,
        /// The email that the provider last asserted.
        email: Option<Email>,
        /// Whether that email counted as proven.
        email_verified: bool,
    },
}

impl ProfileKind {
    /// The identity provider of an external profile: the token's `iss`.
    pub fn issuer(&self) -> Option<&str> {
        match self {
            Self::Local => None,
            Self::External { issuer, .. } => Some(issuer),
        }
    }

    /// The connection of an external profile.
    pub const fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Local => None,
            Self::External { connection, .. } => Some(*connection),
        }
    }
}
