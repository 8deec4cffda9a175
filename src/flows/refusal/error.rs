//! The error of a use case.

use super::{Mark, PublicCode, Refusal};
use crate::store::StoreError;

/// Why a use case for users did not do what the user asked for.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The request was refused. Nothing is written yet.
    #[error("refused: {}", .0.code.as_str())]
    Refused(Box<Refusal>),
    /// Something that is needed is down; nothing was done.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl FlowError {
    /// A refusal that leaves no record.
    pub fn refused(code: PublicCode) -> Self {
        Refusal::unrecorded(code).into()
    }

    /// The same error, whose refusal leaves one more mark.
    #[must_use]
    pub(in crate::flows) fn marking(self, mark: Mark) -> Self {
        match self {
            Self::Refused(refusal) => refusal.marking(mark).into(),
            Self::Unavailable(detail) => Self::Unavailable(detail),
        }
    }
}

impl From<Refusal> for FlowError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
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

/// The error with its causes, for the log.
pub fn private_detail(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
