//! Apps: relying applications, as OAuth 2.0 clients (RFC 6749, section 2).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::value::id::is_like_an_id;
use crate::model::value::words::word_enum;
use crate::model::{AppId, Handle, OrganizationId, SigningAlg, Timestamp};

word_enum! {
    /// How an app authenticates (RFC 7591, section 2, `token_endpoint_auth_method`).
    AppAuthMethod {
        /// HTTP Basic.
        ClientSecretBasic = "client_secret_basic",
        /// In the body of the form.
        ClientSecretPost = "client_secret_post",
        /// Not at all: a public app.
        None = "none",
    }
}

word_enum! {
    /// The grants that an app may use at the token endpoint.
    GrantType {
        /// RFC 6749, section 4.1.
        AuthorizationCode = "authorization_code",
        /// RFC 6749, section 6.
        RefreshToken = "refresh_token",
        /// RFC 6749, section 4.4.
        ClientCredentials = "client_credentials",
    }
}

word_enum! {
    /// Where the app runs (`OpenID` Connect Registration 1.0, section 2).
    ApplicationType {
        /// In a browser or on a server.
        Web = "web",
        /// On the user's device.
        Native = "native",
    }
}

word_enum! {
    /// Whether users must consent before an app learns about them.
    ConsentMode {
        /// The organization has consented for its users.
        Implicit = "implicit",
        /// Each user is asked.
        Explicit = "explicit",
    }
}

/// The accounts that may use an app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Audience {
    /// Those of the app's own organization.
    #[default]
    Own,
    /// Those of its own and of these organizations.
    Organizations(Vec<Handle>),
    /// Every account.
    Any,
}

/// A relying application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Stable id.
    pub id: AppId,
    /// The organization that registered it.
    pub organization: OrganizationId,
    /// OAuth client id, unique in the deployment.
    pub client_id: String,
    /// The name that users see.
    pub name: String,
    /// A disabled app gets no tokens.
    pub enabled: bool,
    /// SHA-256 of each valid client secret, base64url: two at most, for rotation. A public app has none.
    pub secret_hashes: Vec<String>,
    /// Everything else.
    pub settings: AppSettings,
    /// When it was created.
    pub created_at: Timestamp,
}

impl App {
    /// Whether a text has the form of a client id: 1 to 255 visible ASCII characters (RFC 6749, appendix A.1), and not
    /// the form of one of the broker's ids. A token for an app itself has the client id as its `sub`, and an app must
    /// not be mistaken for a user.
    pub fn is_client_id(text: &str) -> bool {
        (1..=255).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && !is_like_an_id(text)
    }

    /// Whether the app has no secret (RFC 6749, section 2.1).
    pub const fn is_public(&self) -> bool {
        matches!(self.settings.auth_method, AppAuthMethod::None)
    }

    /// Whether the app may use a grant. Every confidential app may use client credentials.
    pub fn may_use(&self, grant: GrantType) -> bool {
        self.settings.grant_types.contains(&grant)
            || (grant == GrantType::ClientCredentials && !self.is_public())
    }
}

/// How an app talks to the broker, and what the broker gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSettings {
    /// Client authentication, one method only.
    pub auth_method: AppAuthMethod,
    /// Where responses may go, compared exactly.
    pub redirect_uris: Vec<String>,
    /// Where a sign-out may return to, compared exactly.
    pub post_logout_redirect_uris: Vec<String>,
    /// Where the app starts: for "Start again at …" and sign-ins that begin at the identity provider.
    pub home_uri: Option<String>,
    /// The grants that the app may use.
    pub grant_types: Vec<GrantType>,
    /// Where it runs.
    pub application_type: ApplicationType,
    /// Whether a request without PKCE is refused (RFC 7636).
    pub require_pkce: bool,
    /// Whether users are asked to consent.
    pub consent: ConsentMode,
    /// The scopes that the app may ask for.
    pub scopes: Vec<String>,
    /// The resources that its access tokens may be for (RFC 8707).
    #[serde(default)]
    pub resources: Vec<String>,
    /// The accounts that may use it.
    pub audience: Audience,
    /// Handles of the connections through which users must sign in. Empty allows every connection, and passwords.
    pub connections: Vec<Handle>,
    /// Algorithm of its ID tokens.
    pub id_token_alg: SigningAlg,
    /// Algorithm of its access tokens.
    pub access_token_alg: SigningAlg,
    /// How long a code lives, 60 s at most. Here and below, `None` is the deployment's setting.
    pub code_lifetime: Option<Duration>,
    /// How long an access token lives.
    pub access_token_lifetime: Option<Duration>,
    /// How long an ID token lives.
    pub id_token_lifetime: Option<Duration>,
    /// How long an unused refresh token lives.
    pub refresh_token_lifetime: Option<Duration>,
    /// Whether an unproven email goes into tokens, with `email_verified: false`.
    pub unproven_email: bool,
}

impl AppSettings {
    /// The settings of an app that configures only its authentication.
    pub fn for_auth(auth_method: AppAuthMethod) -> Self {
        Self {
            auth_method,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            home_uri: None,
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            application_type: ApplicationType::Web,
            require_pkce: true,
            consent: ConsentMode::Implicit,
            scopes: ["openid", "profile", "email", "phone", "offline_access"].map(str::to_owned).to_vec(),
            resources: Vec::new(),
            audience: Audience::Own,
            connections: Vec::new(),
            id_token_alg: SigningAlg::RS256,
            access_token_alg: SigningAlg::ES256,
            code_lifetime: None,
            access_token_lifetime: None,
            id_token_lifetime: None,
            refresh_token_lifetime: None,
            unproven_email: false,
        }
    }
}
