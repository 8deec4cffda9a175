//! How a use case refuses a user: with a value, which one place records and renders.

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

/// A refusal as a use case returns it: a value. Nothing of it is written yet. The boundary (`Core::settle`) writes its
/// record and its marks, and then answers the user or the app.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The code that the user sees; `docs/errors.md` lists all of them.
    pub code: PublicCode,
    /// The record: the event that was refused, and the true reason. `None` leaves no record.
    pub(super) record: Option<(Event, AuditReason)>,
    /// The marks to write although the use case was refused.
    pub(super) marks: Vec<Mark>,
    /// The app's address that carries the error, if the answer goes to the app.
    pub(super) to_app: Option<String>,
    /// The app where the user can begin again, if no record names it.
    pub(super) app: Option<AppId>,
    /// The short code under which the operator can look up the attempt, if no record has it.
    pub(super) receipt: Option<String>,
}

/// A change that stays although the use case was refused. It is written with the record of the refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// The proofs of an interaction no longer count.
    EndInteraction(FlowId),
    /// The user was told that an interaction has expired, so it stays expired when the clock is set back.
    ExpireInteraction(FlowId),
    /// A mailed code no longer works.
    DeleteMailCode(SessionId),
    /// The user was told that a mailed code has expired, so it stays expired when the clock is set back.
    ExpireMailCode(SessionId),
    /// A grant is revoked, with everything that came of it.
    RevokeGrant(GrantId),
    /// A code, by its hash, is used up.
    UseCode(String),
    /// A code, by its hash, has expired at this time, and stays expired when the clock is set back.
    ExpireCode(String, Timestamp),
    /// A refresh token, by its hash, is used up.
    UseRefreshToken(String),
    /// A refresh token, by its hash, has expired, and stays expired when the clock is set back.
    ExpireRefreshToken(String),
}

impl Mark {
    /// Whether the mark only notes that something has expired.
    pub(super) const fn is_expiry(&self) -> bool {
        match self {
            Self::ExpireInteraction(_) | Self::ExpireMailCode(_) => true,
            // An app is known, so the expiry of its code or token is written together with its record.
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

    /// A refusal with its record: the code that the user sees, and the true reason.
    pub(super) fn new(event: Event, code: PublicCode, reason: impl Into<AuditReason>) -> Self {
        Self { record: Some((event, reason.into())), ..Self::unrecorded(code) }
    }

    /// A refusal whose answer goes to the app: `address` carries the error.
    pub(super) fn towards_app(event: Event, address: String, reason: impl Into<AuditReason>) -> Self {
        Self { to_app: Some(address), ..Self::new(event, PublicCode::InvalidRequest, reason) }
    }

    /// The same refusal, with one more mark.
    #[must_use]
    pub(super) fn marking(mut self, mark: Mark) -> Self {
        self.marks.push(mark);
        self
    }
}

/// Refuses the event, with the code that the user sees and the true reason.
pub(super) fn refused(event: Event, code: PublicCode, reason: impl Into<AuditReason>) -> FlowError {
    Refusal::new(event, code, reason).into()
}

/// A refusal as it is answered, after its record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// To the user, on a page.
    Person(Box<RefusalView>),
    /// To the app: this address carries the error.
    App(String),
}

/// The data of a page about a refusal. The true reason is in the audit log under the receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalView {
    /// The code (`data-error`), with the data that the page needs.
    pub code: PublicCode,
    /// The short code under which the operator can look up the attempt.
    pub receipt: Option<String>,
    /// The app that is waiting.
    pub app: Option<AppLink>,
}

impl RefusalView {
    /// A refusal with a code only.
    pub const fn new(code: PublicCode) -> Self {
        Self { code, receipt: None, app: None }
    }
}

/// The code that the user sees if two sides may not be linked.
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
