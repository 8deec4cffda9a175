//! The nouns of the broker: ids, names, typed records and their states.
//!
//! Nothing here performs I/O, and nothing here imports another room. The vocabulary is the product's: an
//! *organization* owns *domains*, *connections*, *apps* and *accounts*; an account has *profiles*; a *flow* is one
//! attempt of one browser to get from an app's request to a code.

pub mod account;
mod actor;
pub mod app;
mod caller;
pub mod connection;
pub mod day;
pub mod domain;
pub mod email;
pub mod flow;
pub mod id;
pub mod interaction;
pub mod link;
pub mod look;
pub mod name;
pub mod organization;
pub mod random;
pub mod secret;
pub mod session;
pub mod signing;
mod target;
pub mod time;
pub mod words;

pub use account::{Account, Contact, MAX_PROFILES, Profile, ProfileKind, REMEMBERED_PASSWORDS, Role};
pub use actor::Actor;
pub use app::{App, AppAuthMethod, AppSettings, ApplicationType, Audience, ConsentMode, GrantType};
pub use caller::Caller;
pub use connection::{
    AssertionAudience, Capabilities, ClaimMapping, Connection, ConnectionSettings, EmailTrust, Freshness,
    IssuerMatch, REPLACEMENT_WINDOW, Replacement, TENANT, UpstreamAuth, UpstreamLogout, UpstreamMfa, Vendor,
    Waiver, is_shared_issuer,
};
pub use day::Day;
pub use domain::{DomainError, DomainName, OwnedDomain};
pub use email::{Email, EmailError};
pub use flow::{
    Aim, AuthorizationRequest, FLOW_LIFETIME, Flow, LinkSide, Naming, Prompt, Purpose, SensitiveAction, Trip,
    UpstreamRequest,
};
pub use id::{
    AccountId, AppId, AuditId, ConnectionId, FlowId, GrantId, IdError, IdSequence, JobId, KeyId, LedgerId,
    MailId, OrganizationId, ProfileId, SessionId, is_like_an_id,
};
pub use interaction::{
    Answers, CheckedEmail, Interaction, InteractionEnd, Linking, SessionStage, Subject, Wanted,
};
pub use link::{
    Identity, LINK_LIFETIME, LedgerEntry, LedgerKind, MAIL_CODE_LIFETIME, Moved, NamedSide,
    PASSWORD_LINK_LIFETIME, UNDO_WINDOW,
};
pub use look::{Accent, Color, ColorError, Logo, LogoError, LogoKind, Look, MAX_LOGO_BYTES};
pub use name::{Handle, NameError, Username};
pub use organization::{LocalSignIn, Membership, Organization, OrganizationPolicy, Plan, Routing};
pub use random::Random;
pub use secret::Secret;
pub use session::{Proof, Session};
pub use signing::{KeyState, KeyTimes, SigningAlg};
pub use target::{Target, TargetError};
pub use time::{CLOCK_SKEW, Clock, SystemClock, Timestamp};
