//! Interactions: whatever keeps one person here for more than one page, from the first thing that they prove to where
//! it leads.
//!
//! An interaction has a purpose, a subject with what was proved of them, and what was answered. The page or trip at which
//! it waits is a stage of `policy::step`.

use serde::{Deserialize, Serialize};

use super::words::words;
use super::{
    AccountId, Email, FlowId, Identity, OrganizationId, ProfileId, Proof, Purpose, Secret, SessionId,
    Timestamp,
};

/// One interaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interaction {
    /// The id of the flow in which it began; its receipt is shown.
    pub id: FlowId,
    /// Why it exists, and where it ends.
    pub purpose: Purpose,
    /// Who was proved.
    pub subject: Subject,
    /// The session of the subject.
    pub session: SessionStage,
    /// When the subject was proved again by a mailed code, where that was later than the sign-in.
    pub confirmed_at: Option<Timestamp>,
    /// The identity provider's ID token, as a hint for its logout, until the session keeps it.
    #[serde(with = "super::secret::in_what_is_sealed")]
    pub upstream_id_token: Option<Secret>,
    /// A link that is offered or under way.
    pub link: Option<Linking>,
    /// What the person has answered.
    pub answered: Answers,
}

impl Interaction {
    /// An interaction of `subject`, who is not signed in yet.
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

/// Who was proved in an interaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Subject {
    /// An identity that is nobody's profile yet.
    Identity(Box<Identity>),
    /// An account, by one of its profiles.
    Account {
        /// Whose.
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

/// How far the session of an interaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionStage {
    /// None is open yet.
    None,
    /// This one is open, and stands on what was proved before a link: it goes on with what is proved now.
    Outdated(SessionId),
    /// This one is open.
    Open(SessionId),
}

impl SessionStage {
    /// The session, if one is open.
    pub const fn id(self) -> Option<SessionId> {
        match self {
            Self::None => None,
            Self::Outdated(session) | Self::Open(session) => Some(session),
        }
    }
}

/// What the person has answered, so that the same thing is not asked again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// They keep the offered accounts apart.
    pub kept_apart: bool,
    /// They let the app know what it asked for.
    pub consented: bool,
}

/// A link that is offered or under way: the subject is the side that has arrived.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Linking {
    /// The organization in which it links.
    pub organization: OrganizationId,
    /// When both sides must be proved and confirmed.
    pub until: Timestamp,
    /// The email by which other accounts are looked for, and whether it counts as proven; `None` where the person brings
    /// the other side without an offer.
    pub email: Option<(Email, bool)>,
    /// What has to be proved.
    pub wanted: Wanted,
    /// Whether the side that has arrived need not be proved once more: it was, or its provider cannot be made to ask.
    pub arrival_settled: bool,
    /// The side that was chosen, proved.
    pub chosen: Option<Subject>,
}

/// What has to be proved as the chosen side of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// The person has not said yet.
    Nothing,
    /// Any account or identity of the organization.
    Any,
    /// This profile and no other, even of the same person.
    Profile(ProfileId),
}

words! {
    /// Why an interaction waits no longer.
    InteractionEnd {
        /// The person answered, and it came to its end.
        Answered = "answered",
        /// A failure burned what was proved.
        Burned = "burned",
        /// Its time was over.
        Expired = "expired",
        /// Everything of one of its accounts ended.
        Account = "account",
    }
}
