//! The authorization code grant (RFC 6749, section 4.1.3; RFC 7636, section 4.6).

use crate::crypto::{constant_time_eq, random};
use crate::flows::directory::AppEntry;
use crate::flows::evidence::Event;
use crate::flows::provider::Tokens;
use crate::flows::provider::token::issue::{ATTEMPTS, kept_changing};
use crate::flows::provider::token::signing::Basis;
use crate::flows::provider::token::{No, TokenAnswer, TokenRequest, invalid_grant};
use crate::flows::refusal::{EndpointError, Mark, Reason};
use crate::model::GrantId;
use crate::policy::provider::access::within;
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::store::StoreError;
use crate::store::provider::grants::{self, Code, Grant};
use crate::store::provider::standing::{Consumed, consume_code, read_code_standing};

impl Tokens {
    /// Redeems a code. A code that comes a second time revokes its grant, with all tokens that came of it.
    pub(super) async fn redeem_code(&self, request: &TokenRequest<'_>) -> Result<TokenAnswer, EndpointError> {
        let event = Self::token_event("token.code", request.client);
        let Some(code) = request.form.get("code") else {
            let error = OAuthError::new(ErrorCode::InvalidRequest, "code is missing");
            let no = No { error, reason: Reason::CodeMissing };
            return Err(no.at(event));
        };
        for _ in 0..ATTEMPTS {
            if let Some(answer) = self.try_code(request, &event, code).await? {
                return Ok(answer);
            }
        }
        Err(kept_changing())
    }

    /// Redeems a code once. Gives `None` and changes nothing if the state that its grant depends on has changed
    /// meanwhile.
    async fn try_code(
        &self,
        request: &TokenRequest<'_>,
        event: &Event,
        code: &str,
    ) -> Result<Option<TokenAnswer>, EndpointError> {
        let (client, hash) = (request.client, random::hash_token(code));
        let found = {
            let mut tx = self.core.database.read().await?;
            read_code_standing(&mut tx, &hash).await?
        };
        let Some((code, read)) = found else {
            return Err(self.refuse_gone_code(request, event.clone(), code).await);
        };
        let grant = &read.grant;
        let event =
            Event { actor: Some(grant.account.into()), connection: grant.proof.connection, ..event.clone() };
        if let Err(no) = check_code(request, &code, grant) {
            return Err(no.at(event));
        }
        let scopes = within(&grant.scopes, &client.app.settings.scopes);
        let basis = Basis { client, scopes: &scopes, nonce: code.nonce.as_deref(), standing: &read };
        let now = self.core.clock.now();
        // A used or expired code is not worth a signature; the transaction refuses it, with all that follows.
        let usable = code.used_at.is_none() && now < code.expires_at && !grant.created_at.is_ahead_of(now);
        let prepared = if usable { self.prepare(&basis, now)? } else { None };
        // Signing takes time, so the code may have expired by now.
        let now = self.core.clock.now();
        let mut tx = self.core.database.write().await?;
        if grant.created_at.is_ahead_of(now) {
            // The clock was set back. The code expires now, and stays expired when that time comes again.
            let over = Mark::ExpireCode(hash, code.expires_at);
            return Err(invalid_grant(Reason::CodeExpired).at(event).marking(over));
        }
        let Consumed { is_first, standing } = consume_code(&mut tx, &hash, grant, now).await?;
        if !is_first {
            // Read again: if two requests came at once, the second one finds the code used by now.
            let used = grants::find_code(&mut tx, &hash).await?.is_some_and(|code| code.used_at.is_some());
            return Err(if used {
                invalid_grant(Reason::CodeReused).at(event).marking(Mark::RevokeGrant(grant.id))
            } else {
                invalid_grant(Reason::CodeExpired).at(event).marking(Mark::ExpireCode(hash, now))
            });
        }
        let issued = self.issue(tx, client, prepared, standing, &event).await;
        // A code is used up even if no token is issued for it.
        issued.map_err(|error| error.marking(Mark::UseCode(hash)))
    }

    /// Refuses a code that has no row. If it was redeemed long ago for a grant of this app, that grant is revoked.
    async fn refuse_gone_code(&self, request: &TokenRequest<'_>, event: Event, code: &str) -> EndpointError {
        let redirect_uri = request.form.get("redirect_uri").unwrap_or_default();
        let challenge = request.form.get("code_verifier").map(random::hash_token);
        let found = match self.grant_of_code(code, redirect_uri, challenge.as_deref()) {
            Some(grant) => self.find_grant_of(request.client, grant).await,
            None => Ok(None),
        };
        match found {
            Ok(Some(grant)) => {
                let connection = grant.proof.connection;
                let event = Event { actor: Some(grant.account.into()), connection, ..event };
                invalid_grant(Reason::CodeReused).at(event).marking(Mark::RevokeGrant(grant.id))
            }
            Ok(None) => invalid_grant(Reason::CodeUnknown).at(event),
            Err(error) => error.into(),
        }
    }

    /// The grant with this id, if it belongs to this app.
    async fn find_grant_of(&self, client: &AppEntry, grant: GrantId) -> Result<Option<Grant>, StoreError> {
        let found = grants::find_grant(&mut self.core.database.read().await?, grant).await?;
        Ok(found.filter(|grant| grant.app == client.app.id))
    }
}

fn check_code(request: &TokenRequest<'_>, code: &Code, grant: &Grant) -> Result<(), No> {
    if grant.app != request.client.app.id {
        return Err(invalid_grant(Reason::CodeOfAnotherApp));
    }
    if request.form.get("redirect_uri") != Some(&code.redirect_uri) {
        return Err(invalid_grant(Reason::CodeRedirectUri));
    }
    match (&code.code_challenge, request.form.get("code_verifier")) {
        (None, None) => Ok(()),
        (Some(challenge), Some(verifier)) if is_verifier(verifier) => {
            let computed = random::hash_token(verifier);
            let fits = constant_time_eq(computed.as_bytes(), challenge.as_bytes());
            if fits { Ok(()) } else { Err(invalid_grant(Reason::CodeVerifierWrong)) }
        }
        (Some(_), None) => Err(invalid_grant(Reason::CodeVerifierMissing)),
        (Some(_), Some(_)) => Err(invalid_grant(Reason::CodeVerifierMalformed)),
        (None, Some(_)) => Err(invalid_grant(Reason::CodeVerifierWithoutChallenge)),
    }
}

/// Whether the text is a code verifier (RFC 7636, section 4.1).
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}
