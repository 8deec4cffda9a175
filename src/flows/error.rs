//! How a use case says no.

use std::time::Duration;

use crate::protocol::oauth::OAuthError;
use crate::store::StoreError;

/// Where a person can begin again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppLink {
    /// The app's name.
    pub name: String,
    /// Where it begins, if it said so.
    pub home: Option<String>,
}

/// A refusal that a person sees. What truly happened stands in the audit log under the receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The public code (`data-error`); `docs/errors.md` lists them.
    pub code: &'static str,
    /// The short code under which the attempt can be looked up.
    pub receipt: Option<String>,
    /// The app that is waiting.
    pub app: Option<AppLink>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The name of the connection through which to sign in instead.
    pub instead: Option<String>,
    /// The ways to sign in that stand in each other's way, by their names.
    pub clashing: Vec<String>,
}

impl Refusal {
    /// A refusal of which only the code is known.
    pub const fn new(code: &'static str) -> Self {
        Self { code, receipt: None, app: None, retry_after: None, instead: None, clashing: Vec::new() }
    }
}

/// Why a use case for people did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// Refused, and recorded.
    #[error("refused: {}", .0.code)]
    Refused(Box<Refusal>),
    /// The answer belongs to the app: this address carries the error.
    #[error("refused towards the app")]
    Redirect(String),
    /// Something that is needed is down; nothing was done.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl FlowError {
    /// A refusal without app and receipt.
    pub fn refused(code: &'static str) -> Self {
        Self::Refused(Box::new(Refusal::new(code)))
    }

    /// The same refusal, to be tried again after `wait`; other errors stay as they are.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        match self {
            Self::Refused(refusal) => {
                Self::Refused(Box::new(Refusal { retry_after: Some(wait), ..*refusal }))
            }
            other => other,
        }
    }
}

impl From<StoreError> for FlowError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(private_detail(&error))
    }
}

impl From<crate::crypto::CryptoError> for FlowError {
    fn from(error: crate::crypto::CryptoError) -> Self {
        Self::Unavailable(private_detail(&error))
    }
}

/// Why an endpoint for apps did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Refused, as the RFC says it.
    #[error("refused: {}", .0.code)]
    Refused(OAuthError),
    /// Too many wrong secrets came from this network. The broker checks no further secret from it for this long.
    #[error("too many wrong secrets")]
    TooMany(Duration),
    /// Something that is needed is down; nothing was done.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl From<StoreError> for EndpointError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(private_detail(&error))
    }
}

impl From<crate::crypto::CryptoError> for EndpointError {
    fn from(error: crate::crypto::CryptoError) -> Self {
        Self::Unavailable(private_detail(&error))
    }
}

/// The error with its causes, for the log.
pub fn private_detail(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
