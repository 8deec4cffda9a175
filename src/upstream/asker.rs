//! For whom an identity provider is called, and what may stop a call at the last moment.

use std::time::Duration;

use tokio::time::Instant;

use super::turns::{Lane, Share};

/// For whom an identity provider is called. Calls from one network share a limit, and so do calls for one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    network: String,
    account: Option<String>,
}

impl Asker {
    /// A browser in which no account is known to have signed in.
    pub fn stranger(network: impl Into<String>) -> Self {
        Self { network: network.into(), account: None }
    }

    /// A browser in which this account has signed in before.
    pub fn known(network: impl Into<String>, account: impl Into<String>) -> Self {
        Self { network: network.into(), account: Some(account.into()) }
    }

    /// The name under which calls are counted: that of a network or of an account.
    pub fn name(&self) -> String {
        match &self.account {
            Some(account) => format!("account:{account}"),
            None => format!("network:{}", self.network),
        }
    }

    /// The share from which its calls take their turns.
    pub(super) fn share(&self) -> Share {
        match &self.account {
            Some(account) => Share { lane: Lane::Known, name: account.clone() },
            None => Share::of(&*self.network),
        }
    }

    /// The group whose failures count together: a network, with its known browsers apart.
    pub(super) fn side(&self) -> (String, bool) {
        (self.network.clone(), self.account.is_some())
    }
}

/// Decides, when a call's turn has come, whether the call is made.
pub trait Gate: Send + Sync {
    /// Lets the call pass, or says how long to wait.
    ///
    /// # Errors
    /// How long to wait before trying again.
    fn pass(&self) -> Result<(), Duration>;

    /// Notes that the identity provider has answered and accepted what it was sent.
    fn accepted(&self);
}

/// One call: for whom, until when, and what may stop it.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub asker: &'a Asker,
    pub gate: Option<&'a dyn Gate>,
    pub deadline: Instant,
}
