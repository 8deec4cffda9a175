//! Who asks.

use super::{AccountId, Actor};

/// Who asks for a change, and so whose doing its record names. A use case never assumes it: whoever calls says it.
///
/// Two callers have types of their own, since they prove themselves with each request: a browser's visit, whose session
/// says who the person is, and an app that has authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A person, signed in.
    Person(AccountId),
    /// The operator: by an account of theirs, or (`None`) at the deployment's command line.
    Operator(Option<AccountId>),
    /// The broker itself, because it is time.
    Job,
}

impl Caller {
    /// Whom a record names; `None` where nobody asked.
    pub const fn actor(self) -> Option<Actor> {
        match self {
            Self::Person(account) | Self::Operator(Some(account)) => Some(Actor::Account(account)),
            Self::Operator(None) => Some(Actor::Operator),
            Self::Job => None,
        }
    }
}
