//! The token endpoint: a code is redeemed once, for an ID token and an access token (RFC 6749, section 4.1.3; RFC
//! 7636, section 4.6).

mod claims;
mod client_auth;
pub(super) mod userinfo;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{Grant, Idp};
use crate::crypto;
use crate::emulator::{form, html};
use crate::protocol::oauth::{ErrorCode, Parameters};
use client_auth::ClientAuthError;

/// The lifetime of an access token.
const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// How long a spent code is remembered, so that its second use ends the tokens of the first.
const SPENT_LIFETIME: Duration = ACCESS_TOKEN_LIFETIME;

impl ClientAuthError {
    const fn code(self) -> ErrorCode {
        match self {
            Self::Malformed => ErrorCode::InvalidRequest,
            Self::Refused => ErrorCode::InvalidClient,
        }
    }
}

impl Idp {
    fn tokens(&self, headers: &HeaderMap, form: &Parameters) -> Result<Value, ErrorCode> {
        if form.first_repeated().is_some() {
            return Err(ErrorCode::InvalidRequest);
        }
        let client = self.authenticate(headers, form).map_err(ClientAuthError::code)?;
        let field = |name| form.get(name);
        match field("grant_type") {
            Some("authorization_code") => {}
            Some(_) => return Err(ErrorCode::UnsupportedGrantType),
            None => return Err(ErrorCode::InvalidRequest),
        }
        let code = field("code").ok_or(ErrorCode::InvalidRequest)?;
        let grant = self.redeem(code)?;
        if grant.client_id != client.client_id || field("redirect_uri") != Some(&grant.redirect_uri) {
            return Err(ErrorCode::InvalidGrant);
        }
        verify_pkce(grant.code_challenge.as_deref(), field("code_verifier"))?;
        self.issue(code, grant)
    }

    /// Removes the code. A second use ends the access token of the first.
    fn redeem(&self, code: &str) -> Result<Grant, ErrorCode> {
        let now = self.now();
        self.codes.take(code, now).ok_or_else(|| {
            if let Some(access_token) = self.spent.take(code, now) {
                self.tokens.take(&access_token, now);
            }
            ErrorCode::InvalidGrant
        })
    }

    fn issue(&self, code: &str, grant: Grant) -> Result<Value, ErrorCode> {
        let user = self.directory.user(&grant.session.username).ok_or(ErrorCode::InvalidGrant)?;
        let access_token = self.token();
        let claims = self.id_token_claims(&grant, user, &access_token);
        let key = self.signing_key().map_err(|_| ErrorCode::ServerError)?;
        let id_token = key.sign_jwt("JWT", None, &claims).map_err(|_| ErrorCode::ServerError)?;
        let scope = grant.scopes.join(" ");
        let now = self.now();
        self.spent.put(code.to_owned(), access_token.clone(), now, SPENT_LIFETIME);
        self.tokens.put(access_token.clone(), grant, now, ACCESS_TOKEN_LIFETIME);
        Ok(json!({
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_LIFETIME.as_secs(),
            "access_token": access_token,
            "scope": scope,
            "id_token": id_token,
        }))
    }
}

/// A challenge requires its verifier, and a verifier its challenge.
fn verify_pkce(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), ErrorCode> {
    match (challenge, verifier) {
        (None, None) => Ok(()),
        (Some(challenge), Some(verifier)) if crypto::random::hash_token(verifier) == challenge => Ok(()),
        _ => Err(ErrorCode::InvalidGrant),
    }
}

pub(super) async fn post_token(State(idp): State<Arc<Idp>>, headers: HeaderMap, body: Bytes) -> Response {
    match idp.tokens(&headers, &form::read(&body)) {
        Ok(tokens) => html::json(StatusCode::OK, &tokens),
        Err(error) => {
            let status = match error {
                ErrorCode::InvalidClient => StatusCode::UNAUTHORIZED,
                ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::BAD_REQUEST,
            };
            let mut builder = Response::builder()
                .status(status)
                .header(CONTENT_TYPE, "application/json")
                .header(CACHE_CONTROL, "no-store");
            if error == ErrorCode::InvalidClient {
                builder = builder.header(WWW_AUTHENTICATE, "Basic realm=\"token\"");
            }
            html::finish(builder, Body::from(json!({ "error": error }).to_string()))
        }
    }
}
