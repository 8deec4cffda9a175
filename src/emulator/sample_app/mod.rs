//! The demo's relying app: it signs users in with the broker like any app, and shows what it received.
//!
//! It knows nothing about the broker except the issuer and its own credentials; it reads the rest from metadata. It
//! shows what it received only after all checks of `checks` have passed.

mod broker;
mod checks;
mod pages;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value};
use url::Url;

use self::broker::{Broker, BrokerError};
use self::pages::{Body, Page, Row};
use super::memory::Shelf;
use super::{Fetch, cookie, form, html};
use crate::crypto;
use crate::model::{Clock, Random, Secret, SigningAlg};
use crate::protocol::oauth::{Parameters, add_to_query};

/// How long a sign-in may be under way.
const SIGN_IN_LIFETIME: Duration = Duration::from_mins(30);

/// How long a user stays signed in here.
const SESSION_LIFETIME: Duration = Duration::from_hours(8);

/// The settings of the sample app.
pub struct Settings {
    /// The name that it shows.
    pub name: String,
    /// The origin under which browsers reach it. Its redirect URI is `/callback` below it, its post-logout redirect URI
    /// `/signed-out`.
    pub base_url: Url,
    /// The broker's issuer.
    pub issuer: String,
    /// Its client id at the broker.
    pub client_id: String,
    /// Its client secret there; it uses `client_secret_basic`.
    pub client_secret: Secret,
    /// The algorithm with which the broker signs its ID tokens.
    pub id_token_alg: SigningAlg,
    /// More ways to sign in, each with the organization whose identity provider it uses.
    pub shortcuts: Vec<Shortcut>,
    /// How it reaches the broker.
    pub fetch: Arc<dyn Fetch>,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// The source of state, nonce and session ids.
    pub random: Arc<dyn Random>,
}

/// A link that signs in through one organization; its element id is `sign-in-` and the handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortcut {
    /// The organization's handle.
    pub handle: String,
    /// The organization's name.
    pub name: String,
    /// The `domain_hint` for the broker.
    pub domain_hint: String,
}

impl Shortcut {
    fn link(&self) -> String {
        add_to_query("/sign-in", &[("domain_hint", &self.domain_hint)])
    }
}

/// The app as a service for one origin.
pub fn router(settings: Settings) -> Router {
    let app = SampleApp {
        sign_in_cookie: cookie::name("notes-sign-in", &settings.base_url),
        session_cookie: cookie::name("notes", &settings.base_url),
        origin: settings.base_url.as_str().trim_end_matches('/').to_owned(),
        under_way: Shelf::default(),
        sessions: Shelf::default(),
        settings,
    };
    Router::new()
        .route("/", get(show_home))
        .route("/sign-in", get(start_sign_in))
        .route("/callback", get(finish_sign_in))
        .route("/sign-out", post(sign_out))
        .route("/signed-out", get(show_signed_out))
        .with_state(Arc::new(app))
}

struct SampleApp {
    settings: Settings,
    origin: String,
    sign_in_cookie: String,
    session_cookie: String,
    /// Sign-ins under way, by their `state`.
    under_way: Shelf<SignIn>,
    sessions: Shelf<Session>,
}

/// A sign-in under way.
#[derive(Debug, Clone)]
struct SignIn {
    browser: String,
    nonce: String,
    code_verifier: String,
}

/// A user who has signed in.
#[derive(Debug, Clone)]
struct Session {
    id_token: String,
    claims: Map<String, Value>,
    userinfo: Map<String, Value>,
}

impl SampleApp {
    fn token(&self) -> String {
        crypto::random::token(self.settings.random.as_ref()).expose().to_owned()
    }

    fn callback(&self) -> String {
        format!("{}/callback", self.origin)
    }

    fn broker(&self) -> Broker<'_> {
        Broker { settings: &self.settings }
    }

    fn page(&self, status: StatusCode, body: Body<'_>) -> Response {
        html::page(status, &Page { name: &self.settings.name, body }, &[])
    }

    fn failed(&self, error: &SignInError) -> Response {
        self.page(StatusCode::BAD_REQUEST, Body::Failed { reason: &error.to_string() })
    }

    /// The authorization request, and the cookie that ties its response to this browser.
    async fn start(&self, query: &Parameters) -> Result<Response, SignInError> {
        let metadata = self.broker().metadata().await?;
        let (state, browser) = (self.token(), self.token());
        let sign_in = SignIn { browser: browser.clone(), nonce: self.token(), code_verifier: self.token() };
        let (callback, code_challenge) =
            (self.callback(), crypto::random::hash_token(&sign_in.code_verifier));
        let mut fields = vec![
            ("client_id", self.settings.client_id.as_str()),
            ("redirect_uri", &callback),
            ("response_type", "code"),
            ("scope", "openid profile email"),
            ("state", &state),
            ("nonce", &sign_in.nonce),
            ("code_challenge", &code_challenge),
            ("code_challenge_method", "S256"),
        ];
        let hint = query.get("domain_hint");
        fields.extend(hint.map(|hint| ("domain_hint", hint)));
        let location = add_to_query(&metadata.authorization_endpoint, &fields);
        self.under_way.put(state, sign_in, self.settings.clock.now(), SIGN_IN_LIFETIME);
        Ok(html::see_other(&location, &[cookie::set(&self.sign_in_cookie, &browser)]))
    }

    /// The response to it: checks it, redeems the code, checks the tokens, and only then signs the user in.
    // Order matters: the response must belong to this browser and come from the broker before its code is used.
    async fn finish(&self, query: &Parameters, headers: &HeaderMap) -> Result<Response, SignInError> {
        if query.first_repeated().is_some() {
            return Err(SignInError::Foreign);
        }
        let now = self.settings.clock.now();
        let state = query.get("state").ok_or(SignInError::Foreign)?;
        let sign_in = self.under_way.take(state, now).ok_or(SignInError::Foreign)?;
        if cookie::read(headers, &self.sign_in_cookie) != Some(&sign_in.browser) {
            return Err(SignInError::Foreign);
        }
        let metadata = self.broker().metadata().await?;
        let iss = query.get("iss");
        if iss.is_none() && metadata.promises_iss || iss.is_some_and(|iss| iss != self.settings.issuer) {
            return Err(SignInError::WrongIssuer);
        }
        if let Some(code) = query.get("error") {
            let description = query.get("error_description").unwrap_or_default().to_owned();
            return Err(SignInError::Refused { code: code.to_owned(), description });
        }
        let code = query.get("code").ok_or(SignInError::Foreign)?;
        let session = self.broker().redeem(&metadata, code, &self.callback(), &sign_in).await?;
        let id = self.token();
        self.sessions.put(id.clone(), session, now, SESSION_LIFETIME);
        let cookies = [cookie::set(&self.session_cookie, &id), cookie::clear(&self.sign_in_cookie)];
        Ok(html::see_other("/", &cookies))
    }

    /// Ends the session here, then at the broker (`OpenID` Connect RP-Initiated Logout 1.0).
    async fn leave(&self, session: &Session) -> Result<Response, SignInError> {
        let metadata = self.broker().metadata().await?;
        let back = format!("{}/signed-out", self.origin);
        let fields = [
            ("id_token_hint", session.id_token.as_str()),
            ("client_id", &self.settings.client_id),
            ("post_logout_redirect_uri", &back),
        ];
        let location = add_to_query(&metadata.end_session_endpoint, &fields);
        Ok(html::see_other(&location, &[cookie::clear(&self.session_cookie)]))
    }
}

/// Why the user was not signed in.
#[derive(Debug, thiserror::Error)]
enum SignInError {
    /// A response without a request from this browser.
    #[error("this response does not belong to a sign-in that this browser has started")]
    Foreign,
    /// The response comes from another server.
    #[error("the response does not come from the broker (iss)")]
    WrongIssuer,
    /// The broker refused.
    #[error("the broker answered {code}: {description}")]
    Refused { code: String, description: String },
    /// The broker could not be reached, or its tokens are not valid.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

async fn show_home(State(app): State<Arc<SampleApp>>, headers: HeaderMap) -> Response {
    let id = cookie::read(&headers, &app.session_cookie);
    let session = id.and_then(|id| app.sessions.get(id, app.settings.clock.now()));
    match session {
        None => app.page(StatusCode::OK, Body::Home { shortcuts: &app.settings.shortcuts }),
        Some(session) => {
            let (claims, userinfo) = (Row::all(&session.claims), Row::all(&session.userinfo));
            let body = Body::SignedIn { claims: &claims, userinfo: &userinfo, checks: checks::PASSED };
            app.page(StatusCode::OK, body)
        }
    }
}

async fn start_sign_in(State(app): State<Arc<SampleApp>>, uri: Uri) -> Response {
    let query = form::of_query(&uri);
    app.start(&query).await.unwrap_or_else(|error| app.failed(&error))
}

async fn finish_sign_in(State(app): State<Arc<SampleApp>>, uri: Uri, headers: HeaderMap) -> Response {
    let query = form::of_query(&uri);
    app.finish(&query, &headers).await.unwrap_or_else(|error| app.failed(&error))
}

async fn sign_out(State(app): State<Arc<SampleApp>>, headers: HeaderMap) -> Response {
    let id = cookie::read(&headers, &app.session_cookie);
    match id.and_then(|id| app.sessions.take(id, app.settings.clock.now())) {
        None => html::see_other("/", &[]),
        Some(session) => app.leave(&session).await.unwrap_or_else(|error| app.failed(&error)),
    }
}

async fn show_signed_out(State(app): State<Arc<SampleApp>>) -> Response {
    app.page(StatusCode::OK, Body::SignedOut)
}
