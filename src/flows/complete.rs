//! The end of a sign-in: what is still due, and the code for the app.

use super::Broker;
use super::directory::AppEntry;
use super::error::FlowError;
use super::evidence::{Event, receipt_of};
use super::flow_state::finish_mark;
use super::sessions::{OpenedSession, SignIn};
use super::visit::{Answer, CookieChange, Go, Visit};
use crate::crypto::random;
use crate::model::{
    Account, AuthorizationRequest, ConnectionId, Email, FLOW_LIFETIME, Flow, FlowId, GrantId, Organization,
    Proof, ProvenFlow, Secret, Session, SessionId, Target, Timestamp,
};
use crate::policy::access::{may_use, may_use_password, needs_consent, within};
use crate::policy::context::is_accepted;
use crate::policy::redirect;
use crate::policy::route::{Hints, is_among};
use crate::policy::step::{Facts, Step, Withdrawn, next_step};
use crate::protocol::oauth::{ErrorCode, OAuthError, add_to_query};
use crate::store::grants::{Code, Grant};
use crate::store::{StoreError, Tx, accounts, flows, grants, organizations, sessions};

/// Somebody who has just proved who they are.
pub(super) struct Proven {
    /// Who.
    pub account: Account,
    /// How.
    pub proof: Proof,
    /// The provider's ID token, for its logout.
    pub upstream_id_token: Option<Secret>,
}

/// Where a sign-in leads.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    /// The flow: its receipt is shown, its id goes on.
    pub flow: FlowId,
    /// Where it leads.
    pub target: &'a Target,
}

/// How often the directory is read again because it changed meanwhile.
const ATTEMPTS: usize = 3;

/// What the next step needs of the directory.
#[derive(Default)]
pub(super) struct Known {
    /// The app that is waiting.
    pub(super) app: Option<std::sync::Arc<AppEntry>>,
    /// Where the app's request may lead.
    hints: Option<Hints>,
    /// What the person is to be asked before they go on, if anything.
    pub(super) offer: Option<Further>,
}

/// A further account that a person who has just linked one may link.
#[derive(Clone)]
pub(super) struct Further {
    /// The email by which other accounts of the person are known, and whether it is proven.
    pub(super) email: (Email, bool),
    /// Until when: what was proved for the first link proves no longer for the next.
    pub(super) until: Timestamp,
}

impl Known {
    /// Whether somebody of this organization who came through this connection may use the app that is waiting.
    pub(super) fn admits(&self, organization: &Organization, connection: ConnectionId) -> bool {
        let Some(entry) = &self.app else { return true };
        may_use(&entry.app, Some((organization.id, &organization.handle)))
            && self.hints.as_ref().is_none_or(|hints| is_among(hints, Some(connection)))
    }
}

/// What a sign-in that goes on stands on.
pub(super) struct Ground {
    organization: Option<Organization>,
    app: Option<std::sync::Arc<AppEntry>>,
    offer: Option<Further>,
    /// What is due next.
    pub(super) step: Step,
}

impl Ground {
    /// Whether the person goes on, if only to be asked something.
    pub(super) const fn goes_on(&self) -> bool {
        matches!(self.step, Step::OfferLink | Step::Consent | Step::Finish)
    }
}

impl Broker {
    /// Completes a sign-in in the transaction that proved it, and commits. A flow ends once: whoever comes second is
    /// told so.
    pub(super) async fn complete_sign_in(
        &self,
        mut tx: Tx,
        visit: &Visit,
        flow: &Flow,
        proven: Proven,
        known: Known,
    ) -> Result<Answer, FlowError> {
        let event = Event {
            organization: proven.account.organization,
            actor: Some(proven.account.id.into()),
            connection: proven.proof.connection,
            app: flow.target.app(),
            receipt: Some(receipt_of(flow.id)),
            ..Event::new("sign_in")
        };
        if !flows::spend(&mut tx, &finish_mark(flow.id), flow.started_at.after(FLOW_LIFETIME)).await? {
            drop(tx);
            return Err(self.refuse(visit, event, "flow_finished", "flow_finished").await);
        }
        let ground = self.ground(&mut tx, &proven.account, &proven.proof, &flow.target, known).await?;
        if !ground.goes_on() {
            drop(tx);
            return Err(self.refuse_step(visit, event, ground.step, &flow.target).await);
        }
        self.record_success(&mut tx, &event).await?;
        let answer = self.admit(tx, visit, Way { flow: flow.id, target: &flow.target }, proven, &ground);
        Ok(answer.await?.with(CookieChange::ClearFlow(flow.id)))
    }

    /// Opens the session of somebody who goes on, writes what the next step needs, and commits.
    pub(super) async fn admit(
        &self,
        mut tx: Tx,
        visit: &Visit,
        way: Way<'_>,
        proven: Proven,
        ground: &Ground,
    ) -> Result<Answer, FlowError> {
        let Proven { account, proof, upstream_id_token } = proven;
        let sign_in = SignIn {
            account: account.id,
            organization: ground.organization.as_ref(),
            proof,
            upstream_id_token,
        };
        let OpenedSession { session, token } = self.open_session(&mut tx, visit, sign_in).await?;
        let cookies = [CookieChange::SetSession(token), self.remember_browser(visit, account.id)?];
        let next = self.go_on(&mut tx, visit, way, &account, &session, ground).await?;
        tx.commit().await?;
        Ok(cookies.into_iter().fold(next, Answer::with))
    }

    /// Goes on with a session that satisfies an app's request: consent, or the code.
    pub(super) async fn resume(
        &self,
        visit: &Visit,
        flow: FlowId,
        request: &AuthorizationRequest,
        account: &Account,
        session: &Session,
    ) -> Result<Answer, FlowError> {
        let target = Target::App(Box::new(request.clone()));
        let (mut tx, known) = self.begin_completion(&target).await?;
        if !sessions::hold_session(&mut tx, session.id).await? {
            drop(tx);
            let event = Self::authorize_event(flow, request, account, session);
            return Err(if request.wants(crate::model::Prompt::None) {
                self.refuse_to_app(visit, event, request, LOGIN_REQUIRED, "session_ended").await
            } else {
                self.refuse(visit, event, "session_ended", "session_ended").await
            });
        }
        let ground = self.ground(&mut tx, account, &session.proof, &target, known).await?;
        let silent = request.wants(crate::model::Prompt::None);
        let event = Self::authorize_event(flow, request, account, session);
        match (ground.step, silent) {
            (Step::Finish, _) | (Step::OfferLink | Step::Consent, false) => {}
            (Step::Consent, true) => {
                drop(tx);
                let error =
                    OAuthError::new(ErrorCode::ConsentRequired, "the person must be asked for consent");
                return Err(self.refuse_to_app(visit, event, request, error, "consent_required").await);
            }
            (Step::RefuseWithdrawn(what), true) if what != Withdrawn::RedirectUri => {
                drop(tx);
                return Err(self.refuse_to_app(visit, event, request, LOGIN_REQUIRED, what.reason()).await);
            }
            (step, _) => {
                drop(tx);
                return Err(self.refuse_step(visit, event, step, &target).await);
            }
        }
        let way = Way { flow, target: &target };
        let next = self.go_on(&mut tx, visit, way, account, session, &ground).await?;
        tx.commit().await?;
        Ok(next)
    }

    /// Opens the transaction that completes a sign-in, beside what it needs of the directory. That is read before,
    /// since with all connections held by such transactions nobody could load it; what changed until the transaction
    /// was open is read again.
    pub(super) async fn begin_completion(&self, target: &Target) -> Result<(Tx, Known), FlowError> {
        for _ in 0..ATTEMPTS {
            let generation = self.directory.generation();
            let known = self.known(target).await?;
            let tx = self.database.write().await?;
            if self.directory.generation() == generation {
                return Ok((tx, known));
            }
        }
        Err(FlowError::Unavailable("the directory changes faster than it can be read".to_owned()))
    }

    async fn known(&self, target: &Target) -> Result<Known, FlowError> {
        let Some(id) = target.app() else { return Ok(Known::default()) };
        let app = self.directory.app_by_id(id).await?;
        let hints = match (&app, target) {
            (Some(entry), Target::App(request)) => Some(self.hints(&entry.app, request).await?),
            _ => None,
        };
        Ok(Known { app, hints, offer: None })
    }

    /// What decides over the next step: standing and consent as they are in this transaction, the app as the
    /// directory knew it when the transaction began.
    pub(super) async fn ground(
        &self,
        tx: &mut Tx,
        account: &Account,
        proof: &Proof,
        target: &Target,
        known: Known,
    ) -> Result<Ground, FlowError> {
        let Known { app, hints, offer } = known;
        let standing = accounts::read_standing(tx, account.id, proof.connection, target.app()).await?;
        let organization = organizations::find_organization_of(tx, account).await?;
        // What was consented to matters only where nothing else has decided.
        let asks = match (&app, target) {
            (Some(entry), Target::App(request)) => {
                needs_consent(&entry.app, &request.scopes, None, &request.prompt)
            }
            _ => false,
        };
        let consented = match target.app() {
            Some(id) if asks => grants::find_consent(tx, account.id, id).await?,
            _ => None,
        };
        let belongs = organization.as_ref().map(|organization| (organization.id, &organization.handle));
        let (may_use_app, needs_consent) = match (&app, target) {
            (Some(entry), Target::App(request)) => (
                may_use(&entry.app, belongs)
                    && hints.as_ref().is_some_and(|hints| is_among(hints, proof.connection)),
                needs_consent(&entry.app, &request.scopes, consented.as_deref(), &request.prompt),
            ),
            (Some(entry), _) => (may_use(&entry.app, belongs), false),
            (None, _) => (target.app().is_none(), false),
        };
        let still_registered = match (&app, target) {
            (Some(entry), Target::App(request)) => is_still_registered(entry, request),
            _ => true,
        };
        let may_stay = proof.connection.is_some() || may_use_password(account, organization.as_ref());
        let facts = Facts {
            withdrawn: match standing {
                None => Some(Withdrawn::Account),
                Some(standing) if !standing.account => Some(Withdrawn::Account),
                Some(standing) if !standing.organization => Some(Withdrawn::Organization),
                Some(standing) if !standing.connection => Some(Withdrawn::Connection),
                Some(standing) if !standing.app => Some(Withdrawn::App),
                // Nothing goes to an address that was taken from the app meanwhile, not even a refusal.
                Some(_) if !still_registered => Some(Withdrawn::RedirectUri),
                Some(_) => (!may_stay).then_some(Withdrawn::LocalSignIn),
            },
            is_expected: target.expected_account().is_none_or(|expected| expected == account.id),
            is_context_accepted: is_accepted(target.essential_acr(), proof.acr.as_deref()),
            may_use_app,
            offers_link: offer.is_some(),
            needs_consent,
        };
        Ok(Ground { organization, app, offer, step: next_step(facts) })
    }

    /// Writes what the next step needs, and says where it is.
    pub(super) async fn go_on(
        &self,
        tx: &mut Tx,
        visit: &Visit,
        way: Way<'_>,
        account: &Account,
        session: &Session,
        ground: &Ground,
    ) -> Result<Answer, FlowError> {
        if let (Step::OfferLink, Some(further)) = (ground.step, &ground.offer) {
            return self.offer_another(tx, visit, way, account, session, further.clone()).await;
        }
        let go = match (way.target, &ground.app) {
            (Target::App(request), Some(_)) if ground.step == Step::Consent => {
                let proven = ProvenFlow {
                    id: way.flow,
                    target: way.target.clone(),
                    account: account.id,
                    session: session.id,
                    proof: session.proof.clone(),
                    started_at: self.clock.now(),
                };
                let expires_at = proven.started_at.after(FLOW_LIFETIME);
                flows::insert_proven_flow(tx, &proven, expires_at).await?;
                Go::Consent(self.flow_handle(way.flow, Some(request.app))?)
            }
            (Target::App(request), Some(entry)) => {
                let url = self
                    .issue_code(tx, way.flow, request, entry, account, session.id, &session.proof)
                    .await?;
                Go::App(url)
            }
            (Target::Home(_), Some(entry)) => {
                entry.app.settings.home_uri.clone().map_or(Go::Account, Go::App)
            }
            (Target::Own(_, place), _) => Go::Own(*place),
            _ => Go::Account,
        };
        Ok(Answer::to(go))
    }

    /// Grants what was asked and writes the code: the address of the app with it (RFC 6749, section 4.1.2; RFC 9207).
    #[expect(clippy::too_many_arguments, reason = "each is one column of the grant")]
    pub(super) async fn issue_code(
        &self,
        tx: &mut Tx,
        flow: FlowId,
        request: &AuthorizationRequest,
        entry: &AppEntry,
        account: &Account,
        session: SessionId,
        proof: &Proof,
    ) -> Result<String, StoreError> {
        let now = self.clock.now();
        let lifetime = entry.app.settings.code_lifetime.unwrap_or(self.settings.code_lifetime);
        let expires_at = now.after(lifetime);
        let wanted = account.id.to_string();
        let subject = grants::pin_subject(tx, request.app, account.id, &wanted, now).await?;
        let grant = Grant {
            id: GrantId::new(now, &*self.random),
            organization: entry.organization.id,
            app: request.app,
            account: account.id,
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
            actor: Some(account.id.into()),
            connection: proof.connection,
            app: Some(request.app),
            receipt: Some(receipt_of(flow)),
            ..Event::new("authorize")
        };
        self.record_success(tx, &event).await?;
        let mut answer = vec![("code", code.expose())];
        answer.extend(request.state.as_deref().map(|state| ("state", state)));
        answer.push(("iss", &self.settings.issuer));
        Ok(add_to_query(&request.redirect_uri, &answer))
    }

    fn authorize_event(
        flow: FlowId,
        request: &AuthorizationRequest,
        account: &Account,
        session: &Session,
    ) -> Event {
        Event {
            organization: account.organization,
            actor: Some(account.id.into()),
            connection: session.proof.connection,
            app: Some(request.app),
            receipt: Some(receipt_of(flow)),
            ..Event::new("authorize")
        }
    }

    /// Refuses somebody who was proved: who may not use the app is sent back to it, for the rest there is a page.
    pub(super) async fn refuse_step(
        &self,
        visit: &Visit,
        event: Event,
        step: Step,
        target: &Target,
    ) -> FlowError {
        if let (Step::RefuseOther, Target::App(request)) = (step, target) {
            let description = "somebody else signed in than id_token_hint or claims names";
            let error = OAuthError::new(ErrorCode::LoginRequired, description);
            return self.refuse_to_app(visit, event, request, error, "other_account").await;
        }
        if let (Step::RefuseAccess, Target::App(request)) = (step, target) {
            let error = OAuthError::new(ErrorCode::AccessDenied, "this account may not use this app");
            return self.refuse_to_app(visit, event, request, error, "app_not_for_account").await;
        }
        if let (Step::RefuseContext, Target::App(request)) = (step, target) {
            return self.refuse_to_app(visit, event, request, UNMET_CONTEXT, "acr_not_reached").await;
        }
        if step == Step::RefuseOther {
            return self.refuse(visit, event, "other_account", "other_account").await;
        }
        match step {
            Step::RefuseWithdrawn(what) => self.refuse(visit, event, public_code(what), what.reason()).await,
            _ => self.refuse(visit, event, "not_allowed", "app_not_for_account").await,
        }
    }

    /// Records a refusal and sends it to the app (RFC 6749, section 4.1.2.1).
    pub(super) async fn refuse_to_app(
        &self,
        visit: &Visit,
        event: Event,
        request: &AuthorizationRequest,
        error: OAuthError,
        reason: &str,
    ) -> FlowError {
        if let Err(error) = self.record_refusal_alone(&visit.network(), &event, reason).await {
            return error.into();
        }
        FlowError::Redirect(self.error_address(&request.redirect_uri, request.state.as_deref(), &error))
    }

    /// The address of an app with an error.
    pub(super) fn error_address(
        &self,
        redirect_uri: &str,
        state: Option<&str>,
        error: &OAuthError,
    ) -> String {
        let mut answer = vec![("error", error.code.as_str()), ("error_description", &*error.description)];
        answer.extend(state.map(|state| ("state", state)));
        answer.push(("iss", &self.settings.issuer));
        add_to_query(redirect_uri, &answer)
    }
}

/// Said to an app that allowed nothing to be shown.
const LOGIN_REQUIRED: OAuthError = OAuthError::new(ErrorCode::LoginRequired, "the person must sign in");

/// Said to an app whose demand (`acr`) a sign-in does not meet.
pub(super) const UNMET_CONTEXT: OAuthError = OAuthError::new(
    ErrorCode::UnmetAuthenticationRequirements,
    "the person cannot sign in in one of the authentication contexts (acr) that claims demands",
);

/// What a person is told of something that was withdrawn.
const fn public_code(what: Withdrawn) -> &'static str {
    match what {
        Withdrawn::Account => "account_disabled",
        Withdrawn::Organization => "organization_disabled",
        Withdrawn::Connection => "connection_disabled",
        Withdrawn::App => "unknown_client",
        Withdrawn::RedirectUri => "redirect_uri_mismatch",
        Withdrawn::LocalSignIn => "bad_credentials",
    }
}

/// Whether the address of a request is one that the app has now.
pub(super) fn is_still_registered(entry: &AppEntry, request: &AuthorizationRequest) -> bool {
    let settings = &entry.app.settings;
    redirect::matches(&request.redirect_uri, &settings.redirect_uris, settings.application_type)
}
