//! An app's authorization request (`/oauth2/authorize`). The broker checks it before it shows anything. Then a session
//! answers it, or the browser goes to an identity provider or to the sign-in page.

use std::sync::Arc;

use crate::flows::directory::AppEntry;
use crate::flows::evidence::{Event, receipt_of};
use crate::flows::interaction::{Answered, Handled};
use crate::flows::provider::Authorization;
use crate::flows::refusal::{FlowError, PublicCode, Reason, Refusal, refused};
use crate::flows::session::CurrentSession;
use crate::flows::visit::{Answer, NextPage, Visit};
use crate::model::{
    AccountId, Aim, App, AuthorizationRequest, Flow, FlowId, Interaction, Organization, Prompt, Purpose,
    SessionStage, Subject, Username,
};
use crate::policy::provider::access::may_use;
use crate::policy::provider::redirect;
use crate::policy::provider::request::{self, Checked};
use crate::policy::sign_in::route::{self, Destination, Hints};
use crate::policy::sign_in::session::{SessionFacts, Unsatisfied, satisfies};
use crate::protocol::oauth::{ErrorCode, OAuthError, Parameters};
use crate::store::StoreError;
use crate::store::provider::grants::find_account_of_subject;

impl Authorization {
    /// Answers an authorization request (RFC 6749, section 4.1.1).
    pub async fn begin_authorization(
        &self,
        visit: &Visit,
        parameters: &Parameters,
    ) -> Result<Handled, FlowError> {
        let (entry, redirect_uri) = self.known_client(parameters).await?;
        let flow = FlowId::new(self.core.clock.now(), &*self.core.random);
        let event = Event {
            organization: Some(entry.organization.id),
            app: Some(entry.app.id),
            receipt: Some(receipt_of(flow)),
            ..Event::new("authorize")
        };
        let checked = request::check(&entry.app, &redirect_uri, parameters, self.state_bytes);
        let hinted = match checked {
            Ok(Checked { request, subject }) => {
                let hinted = self.hinted_account(&entry.app, parameters, subject).await?;
                hinted.map(|hinted_account| AuthorizationRequest { hinted_account, ..request })
            }
            Err(error) => Err(error),
        };
        let request = match hinted {
            Ok(request) => request,
            Err(error) => {
                let state = parameters.get("state").filter(|_| parameters.is_single("state"));
                let address = self.interactions.error_address(&redirect_uri, state, &error);
                return Err(Refusal::towards_app(event, address, error.code).into());
            }
        };
        let hints = self.core.directory.hints(&entry.app, &request).await?;
        let unsatisfied = match self.sessions.current_session(visit).await? {
            None => Unsatisfied::Stale,
            Some(current) => match self.satisfies(&entry, &request, &hints, &current).await? {
                Ok(()) => return Ok(Box::pin(self.resume(flow, request, current)).await?.into()),
                Err(unsatisfied) => unsatisfied,
            },
        };
        if request.wants(Prompt::None) {
            let error = silent_error(unsatisfied);
            return Err(self.interactions.refuse_to_app(event, &request, &error, error.code));
        }
        Ok(Box::pin(self.begin_sign_in(visit, event, flow, request, &hints)).await?.into())
    }

    /// Continues with a session that satisfies the app's request.
    async fn resume(
        &self,
        id: FlowId,
        request: AuthorizationRequest,
        CurrentSession { session, account, .. }: CurrentSession,
    ) -> Result<Answered, FlowError> {
        let event = Event {
            organization: account.organization,
            actor: Some(account.id.into()),
            connection: session.proof.connection,
            app: Some(request.app),
            receipt: Some(receipt_of(id)),
            ..Event::new("authorize")
        };
        let purpose = Purpose::App(Box::new(request));
        let subject = Subject::Account { account: account.id, proof: session.proof };
        let interaction = Interaction {
            session: SessionStage::Open(session.id),
            confirmed_at: session.confirmed_at,
            ..Interaction::new(id, purpose, subject)
        };
        let opened = self.interactions.open_for(&interaction).await?;
        Ok(Answered { account: Some(account), ..Answered::new(opened, interaction, event) })
    }

    /// The app, and the address that its answer goes to. An error here is shown on a page: the broker never redirects
    /// to an address that is not registered.
    async fn known_client(&self, parameters: &Parameters) -> Result<(Arc<AppEntry>, String), FlowError> {
        let event = Event::new("authorize");
        let Some(client_id) = parameters.get("client_id").filter(|_| parameters.is_single("client_id"))
        else {
            return Err(refused(event, PublicCode::InvalidRequest, Reason::ClientIdMissingOrRepeated));
        };
        let Some(entry) = self.core.directory.app(client_id).await? else {
            return Err(refused(event, PublicCode::UnknownClient, Reason::UnknownClient));
        };
        let event = Event {
            organization: Some(entry.organization.id),
            app: Some(entry.app.id),
            ..Event::new("authorize")
        };
        if !entry.is_enabled() {
            return Err(refused(event, PublicCode::UnknownClient, Reason::ClientDisabled));
        }
        let Some(uri) = parameters.get("redirect_uri").filter(|_| parameters.is_single("redirect_uri"))
        else {
            let reason = Reason::RedirectUriMissingOrRepeated;
            return Err(refused(event, PublicCode::RedirectUriMismatch, reason));
        };
        let settings = &entry.app.settings;
        if !redirect::matches(uri, &settings.redirect_uris, settings.application_type) {
            return Err(refused(event, PublicCode::RedirectUriMismatch, Reason::RedirectUriMismatch));
        }
        let uri = uri.to_owned();
        Ok((entry, uri))
    }

    /// The account that `id_token_hint` or the parameter `claims` names. If both name a subject, it must be the same.
    async fn hinted_account(
        &self,
        app: &App,
        parameters: &Parameters,
        demanded: Option<String>,
    ) -> Result<Result<Option<AccountId>, OAuthError>, FlowError> {
        let hinted = match parameters.get("id_token_hint") {
            None => None,
            Some(hint) => match self.keys.read_id_token_hint(hint) {
                Some(claims) if claims.client_id == app.client_id => Some(claims.subject),
                _ => return Ok(Err(INVALID_HINT)),
            },
        };
        let (subject, unknown) = match (hinted, demanded) {
            (None, None) => return Ok(Ok(None)),
            (Some(hinted), Some(demanded)) if hinted != demanded => return Ok(Err(INVALID_HINT)),
            (Some(subject), _) => (subject, Err(INVALID_HINT)),
            // Anyone can write a subject here. An unknown one is treated like a user who does not sign in.
            (None, Some(subject)) => (subject, Ok(Some(NOBODY))),
        };
        let mut tx = self.core.database.read().await?;
        let account = find_account_of_subject(&mut tx, app.id, &subject).await?;
        Ok(account.map_or(unknown, |account| Ok(Some(account))))
    }

    async fn satisfies(
        &self,
        entry: &AppEntry,
        request: &AuthorizationRequest,
        hints: &Hints,
        current: &CurrentSession,
    ) -> Result<Result<(), Unsatisfied>, StoreError> {
        let account = &current.account;
        let belongs = current.organization.as_ref().map(Organization::membership);
        let key = account.username.as_ref().map(Username::key);
        let allowed = route::allowed_connections(hints);
        let hinted = match request.login_hint.as_deref().filter(|hint| hint.parse::<AccountId>().is_ok()) {
            Some(hint) => {
                let mut tx = self.core.database.read().await?;
                find_account_of_subject(&mut tx, entry.app.id, hint).await?
            }
            None => None,
        };
        let facts = SessionFacts {
            session: &current.session,
            active: true,
            may_use_app: may_use(&entry.app, belongs),
            username_key: key.as_deref(),
            hinted,
            email: account.email.as_ref(),
            allowed: allowed.as_deref(),
        };
        Ok(satisfies(request, facts, self.core.clock.now()))
    }

    /// Sends the user to the identity provider or the page where they sign in.
    async fn begin_sign_in(
        &self,
        visit: &Visit,
        event: Event,
        id: FlowId,
        request: AuthorizationRequest,
        hints: &Hints,
    ) -> Result<Answer, FlowError> {
        let login_hint = request.name_hint().map(str::to_owned);
        let app = request.app;
        let handle = || self.interactions.flow_handle(id, Some(app));
        let destination = route::decide(hints);
        if destination == Destination::Nowhere {
            let description = "no connection satisfies what the app, idp_hint and domain_hint ask for";
            let error = OAuthError::new(ErrorCode::AccessDenied, description);
            return Err(self.interactions.refuse_to_app(event, &request, &error, Reason::HintsLeadNowhere));
        }
        let flow = Flow { id, ..self.interactions.new_flow(Aim::Begin(Purpose::App(Box::new(request)))) };
        let next = match destination {
            Destination::Connection(connection) => {
                return self.sign_in.begin_upstream(visit, flow, connection, login_hint.as_deref()).await;
            }
            Destination::Choice(_) => NextPage::Choose(handle()?, None),
            Destination::Page | Destination::Nowhere => NextPage::SignIn(handle()?),
        };
        let cookies = self.interactions.keep_flow(visit, &flow).await?;
        Ok(Answer::to(next).with_all(cookies))
    }
}

/// The error for an app whose hint names no account of this app, or two different ones.
const INVALID_HINT: OAuthError = OAuthError::new(
    ErrorCode::InvalidRequest,
    "id_token_hint is not an ID token of this issuer for this app, or claims demands another sub",
);

/// An id that no account has.
const NOBODY: AccountId = AccountId::from_bytes([0; 16]);

/// The error for an app that allows no page to be shown (`prompt=none`; `OpenID` Connect Core, section 3.1.2.6).
fn silent_error(unsatisfied: Unsatisfied) -> OAuthError {
    match unsatisfied {
        Unsatisfied::Selection => {
            OAuthError::new(ErrorCode::AccountSelectionRequired, "the user must choose an account")
        }
        Unsatisfied::NotAllowed => {
            OAuthError::new(ErrorCode::AccessDenied, "this account may not use this app")
        }
        Unsatisfied::Stale
        | Unsatisfied::Context
        | Unsatisfied::Inactive
        | Unsatisfied::OtherAccount
        | Unsatisfied::OtherConnection => OAuthError::new(ErrorCode::LoginRequired, "the user must sign in"),
    }
}
