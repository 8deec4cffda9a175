//! Interactions: everything that keeps one user here for more than one page, from their first proof to the end of its
//! purpose.
//!
//! An interaction has a purpose, a subject with its proofs, and the user's answers. The page or upstream request at
//! which it waits is a stage of `policy::sign_in::step`.

use serde::{Deserialize, Serialize};

use crate::model::value::words::word_enum;
use crate::model::{
    AccountId, Email, FlowId, Identity, OrganizationId, ProfileId, Proof, Purpose, Secret, SessionId,
    Timestamp,
};

/// One interaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interaction {
    /// The id of the flow in which it began. Its receipt is shown to the user.
    pub id: FlowId,
    /// Why it exists, and where it ends.
    pub purpose: Purpose,
    /// The account or identity that was proved.
    pub subject: Subject,
    /// The session of the subject.
    pub session: SessionStage,
    /// When the user proved again who they are by a mailed code, if that was after the sign-in.
    pub confirmed_at: Option<Timestamp>,
    /// The identity provider's ID token, as a hint for the sign-out there, until the session takes it over.
    #[serde(with = "crate::model::value::secret::in_what_is_sealed")]
    pub upstream_id_token: Option<Secret>,
    /// A link that is offered or under way.
    pub link: Option<Linking>,
    /// The answers of the user.
    pub answered: Answers,
}

impl Interaction {
    /// An interaction of `subject`, which has no session yet.
    pub fn new(id: FlowId, purpose: Purpose, subject: Subject) -> Self {
        Self {
            id,
            purpose,
            subject,
            session: SessionStage::None,
            confirmed_at: None,
            upstream_id_token: None,
            link: None,
            answered: Answers::default(),
        }
    }
}

/// The account or identity that was proved in an interaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Subject {
    /// An identity that belongs to no account yet.
    Identity(Box<Identity>),
    /// An account, by one of its profiles.
    Account {
        /// The account.
        account: AccountId,
        /// How it was proved, and which profile.
        proof: Proof,
    },
}

impl Subject {
    /// The account; `None` for an identity.
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::Identity(_) => None,
            Self::Account { account, .. } => Some(*account),
        }
    }
}

/// How far the session of an interaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionStage {
    /// No session is open yet.
    None,
    /// This session is open, but rests on the proof before a link: it continues with the present proof.
    Outdated(SessionId),
    /// This session is open, and its user has just proved by a mailed code who they are: it continues under another
    /// token.
    Confirmed(SessionId),
    /// This session is open.
    Open(SessionId),
}

impl SessionStage {
    /// The session, if one is open.
    pub const fn id(self) -> Option<SessionId> {
        match self {
            Self::None => None,
            Self::Outdated(session) | Self::Confirmed(session) | Self::Open(session) => Some(session),
        }
    }
}

/// The answers of the user, so that they are not asked again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// The user keeps the offered accounts apart.
    pub kept_apart: bool,
    /// The user lets the app have what it asked for.
    pub consented: bool,
}

/// A link that is offered or under way. The subject of the interaction is its arriving side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Linking {
    /// The organization in which the link is made.
    pub organization: OrganizationId,
    /// By when both sides must be proved and the link confirmed.
    pub until: Timestamp,
    /// The email by which other accounts are found. `None` if the user names the other side themselves, without an
    /// offer.
    pub email: Option<CheckedEmail>,
    /// The profile that must be proved as the chosen side.
    pub wanted: Wanted,
    /// Whether the arriving side needs no further proof: it was proved, or its identity provider cannot be made to ask
    /// the user.
    pub arrival_settled: bool,
    /// The chosen side, once it is proved.
    pub chosen: Option<Subject>,
}

/// An email, and whether it counts as proven. It is written as a pair, which earlier releases read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Email, bool)", into = "(Email, bool)")]
pub struct CheckedEmail {
    /// The address.
    pub email: Email,
    /// Whether it counts as proven.
    pub is_proven: bool,
}

impl From<(Email, bool)> for CheckedEmail {
    fn from((email, is_proven): (Email, bool)) -> Self {
        Self { email, is_proven }
    }
}

impl From<CheckedEmail> for (Email, bool) {
    fn from(checked: CheckedEmail) -> Self {
        (checked.email, checked.is_proven)
    }
}

/// The profile that must be proved as the chosen side of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// Nothing yet: the user has not chosen.
    Nothing,
    /// Any account or identity of the organization.
    Any,
    /// This profile and no other, even of the same account.
    Profile(ProfileId),
}

word_enum! {
    /// Why an interaction has ended.
    InteractionEnd {
        /// The user answered, and it was completed.
        Answered = "answered",
        /// A failure made its proof invalid.
        Burned = "burned",
        /// It expired.
        Expired = "expired",
        /// All interactions of one of its accounts were ended.
        Account = "account",
    }
}
