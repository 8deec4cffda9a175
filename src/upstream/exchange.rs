//! Redeeming a code (RFC 6749, section 4.1.3; RFC 7636, section 4.5; `OpenID` Connect Core, section 3.1.3).
//!
//! `oauth2` makes the request and reads the members of the response. Before it does, this module checks the response
//! against stricter rules: JSON by its media type, no repeated members, no redirect, a limited size. The ID token
//! stays text: `openidconnect`'s own type would read its claims before anything was verified.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use oauth2::basic::{
    BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, Client, ClientId, ClientSecret, ExtraTokenFields,
    HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RequestTokenError, StandardErrorResponse,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};

use super::asker::Errand;
use super::error::{Denial, Outage, Refusal, UpstreamError};
use super::messages::authorize::verifier_text;
use super::messages::credential::{Credential, Proof};
use super::messages::discovery::Metadata;
use super::messages::token_answer::{TokenAnswerError, check_answer};
use super::provider::Provider;
use crate::model::{Connection, Random, Secret, Timestamp};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a code was redeemed for.
#[derive(Debug)]
pub(super) struct Tokens {
    pub id_token: Secret,
    pub access_token: Secret,
}

/// One redemption, as it is sent to the token endpoint.
pub(super) struct CodeRequest<'a> {
    pub code: &'a str,
    pub redirect_uri: &'a str,
    pub verifier: &'a [u8; 32],
}

/// The member of the response that OpenID Connect adds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct IdTokenMember {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenMember {}

type ErrorAnswer = StandardErrorResponse<BasicErrorResponseType>;
type Answer = StandardTokenResponse<IdTokenMember, BasicTokenType>;
type OauthClient = Client<
    ErrorAnswer,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;
type AnswerError = RequestTokenError<CallError, ErrorAnswer>;

/// Redeems a code. While a secret is being replaced, the other one is tried if the first is refused
/// (`invalid_client`).
pub(super) async fn redeem(
    provider: &Provider,
    connection: &Connection,
    metadata: &Metadata,
    credential: &Credential,
    request: &CodeRequest<'_>,
    (now, random): (Timestamp, &dyn Random),
    errand: Errand<'_>,
) -> Result<Tokens, UpstreamError> {
    let proofs = credential.proofs(connection, metadata, now, random).map_err(Refusal::from)?;
    let mut last = UpstreamError::from(Refusal::TokenAnswer(TokenAnswerError::Request));
    for proof in proofs {
        let caller = Caller { provider, errand };
        match attempt(&caller, connection, metadata, proof, request).await {
            Ok(answer) => return Ok(tokens(&answer).map_err(Refusal::from)?),
            Err(error) => last = translate(error),
        }
        if !matches!(&last, UpstreamError::Denied(denial) if denial.error() == "invalid_client") {
            break;
        }
    }
    Err(last)
}

async fn attempt(
    caller: &Caller<'_>,
    connection: &Connection,
    metadata: &Metadata,
    proof: Proof,
    request: &CodeRequest<'_>,
) -> Result<Answer, AnswerError> {
    let redirect_uri = RedirectUrl::new(request.redirect_uri.to_owned())
        .map_err(|_| AnswerError::Request(TokenAnswerError::Request.into()))?;
    let client = OauthClient::new(ClientId::new(connection.client_id.clone()))
        .set_token_uri(TokenUrl::from_url(metadata.token_endpoint.clone()));
    let (client, assertion) = match proof {
        Proof::Public => (client.set_auth_type(AuthType::RequestBody), None),
        Proof::Assertion(assertion) => (client.set_auth_type(AuthType::RequestBody), Some(assertion)),
        Proof::Basic(secret) => (with_secret(client, AuthType::BasicAuth, &secret), None),
        Proof::Post(secret) => (with_secret(client, AuthType::RequestBody, &secret), None),
    };
    let mut exchange = client
        .exchange_code(AuthorizationCode::new(request.code.to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(verifier_text(request.verifier)))
        .set_redirect_uri(Cow::Owned(redirect_uri));
    if let Some(assertion) = &assertion {
        exchange = exchange
            .add_extra_param("client_assertion_type", ASSERTION_TYPE)
            .add_extra_param("client_assertion", assertion.expose());
    }
    exchange.request_async(caller).await
}

type TokenClient = Client<
    ErrorAnswer,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointSet,
>;

fn with_secret(client: TokenClient, auth_type: AuthType, secret: &Secret) -> TokenClient {
    client.set_auth_type(auth_type).set_client_secret(ClientSecret::new(secret.expose().to_owned()))
}

fn tokens(answer: &Answer) -> Result<Tokens, TokenAnswerError> {
    if *answer.token_type() != BasicTokenType::Bearer {
        return Err(TokenAnswerError::TokenType);
    }
    let id_token = answer.extra_fields().id_token.as_deref().ok_or(TokenAnswerError::NoIdToken)?;
    Ok(Tokens {
        id_token: Secret::new(id_token),
        access_token: Secret::new(answer.access_token().secret().as_str()),
    })
}

fn translate(error: AnswerError) -> UpstreamError {
    match error {
        RequestTokenError::ServerResponse(answer) => {
            let description = answer.error_description().map(String::as_str);
            Denial::new(answer.error().as_ref(), description).into()
        }
        RequestTokenError::Request(CallError::Outage(outage)) => outage.into(),
        RequestTokenError::Request(CallError::Answer(answer)) => Refusal::from(answer).into(),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            Refusal::from(TokenAnswerError::Member).into()
        }
    }
}

/// Why a call returned no response that `oauth2` may read.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Outage(#[from] Outage),
    #[error(transparent)]
    Answer(#[from] TokenAnswerError),
}

/// The HTTP client that `oauth2` uses.
struct Caller<'a> {
    provider: &'a Provider,
    errand: Errand<'a>,
}

impl<'c> AsyncHttpClient<'c> for Caller<'_> {
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, CallError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.provider.call(request.map(Bytes::from), self.errand).await?;
            check_answer(&answer)?;
            Ok(answer.map(|body| body.to_vec()))
        })
    }
}
