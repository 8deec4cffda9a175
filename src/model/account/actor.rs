//! Actors: the users and operators whom the audit log names.

use std::fmt;
use std::str::FromStr;

use crate::model::{AccountId, IdError};

/// The user or operator who performed a recorded action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A user, by account.
    Account(AccountId),
    /// The operator who runs the deployment's commands.
    Operator,
}

/// The text form of [`Actor::Operator`].
const OPERATOR: &str = "operator";

impl From<AccountId> for Actor {
    fn from(account: AccountId) -> Self {
        Self::Account(account)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => id.fmt(f),
            Self::Operator => f.write_str(OPERATOR),
        }
    }
}

impl FromStr for Actor {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text == OPERATOR { Ok(Self::Operator) } else { text.parse().map(Self::Account) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_round_trips_through_its_text() {
        for actor in [Actor::Operator, Actor::Account(AccountId::from_bytes([7; 16]))] {
            assert_eq!(actor.to_string().parse::<Actor>(), Ok(actor));
        }
        assert!("root".parse::<Actor>().is_err());
    }
}
