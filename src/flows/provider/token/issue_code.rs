//! The code for an app: the grant that it stands for, and the address that carries the code.

use crate::crypto::random;
use crate::flows::directory::AppEntry;
use crate::flows::evidence::{Event, receipt_of};
use crate::flows::provider::Tokens;
use crate::model::{AuthorizationRequest, GrantId, Proof, SessionId};
use crate::policy::provider::access::within;
use crate::policy::sign_in::step::FinishPermit;
use crate::protocol::oauth::add_to_query;
use crate::store::provider::grants::{self, Code, Grant};
use crate::store::{StoreError, Tx};

/// The request and the sign-in that a code is issued for.
pub(in crate::flows) struct CodeRequest<'a> {
    /// The app's request.
    pub request: &'a AuthorizationRequest,
    /// The app.
    pub entry: &'a AppEntry,
    /// The user's session.
    pub session: SessionId,
    /// How the user proved who they are.
    pub proof: &'a Proof,
}

impl Tokens {
    /// Writes the grant and the code. Gives the app's address with the code in it (RFC 6749, section 4.1.2; RFC 9207).
    pub(in crate::flows) async fn issue_code(
        &self,
        tx: &mut Tx,
        permit: FinishPermit,
        CodeRequest { request, entry, session, proof }: CodeRequest<'_>,
    ) -> Result<String, StoreError> {
        let (now, account) = (self.core.clock.now(), permit.account());
        let lifetime = entry.app.settings.code_lifetime.unwrap_or(self.settings.code_lifetime);
        let expires_at = now.after(lifetime);
        let subject = grants::pin_subject(tx, request.app, account, &account.to_string(), now).await?;
        let grant = Grant {
            id: GrantId::new(now, &*self.core.random),
            organization: entry.organization.id,
            app: request.app,
            account,
            session,
            subject,
            scopes: within(&request.scopes, &entry.app.settings.scopes),
            resources: request.resources.clone(),
            proof: proof.clone(),
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        let code = self.new_code(grant.id, &request.redirect_uri, request.code_challenge.as_deref());
        let row = Code {
            hash: random::hash_token(code.expose()),
            grant: grant.id,
            redirect_uri: request.redirect_uri.clone(),
            code_challenge: request.code_challenge.clone(),
            nonce: request.nonce.clone(),
            expires_at,
            used_at: None,
        };
        grants::insert_grant(tx, &grant).await?;
        grants::insert_code(tx, &row).await?;
        let event = Event {
            organization: Some(entry.organization.id),
            actor: Some(account.into()),
            connection: proof.connection,
            app: Some(request.app),
            receipt: Some(receipt_of(permit.interaction())),
            ..Event::new("authorize")
        };
        self.core.record_success(tx, &event).await?;
        let mut answer = vec![("code", code.expose())];
        answer.extend(request.state.as_deref().map(|state| ("state", state)));
        answer.push(("iss", self.core.issuer()));
        Ok(add_to_query(&request.redirect_uri, &answer))
    }
}
