//! Accounts (one person's record) and profiles (one way to sign in to an account).

pub(super) mod actor;
pub mod link;
pub mod session;

use serde::{Deserialize, Serialize};

use super::value::words::word_enum;
use super::{AccountId, ConnectionId, Email, OrganizationId, ProfileId, Timestamp, Username};

word_enum! {
    /// A role of an account: in its organization, or as an operator of the deployment.
    Role {
        /// The only owner of the organization.
        Owner = "owner",
        /// Manages the organization.
        Administrator = "administrator",
        /// Belongs to the organization.
        Member = "member",
        /// Reads its audit log.
        Auditor = "auditor",
        /// Administers the deployment; such an account belongs to no organization.
        Operator = "operator",
    }
}

/// The most profiles that one account may have.
pub const MAX_PROFILES: i64 = 25;

/// How many of an account's last passwords are remembered, including the present one.
pub const REMEMBERED_PASSWORDS: i64 = 3;

/// The record of one user.
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
    /// Whether the address was proven when it was last set. If an identity provider asserts it, `policy::account::email`
    /// decides each time whether it still counts.
    pub email_verified: bool,
    /// The connection whose identity provider asserts the address; `None` if the operator declared it.
    pub email_from: Option<ConnectionId>,
    /// Name and phone number.
    pub contact: Contact,
    /// Roles in the organization. An unattached account has [`Role::Operator`] or none.
    pub roles: Vec<Role>,
    /// A disabled account cannot sign in.
    pub enabled: bool,
    /// Whether it keeps its password while the organization's local sign-in is `break_glass`.
    pub break_glass: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its data last changed.
    pub updated_at: Timestamp,
}

/// The name and phone number of a user.
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
    /// The kind of its proof.
    pub kind: ProfileKind,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a user last signed in with it.
    pub last_used_at: Option<Timestamp>,
}

/// The kind of proof for a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileKind {
    /// Username and password.
    Local,
    /// A subject at the identity provider of one connection.
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
