//! Issuing the tokens of a grant. The broker signs them before the transaction that uses up the code or refresh token,
//! so that no other writer waits for a signature. That transaction reads everything again, decides on what it reads,
//! and issues the tokens only if nothing has changed.

use crate::crypto::random;
use crate::flows::directory::AppEntry;
use crate::flows::evidence::Event;
use crate::flows::provider::Tokens;
use crate::flows::provider::token::signing::{Basis, allowed_resources};
use crate::flows::provider::token::{TokenAnswer, invalid_grant, reveal};
use crate::flows::refusal::{EndpointError, Reason};
use crate::model::{GrantType, Timestamp};
use crate::policy::provider::access::{allows_password, may_use};
use crate::store::Tx;
use crate::store::provider::grants::{self, RefreshToken};
use crate::store::provider::standing::GrantStanding;

/// How often the tokens of one request are signed at most, if the state that their grant depends on keeps changing.
pub(in crate::flows) const ATTEMPTS: usize = 3;

/// Tokens that are signed and not issued yet: only [`Tokens::issue`] takes them out of here.
pub(super) struct Prepared<'a> {
    /// The standing that they were signed from.
    standing: &'a GrantStanding,
    answer: TokenAnswer,
    refresh_token: Option<RefreshToken>,
    /// The time at which all of them are issued.
    at: Timestamp,
    /// When the last of them expires.
    good_until: Timestamp,
}

/// Why no token may be issued for a grant; `None` if one may.
fn withdrawn(client: &AppEntry, standing: Option<&GrantStanding>) -> Option<Reason> {
    let Some(now) = standing else { return Some(Reason::GrantRevoked) };
    let grant = &now.grant;
    if grant.revoked_at.is_some() {
        return Some(Reason::GrantRevoked);
    }
    if !now.standing.is_good() {
        return Some(Reason::Inactive);
    }
    if !may_use(&client.app, now.membership()) {
        return Some(Reason::AppNotForAccount);
    }
    // The issuer does not take their place: the app asked for a token for another audience.
    if !grant.resources.is_empty() && allowed_resources(client, grant).is_empty() {
        return Some(Reason::ResourceWithdrawn);
    }
    if grant.proof.connection.is_none() && !passwords_allowed(now) {
        return Some(Reason::LocalSignInOff);
    }
    None
}

impl Tokens {
    /// Signs the tokens of a grant as of `now`. Gives `None`, without a signature, when no token may be issued for it.
    pub(super) fn prepare<'a>(
        &self,
        basis: &Basis<'a>,
        now: Timestamp,
    ) -> Result<Option<Prepared<'a>>, EndpointError> {
        let Basis { client, scopes, standing, .. } = *basis;
        if withdrawn(client, Some(standing)).is_some() {
            return Ok(None);
        }
        let settings = &client.app.settings;
        let lifetime = settings.access_token_lifetime.unwrap_or(self.settings.access_token_lifetime);
        let ring = self.ring()?;
        let access_token = self.sign_access_token(&ring, basis, now, lifetime)?;
        let id_token = if scopes.iter().any(|scope| scope == "openid") {
            Some(self.sign_id_token(&ring, basis, now, &access_token)?)
        } else {
            None
        };
        let mut good_until = now.after(lifetime);
        let (mut refresh_token, mut revealed) = (None, None);
        if client.app.may_use(GrantType::RefreshToken) {
            let grant = &standing.grant;
            let token = random::token(&*self.core.random);
            let idle = settings.refresh_token_lifetime.unwrap_or(self.settings.refresh_idle);
            let family_end = grant.created_at.after(self.settings.refresh_max);
            let expires_at = now.after(idle).min(family_end);
            let hash = random::hash_token(token.expose());
            refresh_token = Some(RefreshToken { hash, grant: grant.id, expires_at, used_at: None });
            revealed = Some(reveal(&token));
            good_until = good_until.max(expires_at);
        }
        let answer = TokenAnswer {
            access_token,
            token_type: "Bearer",
            expires_in: lifetime.as_secs(),
            refresh_token: revealed,
            id_token,
            scope: scopes.join(" "),
        };
        Ok(Some(Prepared { standing, answer, refresh_token, at: now, good_until }))
    }

    /// Issues signed tokens and commits, if everything that their grant depends on is valid now. `standing` is what
    /// this transaction read after it used up the code or refresh token. Gives `None` and changes nothing if tokens may
    /// be issued but none were signed from this standing: the caller tries again.
    pub(super) async fn issue(
        &self,
        mut tx: Tx,
        client: &AppEntry,
        prepared: Option<Prepared<'_>>,
        standing: Option<GrantStanding>,
        event: &Event,
    ) -> Result<Option<TokenAnswer>, EndpointError> {
        if let Some(reason) = withdrawn(client, standing.as_ref()) {
            return Err(invalid_grant(reason).at(event.clone()));
        }
        let unchanged = |prepared: &Prepared<'_>| {
            standing.is_some_and(|standing| standing.is_unchanged_since(prepared.standing))
        };
        let Some(prepared) = prepared.filter(unchanged) else { return Ok(None) };
        if let Some(row) = &prepared.refresh_token {
            grants::insert_refresh_token(&mut tx, row, prepared.at).await?;
        }
        grants::extend_grant(&mut tx, prepared.standing.grant.id, prepared.good_until).await?;
        self.core.record_success(&mut tx, event).await?;
        tx.commit().await?;
        Ok(Some(prepared.answer))
    }
}

/// The answer to a request if the state that its grant depends on changed at each attempt. Nothing was used up.
pub(super) fn kept_changing() -> EndpointError {
    EndpointError::Unavailable("what the grant stands on changed at each attempt".to_owned())
}

/// Whether the account of a grant may still be signed in by its password.
pub(super) fn passwords_allowed(standing: &GrantStanding) -> bool {
    let attached = standing.standing.organization_id.is_some();
    allows_password(attached, standing.local_sign_in, standing.break_glass)
}
