//! The types for the content of an `apply` file. The file is checked by itself, before the broker reads the database.

use crate::model::{
    AccountId, AppId, AppSettings, Audience, ConnectionId, ConnectionSettings, Contact, Email, Handle, Look,
    OrganizationId, OrganizationPolicy, OwnedDomain, Plan, Role, Secret, Timestamp, Username,
};
use crate::protocol::document::{Complaint, Notation, Setting};

/// An organization with what it owns.
#[derive(Debug, Clone)]
pub struct WantedOrganization {
    pub id: Option<OrganizationId>,
    pub handle: Handle,
    pub name: String,
    pub plan: Plan,
    pub enabled: bool,
    pub policy: OrganizationPolicy,
    pub look: Look,
    pub domains: Vec<WantedDomain>,
    pub connections: Vec<WantedConnection>,
    pub apps: Vec<WantedApp>,
    pub accounts: Vec<WantedAccount>,
}

/// A domain with the handles of the connections that it leads to.
#[derive(Debug, Clone)]
pub struct WantedDomain {
    pub domain: OwnedDomain,
    pub connections: Vec<Handle>,
}

/// A connection.
#[derive(Debug, Clone)]
pub struct WantedConnection {
    pub id: Option<ConnectionId>,
    pub handle: Handle,
    pub name: String,
    pub enabled: bool,
    pub issuer: String,
    pub client_id: String,
    /// Without the replacement, which is in `replaces`.
    pub settings: ConnectionSettings,
    pub replaces: Option<WantedReplacement>,
    /// `None` keeps the stored one.
    pub secret: Option<WantedSecret>,
    /// `None` removes the stored one.
    pub next_secret: Option<WantedSecret>,
    pub secret_expires_at: Option<Timestamp>,
    /// `None` keeps the stored one.
    pub key: Option<WantedKey>,
}

/// The replacement of another connection by this one.
#[derive(Debug, Clone)]
pub struct WantedReplacement {
    pub connection: Handle,
    pub claim: String,
    pub old_claim: String,
    pub until: Timestamp,
}

/// A connection's key as `export` wrote it.
#[derive(Debug, Clone)]
pub struct WantedKey {
    pub sealed: String,
    pub certificate: String,
}

/// A secret in clear, or sealed as `export` wrote it.
#[derive(Debug, Clone)]
pub enum WantedSecret {
    Clear(Secret),
    Sealed(String),
}

/// An app.
#[derive(Debug, Clone)]
pub struct WantedApp {
    pub id: Option<AppId>,
    pub client_id: String,
    pub name: String,
    pub enabled: bool,
    pub secret_hashes: Vec<String>,
    pub settings: AppSettings,
}

/// An account.
#[derive(Debug, Clone)]
pub struct WantedAccount {
    pub id: Option<AccountId>,
    pub username: Username,
    pub email: Option<Email>,
    pub email_verified: bool,
    pub contact: Contact,
    pub roles: Vec<Role>,
    pub enabled: bool,
    pub break_glass: bool,
    /// The identity that will claim it, as long as no user can sign in to it.
    pub expects: Option<WantedIdentity>,
    /// `None` keeps the stored one.
    pub password: Option<WantedPassword>,
}

/// An identity that is expected for an account.
#[derive(Debug, Clone)]
pub struct WantedIdentity {
    /// The connection through which it signs in.
    pub connection: Handle,
    /// One of [`EXPECTED_CLAIMS`](crate::policy::account::link::EXPECTED_CLAIMS).
    pub claim: String,
    /// That claim's value; for an email address, its canonical form.
    pub value: String,
}

/// A password in clear, or hashed as `export` wrote it.
#[derive(Debug, Clone)]
pub enum WantedPassword {
    Clear(Secret),
    Hash(String),
}

/// The value of `audience`.
pub(super) struct AudienceWord(pub Audience);

impl Setting for AudienceWord {
    const NOTATION: Notation = Notation::Text;

    fn from_text(text: &str) -> Result<Self, Complaint> {
        if text == "any" {
            return Ok(Self(Audience::Any));
        }
        Err(Complaint::new("takes \"any\", or a list of organizations' handles"))
    }

    fn from_value(value: &toml::de::DeValue<'_>) -> Result<Self, Complaint> {
        if let Some(text) = value.as_str() {
            return Self::from_text(text);
        }
        let wrong = || Complaint::new("takes \"any\", or a list of organizations' handles");
        let items = value.as_array().ok_or_else(wrong)?;
        let handles = items.iter().map(|item| item.get_ref().as_str().and_then(|text| text.parse().ok()));
        Ok(Self(Audience::Organizations(handles.collect::<Option<_>>().ok_or_else(wrong)?)))
    }
}
