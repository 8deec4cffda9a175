//! One emulated identity provider: an `OpenID` Provider (`OpenID` Connect Core 1.0, authorization code flow) with the
//! behaviour of one vendor.
//!
//! A request passes through [`router`] → the handler of its endpoint → the memory of the identity provider (`Idp`) → a
//! response. Codes, sessions and tokens are in memory and end with the process. There is one factor (a password from
//! the directory), no guard against guessing and no refresh token: this is for rehearsals.

mod authorize;
mod end_session;
mod metadata;
mod pages;
mod token;
mod trouble;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use url::Url;

use super::directory::Directory;
use super::fault::{Fault, Faults};
use super::memory::Shelf;
use super::vendor::{Habits, Vendor};
use super::{cookie, html};
use crate::crypto;
use crate::crypto::keys::SigningKey;
use crate::model::{Clock, Random, TENANT, Timestamp};

/// The largest form that is accepted, in bytes.
const MAX_FORM: usize = 64 * 1024;

/// The path of the metadata, below the issuer.
const METADATA: &str = "/.well-known/openid-configuration";

/// How far ahead a clock is that is off.
const CLOCK_OFF: Duration = Duration::from_hours(1);

/// How long a user stays signed in at the identity provider.
const SESSION_LIFETIME: Duration = Duration::from_hours(8);

/// The settings of an emulated identity provider.
pub struct Settings {
    /// The vendor whose behaviour it has.
    pub vendor: Vendor,
    /// The origin under which browsers and clients reach it.
    pub base_url: Url,
    /// Its users and clients.
    pub directory: Directory,
    /// Whether authorization responses name their issuer (RFC 9207).
    pub response_iss: bool,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// The source of codes, tokens and session ids.
    pub random: Arc<dyn Random>,
    /// The key for its ID tokens: an RS256 key, as all these vendors have.
    pub key: SigningKey,
    /// Its faults.
    pub faults: Faults,
}

/// The identity provider as a service for one origin.
pub fn router(settings: Settings) -> Router {
    let idp = Arc::new(Idp::new(settings));
    let paths = idp.habits.paths;
    let metadata = format!("{}{METADATA}", idp.habits.issuer_path);
    let router = Router::new()
        .route(&metadata, get(metadata::show_metadata))
        .route(paths.keys, get(metadata::show_keys))
        .route(paths.authorize, get(authorize::get_authorize).post(authorize::post_authorize))
        .route(paths.sign_in, post(authorize::sign_in::post_sign_in))
        .route(paths.token, post(token::post_token))
        .route(paths.userinfo, get(token::userinfo::show_userinfo).post(token::userinfo::show_userinfo));
    let router = match paths.logout {
        Some(path) => router.route(path, get(end_session::get_logout).post(end_session::post_logout)),
        None => router,
    };
    router
        .layer(from_fn_with_state(Arc::clone(&idp), refuse_unknown_tenant))
        .layer(from_fn_with_state(Arc::clone(&idp), trouble::trouble))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(idp)
}

/// A running identity provider.
struct Idp {
    habits: Habits,
    origin: String,
    tenant: String,
    directory: Directory,
    response_iss: bool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    key: SigningKey,
    unpublished: trouble::Unpublished,
    faults: Faults,
    cookie: String,
    sessions: Shelf<Session>,
    codes: Shelf<Grant>,
    /// The access token that each spent code was redeemed for.
    spent: Shelf<String>,
    tokens: Shelf<Grant>,
    assertions: Shelf<()>,
}

/// A browser in which a user has signed in here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    username: String,
    auth_time: Timestamp,
    sid: String,
}

/// A grant to a client: the content of a code, then of an access token.
#[derive(Debug, Clone)]
struct Grant {
    client_id: String,
    redirect_uri: String,
    nonce: Option<String>,
    scopes: Vec<String>,
    code_challenge: Option<String>,
    session: Session,
}

impl Grant {
    fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }
}

impl Idp {
    fn new(settings: Settings) -> Self {
        let habits = settings.vendor.habits();
        let example = habits.tenancy.map_or("", |tenancy| tenancy.example);
        Self {
            origin: settings.base_url.as_str().trim_end_matches('/').to_owned(),
            tenant: settings.directory.tenant.clone().unwrap_or_else(|| example.to_owned()),
            cookie: cookie::name(settings.vendor.as_str(), &settings.base_url),
            habits,
            directory: settings.directory,
            response_iss: settings.response_iss,
            clock: settings.clock,
            random: settings.random,
            key: settings.key,
            unpublished: trouble::Unpublished::default(),
            faults: settings.faults,
            sessions: Shelf::default(),
            codes: Shelf::default(),
            spent: Shelf::default(),
            tokens: Shelf::default(),
            assertions: Shelf::default(),
        }
    }

    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        if self.faults.has(Fault::ClockOff) { now.after(CLOCK_OFF) } else { now }
    }

    /// An unguessable name for a code, a token or a session.
    fn token(&self) -> String {
        crypto::random::token(self.random.as_ref()).expose().to_owned()
    }

    /// The URL of `path` for a tenant, or for one of the names that stand for any tenant.
    fn url(&self, path: &str, tenant: &str) -> String {
        format!("{}{}", self.origin, path.replace(TENANT, tenant))
    }

    /// `iss` of tokens.
    fn issuer(&self) -> String {
        self.url(self.habits.issuer_path, &self.tenant)
    }

    /// The names that may take the tenant's place in a path.
    fn tenant_names(&self) -> impl Iterator<Item = &str> {
        let aliases = self.habits.tenancy.map_or(&[][..], |tenancy| tenancy.aliases);
        aliases.iter().copied().chain([self.tenant.as_str()])
    }

    /// Whether `name` stands for any tenant.
    fn is_alias(&self, name: &str) -> bool {
        self.habits.tenancy.is_some_and(|tenancy| tenancy.aliases.contains(&name))
    }

    /// The session of the browser that sent these headers, as long as its user exists.
    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let id = cookie::read(headers, &self.cookie)?;
        self.sessions.get(id, self.now()).filter(|session| self.directory.user(&session.username).is_some())
    }
}

/// The name in the tenant's place of a path: its first segment.
fn tenant_in(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

async fn refuse_unknown_tenant(State(idp): State<Arc<Idp>>, request: Request, next: Next) -> Response {
    let names_tenant =
        request.extensions().get::<MatchedPath>().is_some_and(|route| route.as_str().contains(TENANT));
    let name = tenant_in(request.uri().path());
    if names_tenant && !idp.tenant_names().any(|known| known == name) {
        return html::plain(StatusCode::NOT_FOUND, "This provider has no such tenant.");
    }
    next.run(request).await
}
