//! The broker as the sample app sees it: metadata, token endpoint, keys, UserInfo.

use bytes::Bytes;
use headers::authorization::{Basic, Bearer, InvalidBearerToken};
use headers::{Authorization, HeaderMapExt as _};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, StatusCode};
use serde_json::{Map, Value};
use url::form_urlencoded::byte_serialize;

use super::checks::{self, Expected, TokenError};
use super::{Session, Settings, SignIn};
use crate::emulator::{FetchError, form};
use crate::protocol::jose::{JwkSet, JwksError};
use crate::protocol::json::{self, ClaimError, Claims, JsonError};

/// The largest response that is accepted, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Why the broker's responses cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    /// There was no response.
    #[error("the broker does not answer: {0}")]
    Fetch(#[from] FetchError),
    /// A request that cannot be sent.
    #[error("the broker's metadata names an address that cannot be asked")]
    Address(#[from] http::Error),
    /// An access token that no header can carry.
    #[error("the access token cannot be sent")]
    AccessToken(#[from] InvalidBearerToken),
    /// Another status than 200.
    #[error("the broker answered {status}{error}")]
    Status { status: StatusCode, error: String },
    /// Not a strict JSON object.
    #[error("the broker's response is refused: {0}")]
    Json(#[from] JsonError),
    /// A member is missing or of the wrong type.
    #[error("the broker's response is refused: {0}")]
    Member(#[from] ClaimError),
    /// Not a key set.
    #[error("the broker's keys are refused: {0}")]
    Keys(#[from] JwksError),
    /// The document of another issuer.
    #[error("the metadata names another issuer")]
    Issuer,
    /// The ID token is not valid.
    #[error("the ID token is refused: {0}")]
    Token(#[from] TokenError),
    /// UserInfo about another user.
    #[error("userinfo is about another user than the ID token")]
    OtherSubject,
}

/// The part of the metadata that the app needs (`OpenID` Connect Discovery 1.0, section 3).
pub(super) struct Metadata {
    pub(super) authorization_endpoint: String,
    pub(super) end_session_endpoint: String,
    pub(super) promises_iss: bool,
    token_endpoint: String,
    userinfo_endpoint: String,
    jwks_uri: String,
}

/// The broker, and the app's settings to reach it.
pub(super) struct Broker<'a> {
    pub(super) settings: &'a Settings,
}

impl Broker<'_> {
    /// Fetches the metadata each time; a real app would keep it.
    pub(super) async fn metadata(&self) -> Result<Metadata, BrokerError> {
        let url = format!("{}/.well-known/openid-configuration", self.settings.issuer.trim_end_matches('/'));
        let document = json::parse_object(&self.get(&url, None).await?, MAX_ANSWER)?;
        let members = Claims::of(&document);
        if members.required_string("issuer")? != self.settings.issuer {
            return Err(BrokerError::Issuer);
        }
        let url = |name| members.required_string(name).map(str::to_owned);
        Ok(Metadata {
            authorization_endpoint: url("authorization_endpoint")?,
            end_session_endpoint: url("end_session_endpoint")?,
            promises_iss: members.bool("authorization_response_iss_parameter_supported")?.unwrap_or(false),
            token_endpoint: url("token_endpoint")?,
            userinfo_endpoint: url("userinfo_endpoint")?,
            jwks_uri: url("jwks_uri")?,
        })
    }

    /// Redeems a code and checks the tokens.
    pub(super) async fn redeem(
        &self,
        metadata: &Metadata,
        code: &str,
        redirect_uri: &str,
        sign_in: &SignIn,
    ) -> Result<Session, BrokerError> {
        let tokens = self.tokens(metadata, code, redirect_uri, &sign_in.code_verifier).await?;
        let members = Claims::of(&tokens);
        let id_token = members.required_string("id_token")?;
        let access_token = members.required_string("access_token")?;
        let keys = JwkSet::parse(&self.get(&metadata.jwks_uri, None).await?)?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: &sign_in.nonce,
            alg: self.settings.id_token_alg,
            access_token,
            now: self.settings.clock.now(),
        };
        let claims = checks::validate(id_token, &keys, &expected)?;
        let bearer = Authorization::bearer(access_token)?;
        let userinfo = self.get(&metadata.userinfo_endpoint, Some(bearer)).await?;
        let userinfo = json::parse_object(&userinfo, MAX_ANSWER)?;
        if userinfo.get("sub") != claims.get("sub") {
            return Err(BrokerError::OtherSubject);
        }
        Ok(Session { id_token: id_token.to_owned(), claims, userinfo })
    }

    async fn tokens(
        &self,
        metadata: &Metadata,
        code: &str,
        redirect_uri: &str,
        code_verifier: &str,
    ) -> Result<Map<String, Value>, BrokerError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", code_verifier),
        ];
        let mut request = Request::post(&metadata.token_endpoint)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form::write(fields)))?;
        request.headers_mut().typed_insert(self.credentials());
        Ok(json::parse_object(&self.send(request).await?, MAX_ANSWER)?)
    }

    /// The app's credentials, each form-encoded (RFC 6749, section 2.3.1).
    fn credentials(&self) -> Authorization<Basic> {
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let (client_id, secret) =
            (encoded(&self.settings.client_id), encoded(self.settings.client_secret.expose()));
        Authorization::basic(&client_id, &secret)
    }

    async fn get(&self, url: &str, bearer: Option<Authorization<Bearer>>) -> Result<Bytes, BrokerError> {
        let mut request = Request::get(url).header(ACCEPT, "application/json").body(Bytes::new())?;
        if let Some(bearer) = bearer {
            request.headers_mut().typed_insert(bearer);
        }
        self.send(request).await
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Bytes, BrokerError> {
        let (parts, body) = self.settings.fetch.fetch(request).await?.into_parts();
        if parts.status == StatusCode::OK {
            return Ok(body);
        }
        let document = json::parse_object(&body, MAX_ANSWER).unwrap_or_default();
        let error = Claims::of(&document).string("error").ok().flatten();
        let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
        Err(BrokerError::Status { status: parts.status, error })
    }
}
