//! The nouns of the broker: ids, names, typed records and their states.
//!
//! Nothing here performs I/O, and nothing here imports another room. The vocabulary is the product's: an
//! *organization* owns *domains*, *connections*, *apps* and *accounts*; an account has *profiles*; a *flow* is one
//! attempt of one browser to get from an app's request to a code.
//!
//! [`organization`], [`account`] and [`flow`] hold a noun each with those that belong to it; [`value`] holds what all
//! of them are made of.

pub mod account;
mod caller;
pub mod flow;
pub mod organization;
pub mod signing;
mod target;
pub mod value;

pub use account::actor::Actor;
pub use account::link::{
    Identity, LINK_LIFETIME, LedgerEntry, LedgerKind, MAIL_CODE_LIFETIME, Moved, NamedSide,
    PASSWORD_LINK_LIFETIME, UNDO_WINDOW,
};
pub use account::session::{Proof, Session};
pub use account::{Account, Contact, MAX_PROFILES, Profile, ProfileKind, REMEMBERED_PASSWORDS, Role};
pub use caller::Caller;
pub use flow::interaction::{
    Answers, CheckedEmail, Interaction, InteractionEnd, Linking, SessionStage, Subject, Wanted,
};
pub use flow::{
    Aim, AuthorizationRequest, FLOW_LIFETIME, Flow, LinkSide, Naming, Prompt, Purpose, SensitiveAction, Trip,
    UpstreamRequest,
};
pub use organization::app::{
    App, AppAuthMethod, AppSettings, ApplicationType, Audience, ConsentMode, GrantType,
};
pub use organization::connection::{
    AssertionAudience, Capabilities, ClaimMapping, Connection, ConnectionSettings, EmailTrust, Freshness,
    IssuerMatch, REPLACEMENT_WINDOW, Replacement, TENANT, UpstreamAuth, UpstreamLogout, UpstreamMfa, Vendor,
    Waiver, is_shared_issuer,
};
pub use organization::look::{Accent, Color, ColorError, Logo, LogoError, LogoKind, Look, MAX_LOGO_BYTES};
pub use organization::{LocalSignIn, Membership, Organization, OrganizationPolicy, Plan, Routing};
pub use signing::{KeyState, KeyTimes, SigningAlg};
pub use target::{Target, TargetError};
pub use value::day::Day;
pub use value::domain::{DomainError, DomainName, OwnedDomain};
pub use value::email::{Email, EmailError};
pub use value::id::{
    AccountId, AppId, AuditId, ConnectionId, FlowId, GrantId, IdError, IdSequence, JobId, KeyId, LedgerId,
    MailId, OrganizationId, ProfileId, SessionId, is_like_an_id,
};
pub use value::name::{Handle, NameError, Username};
pub use value::random::Random;
pub use value::secret::Secret;
pub use value::time::{CLOCK_SKEW, Clock, SystemClock, Timestamp};
