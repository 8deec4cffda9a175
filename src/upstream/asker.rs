//! In whose name a provider is asked, and what may hold a call back at the last moment.

use std::time::Duration;

use tokio::time::Instant;

use super::turns::{Lane, Share};

/// In whose name a provider is asked: calls of one network share what it may have, and so do those of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    network: String,
    account: Option<String>,
}

impl Asker {
    /// A browser that nobody is known to have used.
    pub fn stranger(network: impl Into<String>) -> Self {
        Self { network: network.into(), account: None }
    }

    /// A browser in which this account was used before.
    pub fn known(network: impl Into<String>, account: impl Into<String>) -> Self {
        Self { network: network.into(), account: Some(account.into()) }
    }

    /// The name to count it by: that of a network, or of an account.
    pub fn name(&self) -> String {
        match &self.account {
            Some(account) => format!("account:{account}"),
            None => format!("network:{}", self.network),
        }
    }

    /// Whose turns its calls take.
    pub(super) fn share(&self) -> Share {
        match &self.account {
            Some(account) => Share { lane: Lane::Known, name: account.clone() },
            None => Share::of(&*self.network),
        }
    }

    /// Whose failures count together with its own: those of its network, known browsers apart.
    pub(super) fn side(&self) -> (String, bool) {
        (self.network.clone(), self.account.is_some())
    }
}

/// Decides, when a call's turn has come, whether the call is made.
pub trait Gate: Send + Sync {
    /// Whether it is made.
    ///
    /// # Errors
    /// How long to wait before trying again.
    fn pass(&self) -> Result<(), Duration>;

    /// The provider has answered, and took what it was given.
    fn accepted(&self);
}

/// One call: in whose name, until when, and what may hold it back.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub asker: &'a Asker,
    pub gate: Option<&'a dyn Gate>,
    pub deadline: Instant,
}
