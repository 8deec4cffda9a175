//! Flows: one attempt of one browser to get from an app's request to a code.
//!
//! Until somebody has proved something, a [`Flow`] travels sealed in a cookie of its own. From the first proven
//! credential on, it is an interaction ([`super::Interaction`]).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AccountId, AppId, ConnectionId, FlowId, LedgerId, ProfileId, Timestamp};

/// How long a flow lives.
pub const FLOW_LIFETIME: Duration = Duration::from_mins(30);

/// A flow in which nobody has proved anything yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Id, also in the cookie's name.
    pub id: FlowId,
    /// When it began.
    pub started_at: Timestamp,
    /// What it is for.
    pub aim: Aim,
    /// The name by which the person was led to several connections, to choose from.
    pub named: Option<Naming>,
    /// What was sent to an identity provider, while the person is there.
    pub upstream: Option<UpstreamRequest>,
}

impl Flow {
    /// Whether the flow is over at `now`. One that began in the future is: the clock was set back since.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.started_at.is_ahead_of(now) || now.since(self.started_at) >= FLOW_LIFETIME
    }
}

/// A name that leads to connections, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Naming {
    /// An organization's handle, a domain, or an email address.
    pub name: String,
    /// Whether it stood in a link of the organization (`/sso/{name}`): then it may lead where the shared page may not.
    pub by_link: bool,
}

/// What a sealed flow is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aim {
    /// To begin an interaction: somebody proves who they are.
    Begin(Purpose),
    /// To prove one side of a link that is under way.
    Prove(Trip),
}

/// The way to prove one side of a link, which an interaction waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// The interaction.
    pub interaction: FlowId,
    /// Its revision when it began to wait; at another one it no longer waits for this proof.
    pub revision: i64,
    /// Which side.
    pub side: LinkSide,
}

/// One of the two sides of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkSide {
    /// The identity that has just signed in. It is proved once more, since its provider had not asked the person.
    Arriving,
    /// The account or identity that they have chosen to link with.
    Chosen,
}

/// Why an interaction exists, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To sign in to an app: it ends there, with a code.
    App(Box<AuthorizationRequest>),
    /// To open the profile page.
    Account,
    /// To open the home of an app that a third party named (`OpenID` Connect Core, section 4).
    Home(AppId),
    /// To prove once more that this account is one's own, before something sensitive.
    Reauthenticate(AccountId, SensitiveAction),
    /// To add another way to sign in to one's own account; it ends at the profile page.
    AddProfile,
}

/// Something that only the person themselves may do to their account, so they prove shortly before who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SensitiveAction {
    /// Another way to sign in is added.
    AddProfile,
    /// A profile is taken away.
    Unlink(ProfileId),
    /// A link or merge is undone.
    Undo(LedgerId),
}

impl Aim {
    /// The purpose of the interaction that begins; `None` for a proof that another interaction waits for.
    pub const fn purpose(&self) -> Option<&Purpose> {
        match self {
            Self::Begin(purpose) => Some(purpose),
            Self::Prove(_) => None,
        }
    }

    /// The app that is waiting, if it is known here.
    pub fn app(&self) -> Option<AppId> {
        self.purpose().and_then(Purpose::app)
    }

    /// The app's request, if one is waiting.
    pub fn request(&self) -> Option<&AuthorizationRequest> {
        self.purpose().and_then(Purpose::request)
    }
}

impl Purpose {
    /// The app's request, if an app is waiting for a code.
    pub const fn request(&self) -> Option<&AuthorizationRequest> {
        match self {
            Self::App(request) => Some(request),
            Self::Account | Self::Home(_) | Self::Reauthenticate(..) | Self::AddProfile => None,
        }
    }

    /// The page languages that the waiting app asked for.
    pub fn ui_locales(&self) -> Option<&str> {
        self.request().and_then(|request| request.ui_locales.as_deref())
    }

    /// The app that is waiting, if one is.
    pub fn app(&self) -> Option<AppId> {
        match self {
            Self::App(request) => Some(request.app),
            Self::Home(app) => Some(*app),
            Self::Account | Self::Reauthenticate(..) | Self::AddProfile => None,
        }
    }

    /// The authentication contexts of which the app demands one.
    pub fn essential_acr(&self) -> &[String] {
        self.request().map_or(&[], |request| &request.essential_acr)
    }

    /// The account that alone may come out of this, if there is one.
    pub fn expected_account(&self) -> Option<AccountId> {
        match self {
            Self::App(request) => request.hinted_account,
            Self::Reauthenticate(account, _) => Some(*account),
            Self::Account | Self::Home(_) | Self::AddProfile => None,
        }
    }

    /// Whether the app allows nothing to be shown.
    pub fn is_silent(&self) -> bool {
        self.request().is_some_and(|request| request.wants(Prompt::None))
    }
}

/// An app's request, after every check that needs no person (RFC 6749, section 4.1.1; `OpenID` Connect Core,
/// section 3.1.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// The app.
    pub app: AppId,
    /// Where the answer goes, as registered.
    pub redirect_uri: String,
    /// The scopes that were asked and are allowed, in the order asked.
    pub scopes: Vec<String>,
    /// Returned unchanged.
    pub state: Option<String>,
    /// Goes into the ID token.
    pub nonce: Option<String>,
    /// PKCE S256 challenge (RFC 7636).
    pub code_challenge: Option<String>,
    /// `prompt` values.
    pub prompt: Vec<Prompt>,
    /// How old the sign-in may be, in seconds.
    pub max_age: Option<u32>,
    /// Wanted authentication contexts, most wanted first.
    pub acr_values: Vec<String>,
    /// The authentication contexts of which one must be reached (`OpenID` Connect Core, section 5.5.1.1); empty demands
    /// none.
    pub essential_acr: Vec<String>,
    /// Who is expected.
    pub login_hint: Option<String>,
    /// The account that `id_token_hint` names, or `sub` of the parameter `claims`.
    pub hinted_account: Option<AccountId>,
    /// An organization's handle or domain.
    pub domain_hint: Option<String>,
    /// A connection's handle.
    pub idp_hint: Option<String>,
    /// Resource indicators (RFC 8707).
    pub resources: Vec<String>,
    /// The page languages that the app asks for, most wanted first (`ui_locales`).
    pub ui_locales: Option<String>,
}

impl AuthorizationRequest {
    /// Whether the app wants `prompt`.
    pub fn wants(&self, prompt: Prompt) -> bool {
        self.prompt.contains(&prompt)
    }

    /// What `login_hint` says that people and providers know: an email or username, and no `sub` of ours.
    pub fn name_hint(&self) -> Option<&str> {
        self.login_hint.as_deref().filter(|hint| hint.parse::<AccountId>().is_err())
    }
}

super::words::words! {
    /// What the app wants the person to be asked (`OpenID` Connect Core, section 3.1.2.1).
    Prompt {
        /// Nothing may be shown.
        None = "none",
        /// A new sign-in.
        Login = "login",
        /// Consent, even if it was given.
        Consent = "consent",
        /// A choice of account.
        SelectAccount = "select_account",
    }
}

/// What was sent to an identity provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamRequest {
    /// Through which connection.
    pub connection: ConnectionId,
    /// A hash over organization, issuer and client id at the start; the callback must find the same.
    pub registration: [u8; 16],
    /// The random part of `state`.
    pub state: [u8; 16],
    /// The random part of `nonce`.
    pub nonce: [u8; 16],
    /// The random part of the PKCE verifier.
    pub verifier: [u8; 32],
    /// When the person was sent.
    pub sent_at: Timestamp,
    /// The oldest sign-in that is good enough, when the app demanded a fresh one.
    pub not_before: Option<Timestamp>,
    /// Whether `prompt=login` was passed on.
    pub forced: bool,
}

impl fmt::Debug for UpstreamRequest {
    /// Without what a provider's answer is held against.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamRequest").field("connection", &self.connection).finish_non_exhaustive()
    }
}
