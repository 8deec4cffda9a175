//! Reading access tokens that apps present at userinfo, introspection and revocation (RFC 9068, section 4).
//!
//! A signature is checked once, since it stays valid as long as its key is there. The state that a token depends on is
//! read from the database each time.

use std::sync::Arc;

use moka::future::Cache;

use crate::crypto::keys::KeyRing;
use crate::crypto::random;
use crate::flows::provider::Tokens;
use crate::flows::refusal::EndpointError;
use crate::model::{ConnectionId, GrantId, Timestamp};
use crate::protocol::jose::CompactJws;
use crate::protocol::json::Claims;
use crate::store::provider::grants::{Grant, is_dead};
use crate::store::provider::standing::read_grant_standing;

/// The longest token that is read, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// The most tokens whose signature is remembered.
const CAPACITY: u64 = 10_000;

/// Access tokens whose signature is valid, by the hash of their text.
pub(in crate::flows) struct VerifiedTokens(Cache<String, Arc<AccessClaims>>);

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

/// The claims of an access token that this broker signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::flows) struct AccessClaims {
    pub subject: String,
    pub client_id: String,
    pub audience: Vec<String>,
    pub scope: String,
    pub jti: String,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    /// Absent in a token for an app itself.
    pub grant: Option<GrantId>,
    /// The connection through which the user signed in.
    pub connection: Option<ConnectionId>,
    /// The key that signed it.
    kid: String,
}

impl Tokens {
    /// Reads a token, and checks its signature, type, issuer and times. `None` for anything that is not a current
    /// access token of this broker, such as an ID token.
    pub(in crate::flows) async fn read_access_token(&self, token: &str) -> Option<Arc<AccessClaims>> {
        let (ring, hash) = (self.keys.signing_keys().ok()?, random::hash_token(token));
        let known = self.verified.0.get(&hash).await;
        let claims = match known.filter(|claims| ring.verifier(&claims.kid).is_some()) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.verify_access_token(&ring, token)?);
                self.verified.0.insert(hash, Arc::clone(&claims)).await;
                claims
            }
        };
        (self.core.clock.now() < claims.expires_at).then_some(claims)
    }

    fn verify_access_token(&self, ring: &KeyRing, token: &str) -> Option<AccessClaims> {
        let jws = CompactJws::parse(token, MAX_TOKEN).ok()?;
        let typ = jws.header().typ.as_deref()?;
        if !["at+jwt", "application/at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)) {
            return None;
        }
        ring.verify(&jws).ok()?;
        let claims = jws.claims().ok()?;
        let claims = Claims::of(&claims);
        (claims.required_string("iss").ok()? == self.core.issuer()).then_some(())?;
        let expires_at = claims.required_numeric_date("exp").ok()?;
        (self.core.clock.now() < expires_at).then_some(())?;
        let grant = claims.string("grant_id").ok()?.map(str::parse).transpose().ok()?;
        let connection = claims.string("connection").ok()?.map(str::parse).transpose().ok()?;
        Some(AccessClaims {
            subject: claims.required_string("sub").ok()?.to_owned(),
            client_id: claims.required_string("client_id").ok()?.to_owned(),
            audience: claims.required_string_or_list("aud").ok()?.into_iter().map(str::to_owned).collect(),
            scope: claims.required_string("scope").ok()?.to_owned(),
            jti: claims.required_string("jti").ok()?.to_owned(),
            issued_at: claims.required_numeric_date("iat").ok()?,
            expires_at,
            grant,
            connection,
            kid: jws.header().kid.clone()?,
        })
    }

    /// The grant of a token, if the token and everything that it depends on are still valid. `Some(None)` is a valid
    /// token of an app itself.
    pub(in crate::flows) async fn living_grant(
        &self,
        claims: &AccessClaims,
    ) -> Result<Option<Option<Grant>>, EndpointError> {
        let mut tx = self.core.database.read().await?;
        let Some(id) = claims.grant else {
            return Ok((!is_dead(&mut tx, &claims.jti).await?).then_some(None));
        };
        let read = read_grant_standing(&mut tx, id, claims.connection, Some(&claims.jti)).await?;
        let living = read.filter(|standing| {
            // The token was signed from its grant, so both name the same connection.
            !standing.token_dead && standing.is_good() && standing.grant.proof.connection == claims.connection
        });
        Ok(living.map(|standing| Some(standing.grant)))
    }
}
