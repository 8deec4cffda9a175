//! Consent: the person says what an app may know.

use super::Broker;
use super::brand::BrandView;
use super::complete::is_still_registered;
use super::error::{FlowError, Refusal};
use super::evidence::{Event, receipt_of};
use super::visit::{Answer, Go, Visit};
use crate::model::{AuthorizationRequest, ProvenFlow, Target, Timestamp};
use crate::protocol::oauth::{ErrorCode, OAuthError};
use crate::store::{accounts, flows, grants, organizations, sessions};

/// What the consent page shows.
#[derive(Debug, Clone)]
pub struct ConsentView {
    /// The flow's handle.
    pub handle: String,
    /// What its form proves.
    pub form_token: String,
    /// The organization whose page this is, if it is one's.
    pub brand: Option<BrandView>,
    /// The app's name.
    pub app: String,
    /// The name of the organization behind the app.
    pub app_organization: String,
    /// Who is asked: email, else username.
    pub person: String,
    /// The scopes that the app asks for.
    pub scopes: Vec<String>,
    /// The code under which the attempt can be looked up.
    pub receipt: String,
    /// The page languages that the app asked for (`ui_locales`).
    pub locale: Option<String>,
}

impl Broker {
    /// What the consent page of a flow shows.
    pub async fn view_consent(&self, visit: &Visit, handle: &str) -> Result<ConsentView, FlowError> {
        let (flow, request) = self.require_proven(visit, handle).await?;
        let entry = self.directory.app_by_id(request.app).await?;
        let mut tx = self.database.read().await?;
        let account = accounts::find_account(&mut tx, flow.account).await?;
        let organization = match &account {
            Some(account) => organizations::find_organization_of(&mut tx, account).await?,
            None => None,
        };
        drop(tx);
        let (Some(entry), Some(account)) = (entry, account) else {
            return Err(self.refuse(visit, consent_event(&flow), "flow_expired", "app_unknown").await);
        };
        let person = account.email.as_ref().map(ToString::to_string);
        let username = account.username.as_ref().map(ToString::to_string);
        Ok(ConsentView {
            handle: handle.to_owned(),
            form_token: self.form_token(&flow.id.to_string()),
            brand: self.brand_of(organization.as_ref()).await?,
            app: entry.app.name.clone(),
            app_organization: entry.organization.name.clone(),
            person: person.or(username).or(account.contact.name).unwrap_or_default(),
            scopes: request.scopes,
            locale: request.ui_locales,
            receipt: receipt_of(flow.id),
        })
    }

    /// Takes the person's answer: the code, or `access_denied`. Either ends the flow.
    pub async fn answer_consent(
        &self,
        visit: &Visit,
        handle: &str,
        allowed: bool,
    ) -> Result<Answer, FlowError> {
        let (flow, request) = self.require_proven(visit, handle).await?;
        let now = self.clock.now();
        let Some(entry) = self.directory.app_by_id(request.app).await? else {
            return Err(self.refuse(visit, consent_event(&flow), "flow_expired", "app_unknown").await);
        };
        let event = Event { organization: Some(entry.organization.id), ..consent_event(&flow) };
        if !is_still_registered(&entry, &request) {
            return Err(self.refuse(visit, event, "redirect_uri_mismatch", "redirect_uri_withdrawn").await);
        }
        let (mut tx, known) = self.begin_completion(&flow.target).await?;
        if !known.app.as_ref().is_some_and(|entry| is_still_registered(entry, &request)) {
            drop(tx);
            return Err(self.refuse(visit, event, "redirect_uri_mismatch", "redirect_uri_withdrawn").await);
        }
        if !flows::consume_proven_flow(&mut tx, flow.id, now).await? {
            drop(tx);
            return Err(self.finished(&flow).await);
        }
        if !allowed {
            self.record_refusal(&mut tx, &event, "consent_denied").await?;
            tx.commit().await?;
            let error = OAuthError::new(ErrorCode::AccessDenied, "the person did not consent");
            let url = self.error_address(&request.redirect_uri, request.state.as_deref(), &error);
            return Ok(Answer::to(Go::App(url)));
        }
        let account = accounts::find_account(&mut tx, flow.account).await?;
        let held = sessions::hold_session(&mut tx, flow.session).await?;
        let Some(account) = account.filter(|_| held) else {
            drop(tx);
            return Err(self.refuse(visit, event, "session_ended", "session_ended").await);
        };
        let given = grants::find_consent(&mut tx, account.id, request.app).await?.unwrap_or_default();
        let mut scopes = request.scopes.clone();
        scopes.extend(given.into_iter().filter(|scope| !request.scopes.contains(scope)));
        let organization = entry.organization.id;
        grants::save_consent(&mut tx, organization, account.id, request.app, &scopes, now).await?;
        let ground = self.ground(&mut tx, &account, &flow.proof, &flow.target, known).await?;
        // Consent was the step before; `prompt=consent` would ask for it for ever.
        if !ground.goes_on() {
            drop(tx);
            return Err(self.refuse_step(visit, event, ground.step, &flow.target).await);
        }
        self.record_success(&mut tx, &event).await?;
        let url =
            self.issue_code(&mut tx, flow.id, &request, &entry, &account, flow.session, &flow.proof).await?;
        tx.commit().await?;
        Ok(Answer::to(Go::App(url)))
    }

    /// The proven flow of a handle, in the browser whose session it opened.
    async fn require_proven(
        &self,
        visit: &Visit,
        handle: &str,
    ) -> Result<(ProvenFlow, AuthorizationRequest), FlowError> {
        let Some(name) = self.read_handle(handle) else {
            return Err(self
                .refuse(visit, Event::new("consent"), "flow_expired", "flow_handle_invalid")
                .await);
        };
        let now = self.clock.now();
        let found = flows::find_proven_flow(&mut self.database.read().await?, name.id, now).await?;
        let is_ahead = found.as_ref().is_some_and(|flow| flow.started_at.is_ahead_of(now));
        let Some(flow) = found.filter(|_| !is_ahead) else {
            // The person is told that the flow is over, so it stays over when the clock is set back.
            let mut tx = self.database.write().await?;
            flows::bury_proven_flow(&mut tx, name.id, if is_ahead { Timestamp::MAX } else { now }).await?;
            tx.commit().await?;
            return Err(self.lost_flow(name).await);
        };
        let current = self.current_session(visit).await?;
        if current.is_none_or(|current| current.session.id != flow.session) {
            let event = Event { app: name.app, receipt: Some(receipt_of(flow.id)), ..Event::new("consent") };
            return Err(self.refuse(visit, event, "session_ended", "flow_of_another_browser").await);
        }
        match flow.target.clone() {
            Target::App(request) => Ok((flow, *request)),
            Target::Account | Target::Home(_) | Target::Own(..) | Target::Link(..) | Target::Near(..) => {
                Err(self.refuse(visit, consent_event(&flow), "flow_expired", "flow_of_no_app").await)
            }
        }
    }

    async fn finished(&self, flow: &ProvenFlow) -> FlowError {
        let app = match flow.target.app() {
            Some(app) => self.app_link(app).await,
            None => None,
        };
        let receipt = Some(receipt_of(flow.id));
        FlowError::Refused(Box::new(Refusal { receipt, app, ..Refusal::new("flow_finished") }))
    }
}

/// An event of the consent step of a flow.
fn consent_event(flow: &ProvenFlow) -> Event {
    Event {
        actor: Some(flow.account.into()),
        connection: flow.proof.connection,
        app: flow.target.app(),
        receipt: Some(receipt_of(flow.id)),
        ..Event::new("consent")
    }
}
