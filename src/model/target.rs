//! What was acted on.

use super::{
    AccountId, AppId, ConnectionId, DomainError, DomainName, IdError, LedgerId, OrganizationId, SessionId,
};

/// What a record of the audit log is about, beside who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An organization.
    Organization(OrganizationId),
    /// A domain, by its name.
    Domain(DomainName),
    /// A connection.
    Connection(ConnectionId),
    /// An app.
    App(AppId),
    /// An account.
    Account(AccountId),
    /// A session.
    Session(SessionId),
    /// An entry of the ledger of links.
    LedgerEntry(LedgerId),
}

/// Why kind and id name no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The kind is none of those that there are.
    #[error("\"{0}\" is not a kind of target")]
    Kind(String),
    /// The id is not one of its kind.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The name is not a domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl Target {
    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Organization(_) => "organization",
            Self::Domain(_) => "domain",
            Self::Connection(_) => "connection",
            Self::App(_) => "app",
            Self::Account(_) => "account",
            Self::Session(_) => "session",
            Self::LedgerEntry(_) => "ledger_entry",
        }
    }

    /// Its id, or the name of a domain.
    pub fn id(&self) -> String {
        match self {
            Self::Organization(id) => id.to_string(),
            Self::Domain(name) => name.to_string(),
            Self::Connection(id) => id.to_string(),
            Self::App(id) => id.to_string(),
            Self::Account(id) => id.to_string(),
            Self::Session(id) => id.to_string(),
            Self::LedgerEntry(id) => id.to_string(),
        }
    }

    /// The target of this kind and id.
    ///
    /// # Errors
    /// There is no such kind, or the id is not one of this kind.
    pub fn parse(kind: &str, id: &str) -> Result<Self, TargetError> {
        Ok(match kind {
            "organization" => Self::Organization(id.parse()?),
            "domain" => Self::Domain(id.parse()?),
            "connection" => Self::Connection(id.parse()?),
            "app" => Self::App(id.parse()?),
            "account" => Self::Account(id.parse()?),
            "session" => Self::Session(id.parse()?),
            "ledger_entry" => Self::LedgerEntry(id.parse()?),
            other => return Err(TargetError::Kind(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_round_trips_through_kind_and_id() {
        let targets = [
            Target::Organization(OrganizationId::from_bytes([1; 16])),
            Target::Domain("acme.test".parse().unwrap()),
            Target::Connection(ConnectionId::from_bytes([2; 16])),
            Target::App(AppId::from_bytes([3; 16])),
            Target::Account(AccountId::from_bytes([4; 16])),
            Target::Session(SessionId::from_bytes([5; 16])),
            Target::LedgerEntry(LedgerId::from_bytes([6; 16])),
        ];
        for target in targets {
            assert_eq!(Target::parse(target.kind(), &target.id()), Ok(target));
        }
    }

    #[test]
    fn an_id_of_another_kind_is_no_target() {
        let account = AccountId::from_bytes([4; 16]).to_string();
        assert!(Target::parse("session", &account).is_err());
        assert!(Target::parse("planet", &account).is_err());
    }
}
