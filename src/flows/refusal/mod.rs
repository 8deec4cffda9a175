//! How a use case says no to a person: as a value, which one place records and renders.

mod code;
mod endpoint;
mod error;
mod reason;

pub use code::{Clashing, Elsewhere, PublicCode, Wait};
pub(super) use endpoint::refused_app;
pub use endpoint::{EndpointError, EndpointRefusal, ToldApp};
pub use error::{FlowError, private_detail};
pub use reason::{AuditReason, Reason};

use crate::flows::directory::AppLink;
use crate::flows::evidence::Event;
use crate::model::{AppId, ConnectionId, FlowId, GrantId, SessionId, Timestamp};
use crate::policy::account::link::LinkRefusal;

/// A refusal as a use case answers it: a value, of which nothing is written yet. The boundary
/// (`Core::settle`) writes its record and its marks, and then tells the person or the app.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What the person is told; `docs/errors.md` lists all of it.
    pub code: PublicCode,
    /// What is recorded: what was to be done, and the true reason why it was not. `None` leaves no record.
    pub(super) record: Option<(Event, AuditReason)>,
    /// What stays although the use case was refused.
    pub(super) marks: Vec<Mark>,
    /// The app's address that carries the error, where the answer belongs to the app.
    pub(super) to_app: Option<String>,
    /// The app at which the person can begin again, where no record names it.
    pub(super) app: Option<AppId>,
    /// The short code under which the attempt can be looked up, where no record has it.
    pub(super) receipt: Option<String>,
}

/// What stays of a use case that was refused: it is written with the record of the refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// What was proved in an interaction proves nothing any more.
    EndInteraction(FlowId),
    /// The person was told that an interaction is over, so it stays over when the clock is set back.
    ExpireInteraction(FlowId),
    /// A mailed code works no longer.
    DeleteMailCode(SessionId),
    /// The person was told that a mailed code is over, so it stays over when the clock is set back.
    ExpireMailCode(SessionId),
    /// A grant is revoked, with everything that came of it.
    RevokeGrant(GrantId),
    /// A code, by its hash, is used up.
    UseCode(String),
    /// A code, by its hash, is over, and stays so when the clock is set back; from this instant on.
    ExpireCode(String, Timestamp),
    /// A refresh token, by its hash, is used up.
    UseRefreshToken(String),
    /// A refresh token, by its hash, is over, and stays so when the clock is set back.
    ExpireRefreshToken(String),
}

impl Mark {
    /// Whether it only notes that something is over.
    pub(super) const fn is_expiry(&self) -> bool {
        match self {
            Self::ExpireInteraction(_) | Self::ExpireMailCode(_) => true,
            // What is over of an app's stands with its record, as an app is no stranger.
            Self::EndInteraction(_)
            | Self::DeleteMailCode(_)
            | Self::RevokeGrant(_)
            | Self::UseCode(_)
            | Self::ExpireCode(..)
            | Self::UseRefreshToken(_)
            | Self::ExpireRefreshToken(_) => false,
        }
    }
}

impl Refusal {
    /// A refusal that leaves no record, since nothing was decided: a reload, or an address that does not exist.
    pub fn unrecorded(code: PublicCode) -> Self {
        Self { code, record: None, marks: Vec::new(), to_app: None, app: None, receipt: None }
    }

    /// A refusal with its record: what the person is told, and the true reason.
    pub(super) fn new(event: Event, code: PublicCode, reason: impl Into<AuditReason>) -> Self {
        Self { record: Some((event, reason.into())), ..Self::unrecorded(code) }
    }

    /// A refusal whose answer belongs to the app: `address` carries the error.
    pub(super) fn towards_app(event: Event, address: String, reason: impl Into<AuditReason>) -> Self {
        Self { to_app: Some(address), ..Self::new(event, PublicCode::InvalidRequest, reason) }
    }

    /// The same, with something that stays although it was refused.
    #[must_use]
    pub(super) fn marking(mut self, mark: Mark) -> Self {
        self.marks.push(mark);
        self
    }
}

/// Refuses what an event is about, with what the person is told and the true reason.
pub(super) fn refused(event: Event, code: PublicCode, reason: impl Into<AuditReason>) -> FlowError {
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
    /// What happened (`data-error`), with the data that the page needs.
    pub code: PublicCode,
    /// The short code under which the attempt can be looked up.
    pub receipt: Option<String>,
    /// The app that is waiting.
    pub app: Option<AppLink>,
}

impl RefusalView {
    /// A refusal of which only the code is known.
    pub const fn new(code: PublicCode) -> Self {
        Self { code, receipt: None, app: None }
    }
}

/// What a person is told of two sides that may not be linked.
pub(super) const fn code_of_link(refusal: LinkRefusal) -> PublicCode {
    match refusal {
        LinkRefusal::Off => PublicCode::LinkOff,
        LinkRefusal::SameAccount => PublicCode::LinkSameAccount,
        LinkRefusal::Disabled => PublicCode::AccountDisabled,
        LinkRefusal::SameProvider => PublicCode::LinkSameProvider(Clashing(Vec::new())),
        LinkRefusal::Full => PublicCode::LinkFull,
        LinkRefusal::NoAccount => PublicCode::LinkNoAccount,
        LinkRefusal::WrongProfile => PublicCode::LinkWrongProfile,
        LinkRefusal::Emergency => PublicCode::LinkEmergency,
    }
}

/// Refuses an identity that signs in through another connection of the organization, and names that one.
pub(in crate::flows) fn refuse_other_connection(event: Event, connection: Option<ConnectionId>) -> Refusal {
    let elsewhere = Elsewhere { connection, name: None };
    Refusal::new(event, PublicCode::OtherConnection(elsewhere), Reason::SubjectOfAnotherConnection)
}
