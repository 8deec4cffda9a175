//! The refresh token grant (RFC 6749, section 6): every use gives a new token, and a used one that comes again
//! revokes the whole family (RFC 9700, section 4.14.2).

use crate::crypto::random;
use crate::flows::directory::AppEntry;
use crate::flows::evidence::Event;
use crate::flows::provider::Tokens;
use crate::flows::provider::token::issue::{ATTEMPTS, kept_changing, passwords_allowed};
use crate::flows::provider::token::signing::Basis;
use crate::flows::provider::token::{No, TokenAnswer, TokenRequest, invalid_grant};
use crate::flows::refusal::{EndpointError, Mark, Reason};
use crate::policy::provider::access::{narrow_scopes, within};
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::store::provider::grants::{self, Grant, RefreshToken};
use crate::store::provider::standing::{
    Consumed, GrantStanding, consume_refresh_token, read_refresh_token_standing,
};

impl Tokens {
    /// Rotates a refresh token.
    pub(in crate::flows) async fn refresh(
        &self,
        request: &TokenRequest<'_>,
    ) -> Result<TokenAnswer, EndpointError> {
        let event = Self::token_event("token.refresh", request.client);
        let Some(token) = request.form.get("refresh_token") else {
            let error = OAuthError::new(ErrorCode::InvalidRequest, "refresh_token is missing");
            let no = No { error, reason: Reason::RefreshMissing };
            return Err(no.at(event));
        };
        for _ in 0..ATTEMPTS {
            if let Some(answer) = self.try_refresh(request, &event, token).await? {
                return Ok(answer);
            }
        }
        Err(kept_changing())
    }

    /// Rotates a refresh token once. Gives `None` and changes nothing if the state that its grant depends on has
    /// changed meanwhile.
    async fn try_refresh(
        &self,
        request: &TokenRequest<'_>,
        event: &Event,
        token: &str,
    ) -> Result<Option<TokenAnswer>, EndpointError> {
        let (client, hash) = (request.client, random::hash_token(token));
        let found = {
            let mut tx = self.core.database.read().await?;
            read_refresh_token_standing(&mut tx, &hash).await?
        };
        let Some((row, read)) = found else {
            return Err(invalid_grant(Reason::RefreshUnknown).at(event.clone()));
        };
        let grant = &read.grant;
        let event =
            Event { actor: Some(grant.account.into()), connection: grant.proof.connection, ..event.clone() };
        let scopes = match refreshed_scopes(request, &row, grant) {
            Ok(scopes) => scopes,
            Err(no) => return Err(no.at(event)),
        };
        let basis = Basis { client, scopes: &scopes, nonce: None, standing: &read };
        let now = self.core.clock.now();
        // A used or expired token is not worth a signature; the transaction refuses it, with all that follows.
        let usable = row.used_at.is_none()
            && now < row.expires_at
            && self.family_end(client, grant, Some(&read)).is_none();
        let prepared = if usable { self.prepare(&basis, now)? } else { None };
        // Signing takes time, so the token may have expired by now.
        let now = self.core.clock.now();
        let mut tx = self.core.database.write().await?;
        let Consumed { is_first, standing } = consume_refresh_token(&mut tx, &hash, grant, now).await?;
        if !is_first {
            // Read again: if two requests came at once, the second one finds the token used by now.
            let again = grants::find_refresh_token(&mut tx, &hash).await?;
            return Err(if again.is_some_and(|token| token.used_at.is_some()) {
                invalid_grant(Reason::RefreshReused).at(event).marking(Mark::RevokeGrant(grant.id))
            } else {
                invalid_grant(Reason::RefreshExpired).at(event).marking(Mark::ExpireRefreshToken(hash))
            });
        }
        let issued = match self.family_end(client, grant, standing.as_ref()) {
            Some(reason) => Err(invalid_grant(reason).at(event)),
            None => self.issue(tx, client, prepared, standing, &event).await,
        };
        // A token is used up even if no new one is issued for it.
        issued.map_err(|error| error.marking(Mark::UseRefreshToken(hash)))
    }

    /// Why a family has ended although its token has not expired: for example its own end, its session's, or that of
    /// the sign-in at the provider.
    pub(in crate::flows) fn family_end(
        &self,
        client: &AppEntry,
        grant: &Grant,
        standing: Option<&GrantStanding>,
    ) -> Option<Reason> {
        let now = self.core.clock.now();
        if now >= grant.created_at.after(self.settings.refresh_max) {
            return Some(Reason::RefreshFamilyExpired);
        }
        let scopes = within(&grant.scopes, &client.app.settings.scopes);
        let offline = scopes.iter().any(|scope| scope == "offline_access");
        if !offline && standing.is_none_or(|standing| standing.session_is_over(now)) {
            return Some(Reason::RefreshSessionEnded);
        }
        let Some(standing) = standing else { return Some(Reason::Inactive) };
        if grant.proof.connection.is_none() {
            return (!passwords_allowed(standing)).then_some(Reason::LocalSignInOff);
        }
        let too_old = |span| now >= grant.proof.authenticated_at.after(span);
        if standing.upstream_recheck.is_some_and(too_old) {
            return Some(Reason::RefreshUpstreamRecheck);
        }
        None
    }
}

/// The scopes of the new access token, if the app may ask for them with this refresh token.
fn refreshed_scopes(
    request: &TokenRequest<'_>,
    row: &RefreshToken,
    grant: &Grant,
) -> Result<Vec<String>, No> {
    if grant.app != request.client.app.id {
        return Err(invalid_grant(Reason::RefreshOfAnotherApp));
    }
    let narrowed = narrow_scopes(&grant.scopes, request.scopes()?.as_deref());
    // A used token counts as reuse, whatever else is wrong with the request.
    let Some(scopes) = narrowed.or_else(|| row.used_at.map(|_| Vec::new())) else {
        let description = "the scope is more than was granted";
        let error = OAuthError::new(ErrorCode::InvalidScope, description);
        return Err(No { error, reason: Reason::ScopeGrown });
    };
    Ok(within(&scopes, &request.client.app.settings.scopes))
}
