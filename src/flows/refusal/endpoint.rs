//! How an endpoint for apps refuses: with a value, which one place records.

use std::time::Duration;

use super::{AuditReason, Mark, private_detail};
use crate::flows::evidence::Event;
use crate::protocol::oauth::OAuthError;
use crate::store::StoreError;

/// Why an endpoint for apps did not do what the app asked for.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The request was refused. Nothing is written yet: `Core::settle_endpoint` writes the record and the marks.
    #[error("refused: {:?}", .0.told)]
    Refused(Box<EndpointRefusal>),
    /// Something that is needed is down; nothing was done.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// A refusal by an endpoint for apps. Nothing of it is written yet.
#[derive(Debug, Clone)]
pub struct EndpointRefusal {
    /// The answer to the app.
    pub(in crate::flows) told: ToldApp,
    /// The event that was refused, and the true reason.
    pub(in crate::flows) record: (Event, AuditReason),
    /// The marks to write although the request was refused.
    pub(in crate::flows) marks: Vec<Mark>,
}

/// The answer to an app that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToldApp {
    /// The error, as the RFC of the endpoint defines it.
    Error(OAuthError),
    /// Too many wrong secrets came from this network. The broker checks no further secret from it for this long.
    TooMany(Duration),
}

impl EndpointError {
    /// The same error, whose refusal leaves one more mark.
    #[must_use]
    pub(in crate::flows) fn marking(self, mark: Mark) -> Self {
        match self {
            Self::Refused(mut refusal) => {
                refusal.marks.push(mark);
                Self::Refused(refusal)
            }
            Self::Unavailable(detail) => Self::Unavailable(detail),
        }
    }
}

/// Refuses an app's request, with the event and the true reason for the record, and the answer to the app.
pub(in crate::flows) fn refused_app(
    event: Event,
    reason: impl Into<AuditReason>,
    told: impl Into<ToldApp>,
) -> EndpointError {
    let record = (event, reason.into());
    EndpointError::Refused(Box::new(EndpointRefusal { told: told.into(), record, marks: Vec::new() }))
}

impl From<OAuthError> for ToldApp {
    fn from(error: OAuthError) -> Self {
        Self::Error(error)
    }
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
