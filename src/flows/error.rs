//! How a use case says no.

use std::time::Duration;

use super::evidence::Event;
use crate::model::{AppId, ConnectionId, FlowId, SessionId};
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

/// A refusal as a use case answers it: a value, of which nothing is written yet. The boundary
/// ([`settle`](super::Broker::settle)) writes its record and its marks, and then tells the person or the app.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The public code (`data-error`); `docs/errors.md` lists them.
    pub code: &'static str,
    /// What is recorded: what was to be done, and the true reason why it was not. `None` leaves no record.
    pub(super) record: Option<(Event, String)>,
    /// What stays although the use case was refused.
    pub(super) marks: Vec<Mark>,
    /// The app's address that carries the error, where the answer belongs to the app.
    pub(super) to_app: Option<String>,
    /// The app at which the person can begin again, where no record names it.
    pub(super) app: Option<AppId>,
    /// The short code under which the attempt can be looked up, where no record has it.
    pub(super) receipt: Option<String>,
    /// When to try again.
    pub(super) retry_after: Option<Duration>,
    /// The connection through which to sign in instead.
    pub(super) instead: Option<ConnectionId>,
    /// The ways to sign in that stand in each other's way, by their names.
    pub(super) clashing: Vec<String>,
}

/// What stays of a use case that was refused: it is written with the record of the refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// What was proved in an interaction proves nothing any more.
    EndInteraction(FlowId),
    /// The person was told that an interaction is over, so it stays over when the clock is set back.
    BuryInteraction(FlowId),
    /// A mailed code works no longer.
    DeleteMailCode(SessionId),
    /// The person was told that a mailed code is over, so it stays over when the clock is set back.
    BuryMailCode(SessionId),
}

impl Refusal {
    /// A refusal that leaves no record, since nothing was decided: a reload, or an address that does not exist.
    pub fn unrecorded(code: &'static str) -> Self {
        Self {
            code,
            record: None,
            marks: Vec::new(),
            to_app: None,
            app: None,
            receipt: None,
            retry_after: None,
            instead: None,
            clashing: Vec::new(),
        }
    }

    /// A refusal with its record: the public code, and the true reason.
    pub(super) fn new(event: Event, code: &'static str, reason: impl Into<String>) -> Self {
        Self { record: Some((event, reason.into())), ..Self::unrecorded(code) }
    }

    /// The same, with something that stays although it was refused.
    #[must_use]
    pub(super) fn marking(mut self, mark: Mark) -> Self {
        self.marks.push(mark);
        self
    }

    /// The same, to be tried again after `wait`.
    #[must_use]
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

/// Refuses what an event is about, with the public code and the true reason.
pub(super) fn refused(event: Event, code: &'static str, reason: impl Into<String>) -> FlowError {
    Refusal::new(event, code, reason).into()
}

/// A refusal as it is told, after its record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// To the person, on a page.
    Person(Box<RefusalView>),
    /// To the app: this address carries the error.
    App(String),
}

/// What a page tells of a refusal. What truly happened stands in the audit log under the receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalView {
    /// The public code (`data-error`).
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

impl RefusalView {
    /// A refusal of which only the code is known.
    pub const fn new(code: &'static str) -> Self {
        Self { code, receipt: None, app: None, retry_after: None, instead: None, clashing: Vec::new() }
    }
}

/// Why a use case for people did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// It was refused. Nothing is written yet.
    #[error("refused: {}", .0.code)]
    Refused(Box<Refusal>),
    /// Something that is needed is down; nothing was done.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl FlowError {
    /// A refusal that leaves no record.
    pub fn refused(code: &'static str) -> Self {
        Refusal::unrecorded(code).into()
    }

    /// The same error, whose refusal leaves one more thing behind.
    #[must_use]
    pub(super) fn marking(self, mark: Mark) -> Self {
        match self {
            Self::Refused(refusal) => refusal.marking(mark).into(),
            Self::Unavailable(detail) => Self::Unavailable(detail),
        }
    }

    /// The same error, whose refusal is to be tried again after `wait`.
    #[must_use]
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        match self {
            Self::Refused(refusal) => refusal.retry_after(wait).into(),
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
