//! The relying-party side: everything between the broker and external `OpenID` Providers.
//!
//! Flows call [`Upstream`]. [`messages`] holds what goes to a provider, and every check of what it answers. [`provider`]
//! knows what each provider has published. [`egress`] alone connects out. `exchange` redeems a code through them.
//!
//! This room knows neither accounts nor sessions nor the database, and no code here asks for a vendor's name: the
//! behaviour of a vendor is a setting of the connection. There is one strict exception: whether an issuer serves
//! several tenants (`ConnectionSettings::is_of_one_tenant`) decides whether its statements about emails can be
//! authoritative.

mod asker;
pub mod egress;
pub mod error;
mod exchange;
pub mod messages;
pub mod probe;
pub mod provider;
mod turns;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

pub use asker::{Asker, Gate};
pub use egress::{Egress, EgressBuildError, EgressError, EgressSettings};
pub use error::{Denial, Outage, Refusal, UpstreamError};
pub use messages::authorize::{AuthorizationInput, AuthorizationUrl};
pub use messages::credential::Credential;
pub use messages::id_token::{FreshSignIn, IdTokenError};
pub use messages::identity::{AssertedEmail, ClaimSource, IdToken, VerifiedIdentity};
pub use messages::logout::{EndSession, LogoutTarget};
pub use probe::{Finding, Gravity, Probe};
pub use provider::{BoxFuture, Document, Memory, Remembered};

use asker::Errand;
use exchange::{CodeRequest, Tokens};
use messages::discovery::Metadata;
use messages::id_token::{Expectation, IdTokenClaims, MAX_TOKEN};
use messages::{authorize, discovery, id_token, identity, logout, userinfo};
use provider::kept::Kept;
use provider::{Provider, Surroundings};

use crate::model::{Clock, Connection, ConnectionId, Random, Secret};
use crate::protocol::jose::{CompactJws, JwkSet};

/// The longest code that is redeemed, in bytes.
const MAX_CODE: usize = 4 * 1024;

/// The settings of the relying-party side.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// The limits of outgoing calls.
    pub egress: EgressSettings,
    /// How long the last good key set is used while fetches fail.
    pub jwks_max_stale: Duration,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self { egress: EgressSettings::default(), jwks_max_stale: Duration::from_hours(24) }
    }
}

/// The relying-party side.
pub struct Upstream {
    kept: Arc<Kept<Provider>>,
    around: Surroundings,
    random: Arc<dyn Random>,
    time_limit: Duration,
}

/// The authorization response, and what was sent before it.
pub struct Redemption<'a> {
    /// For whom the identity provider is called.
    pub asker: &'a Asker,
    /// Decides whether the redemption goes to the identity provider when its turn has come.
    pub gate: &'a dyn Gate,
    /// `code` of the authorization response.
    pub code: &'a str,
    /// `iss` of the authorization response (RFC 9207).
    pub response_iss: Option<&'a str>,
    /// The broker's callback for this connection, as it was sent.
    pub redirect_uri: &'a str,
    /// The random part of the PKCE verifier.
    pub verifier: &'a [u8; 32],
    /// The nonce that was sent.
    pub nonce: &'a str,
    /// Set if a fresh sign-in is demanded.
    pub fresh: Option<FreshSignIn>,
    /// The authentication contexts of which one is demanded, in the apps' words, which the connection translates.
    /// Empty demands none.
    pub essential_acr: &'a [String],
    /// The apps' words in order of preference: if several stand for the context that was reached, the app is told the
    /// first of these.
    pub wanted_acr: &'a [String],
}

impl Upstream {
    /// Builds it. It reads the certificate authorities, but does not connect yet.
    pub fn new(
        settings: &UpstreamSettings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        memory: Arc<dyn Memory>,
    ) -> Result<Self, EgressBuildError> {
        let egress = Egress::new(&settings.egress)?;
        Ok(Self {
            kept: Arc::default(),
            around: Surroundings { egress, clock, memory, jwks_max_stale: settings.jwks_max_stale },
            random,
            time_limit: settings.egress.total_timeout,
        })
    }

    /// Where the browser is sent to sign in.
    pub async fn authorization_url(
        &self,
        connection: &Connection,
        input: AuthorizationInput<'_>,
    ) -> Result<AuthorizationUrl, UpstreamError> {
        let metadata = self.provider(connection).metadata(connection).await?;
        let now = self.around.clock.now();
        Ok(authorize::authorization_url(connection, &metadata, input, now).map_err(Refusal::from)?)
    }

    /// Whether the identity provider can be made to ask the user again, in such a way that its answer proves that it did.
    pub async fn can_ask_again(&self, connection: &Connection) -> Result<bool, UpstreamError> {
        let metadata = self.provider(connection).metadata(connection).await?;
        Ok(authorize::can_ask(connection, &metadata, self.around.clock.now()))
    }

    /// Checks `iss` of an authorization response (RFC 9207): it must be present if the identity provider promises it,
    /// and correct if present. [`Upstream::redeem`] does this itself; this function is for error responses.
    pub async fn check_response_iss(
        &self,
        connection: &Connection,
        iss: Option<&str>,
    ) -> Result<(), UpstreamError> {
        let metadata = self.provider(connection).metadata(connection).await?;
        Ok(check_response_iss(connection, &metadata, iss)?)
    }

    /// Redeems a code and checks everything that results from it. If any check fails, no user is signed in.
    pub async fn redeem(
        &self,
        connection: &Connection,
        credential: &Credential,
        redemption: &Redemption<'_>,
    ) -> Result<VerifiedIdentity, UpstreamError> {
        if !is_code(redemption.code) {
            return Err(Refusal::ResponseCode.into());
        }
        let provider = self.provider(connection);
        let metadata = provider.metadata(connection).await?;
        // Order matters: no endpoint may see the code before the response is known to come from this identity
        // provider.
        check_response_iss(connection, &metadata, redemption.response_iss)?;
        let deadline = Instant::now() + self.time_limit;
        let now = self.around.clock.now();
        let request = CodeRequest {
            code: redemption.code,
            redirect_uri: redemption.redirect_uri,
            verifier: redemption.verifier,
        };
        let surroundings = (now, self.random.as_ref());
        let Redemption { asker, gate, .. } = *redemption;
        let errand = Errand { asker, gate: Some(gate), deadline };
        let tokens =
            exchange::redeem(&provider, connection, &metadata, credential, &request, surroundings, errand)
                .await?;
        gate.accepted();
        let verifying = self.verified(&provider, connection, &tokens, redemption);
        let in_time = tokio::time::timeout_at(deadline, verifying).await;
        let claims = in_time.map_err(|_| Outage::from(EgressError::Timeout))??;
        if claims.shortened {
            tracing::info!(connection = %connection.id, "a provider's amr or sid is longer than the broker keeps");
        }
        let offered = metadata.userinfo_endpoint.is_some();
        let userinfo = if identity::needs_userinfo(connection, &claims.all, offered) {
            let token = &tokens.access_token;
            let errand = Errand { gate: None, ..errand };
            Some(ask_userinfo(&provider, &metadata, token, &claims.subject, errand).await?)
        } else {
            None
        };
        let (token, now) = (tokens.id_token, self.around.clock.now());
        let identity =
            identity::map(connection, claims, userinfo.as_ref(), token, redemption.wanted_acr, now);
        let has_end_session = metadata.end_session_endpoint.is_some();
        Ok(VerifiedIdentity { has_end_session, ..identity.map_err(Refusal::from)? })
    }

    async fn verified(
        &self,
        provider: &Arc<Provider>,
        connection: &Connection,
        tokens: &Tokens,
        redemption: &Redemption<'_>,
    ) -> Result<IdTokenClaims, UpstreamError> {
        let form = |error| Refusal::from(IdTokenError::Form(error));
        let jws = CompactJws::parse(tokens.id_token.expose(), MAX_TOKEN).map_err(form)?;
        let words = &connection.settings.acr_values;
        let acr: Vec<&str> =
            redemption.essential_acr.iter().filter_map(|word| words.get(word)).map(String::as_str).collect();
        let expected = Expectation {
            now: self.around.clock.now(),
            nonce: redemption.nonce,
            code: Some(redemption.code),
            access_token: Some(tokens.access_token.expose()),
            fresh: redemption.fresh,
            acr: (!redemption.essential_acr.is_empty()).then_some(&acr[..]),
        };
        let check = |keys: &JwkSet| id_token::verify(&jws, keys, connection, &expected);
        let verdict = with_keys(provider, connection, check, |error| error.may_be_a_new_key(&jws)).await?;
        Ok(verdict.map_err(Refusal::from)?)
    }

    /// Checks a back-channel logout token. The caller must spend its `jti`.
    pub async fn logout_token(
        &self,
        connection: &Connection,
        token: &str,
    ) -> Result<LogoutTarget, UpstreamError> {
        let form = |error| Refusal::from(logout::LogoutTokenError::from(IdTokenError::Form(error)));
        let jws = CompactJws::parse(token, MAX_TOKEN).map_err(form)?;
        let provider = self.provider(connection);
        let now = self.around.clock.now();
        let check = |keys: &JwkSet| logout::verify(&jws, keys, connection, now);
        let may_be_new = |error: &logout::LogoutTokenError| match error {
            logout::LogoutTokenError::Token(error) => error.may_be_a_new_key(&jws),
            _ => false,
        };
        Ok(with_keys(&provider, connection, check, may_be_new).await?.map_err(Refusal::from)?)
    }

    /// Where a sign-out continues; `None` if the identity provider has no end-session endpoint.
    pub async fn end_session_url(
        &self,
        connection: &Connection,
        request: EndSession<'_>,
    ) -> Result<Option<Url>, UpstreamError> {
        let metadata = self.provider(connection).metadata(connection).await?;
        Ok(logout::end_session_url(connection, &metadata, request))
    }

    /// Fetches metadata and keys from the identity provider again, and reports what would prevent sign-ins. It changes
    /// nothing that sign-ins use.
    pub async fn probe(&self, connection: &Connection) -> Probe {
        let provider = Arc::new(Provider::apart(connection, &self.around));
        let address = discovery::discovery_url(connection).ok().map(String::from);
        match provider.metadata(connection).await {
            Err(error) => probe::failed(address, &error),
            Ok(metadata) => {
                let keys = provider.keys(connection).await;
                probe::examine(connection, address, &metadata, keys.as_deref())
            }
        }
    }

    /// Forgets what is known about a connection's identity provider, because the connection has changed. A fetch that
    /// is under way does not store its result.
    pub fn forget(&self, connection: ConnectionId) {
        if let Some(provider) = self.kept.remove(connection) {
            provider.forget();
        }
    }

    /// The identity provider of a connection. One that was made for another issuer or discovery URL is replaced.
    fn provider(&self, connection: &Connection) -> Arc<Provider> {
        let make = || Arc::new(Provider::kept_in(&self.kept, connection, self.around.clone()));
        self.kept.get(connection, make)
    }
}

/// Checks a token with the present keys, and once more with newer ones if its key may be new.
async fn with_keys<T, E>(
    provider: &Arc<Provider>,
    connection: &Connection,
    check: impl Fn(&JwkSet) -> Result<T, E>,
    may_be_new: impl Fn(&E) -> bool,
) -> Result<Result<T, E>, UpstreamError> {
    let keys = provider.keys(connection).await?;
    let verdict = check(&keys);
    if !verdict.as_ref().is_err_and(may_be_new) {
        return Ok(verdict);
    }
    Ok(match provider.newer_keys(connection, &keys).await {
        Some(newer) => check(&newer),
        None => verdict,
    })
}

/// Asks for the claims of the person with this `subject`.
async fn ask_userinfo(
    provider: &Provider,
    metadata: &Metadata,
    access_token: &Secret,
    subject: &str,
    errand: Errand<'_>,
) -> Result<Map<String, Value>, UpstreamError> {
    let request = userinfo::request(metadata, access_token).map_err(Refusal::from)?;
    let answer = provider.call(request, errand).await?;
    Ok(userinfo::read(&answer, subject).map_err(Refusal::from)?)
}

/// Whether this can be a code at all (RFC 6749, appendix A.11).
fn is_code(text: &str) -> bool {
    (1..=MAX_CODE).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

fn check_response_iss(
    connection: &Connection,
    metadata: &Metadata,
    iss: Option<&str>,
) -> Result<(), Refusal> {
    match iss {
        None if metadata.response_iss => Err(Refusal::ResponseIssuerMissing),
        None => Ok(()),
        Some(iss) if connection.allows_issuer(iss) => Ok(()),
        Some(_) => Err(Refusal::ResponseIssuerMismatch),
    }
}
