//! Flows: one attempt of one browser to get from an app's request to a code.
//!
//! Until the user has proved something, a [`Flow`] travels sealed in a cookie of its own. From the first proven
//! credential on, it is an interaction ([`super::Interaction`]).

pub mod interaction;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AccountId, AppId, ConnectionId, FlowId, LedgerId, ProfileId, Timestamp};

/// How long a flow lives.
pub const FLOW_LIFETIME: Duration = Duration::from_mins(30);

/// A flow in which the user has not proved anything yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The id. The name of its cookie contains it.
    pub id: FlowId,
    /// When it began.
    pub started_at: Timestamp,
    /// Its aim.
    pub aim: Aim,
    /// The name that routed the user to several connections, from which they choose.
    pub named: Option<Naming>,
    /// The request that was sent to an identity provider, while the user is there.
    pub upstream: Option<UpstreamRequest>,
}

impl Flow {
    /// Whether the flow has expired at `now`. A flow that began in the future has expired too: the clock was set back
    /// since.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.started_at.is_ahead_of(now) || now.since(self.started_at) >= FLOW_LIFETIME
    }
}

/// A name that routes to connections, and where it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Naming {
    /// An organization's handle, a domain, or an email address.
    pub name: String,
    /// Whether it came from a link of the organization (`/sso/{name}`). Such a name may route where the shared sign-in
    /// page may not.
    pub by_link: bool,
}

/// The aim of a sealed flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aim {
    /// To begin an interaction, in which the user proves who they are.
    Begin(Purpose),
    /// To prove one side of a link that is under way.
    Prove(Trip),
}

/// An upstream request that proves one side of a link, and that an interaction waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// The interaction.
    pub interaction: FlowId,
    /// The interaction's revision when it began to wait. At another revision it no longer waits for this proof.
    pub revision: i64,
    /// Which side.
    pub side: LinkSide,
}

/// One of the two sides of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkSide {
    /// The identity that has just signed in. It must be proved once more, because its identity provider did not ask
    /// the user.
    Arriving,
    /// The account or identity that the user has chosen to link with.
    Chosen,
}

/// Why an interaction exists, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To sign in to an app: it ends at the app, with a code.
    App(Box<AuthorizationRequest>),
    /// To open the profile page.
    Account,
    /// To open the home of an app that a third party named (`OpenID` Connect Core, section 4).
    Home(AppId),
    /// To prove once more that the user owns this account, before a sensitive action.
    Reauthenticate(AccountId, SensitiveAction),
    /// To add another way to sign in to the user's own account. It ends at the profile page.
    AddProfile,
}

/// An action on an account that only its own user may take, so they must have proved recently who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SensitiveAction {
    /// To add another way to sign in.
    AddProfile,
    /// To remove a profile.
    Unlink(ProfileId),
    /// To undo a link or merge.
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

    /// The app that is waiting; `None` if there is none, or if only the interaction knows it.
    pub fn app(&self) -> Option<AppId> {
        self.purpose().and_then(Purpose::app)
    }

    /// The app's request; `None` if no app is waiting.
    pub fn request(&self) -> Option<&AuthorizationRequest> {
        self.purpose().and_then(Purpose::request)
    }
}

impl Purpose {
    /// The app's request; `None` if no app is waiting for a code.
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

    /// The app that is waiting; `None` if there is none.
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

    /// The only account that may sign in; `None` if any may.
    pub fn expected_account(&self) -> Option<AccountId> {
        match self {
            Self::App(request) => request.hinted_account,
            Self::Reauthenticate(account, _) => Some(*account),
            Self::Account | Self::Home(_) | Self::AddProfile => None,
        }
    }

    /// Whether the app forbids showing a page (`prompt=none`).
    pub fn is_silent(&self) -> bool {
        self.request().is_some_and(|request| request.wants(Prompt::None))
    }
}

/// An app's request, after every check that is possible without the user (RFC 6749, section 4.1.1; `OpenID` Connect
/// Core, section 3.1.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// The app.
    pub app: AppId,
    /// Where the response goes, as registered.
    pub redirect_uri: String,
    /// The requested scopes that the app may have, in the order of the request.
    pub scopes: Vec<String>,
    /// Returned to the app unchanged.
    pub state: Option<String>,
    /// Copied into the ID token.
    pub nonce: Option<String>,
    /// PKCE S256 challenge (RFC 7636).
    pub code_challenge: Option<String>,
    /// `prompt` values.
    pub prompt: Vec<Prompt>,
    /// How old the sign-in may be, in seconds.
    pub max_age: Option<u32>,
    /// The authentication contexts that the app prefers, best first.
    pub acr_values: Vec<String>,
    /// The authentication contexts of which the sign-in must reach one (`OpenID` Connect Core, section 5.5.1.1). Empty
    /// demands none.
    pub essential_acr: Vec<String>,
    /// The user whom the app expects.
    pub login_hint: Option<String>,
    /// The account that `id_token_hint` names, or the `sub` in the parameter `claims`.
    pub hinted_account: Option<AccountId>,
    /// An organization's handle or domain.
    pub domain_hint: Option<String>,
    /// A connection's handle.
    pub idp_hint: Option<String>,
    /// Resource indicators (RFC 8707).
    pub resources: Vec<String>,
    /// The page languages that the app prefers, best first (`ui_locales`).
    pub ui_locales: Option<String>,
}

impl AuthorizationRequest {
    /// Whether the app asked for `prompt`.
    pub fn wants(&self, prompt: Prompt) -> bool {
        self.prompt.contains(&prompt)
    }

    /// The value of `login_hint`, if it is a name that users and identity providers know: an email or username, and
    /// not one of the broker's own subjects.
    pub fn name_hint(&self) -> Option<&str> {
        self.login_hint.as_deref().filter(|hint| hint.parse::<AccountId>().is_err())
    }
}

super::value::words::word_enum! {
    /// The questions that the app wants the user to be asked (`OpenID` Connect Core, section 3.1.2.1).
    Prompt {
        /// No page may be shown.
        None = "none",
        /// A new sign-in.
        Login = "login",
        /// Consent, even if the user has already given it.
        Consent = "consent",
        /// A choice of account.
        SelectAccount = "select_account",
    }
}

/// A request that was sent to an identity provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamRequest {
    /// The connection that was used.
    pub connection: ConnectionId,
    /// A hash of the connection's organization, issuer and client id when the request was sent. At the callback it
    /// must be the same.
    pub registration: [u8; 16],
    /// The random part of `state`.
    pub state: [u8; 16],
    /// The random part of `nonce`.
    pub nonce: [u8; 16],
    /// The random part of the PKCE verifier.
    pub verifier: [u8; 32],
    /// When the user was sent there.
    pub sent_at: Timestamp,
    /// The oldest sign-in that is recent enough, if the app demanded a fresh one.
    pub not_before: Option<Timestamp>,
    /// Whether `prompt=login` was passed on.
    pub forced: bool,
}

impl fmt::Debug for UpstreamRequest {
    /// Omits the values against which the identity provider's response is checked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamRequest").field("connection", &self.connection).finish_non_exhaustive()
    }
}
